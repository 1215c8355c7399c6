use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_event::Filter;
use jetwash_frame::Peek;
use jetwash_mst::BlockCheck;
use jetwash_store::{Location, Options};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::ingest::AutoDictionary;
use crate::source::{BoxedSource, JetstreamSource, MirrorSource, PreparedLabelers, Relays};
use crate::verify::Verify;

/// The settings of a Jetstream, checked and with their defaults.
pub(crate) struct Config {
    pub(crate) location: Location,
    pub(crate) options: Options,
    pub(crate) relays: Relays,
    /// Where relays are to continue, by their names.
    pub(crate) cursors: Vec<(String, u64)>,
    pub(crate) jetstreams: Vec<JetstreamSource>,
    pub(crate) sources: Vec<BoxedSource>,
    /// The log that this one mirrors; then there is no other source.
    pub(crate) mirror: Option<MirrorSource>,
    /// The labelers, of which those with events are among the sources, and the index that all fill.
    pub(crate) labelers: PreparedLabelers,
    pub(crate) check_cids: bool,
    pub(crate) dictionary: Option<Dictionary>,
    pub(crate) auto_dictionary: Option<AutoDictionary>,
    /// The ingest filter, for the sources that ask others to apply it.
    pub(crate) filter: watch::Sender<Filter>,
    pub(crate) predicate: Option<FramePredicate>,
    pub(crate) block_check: BlockCheck,
    pub(crate) record_cache: Option<usize>,
    pub(crate) commit_delay: Duration,
    pub(crate) intake_bytes: u32,
    pub(crate) clock: Clock,
    pub(crate) verify: Verify,
}

/// Decides whether a frame is wanted.
pub(crate) type FramePredicate = Box<dyn Fn(&Peek<'_>) -> bool + Send>;
