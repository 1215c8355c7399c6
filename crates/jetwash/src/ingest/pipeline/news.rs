//! Recognises what the log has already, and commits that do not follow on it.

use std::cmp::Ordering;

use jetwash_event::Tid;
use jetwash_frame::{CommitMessage, Frame, Peek};
use jetwash_store::{AccountState, GapCause, PackedRepo, StoreError, UpstreamGap};
use jetwash_verify::RepoState;
use tracing::{info, warn};

use crate::ingest::dedup;
use crate::ingest::numbering::Place;
use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::accounts::{Accounts, News};
use crate::ingest::pipeline::log_lines::{each_line, next_run};

impl Pipeline {
    /// Returns the part of a commit that is new; `None`, and counts it, if nothing is.
    pub(super) fn news_of(&mut self, commit: &CommitMessage<'_>, rev: &Tid) -> Option<News> {
        let number = dedup::rev_number(rev);
        let is_believable = dedup::is_believable(rev, self.appender.next_time_us(self.now_us));
        let mut news = News {
            key: 0,
            rev: number,
            is_believable,
            state: None,
        };
        if self.accounts != Accounts::Kept {
            news.key = self.revs.key(commit.repo);
            let known = self.revs.get(news.key);
            // A source that continues with its numbers may repeat itself all the same.
            let is_old = known.is_some_and(|known| number <= known);
            if is_old || !matches!(self.place, Place::Next | Place::First) {
                match self.is_known_lately(commit, number, known) {
                    Some(true) => {
                        self.repeated();
                        return None;
                    }
                    Some(false) => {}
                    None => self.keep_accounts(),
                }
            }
            if self.accounts != Accounts::Kept {
                if let Some(known) = known.filter(|&known| number > known) {
                    self.check_since(commit, known);
                }
                return Some(news);
            }
        }
        // With the account's state the question is exact: older revisions are known as a whole, of
        // the newest one those operations whose digests are there.
        let mut state = self.account(commit.repo);
        if number < state.rev {
            self.repeated();
            return None;
        }
        if number == state.rev {
            let is_known = |op| state.ops.contains(&dedup::op_digest(op));
            let ops = commit.ops();
            if !ops.is_empty() && ops.iter().any(is_known) {
                self.repeated();
                if ops.iter().all(is_known) {
                    return None;
                }
            }
        } else {
            // Verification looks at the chain itself.
            if state.rev > 0 && !self.needs_keys() {
                self.check_since(commit, state.rev);
            }
            state.rev = number;
            state.ops.clear();
        }
        news.state = Some(state);
        Some(news)
    }

    /// Whether a commit is in the log, going by the newest revision of its account that came in
    /// lately; `None` if that does not say it.
    fn is_known_lately(
        &self,
        commit: &CommitMessage<'_>,
        rev: u64,
        known: Option<u64>,
    ) -> Option<bool> {
        match known.map(|known| rev.cmp(&known)) {
            Some(Ordering::Less) => Some(true),
            Some(Ordering::Greater) => Some(false),
            // A single operation of the newest revision is the one that came in.
            Some(Ordering::Equal) if commit.ops().len() == 1 => Some(true),
            _ => (self.place == Place::Again).then_some(true),
        }
    }

    /// Reports a commit that builds on a revision that the log does not have, although it has an
    /// older one. This means something only if every commit is looked at.
    fn check_since(&mut self, commit: &CommitMessage<'_>, known: u64) {
        let since = commit.since.and_then(|since| since.parse::<Tid>().ok());
        let since = since.as_ref().map(dedup::rev_number);
        let Some(since) = since.filter(|&since| since > known) else {
            return;
        };
        if self.is_partial() || self.empty.get(self.revs.key(commit.repo)) == Some(since) {
            return;
        }
        self.discontinuous(commit.repo, commit.rev, commit.since);
    }

    /// Reports a commit before which others of its account are missing.
    pub(super) fn discontinuous(&mut self, did: &str, rev: &str, since: Option<&str>) {
        let cause = GapCause::Discontinuous;
        self.stats.gap(cause.name());
        if !self.discontinuous.take(self.now_us) {
            return;
        }
        let source = &self.sources[self.current];
        if self.discontinuous.is_first() {
            warn!(
                source = %source.name, did, rev, since,
                "a commit builds on a revision that the log does not have"
            );
        }
        let upstream = UpstreamGap::new(&*source.name, None, None).did(did);
        self.appender.note_gap(cause, None, Some(upstream));
    }

    /// Remembers a commit of which something was appended, with the new state of its repository, if
    /// that was verified.
    pub(super) fn remember_commit(&mut self, did: &str, news: &mut News, repo: Option<&RepoState>) {
        if !news.is_believable {
            return;
        }
        if let (Some(state), Some(repo)) = (&mut news.state, repo) {
            state.repo = PackedRepo::new(&repo.to_bytes());
        }
        match &news.state {
            Some(state) => self.appender.set_account(did, state),
            None => self.revs.insert(news.key, news.rev),
        }
    }

