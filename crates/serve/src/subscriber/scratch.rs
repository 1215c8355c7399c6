use jetwash::Selection;

use crate::subscriber::output::WRITE_BYTES;

/// Memory of a shard's task, which all its subscribers use in turn.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) selection: Selection,
    pub(super) out: Vec<u8>,
}

impl Scratch {
    /// Gives back the memory that an unusual amount of events has taken.
    pub(crate) fn trim(&mut self) {
        if self.out.capacity() > 2 * WRITE_BYTES {
            self.out = Vec::new();
        }
    }
}
