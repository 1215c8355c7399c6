use std::sync::Arc;

use jetwash_event::Labels;
use tokio::time::Instant;

use crate::build_error::Mistake;
use crate::builder::JetstreamBuilder;
use crate::jetstream::Jetstream;
use crate::source::{LabelerAddress, Labelers, PreparedLabelers, RelayOptions, Upstream};

impl JetstreamBuilder {
    /// Follows a labeler (`com.atproto.label.subscribeLabels`) and keeps the labels that it gives in
    /// an index, [`Jetstream::labels`], which filters can ask. `address` is a host name or a websocket
    /// URL, and `did` says who it is: labels that it sends in another's name are dropped and counted.
    ///
    /// Nothing goes into the log. The index is in memory, so each run reads the labeler from its
    /// beginning, which for a large one takes minutes, and until then labels are missing. Signatures
    /// are not checked. See `docs/labels.md`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let (jetstream, ingest) = Jetstream::builder()
    ///     .relay("relay1.us-east.bsky.network")
    ///     .labels_from("mod.bsky.app", "did:plc:ar7c4by46qjdydhdevvrndac")
    ///     .build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let filter = Filter::new().not_labelled(jetstream.labels().clone(), ["spam", "!hide"]);
    /// let mut events = jetstream.subscribe(StartFrom::Live, filter).await?;
    /// while let Some(event) = events.next().await {
    ///     println!("{}", event?.json());
    /// }
    /// # Ok(()) }
    /// ```
    pub fn labels_from(mut self, address: impl Into<String>, did: impl Into<String>) -> Self {
        self.labelers.of_index.push((address.into(), did.into()));
        self
    }

    /// Takes events from a labeler: each label that it gives or takes back is one, of
    /// [`Kind::Label`](crate::Kind::Label), with the labeler as its account. `address` and `did` are those
    /// of [`labels_from`](Self::labels_from), and the index is filled as there.
    ///
    /// Such a Jetstream is a log of labels: its sources are labelers alone, so that labels have a cursor
    /// of their own, and no reader of other events meets them. A relay, or any other source beside them,
    /// is a mistake. For filters of a Jetstream of relays, give that the index of this one, with
    /// [`labels`](Self::labels), or use [`labels_from`](Self::labels_from) there.
    ///
    /// The log begins with the first label that the labeler has. How far it has been read is stored with
    /// the events, so none is lost or comes twice, whenever the process ends. The index is filled anew
    /// by each run, before the first event of it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use jetwash::{Filter, Jetstream, StartFrom};
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let (labels, ingest) = Jetstream::builder()
    ///     .folder("labels")
    ///     .labeler("mod.bsky.app", "did:plc:ar7c4by46qjdydhdevvrndac")
    ///     .build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let mut events = labels.subscribe(StartFrom::Live, Filter::new()).await?;
    /// while let Some(event) = events.next().await {
    ///     if let Some(label) = event?.label().transpose()? {
    ///         println!("{} {} {}", label.uri, label.val, label.neg);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn labeler(mut self, address: impl Into<String>, did: impl Into<String>) -> Self {
        self.labelers.of_events.push((address.into(), did.into()));
        self
    }

    /// Sets the index that [labelers](Self::labels_from) fill: one with another limit, one that the
    /// [ingest filter](Self::ingest_filter) asks, or one that several Jetstreams share. Defaults to an
    /// index of its own with [`Labels::DEFAULT_LIMIT`].
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labelers.labels = labels;
        self
    }

    /// Keeps no index of the labels of [`labeler`](Self::labeler): for a log of labels whose index nobody
    /// asks. [`Jetstream::labels`] is then empty, and each labeler is read from where the log ends.
    ///
    /// Without the index, a labeler that goes back in its numbers is taken for one that counts anew, and
    /// what it says again comes again.
    pub const fn no_label_index(mut self) -> Self {
        self.labelers.has_no_index = true;
        self
    }

    /// How labelers are connected to. Those of [`relay_options`](Self::relay_options) are for relays
    /// alone, as their headers may be secret.
    pub fn labeler_options(mut self, options: RelayOptions) -> Self {
        self.labelers.options = options;
        self
    }

    /// Returns the labelers to follow, for the index and as sources.
    pub(crate) fn prepare_labelers(&self, mistakes: &mut Vec<Mistake>) -> PreparedLabelers {
        let Labelers {
            of_index,
            of_events,
            options,
            ..
        } = &self.labelers;
        let mut prepared = PreparedLabelers::new(&self.labelers);
        if of_index.is_empty() && of_events.is_empty() {
            return prepared;
        }
        if !of_events.is_empty() {
            let settings = self.settings_of_ingest().into_iter();
            let others =
                settings.filter(|(name, is_set)| *is_set && !BESIDE_LABELERS.contains(name));
            mistakes.extend(others.map(|(setting, _)| Mistake::LabelerSetting { setting }));
        }
        let options = options.clone().prepare().map(Arc::new);
        let options = options.map_err(|wrong| {
            mistakes.extend(wrong.into_iter().map(Mistake::RelayOption));
        });
        let mut names = Vec::new();
        for (index, (labeler, did)) in of_index.iter().chain(of_events).enumerate() {
            let address = match LabelerAddress::parse(labeler, did) {
                Ok(address) => address,
                Err(reason) => {
                    let labeler = labeler.clone();
                    mistakes.push(Mistake::Labeler { labeler, reason });
                    continue;
                }
            };
            if names.iter().any(|name| name == address.name()) {
                mistakes.push(Mistake::RepeatedSource(labeler.clone()));
                continue;
            }
            names.push(address.name().to_owned());
            match &options {
                Ok(options) if index < of_index.len() => {
                    prepared.add_feed(address, Arc::clone(options));
                }
                Ok(options) => prepared.add_source(address, Arc::clone(options)),
                // It has been told.
                Err(()) => {}
            }
        }
        prepared
    }
}

/// The settings that may be beside sources of labels.
const BESIDE_LABELERS: [&str; 4] = ["labeler", "dictionary", "auto_dictionary", "ingest_filter"];

impl Jetstream {
    /// The labels that its labelers give: those of [`labels_from`](JetstreamBuilder::labels_from) and of
    /// [`labeler`](JetstreamBuilder::labeler). Without labelers it is empty,
    /// unless the caller fills it.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    ///
    /// let (jetstream, _ingest) = Jetstream::builder().build()?;
    /// assert!(!jetstream.labels().has("did:web:a.example", "spam"));
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.shared.labels.index
    }

    /// How the connections to the labelers of [`labels_from`](JetstreamBuilder::labels_from) are, in the
    /// order in which they were given. They do not count for [`readiness`](Self::readiness). Those of
    /// [`labeler`](JetstreamBuilder::labeler) are sources of events, among
    /// [`upstreams`](Self::upstreams).
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    ///
    /// let labeler = "did:web:labeler.example";
    /// let builder = Jetstream::builder().labels_from("labeler.example", labeler);
    /// let (jetstream, _ingest) = builder.build()?;
    /// let name = &*jetstream.labelers()[0].name;
    /// assert_eq!(name, "wss://labeler.example/xrpc/com.atproto.label.subscribeLabels");
    /// assert!(jetstream.upstreams().is_empty());
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    #[must_use]
    pub fn labelers(&self) -> Vec<Upstream> {
        let now = Instant::now();
        let watches = self.shared.labels.labelers.iter();
        watches.map(|watch| watch.view(now, None)).collect()
    }
}
