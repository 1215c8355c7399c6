use std::sync::Arc;

use jetwash_event::Labels;
use tokio::time::Instant;

use crate::build_error::Mistake;
use crate::builder::JetstreamBuilder;
use crate::jetstream::Jetstream;
use crate::source::{
    IndexFeed, LabelerAddress, Labelers, PreparedLabelers, RelayOptions, Upstream,
};

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

    /// Sets the index that [labelers](Self::labels_from) fill: one with another limit, one that the
    /// [ingest filter](Self::ingest_filter) asks, or one that several Jetstreams share. Defaults to an
    /// index of its own with [`Labels::DEFAULT_LIMIT`].
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labelers.labels = labels;
        self
    }

    /// How labelers are connected to. Those of [`relay_options`](Self::relay_options) are for relays
    /// alone, as their headers may be secret.
    pub fn labeler_options(mut self, options: RelayOptions) -> Self {
        self.labelers.options = options;
        self
    }

    /// Returns the labelers to follow.
    pub(crate) fn prepare_labelers(&self, mistakes: &mut Vec<Mistake>) -> PreparedLabelers {
        let Labelers {
            of_index,
            labels,
            options,
        } = &self.labelers;
        let mut prepared = PreparedLabelers {
            feeds: Vec::new(),
            labels: labels.clone(),
        };
        if of_index.is_empty() {
            return prepared;
        }
        let options = match options.clone().prepare() {
            Ok(options) => Some(Arc::new(options)),
            Err(wrong) => {
                mistakes.extend(wrong.into_iter().map(Mistake::RelayOption));
                None
            }
        };
        let mut addresses: Vec<LabelerAddress> = Vec::new();
        for (labeler, did) in of_index {
            match LabelerAddress::parse(labeler, did) {
                Ok(address) if addresses.iter().any(|known| known.name() == address.name()) => {
                    mistakes.push(Mistake::RepeatedSource(labeler.clone()));
                }
                Ok(address) => addresses.push(address),
                Err(reason) => {
                    let labeler = labeler.clone();
                    mistakes.push(Mistake::Labeler { labeler, reason });
                }
            }
        }
        let feed = |address| {
            let options = Arc::clone(options.as_ref()?);
            Some(IndexFeed::new(address, labels.clone(), options))
        };
        let feeds = addresses.into_iter().filter_map(feed);
        prepared.feeds.extend(feeds);
        prepared
    }
}

impl Jetstream {
    /// The labels that its [labelers](JetstreamBuilder::labels_from) give. Without labelers it is empty,
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

    /// How the connections to its [labelers](JetstreamBuilder::labels_from) are, in the order in which
    /// they were given. They do not count for [`readiness`](Self::readiness).
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
