//! Reads the settings again when SIGHUP comes, and applies what can change while the server runs.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use jetwash::store::Retention;
use jetwash::{DidChange, DidFile, Jetstream};
use tracing::{info, warn};

use crate::commands::serve::announce::kept;
use crate::commands::serve::arguments::ReadAgain;
use crate::commands::serve::set_up;
use crate::configuration::InUse;

/// The settings at the start, and the parts of the server that other ones change.
#[derive(Debug)]
pub(super) struct Reload {
    pub(super) read_again: ReadAgain,
    pub(super) jetstream: Jetstream,
    /// The settings that the server was started with.
    pub(super) settings: Vec<InUse>,
    /// The accounts whose events are taken in, unless all are.
    pub(super) accounts: Option<DidFile>,
    /// The collections whose events are taken in; none for all of them.
    pub(super) collections: Vec<String>,
}

/// Changes of the events that are taken in.
#[derive(Debug, Default)]
struct Changes {
    accounts: Option<DidChange>,
    collections: Option<Vec<String>>,
}

impl Reload {
    /// Reads the settings again at each SIGHUP, for ever.
    pub(super) async fn run(mut self, mut hangups: Hangups) {
        while hangups.next().await {
            let changes = tokio::task::block_in_place(|| self.apply());
            if let Some(change) = changes.accounts {
                let accounts = change.count();
                // Fails only when the server ends.
                if let Ok(cursor) = self.jetstream.holds_from(change).await {
                    info!(accounts, %cursor, "SIGHUP: other accounts are taken in from here on");
                }
            }
            if let Some(collections) = changes.collections {
                match self.take_in(&collections).await {
                    Ok(()) => self.collections = collections,
                    Err(error) => warn!("SIGHUP: the collections stay as they were: {error}"),
                }
            }
        }
    }

    /// Applies what can be applied here, and returns the other changes.
    fn apply(&mut self) -> Changes {
        let (arguments, settings) = match (self.read_again)() {
            Ok(read) => read,
            Err(error) => {
                warn!("SIGHUP: all settings stay as they were: {error}");
                return Changes::default();
            }
        };
        info!("SIGHUP: the settings are read again");
        let (is_loaded, change) = self.load(arguments.accounts.as_deref());
        let is_applied = |key: &str| match key {
            "accounts" => is_loaded,
            "collections" | "event-ttl" => true,
            // Without a bound the log would need to know how much memory it may take instead.
            "max-bytes" => arguments.max_bytes.is_some(),
            _ => false,
        };
        self.retain(arguments.event_ttl, arguments.max_bytes);
        // An option without a default is not among the settings if it is not given.
        let differs = |now: &&InUse| {
            let mut before = self.settings.iter();
            let before = before.find(|before| before.key == now.key);
            before.map(|before| &before.values) != Some(&now.values)
        };
        let changed = settings.iter().filter(differs).map(|now| &*now.key);
        let gone = self.settings.iter().filter(|before| {
            let mut now = settings.iter();
            !now.any(|now| now.key == before.key)
        });
        let changed = changed.chain(gone.map(|before| &*before.key));
        let waiting: Vec<_> = changed.filter(|key| !is_applied(key)).collect();
        if !waiting.is_empty() {
            let names = waiting.join(", ");
            warn!("SIGHUP: these settings have changed and hold from the next start: {names}");
        }
        let collections = arguments.collections;
        Changes {
            accounts: change,
            collections: (collections != self.collections).then_some(collections),
        }
    }

    /// Has events of these collections taken in from now on, or of all.
    async fn take_in(&self, collections: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let filter = set_up::ingest_filter(collections, self.accounts.as_ref())?;
        let cursor = self.jetstream.set_ingest_filter(filter).await?;
        let names = match collections {
            [] => "all".to_owned(),
            collections => collections.join(", "),
        };
        info!(collections = names, %cursor, "SIGHUP: other collections are taken in from here on");
        Ok(())
    }

    /// Has the log keep events for that time, and in that many bytes if they are given.
    fn retain(&self, age: Duration, bytes: Option<u64>) {
        let before = self.jetstream.retention();
        let now = Retention {
            max_age: Some(age),
            max_bytes: bytes.or(before.max_bytes),
        };
        if now == before {
            return;
        }
        match self.jetstream.set_retention(now) {
            Ok(()) => info!("SIGHUP: the log keeps events {}", kept(age, now.max_bytes)),
            Err(error) => warn!("SIGHUP: the log keeps events as before: {error}"),
        }
    }

    /// Loads the file of accounts again, or another in its place. Returns whether there is one as there
    /// was at the start, since a filter cannot come or go, and what has changed.
    fn load(&mut self, path: Option<&Path>) -> (bool, Option<DidChange>) {
        let (Some(file), Some(path)) = (&mut self.accounts, path) else {
            return (false, None);
        };
        if file.path() != path {
            *file = DidFile::new(path, file.set().clone());
        }
        let loaded = file.load();
        if let Err(error) = &loaded {
            warn!("SIGHUP: the accounts stay as they were: {error}");
        }
        (true, loaded.ok())
    }
}

/// SIGHUPs, which a terminal that closes sends, and some tools to have settings read again. From the
/// moment that this is made, none of them ends the process.
#[derive(Debug)]
pub(super) struct Hangups {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    pub(super) fn new() -> Self {
        Self {
            #[cfg(unix)]
            signals: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::hangup()).ok()
            },
        }
    }

    /// Waits for the next. `false` where there will be none.
    async fn next(&mut self) -> bool {
        #[cfg(unix)]
        if let Some(signals) = &mut self.signals {
            return signals.recv().await.is_some();
        }
        false
    }
}
