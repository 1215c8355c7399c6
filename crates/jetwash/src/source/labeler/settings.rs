use jetwash_event::Labels;

use super::IndexFeed;
use crate::source::RelayOptions;

/// The caller's settings for labelers.
#[derive(Default)]
pub(crate) struct Labelers {
    /// Addresses and DIDs.
    pub(crate) of_index: Vec<(String, String)>,
    pub(crate) labels: Labels,
    pub(crate) options: RelayOptions,
}

/// The labelers to follow, and the index that they fill.
pub(crate) struct PreparedLabelers {
    pub(crate) feeds: Vec<IndexFeed>,
    pub(crate) labels: Labels,
}
