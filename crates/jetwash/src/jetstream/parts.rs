use std::fmt;

use crate::clock::Clock;
use crate::ingest::{AutoDictionary, Writer};
use crate::source::{FrameStream, Relays};

/// Everything that waits for the run, which takes it.
pub(super) struct Parts {
    pub(super) writer: Writer,
    pub(super) relays: Relays,
    pub(super) sources: Vec<FrameStream>,
    pub(super) clock: Clock,
    /// With whether the dictionary in use is one that an earlier run trained.
    pub(super) auto: Option<(AutoDictionary, bool)>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("relays", &self.relays.0)
            .finish_non_exhaustive()
    }
}
