//! Turns away frames of which nothing is wanted, before they are decoded.

use jetwash_event::Kind;
use jetwash_frame::{FrameKind, Peek};

use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::predicate::Predicate;
use crate::panic::{Panic, catch};

/// The work on a frame before its turn, and the answer of the caller's closure if it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sorted {
    pub(crate) sort: Sort,
    pub(crate) is_let_in: Option<bool>,
}

/// The work on a frame before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// It is to be checked.
    Check,
    /// The key of its account is to be looked up again.
    Invalidate,
    /// Nothing is to be done.
    Pass,
}

impl Pipeline {
    /// Says what can be done with a frame before its turn. Nothing is counted and nothing is lost:
    /// the frame is looked at again when its turn comes, and the filter may have changed by then.
    pub(crate) fn sort(&mut self, source: &str, peeked: &Peek<'_>, frame: &[u8]) -> Sorted {
        let pass = |is_let_in| Sorted {
            sort: Sort::Pass,
            is_let_in,
        };
        let sort = match peeked.kind {
            FrameKind::Commit | FrameKind::Sync => Sort::Check,
            FrameKind::Identity => Sort::Invalidate,
            _ => return pass(None),
        };
        if !self.filter_wants(peeked) {
            return pass(None);
        }
        // Of a closure that panics nothing is known; it is asked again, where that is counted.
        let ask = |predicate: &Predicate| catch(|| predicate.0(peeked)).ok();
        let is_let_in = self.predicate.as_ref().and_then(ask);
        if self.predicate.is_some() && is_let_in != Some(true) {
            return pass(is_let_in);
        }
        // Whatever comes again need not be checked again.
        if sort == Sort::Check && self.is_surely_known(source, peeked, frame) {
            return pass(is_let_in);
        }
        Sorted { sort, is_let_in }
    }

    /// Whether anything of a frame is wanted; counts it if not.
    #[inline]
    pub(super) fn is_wanted(&self, peeked: &Peek<'_>, is_let_in: Option<bool>) -> bool {
        match self.wants(peeked, is_let_in) {
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
    #[inline]
    fn wants(&self, peeked: &Peek<'_>, is_let_in: Option<bool>) -> Result<bool, Panic> {
        // Nothing comes of the other kinds, but they are decoded so that what is malformed is
        // counted as that.
        let is_judged = matches!(
            peeked.kind,
            FrameKind::Commit | FrameKind::Identity | FrameKind::Account | FrameKind::Sync
        );
        if !is_judged {
            return Ok(true);
        }
        let is_wanted = self.filter_wants(peeked);
        match (&self.predicate, is_let_in) {
            (Some(_), Some(is_let_in)) => Ok(is_wanted && is_let_in),
            (Some(predicate), None) if is_wanted => catch(|| predicate.0(peeked)),
            _ => Ok(is_wanted),
        }
    }

    /// Whether the ingest filter lets a frame pass.
    #[inline]
    fn filter_wants(&self, peeked: &Peek<'_>) -> bool {
        let is_kind = match peeked.kind {
            FrameKind::Commit => self.filter.matches_kind(Kind::Commit),
            FrameKind::Identity => self.filter.matches_kind(Kind::Identity),
            FrameKind::Account => self.filter.matches_kind(Kind::Account),
            // The chains of accounts need them, whether or not they are wanted as events.
            FrameKind::Sync => {
                let follows_chains = self.needs_keys() && !self.is_partial();
                self.filter.matches_kind(Kind::Sync) || follows_chains
            }
            _ => true,
        };
        is_kind
            && peeked.did.is_none_or(|did| self.filter.matches_did(did))
            && self.wants_collections(peeked)
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
