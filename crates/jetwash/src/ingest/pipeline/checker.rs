use std::sync::Arc;

use jetwash_event::Micros;
use jetwash_frame::{CommitMessage, SyncMessage};
use jetwash_verify::{Policy, Verifier};

use crate::ingest::check::{Checked, Keys, check_commit, check_sync};
use crate::verify::{Resync, ResyncSender};

/// The parts of verification that the pipeline needs.
#[derive(Debug)]
pub(super) struct Checker {
    pub(super) policy: Policy,
    keys: Arc<Keys>,
    /// For frames that come without having been checked.
    verifier: Verifier,
    resyncs: ResyncSender,
    /// To be reported with the next commit.
    incomplete: Vec<Resync>,
    /// Whether frames come through a stage, which looks after the keys before their turn.
    is_staged: bool,
}

impl Checker {
    pub(super) fn new(
        policy: Policy,
        keys: Arc<Keys>,
        resyncs: ResyncSender,
        is_staged: bool,
    ) -> Self {
        Self {
            is_staged,
            policy,
            keys,
            verifier: Verifier::new(),
            resyncs,
            incomplete: Vec::new(),
        }
    }

    /// Checks a commit that came without having been checked.
    pub(super) fn check_commit(&mut self, commit: &CommitMessage<'_>, now: Micros) -> Checked {
        check_commit(&mut self.verifier, commit, &self.keys, now)
    }

    /// Checks a `#sync` that came without having been checked.
    pub(super) fn check_sync(&mut self, sync: &SyncMessage<'_>, now: Micros) -> Checked {
        check_sync(&mut self.verifier, sync, &self.keys, now)
    }

    /// Notes an incomplete repository, to be reported with the next commit.
    pub(super) fn note(&mut self, incomplete: Resync) {
        self.incomplete.push(incomplete);
    }

    /// Notes an `#identity`, if nobody has done so.
    pub(super) fn identity(&self, did: &str) {
        if !self.is_staged {
            self.keys.invalidate(did);
        }
    }

    /// Reports the repositories that the last commit has shown to be incomplete.
    pub(super) fn report(&mut self) {
        for resync in self.incomplete.drain(..) {
            self.resyncs.send(resync);
        }
    }
}
