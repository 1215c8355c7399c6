use crate::build_error::Mistake;
use crate::builder::JetstreamBuilder;
use crate::source::{MirrorSource, RelayOptionError};

impl JetstreamBuilder {
    /// Mirrors the log of another jetwash, which serves it to mirrors: a host name, or a URL.
    ///
    /// The log here becomes the other's: its [identity](crate::Jetstream::log_id), positions, times,
    /// lines, compressed bytes, dictionaries and gaps. A reader moves between the two with the cursor
    /// it has. Retention is this log's own, and so are consumers and their dead letters. See
    /// `docs/upstreams.md` for what is equal and what is not.
    ///
    /// The folder must be new, or one that mirrored the same log before. No other source can be
    /// beside it, and no setting that changes events. How the host is connected to is set with
    /// [`relay_options`](Self::relay_options).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let (jetstream, ingest) = Jetstream::builder()
    ///     .mirror("wss://jetwash.example")
    ///     .folder("mirror")
    ///     .build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let mut events = jetstream.subscribe(StartFrom::Live, Filter::new()).await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{}", event?.json());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn mirror(self, address: impl Into<String>) -> Self {
        self.mirrors([address])
    }

    /// Mirrors a log that several hosts have, the origin and mirrors of it, in the order in which
    /// they are preferred: the next is followed when one fails, and left again for those before it.
    pub fn mirrors<T: Into<String>>(mut self, addresses: impl IntoIterator<Item = T>) -> Self {
        let addresses = addresses.into_iter().map(Into::into);
        self.mirrors.extend(addresses);
        self
    }

    /// Returns the log to mirror, if there is one. Whatever would put in events of other sources,
    /// leave some out or change them is a mistake then.
    pub(crate) fn prepare_mirror(&self, mistakes: &mut Vec<Mistake>) -> Option<MirrorSource> {
        if self.mirrors.is_empty() {
            return None;
        }
        let settings = self.settings_of_ingest().into_iter();
        let settings = settings.filter(|(_, is_set)| *is_set);
        mistakes.extend(settings.map(|(setting, _)| Mistake::MirrorSetting { setting }));
        let mut addresses = Vec::new();
        for text in &self.mirrors {
            match text.parse() {
                Ok(address) if addresses.contains(&address) => {
                    mistakes.push(Mistake::RepeatedSource(text.clone()));
                }
                Ok(address) => addresses.push(address),
                Err(error) => mistakes.push(Mistake::Mirror(error)),
            }
        }
        match self.relay_options.clone().prepare() {
            Ok(options) => Some(MirrorSource::new(addresses, options)),
            Err(wrong) => {
                // The others are told with or without relays.
                let proxies =
                    |error: &RelayOptionError| matches!(error, RelayOptionError::Proxy { .. });
                mistakes.extend(wrong.into_iter().filter(proxies).map(Mistake::RelayOption));
                None
            }
        }
    }
}
