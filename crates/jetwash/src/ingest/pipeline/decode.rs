use std::ops::Range;

use jetwash_event::{Datetime, Did, Draft, DraftBody, Kind, Micros, Operation, Tid};
use jetwash_frame::{
    AccountMessage, CommitMessage, ErrorFrame, Frame, IdentityMessage, InfoMessage, SyncMessage,
};
use jetwash_mst::{BlockCheck, Leaf, LeafChange, Leaves, OpError, leaves_of, sync_object};
use jetwash_store::{CommitPart, EventKind, NewEvent, Seq, StoreError};

use crate::ingest::check::{Checked, Given};
use crate::ingest::dedup;
use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::accounts::News;
use crate::ingest::pipeline::fault::{Fault, Stop};
use crate::ingest::pipeline::ruling::Ruling;
use crate::ingest::record_cache::RecordCache;

impl Pipeline {
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        given: Given,
        now_us: Micros,
    ) -> Result<Result<(), Fault>, StoreError> {
        self.verdict = 0;
        let outcome = if self.labelers.is_some() {
            self.label_frame(bytes, now_us)
        } else {
            self.repo_frame(bytes, given, now_us)
        };
        // The outer error ends the run, the inner one costs only this frame.
        match outcome {
            Ok(()) => Ok(Ok(())),
            Err(Stop::Fault(fault)) => Ok(Err(fault)),
            Err(Stop::Store(error)) => Err(error),
        }
    }

    fn repo_frame(&mut self, bytes: &[u8], given: Given, now_us: Micros) -> Result<(), Stop> {
        match Frame::decode(bytes) {
            Ok(Frame::Commit(commit)) => self.commit_frame(&commit, given.checked, now_us),
            Ok(Frame::Identity(identity)) => self.identity_frame(&identity, now_us),
            Ok(Frame::Account(account)) => self.account_frame(&account, now_us),
            Ok(Frame::Sync(sync)) => self.sync_frame(&sync, given.checked, now_us),
            Ok(Frame::Unknown(_)) => {
                self.stats.ignored();
                Ok(())
            }
            Ok(Frame::Error(error)) => {
                self.error_frame(&error);
                Ok(())
            }
            Ok(Frame::Info(info)) => {
                self.info_frame(&info);
                Ok(())
            }
            Err(error) => Err(Fault::Frame(error).into()),
        }
    }

    pub(super) fn error_frame(&mut self, error: &ErrorFrame<'_>) {
        if error.error == "FutureCursor" {
            self.future_cursor();
        }
    }

    pub(super) fn info_frame(&mut self, info: &InfoMessage<'_>) {
        if info.name == "OutdatedCursor" {
            self.outdated_cursor();
        }
    }

    fn commit_frame(
        &mut self,
        commit: &CommitMessage<'_>,
        checked: Option<Checked>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        Did::check(commit.repo).map_err(Fault::Did)?;
        let rev: Tid = commit.rev.parse().map_err(Fault::Rev)?;
        Datetime::check_rfc3339(commit.time).map_err(Fault::Time)?;
        if commit.rebase {
            return Err(Fault::Rebase.into());
        }
        if commit.too_big && commit.ops().is_empty() {
            return Err(Fault::TooBig.into());
        }
        // The frame is well-formed so far; what follows costs a tree of blocks.
        self.tally.commit(commit.rev);
        if self.is_before_contact(commit.time) {
            return Ok(());
        }
        // Checked blocks need not be hashed again, but for the records.
        let block_check = match &checked {
            Some(Checked { claim: Ok(_), .. }) => BlockCheck::Named,
            Some(Checked {
                claim: Err(reason), ..
            }) => return Err(self.invalid(*reason).into()),
            None => self.block_check,
        };
        let leaves = leaves_of(commit, block_check).map_err(Fault::Commit)?;
        let Some(mut account) = self.news_of(commit, &rev) else {
            return Ok(());
        };
        let ruling = self.rule(commit, checked, &account)?;
        if ruling.is_delivered {
            self.verdict = ruling.verdict;
            self.leaves(commit, leaves, &mut account, &ruling, now_us)?;
        } else if let Some(repo) = &ruling.repo {
            self.remember_repo(commit.repo, repo);
        }
        Ok(())
    }

    /// Appends what is new of a commit.
    fn leaves(
        &mut self,
        commit: &CommitMessage<'_>,
        leaves: Leaves<'_>,
        account: &mut News,
        ruling: &Ruling,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let before = self.pending;
        let len = leaves.len() as u32;
        for (index, leaf) in (0..).zip(leaves) {
            let digest = account.digest(commit, index);
            if account.is_known(digest) {
                continue;
            }
            // Operations fail one by one: a bad record must not take its neighbours along.
            let events = self.pending;
            let outcome = match leaf {
                Ok(leaf) if self.filter.matches_collection(leaf.collection) => {
                    self.leaf(commit, &leaf, CommitPart { index, len }, now_us)
                }
                Ok(_) => {
                    self.stats.rejected();
                    Ok(())
                }
                Err(OpError { reason, .. }) => Err(Fault::Op(reason).into()),
            };
            match outcome {
                Err(Stop::Fault(fault)) => {
                    let place = (Some(commit.seq), Some(commit.repo));
                    self.lose(fault.reason(), &fault, place);
                }
                outcome => outcome?,
            }
            if self.pending > events {
                account.add(digest);
            }
        }
        // Only a commit of which something was appended counts as known. If all its operations
        // failed or were filtered out, another source may still bring them. Empty commits are
        // remembered apart, since the next commit builds on them.
        match (ruling.notice, &ruling.repo) {
            (Some(notice), _) if self.pending > before => self.remember_notice(commit.repo, notice),
            (Some(_), _) => {}
            (None, repo) if self.pending > before => {
                self.remember_commit(commit.repo, account, repo.as_ref());
            }
            (None, Some(repo)) => self.remember_repo(commit.repo, repo),
            (None, None) if len == 0 && account.is_believable => {
                self.empty.insert(self.revs.key(commit.repo), account.rev);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        commit: &CommitMessage<'_>,
        leaf: &Leaf<'_>,
        part: CommitPart,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let (operation, kind, record) = match &leaf.change {
            LeafChange::Create(record) => (Operation::Create, EventKind::Create, Some(record)),
            LeafChange::Update(record) => (Operation::Update, EventKind::Update, Some(record)),
            LeafChange::Delete => (Operation::Delete, EventKind::Delete, None),
        };
        self.tally.op(operation, leaf.collection);
        let draft = Draft {
            did: commit.repo,
            body: DraftBody::Commit {
                rev: commit.rev,
                operation,
                collection: leaf.collection,
                rkey: leaf.rkey,
                record: record.map(|record| (record.data, &record.cid)),
            },
        };
        self.append(kind, leaf.collection, part, &draft, now_us)
    }

    /// A `#sync` is ruled on before it is known to be news: one that could not be resolved when it
    /// first came may be the state of the repository when it comes again.
    fn sync_frame(
        &mut self,
        sync: &SyncMessage<'_>,
        checked: Option<Checked>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let SyncMessage {
            seq,
            did,
            blocks,
            rev,
            time,
        } = *sync;
        Did::check(did).map_err(Fault::Did)?;
        Tid::check(rev).map_err(Fault::Rev)?;
        Datetime::check_rfc3339(time).map_err(Fault::Time)?;
        if self.is_before_contact(time) {
            return Ok(());
        }
        if self.checker.is_none() {
            sync_object(sync).map_err(Fault::Commit)?;
        }
        let ruling = self.rule_sync(sync, checked)?;
        if !ruling.is_delivered || !self.filter.matches_kind(Kind::Sync) {
            return Ok(());
        }
        let digest = dedup::digest_sync(rev, blocks, time);
        if !self.is_news(did, digest) {
            return Ok(());
        }
        let body = DraftBody::Sync {
            blocks,
            rev,
            seq,
            time,
        };
        self.verdict = ruling.verdict;
        let draft = Draft { did, body };
        self.append(EventKind::Sync, "", CommitPart::WHOLE, &draft, now_us)?;
        self.remember_notice(did, digest);
        Ok(())
    }

    fn identity_frame(
        &mut self,
        identity: &IdentityMessage<'_>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        Did::check(identity.did).map_err(Fault::Did)?;
        Datetime::check_rfc3339(identity.time).map_err(Fault::Time)?;
        if self.is_before_contact(identity.time) {
            return Ok(());
        }
        if let Some(checker) = &self.checker {
            checker.identity(identity.did);
        }
        let digest = dedup::identity_digest(identity);
        if !self.is_news(identity.did, digest) {
            return Ok(());
        }
        let IdentityMessage {
            did,
            handle,
            seq,
            time,
        } = *identity;
        let draft = Draft {
            did,
            body: DraftBody::Identity { handle, seq, time },
        };
        self.append(EventKind::Identity, "", CommitPart::WHOLE, &draft, now_us)?;
        self.remember_notice(did, digest);
        Ok(())
    }

    fn account_frame(&mut self, account: &AccountMessage<'_>, now_us: Micros) -> Result<(), Stop> {
        Did::check(account.did).map_err(Fault::Did)?;
        Datetime::check_rfc3339(account.time).map_err(Fault::Time)?;
        if self.is_before_contact(account.time) {
            return Ok(());
        }
        // The sequence number is not part of it: other sources give the same event other numbers.
        let digest = dedup::account_digest(account);
        if !self.is_news(account.did, digest) {
            return Ok(());
        }
        let AccountMessage {
            did,
            active,
            seq,
            status,
            time,
        } = *account;
        let draft = Draft {
            did,
            body: DraftBody::Account {
                active,
                seq,
                status,
                time,
            },
        };
        self.append(EventKind::Account, "", CommitPart::WHOLE, &draft, now_us)?;
        self.remember_notice(did, digest);
        if self.needs_keys() {
            self.remember_hosting(did, active);
        }
        Ok(())
    }

    fn append(
        &mut self,
        kind: EventKind,
        collection: &str,
        commit: CommitPart,
        draft: &Draft<'_>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        // The time is part of the line, so it is fixed before encoding; no two events share one.
        let time_us = self.appender.next_time_us(now_us);
        self.line.clear();
        let record =
            self.output
                .encode(&mut self.encoder, draft, commit, time_us, &mut self.line)?;
        self.push_line(kind, collection, commit, draft, time_us, record)
    }

    /// Appends the event whose line has been written. `record` is where its record is in the line.
    pub(super) fn push_line(
        &mut self,
        kind: EventKind,
        collection: &str,
        commit: CommitPart,
        draft: &Draft<'_>,
        time_us: Micros,
        record: Range<usize>,
    ) -> Result<(), Stop> {
        // Nothing is counted or remembered before the log has taken the event.
        let seq = self.push_event(kind, (draft.did, collection), commit, time_us)?;
        if let Some(records) = &self.records {
            remember(records, seq, draft, self.line.get(record));
        }
        Ok(())
    }

    /// Appends an event whose line has been written, and returns its position.
    pub(super) fn push_event(
        &mut self,
        kind: EventKind,
        (did, collection): (&str, &str),
        commit: CommitPart,
        time_us: Micros,
    ) -> Result<Seq, Stop> {
        let json = self.line.as_slice();
        let compressed = match &mut self.compressor {
            Some(compressor) => {
                self.compressed.clear();
                compressor
                    .compress(json, &mut self.compressed)
                    .map_err(|_| Fault::Compress)?;
                Some(self.compressed.as_slice())
            }
            None => None,
        };
        let event = NewEvent {
            kind,
            did,
            collection,
            commit,
            source: &self.sources[self.current].name,
            verdict: self.verdict,
            time_us,
            json,
            compressed,
        };
        let seq = self.appender.next_seq();
        self.appender.push(&event).map_err(|_| Fault::TooLong)?;
        self.pending += 1;
        self.output.taken(json.len());
        self.tally.event(json.len());
        self.stats
            .event(json.len(), compressed.map_or(0, <[u8]>::len));
        Ok(seq)
    }
}

/// Keeps the record of an event that has just been encoded, for a later one to look back at. Its
/// JSON is empty if the event has none.
fn remember(records: &RecordCache, seq: Seq, draft: &Draft<'_>, json: Option<&[u8]>) {
    let DraftBody::Commit {
        collection, rkey, ..
    } = &draft.body
    else {
        return;
    };
    let json = json.and_then(|json| std::str::from_utf8(json).ok());
    debug_assert!(json.is_some(), "the encoder writes UTF-8, and says where");
    let path = format!("{}/{collection}/{rkey}", draft.did);
    records.note(seq, &path, json.filter(|json| !json.is_empty()));
}
