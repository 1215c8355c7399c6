use std::sync::Arc;

use jetwash_event::{Did, Labels};

use super::{IndexFeed, LabelerAddress, LabelerSource};
use crate::source::{BoxedSource, Prepared, RelayOptions};

/// The caller's settings for labelers.
#[derive(Default)]
pub(crate) struct Labelers {
    /// Addresses and DIDs of those that fill the index.
    pub(crate) of_index: Vec<(String, String)>,
    /// Those of the sources of events.
    pub(crate) of_events: Vec<(String, String)>,
    pub(crate) labels: Labels,
    /// Whether sources of events leave the index empty.
    pub(crate) has_no_index: bool,
    pub(crate) options: RelayOptions,
}

/// The labelers to follow, and the index that they fill.
pub(crate) struct PreparedLabelers {
    /// Those that fill the index alone.
    pub(crate) feeds: Vec<IndexFeed>,
    /// Those that are sources of events.
    pub(crate) sources: Vec<BoxedSource>,
    /// Who these are, by their names.
    pub(crate) dids: Vec<(String, Did)>,
    pub(crate) labels: Labels,
    /// The same, if sources of events are to fill it.
    pub(crate) index: Option<Labels>,
}

impl PreparedLabelers {
    /// Begins without any.
    pub(crate) fn new(settings: &Labelers) -> Self {
        let labels = settings.labels.clone();
        Self {
            feeds: Vec::new(),
            sources: Vec::new(),
            dids: Vec::new(),
            index: (!settings.has_no_index).then(|| labels.clone()),
            labels,
        }
    }

    /// Adds one for the index alone.
    pub(crate) fn add_feed(&mut self, address: LabelerAddress, options: Arc<Prepared>) {
        let feed = IndexFeed::new(address, self.labels.clone(), options);
        self.feeds.push(feed);
    }

    /// Adds a source of events.
    pub(crate) fn add_source(&mut self, address: LabelerAddress, options: Arc<Prepared>) {
        let name = address.name().to_owned();
        self.dids.push((name, address.did().clone()));
        let source = LabelerSource::new(address, self.index.clone(), options);
        self.sources.push(BoxedSource::new("labeler", source));
    }
}
