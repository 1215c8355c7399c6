use std::sync::Arc;
use std::thread;

use jetwash_client::{ClientBuildError, ClientFilter, UpstreamCursor};
use jetwash_event::Filter;
use tokio::sync::watch;

use super::options::JetstreamOptions;
use super::pushed::{PushedFilter, pushed_down};
use super::source::JetstreamSource;

/// The caller's settings for Jetstreams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jetstreams {
    /// The addresses of the hosts of each.
    pub(crate) addresses: Vec<Vec<String>>,
    /// Where they are to begin, by the address of a host.
    pub(crate) cursors: Vec<(String, UpstreamCursor)>,
    pub(crate) options: JetstreamOptions,
}

/// A mistake in the settings for Jetstreams.
#[derive(Debug)]
pub(crate) enum JetstreamMistake {
    Client(ClientBuildError),
    CursorWithoutHost(String),
    RepeatedHost(String),
}

impl Jetstreams {
    pub(crate) const fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Checks everything, and reports every mistake at once.
    pub(crate) fn prepare(
        &self,
        filter: &watch::Sender<Filter>,
    ) -> Result<Vec<JetstreamSource>, Vec<JetstreamMistake>> {
        let mut mistakes = Vec::new();
        let options = Arc::new(self.options.clone());
        if let Err(error) = pushed_down(&filter.borrow()) {
            mistakes.push(JetstreamMistake::Client(error.into()));
        }
        let mut sources: Vec<JetstreamSource> = Vec::new();
        for addresses in &self.addresses {
            let pushed = PushedFilter::new(filter.subscribe());
            let source = JetstreamSource::new(addresses, pushed, Arc::clone(&options));
            mistakes.extend(fault_of(&source).map(JetstreamMistake::Client));
            let mut known: Vec<&str> = sources
                .iter()
                .flat_map(|known| known.host_names())
                .collect();
            for host in source.host_names() {
                if known.contains(&host) {
                    mistakes.push(JetstreamMistake::RepeatedHost(host.to_owned()));
                }
                known.push(host);
            }
            sources.push(source);
        }
        for (address, cursor) in &self.cursors {
            match sources.iter_mut().find(|source| source.has_host(address)) {
                Some(source) => source.start_at(cursor.clone()),
                None => mistakes.push(JetstreamMistake::CursorWithoutHost(address.clone())),
            }
        }
        if mistakes.is_empty() {
            Ok(sources)
        } else {
            Err(mistakes)
        }
    }
}

/// The mistake in the settings of a client, if there is one.
///
/// A client checks its settings when it is built, and is built within a runtime, where it begins at
/// once. On a thread without one, only the check is made.
fn fault_of(source: &JetstreamSource) -> Option<ClientBuildError> {
    let filter = ClientFilter::new();
    let check = || source.client(source.cursor(), filter).build().err();
    let fault = thread::scope(|scope| {
        let checking = thread::Builder::new().spawn_scoped(scope, check).ok()?;
        checking.join().ok()?
    });
    fault.filter(|fault| *fault != ClientBuildError::NoRuntime)
}
