//! Turns away frames of which nothing is wanted, before they are decoded.

use jetwash_event::Kind;
use jetwash_frame::{FrameKind, Peek};

use crate::ingest::pipeline::Pipeline;
use crate::panic::{Panic, catch};

impl Pipeline {
    /// Whether anything of a frame is wanted; counts it if not.
    #[inline]
    pub(super) fn is_wanted(&self, peeked: &Peek<'_>) -> bool {
        match self.wants(peeked) {
            Ok(true) => true,
            Ok(false) => {
                self.stats.rejected();
                false
            }
            Err(panic) => {
                self.stats.panicked("ingest_filter_with", &panic);
                self.stats.dropped("gate_panicked");
                false
            }
        }
    }

    /// Whether anything of a frame is wanted. An error is a panic of the caller's closure.
    fn wants(&self, peeked: &Peek<'_>) -> Result<bool, Panic> {
        // Nothing comes of the other kinds, but they are decoded so that what is malformed is
        // counted as that.
        let kind = match peeked.kind {
            FrameKind::Commit => Kind::Commit,
            FrameKind::Identity => Kind::Identity,
            FrameKind::Account => Kind::Account,
            _ => return Ok(true),
        };
        let is_wanted = self.filter.matches_kind(kind)
            && peeked.did.is_none_or(|did| self.filter.matches_did(did))
            && self.wants_collections(peeked);
        match &self.predicate {
            Some(predicate) if is_wanted => catch(|| predicate.0(peeked)),
            _ => Ok(is_wanted),
        }
    }

    /// Whether the filter matches the collection of any operation. A commit without operations, or
    /// with some that are malformed, is for the decoding to judge.
    fn wants_collections(&self, peeked: &Peek<'_>) -> bool {
        if !self.filter.has_collections() {
            return true;
        }
        let is_wanted = |path: &str| match path.split_once('/') {
            Some((collection, _)) => self.filter.matches_collection(collection),
            None => true,
        };
        let mut paths = peeked.paths().peekable();
        paths.peek().is_none() || paths.any(is_wanted)
    }
}
