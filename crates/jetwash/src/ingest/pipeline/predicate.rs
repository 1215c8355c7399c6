use std::fmt;

use jetwash_frame::Peek;

/// Decides for the caller whether a frame is wanted.
pub(super) struct Predicate(pub(super) Box<dyn Fn(&Peek<'_>) -> bool + Send>);

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}
