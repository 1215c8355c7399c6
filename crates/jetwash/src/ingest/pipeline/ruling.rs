//! Rules on frames by their verdicts, and keeps the states of repositories.

use jetwash_frame::{CommitMessage, SyncMessage};
use jetwash_store::{AccountState, PackedRepo};
use jetwash_verify::{
    Claim, Judgement, Outcome, Policy, Reason, RepoState, SignatureCheck, Verdict,
};

use crate::ingest::check::Checked;
use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::accounts::News;
use crate::ingest::pipeline::fault::Fault;
use crate::verify::Resync;

/// The consequences of a verdict.
pub(super) struct Ruling {
    /// One byte for the log; 0 without verification.
    pub(super) verdict: u8,
    pub(super) is_delivered: bool,
    /// The state to store, if it is a new one.
    pub(super) repo: Option<RepoState>,
    /// The commit as a notice, if nobody knows whose it is: then it must not count as a revision of
    /// the account.
    pub(super) notice: Option<u64>,
}

impl Ruling {
    /// Without verification all is delivered.
    const DELIVERED: Self = Self {
        verdict: 0,
        is_delivered: true,
        repo: None,
        notice: None,
    };

    const NOTHING: Self = Self {
        is_delivered: false,
        ..Self::DELIVERED
    };
}

impl Pipeline {
    /// Whether chains and hosting states are looked at.
    pub(super) fn needs_keys(&self) -> bool {
        let checker = self.checker.as_ref();
        checker.is_some_and(|checker| checker.policy.needs_keys())
    }

    /// Whether commits of an account may be turned away while others are taken in, so that its
    /// revisions need not follow each other.
    pub(super) fn is_partial(&self) -> bool {
        self.filter.has_collections() || self.predicate.is_some()
    }

    /// Rules on a commit that is news.
    pub(super) fn rule(
        &mut self,
        commit: &CommitMessage<'_>,
        checked: Option<Checked>,
        news: &News,
    ) -> Result<Ruling, Fault> {
        let now = self.now_us;
        let Some(checker) = &mut self.checker else {
            return Ok(Ruling::DELIVERED);
        };
        let policy = checker.policy;
        let checked = checked.unwrap_or_else(|| checker.check_commit(commit, now));
        let claim = checked.claim.map_err(|reason| self.invalid(reason))?;
        let state = news.state.as_ref().filter(|_| policy.needs_keys());
        // Of a signed commit, lenient believes the signature more than the relay.
        if policy == Policy::Strict && state.is_some_and(|state| state.is_active == Some(false)) {
            self.stats.dropped("account_inactive");
            return Ok(Ruling::NOTHING);
        }
        let stored = state.filter(|_| !self.is_partial()).and_then(repo_of);
        let is_stored = stored.is_some_and(|stored| is_state_of(&claim, &stored));
        let judgement = match judge(&claim, checked.signature, stored.filter(|_| !is_stored)) {
            Outcome::Judged(judgement) => judgement,
            // Older than the stored state, or beside it.
            Outcome::Skipped(skip) => {
                self.stats.dropped(skip.name());
                return Ok(Ruling::NOTHING);
            }
            Outcome::Needs(_) => UNRESOLVED,
        };
        let verdict = judgement.verdict;
        if let Verdict::Invalid(reason) = verdict {
            return Err(self.invalid(reason));
        }
        self.stats.verdict(verdict);
        let mut ruling = Ruling {
            verdict: verdict.to_byte(),
            is_delivered: policy.delivers(verdict),
            repo: None,
            notice: None,
        };
        if !ruling.is_delivered {
            self.stats.dropped(verdict.name());
        }
        if verdict == Verdict::Unresolved && policy.needs_keys() {
            ruling.notice = Some(commit_digest(commit));
        }
        // The commit was delivered when it could not be resolved, and has come again.
        if state.is_some_and(|state| state.notices.contains(&commit_digest(commit))) {
            self.repeated();
            ruling.is_delivered = false;
            ruling.notice = None;
        }
        if !self.is_partial() && !is_stored {
            ruling.repo = judgement.state.filter(|_| policy.needs_keys());
            if judgement.needs_repository {
                self.discontinuous(commit.repo, commit.rev, commit.since);
                self.incomplete(commit.repo, &claim, false);
            }
        }
        Ok(ruling)
    }

