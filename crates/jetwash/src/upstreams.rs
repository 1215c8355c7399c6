use jetwash_client::UpstreamCursor;
use jetwash_event::Filter;
use tokio::sync::watch;

use crate::build_error::Mistake;
use crate::builder::JetstreamBuilder;
use crate::source::{JetstreamMistake, JetstreamOptions, JetstreamSource};

impl JetstreamBuilder {
    /// Takes events from another Jetstream: a host name, or a URL with or without the path of a
    /// version. Version 2 is tried first, and version 1 where the host does not have it.
    ///
    /// Each message is one operation and nobody has signed it, so events have no verdict,
    /// and the log does not say how many operations their commits have. The closure of
    /// [`ingest_filter_with`](Self::ingest_filter_with) sees frames and is not asked about them.
    ///
    /// With relays or other Jetstreams beside it, events that come from several are kept once.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let posts = Filter::new().collections(["app.bsky.feed.post"])?;
    /// let (jetstream, ingest) = Jetstream::builder()
    ///     .jetstream("jetstream2.us-east.bsky.network")
    ///     .ingest_filter(posts)
    ///     .build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let mut events = jetstream.subscribe(StartFrom::Live, Filter::new()).await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{}", event?.json());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn jetstream(self, address: impl Into<String>) -> Self {
        self.jetstreams([address])
    }

    /// Takes events from one of several hosts that have the same: the first is connected to, and
    /// the next when that one fails or is silent. The name of the source is that of the first.
    pub fn jetstreams<T: Into<String>>(mut self, addresses: impl IntoIterator<Item = T>) -> Self {
        let addresses = addresses.into_iter().map(Into::into).collect();
        self.jetstreams.addresses.push(addresses);
        self
    }

    /// Takes events from all of these hosts at once, each with a cursor of its own: what one of them
    /// leaves out, or brings later, the others bring. Each event is in the log once. It is the same as
    /// [`jetstream`](Self::jetstream) for each.
    ///
    /// An event that only a host has that is behind the others comes behind newer ones of its account,
    /// if its record has not been changed since. That holds for the last 131,072 operations: about
    /// 10 MB of memory, and some minutes of the whole network. Older ones, those of a run before, and
    /// those that come beside relays or other sources are taken for repeats.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    ///
    /// let hosts = ["jetstream1.us-east.bsky.network", "jetstream2.us-east.bsky.network"];
    /// let (jetstream, _ingest) = Jetstream::builder().jetstream_union(hosts).build()?;
    /// assert_eq!(jetstream.upstreams().len(), 2);
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    pub fn jetstream_union<T: Into<String>>(self, addresses: impl IntoIterator<Item = T>) -> Self {
        addresses.into_iter().fold(self, Self::jetstream)
    }

    /// Starts the Jetstream that has this host behind this cursor, instead of where the last run
    /// ended. Without either it starts at the live end.
    pub fn jetstream_cursor(mut self, address: impl Into<String>, cursor: UpstreamCursor) -> Self {
        self.jetstreams.cursors.push((address.into(), cursor));
        self
    }

    /// How the hosts of Jetstreams are connected to: version, compression, headers, certificates
    /// and time limits.
    pub fn jetstream_options(mut self, options: JetstreamOptions) -> Self {
        self.jetstreams.options = options;
        self
    }

    /// Returns the Jetstreams to follow. Strict verification delivers only what is verified, and
    /// nothing that a Jetstream sends can be.
    pub(crate) fn prepare_jetstreams(
        &self,
        filter: &watch::Sender<Filter>,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<JetstreamSource> {
        if !self.jetstreams.is_empty() && self.is_strict() {
            mistakes.push(Mistake::UnverifiableSource);
        }
        match self.jetstreams.prepare(filter) {
            Ok(sources) => sources,
            Err(wrong) => {
                mistakes.extend(wrong.into_iter().map(|mistake| match mistake {
                    JetstreamMistake::Client(error) => Mistake::Jetstream(error),
                    JetstreamMistake::CursorWithoutHost(address) => {
                        Mistake::CursorWithoutRelay(address)
                    }
                    JetstreamMistake::RepeatedHost(host) => Mistake::RepeatedSource(host),
                }));
                Vec::new()
            }
        }
    }
}