    /// Whether an event of an account other than a commit is not in the log; otherwise it is
    /// counted.
    pub(super) fn is_news(&mut self, did: &str, digest: u64) -> bool {
        if self.accounts != Accounts::Kept {
            match self.place {
                Place::Next | Place::First => return true,
                Place::Again => {
                    self.repeated();
                    return false;
                }
                _ => self.keep_accounts(),
            }
        }
        if self.account(did).notices.contains(&digest) {
            self.repeated();
            return false;
        }
        true
    }

    pub(super) fn remember_notice(&mut self, did: &str, digest: u64) {
        if self.accounts == Accounts::Kept {
            let mut state = self.account(did);
            state.add_notice(digest);
            self.appender.set_account(did, &state);
        }
    }

    /// Whether the log has all of a commit, going by what is stored of its account; `false` where that
    /// is not known yet.
    pub(super) fn is_surely_known(
        &mut self,
        source: &str,
        peeked: &Peek<'_>,
        frame: &[u8],
    ) -> bool {
        self.turn_to(source);
        // In the first batch of a process this comes before any frame has had its turn.
        if self.accounts == Accounts::Wanted {
            self.keep_accounts();
        }
        let is_again = self.sources.len() > 1 || peeked.seq <= self.position_before;
        if self.accounts != Accounts::Kept || !is_again {
            return false;
        }
        let Ok(Frame::Commit(commit)) = Frame::decode(frame) else {
            return false;
        };
        let Ok(rev) = commit.rev.parse::<Tid>() else {
            return false;
        };
        let (rev, state) = (dedup::rev_number(&rev), self.account(commit.repo));
        let is_known = |op| state.ops.contains(&dedup::op_digest(op));
        rev < state.rev
            || rev == state.rev && !commit.ops().is_empty() && commit.ops().iter().all(is_known)
    }

    /// Remembers whether an account is active, by which strict verification judges its commits.
    pub(super) fn remember_hosting(&mut self, did: &str, is_active: bool) {
        let mut state = self.account(did);
        state.is_active = Some(is_active);
        self.appender.set_account(did, &state);
    }

    pub(super) fn repeated(&mut self) {
        self.known += 1;
        self.stats.repeated();
    }

    /// Returns the known state of an account. If it cannot be read, its events are taken for new:
    /// better twice than not at all.
    pub(super) fn account(&mut self, did: &str) -> AccountState {
        let found = self.appender.account(did);
        let found = found.inspect_err(|_| self.stats.dropped("account_unreadable"));
        found.ok().flatten().unwrap_or_default()
    }

    /// Goes over to keeping what is known of accounts, and finds out what the log says of them.
    #[cold]
    pub(super) fn keep_accounts(&mut self) {
        self.accounts = Accounts::Kept;
        if let Err(error) = self.account_for_log() {
            warn!(%error, "events that come again may not be recognised: the log cannot be gone over");
        }
    }

    fn account_for_log(&mut self) -> Result<(), StoreError> {
        // What follows takes seconds with a full log, and a process may end meanwhile: the events so
        // far must not be there without the cursors that say so.
        let (current, position) = (self.current, self.position_before);
        for (index, source) in self.sources.iter_mut().enumerate() {
            if index == current {
                source.store_cursor_at(position, &mut self.appender);
            } else {
                source.store_cursor(&mut self.appender);
            }
        }
        self.appender.commit()?;
        let store = self.appender.store();
        let end = store.bounds().next_seq;
        // Commits in between keep the memory bounded. Going over an event twice changes nothing, so
        // a crash half-way only costs the time again.
        let start = self.appender.accounted_to().max(store.bounds().oldest_seq);
        let mut position = start.max(end.minus(LOOKED_BACK));
        if position < end {
            info!(
                events = end.since(position),
                "going over the log, for what it has of each account"
            );
        }
        let mut count = 0_u32;
        while let Some(run) = next_run(&store, position, end)? {
            each_line(&run, |line| {
                let mut state = self.account(line.did());
                if line.add_to(&mut state) {
                    self.appender.set_account(line.did(), &state);
                    count += 1;
                }
            });
            position = run.next_seq();
            if count >= ACCOUNTS_AT_ONCE {
                self.appender.commit()?;
                count = 0;
            }
        }
        self.appender.keep_accounted();
        self.appender.commit()
    }
}

/// So much of the log is gone over for what it has of accounts: some seconds of work.
const LOOKED_BACK: u64 = 2_000_000;
const ACCOUNTS_AT_ONCE: u32 = 4096;