    /// Rules on a `#sync`, which says where a repository is without saying what has changed. One
    /// that the account has signed is delivered by every policy, also where it does not follow on the
    /// stored state: it is there to say that.
    pub(super) fn rule_sync(
        &mut self,
        sync: &SyncMessage<'_>,
        checked: Option<Checked>,
    ) -> Result<Ruling, Fault> {
        let now = self.now_us;
        let Some(checker) = &mut self.checker else {
            return Ok(Ruling::DELIVERED);
        };
        let policy = checker.policy;
        let checked = checked.unwrap_or_else(|| checker.check_sync(sync, now));
        let claim = checked.claim.map_err(|reason| self.invalid(reason))?;
        let is_followed = policy.needs_keys() && !self.is_partial();
        let mut state = self.account(sync.did);
        let stored = repo_of(&state).filter(|_| is_followed);
        // One that names the state after the last commit is as true as that, and changes nothing.
        let is_stored = stored.is_some_and(|stored| is_state_of(&claim, &stored));
        let judgement = match judge(&claim, checked.signature, stored.filter(|_| !is_stored)) {
            Outcome::Judged(judgement) => judgement,
            Outcome::Skipped(_) => {
                self.repeated();
                return Ok(Ruling::NOTHING);
            }
            Outcome::Needs(_) => UNRESOLVED,
        };
        let verdict = judgement.verdict;
        if let Verdict::Invalid(reason) = verdict {
            return Err(self.invalid(reason));
        }
        self.stats.verdict(verdict);
        let is_hidden = policy == Policy::Strict && state.is_active == Some(false);
        let is_signed = verdict != Verdict::Unresolved;
        let ruling = Ruling {
            verdict: verdict.to_byte(),
            is_delivered: !is_hidden && (is_signed || policy.delivers(verdict)),
            ..Ruling::DELIVERED
        };
        if is_hidden {
            self.stats.dropped("account_inactive");
        } else if !ruling.is_delivered {
            self.stats.dropped(verdict.name());
        }
        if let Some(repo) = judgement.state.filter(|_| is_followed && !is_stored) {
            state.repo = PackedRepo::new(&repo.to_bytes());
            self.appender.set_account(sync.did, &state);
            if judgement.needs_repository {
                self.incomplete(sync.did, &claim, true);
            }
        }
        Ok(ruling)
    }

    /// Stores the state of a repository of whose newest commit nothing was appended.
    pub(super) fn remember_repo(&mut self, did: &str, repo: &RepoState) {
        let mut state = self.account(did);
        state.repo = PackedRepo::new(&repo.to_bytes());
        self.appender.set_account(did, &state);
    }

    /// Counts what is invalid.
    pub(super) fn invalid(&self, reason: Reason) -> Fault {
        self.stats.verdict(Verdict::Invalid(reason));
        Fault::Invalid(reason)
    }

    fn incomplete(&mut self, did: &str, claim: &Claim, is_sync: bool) {
        let source = self.sources[self.current].name.clone();
        let Some(checker) = &mut self.checker else {
            return;
        };
        checker.note(Resync {
            did: did.into(),
            rev: claim.rev(),
            data: *claim.data(),
            is_sync,
            source,
        });
    }
}

fn judge(claim: &Claim, signature: SignatureCheck, stored: Option<RepoState>) -> Outcome {
    claim.judge(signature, stored.as_ref())
}

/// Whether a claim is the one that led to a stored state: the commit has come again, from a source
/// that has more of its operations.
fn is_state_of(claim: &Claim, stored: &RepoState) -> bool {
    claim.rev() == stored.rev() && claim.data() == stored.data()
}

/// The stored state of a repository; `None` too if it is of a format that is not known, as after a
/// newer version ran.
fn repo_of(state: &AccountState) -> Option<RepoState> {
    let packed = state.repo.as_ref()?;
    RepoState::from_bytes(packed.as_bytes()).ok()
}

/// Identifies a commit among those of its account.
fn commit_digest(commit: &CommitMessage<'_>) -> u64 {
    AccountState::digest(&[b"commit", commit.rev.as_bytes(), commit.commit.as_bytes()])
}

/// The judgement of a frame whose key is needed now and not there.
const UNRESOLVED: Judgement = Judgement {
    verdict: Verdict::Unresolved,
    state: None,
    needs_repository: false,
};
