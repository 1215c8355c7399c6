//! Takes in the events of a Jetstream, which come one by one and without a signature.

use std::sync::Arc;
use std::time::Duration;

use jetwash_client::{ClientBody, ClientCommit, ClientEvent, ClientKind, ClientSync, Malformed};
use jetwash_event::{
    Account, Cid, Datetime, Draft, DraftBody, Identity, Kind, Micros, Operation, Tid,
};
use jetwash_frame::{FrameError, FrameKind, MAX_SYNC_BLOCKS_BYTES, SyncMessage};
use jetwash_mst::sync_object;
use jetwash_store::{CommitPart, EventKind, GapCause, Seq, StoreError};
use jetwash_verify::{Policy, Verdict};

use crate::ingest::dedup;
use crate::ingest::host_place::{HostPlace, newest_place};
use crate::ingest::late::{LateOp, LateOps};
use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::accounts::Accounts;
use crate::ingest::pipeline::fault::{Fault, Stop};
use crate::ingest::pipeline::record_text::CidCheck;

impl Pipeline {
    /// Adds a Jetstream as a source, and returns how far an earlier run has come with its hosts.
    pub(crate) fn add_jetstream<'h>(
        &mut self,
        source: &str,
        hosts: impl Iterator<Item = &'h str>,
    ) -> Option<HostPlace> {
        let place = newest_place(hosts, &self.appender);
        let index = self.source(source);
        self.sources[index].place.clone_from(&place);
        place
    }

    /// Follows several Jetstreams and nothing else: what one of them has left out is news when another
    /// brings it.
    pub(crate) fn union(mut self, now_us: Micros) -> Self {
        let is_empty = self.appender.next_seq() == Seq::FIRST;
        let since = (!is_empty).then_some(now_us);
        self.late = Some(LateOps::new(LATE_OPS, since));
        self
    }

    /// Has the records of events compared with their CIDs.
    pub(crate) const fn check_cids(mut self, checks: bool) -> Self {
        self.record_text.check_cids(checks);
        self
    }

    /// Notes that a host of a Jetstream was connected to, without a cursor. If nothing has come
    /// before, this is where another run continues, so that a crash before the first event loses
    /// nothing.
    pub(crate) fn joined(&mut self, source: &str, host: &Arc<str>, now_us: Micros) {
        self.now_us = now_us;
        self.turn_to(source);
        let source = &mut self.sources[self.current];
        if source.place.is_none() {
            source.place = Some(HostPlace::at_contact(host, now_us));
            source.is_touched = true;
        }
    }

    /// Notes that a source lacks events, those of some numbers if it is known which.
    pub(crate) fn missing(
        &mut self,
        source: &str,
        cause: GapCause,
        (first, next): (Option<u64>, Option<u64>),
        now_us: Micros,
    ) {
        self.now_us = now_us;
        self.turn_to(source);
        self.source_gap(cause, first, next);
    }

    /// Takes in one event that `host` sent. It becomes visible with the next commit, together with
    /// the place behind it. What is wrong with it costs only itself.
    pub(crate) fn event(
        &mut self,
        source: &str,
        host: &Arc<str>,
        event: &ClientEvent,
        now_us: Micros,
    ) -> Result<(), StoreError> {
        self.turn_to(source);
        self.keep_accounts_for_events();
        match &mut self.sources[self.current].place {
            Some(place) => place.advance(host, event),
            place => *place = Some(HostPlace::behind(host, event)),
        }
        self.event_of_current(event, now_us)
    }

    /// Takes in one event of a source of the caller's. How far that is it says apart.
    pub(crate) fn own_event(
        &mut self,
        source: &str,
        event: &ClientEvent,
        now_us: Micros,
    ) -> Result<(), StoreError> {
        self.turn_to(source);
        self.keep_accounts_for_events();
        self.event_of_current(event, now_us)
    }

    /// Repeats of events are recognised by the states of accounts: a revision alone does not say
    /// which of its operations have come.
    fn keep_accounts_for_events(&mut self) {
        if self.accounts != Accounts::Kept {
            self.keep_accounts();
        }
    }

    /// Takes in an event of the source at hand.
    fn event_of_current(&mut self, event: &ClientEvent, now_us: Micros) -> Result<(), StoreError> {
        self.now_us = now_us;
        self.output.begin_frame();
        self.stats.frame(event.text().len());
        let (kind, frame_kind) = match event.kind() {
            ClientKind::Commit => (Some(Kind::Commit), FrameKind::Commit),
            ClientKind::Identity => (Some(Kind::Identity), FrameKind::Identity),
            ClientKind::Account => (Some(Kind::Account), FrameKind::Account),
            ClientKind::Sync => (Some(Kind::Sync), FrameKind::Sync),
            _ => (None, FrameKind::Unknown),
        };
        let from = &mut self.sources[self.current];
        from.tally.message(frame_kind, event.seq());
        from.is_touched = true;
        let Some(kind) = kind else {
            return Ok(());
        };
        if !self.filter.matches(kind, event.did(), event.collection()) {
            self.stats.rejected();
            return Ok(());
        }
        self.verdict = 0;
        let outcome = match event.body() {
            ClientBody::Commit(commit) => self.commit_event(event, &commit, now_us),
            ClientBody::Identity(identity) => self.identity_event(event.did(), identity, now_us),
            ClientBody::Account(account) => self.account_event(event.did(), account, now_us),
            ClientBody::Sync(sync) => self.sync_event(event.did(), sync, now_us),
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Fault(fault)) => {
                self.lose(fault.reason(), &fault, (event.seq(), Some(event.did())));
                Ok(())
            }
        }
    }

    /// Appends an operation, unless the log has it. The revision says how new it is, and the digests
    /// of the account which operations of the newest revision have come, from whatever source.
    fn commit_event(
        &mut self,
        event: &ClientEvent,
        commit: &ClientCommit<'_>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let did = event.did();
        let policy = self.checker.as_ref().map(|checker| checker.policy);
        if policy == Some(Policy::Strict) {
            return Err(Fault::Unsigned.into());
        }
        let rev: Tid = commit.rev.parse().map_err(Fault::Rev)?;
        let cid: Option<Cid> = match commit.cid.map(str::parse).transpose() {
            Ok(cid) => cid,
            Err(_) => return Err(Fault::Malformed(Malformed::Cid).into()),
        };
        self.tally.commit(commit.rev);
        let path = format!("{}/{}", commit.collection, commit.rkey);
        let digest = dedup::digest_op(commit.operation.as_str(), &path, cid.as_ref());
        let number = dedup::rev_number(&rev);
        let mut state = self.account(did);
        let late = LateOp {
            did,
            path: &path,
            rev: number,
            digest,
        };
        let made = rev.time().min(event.time());
        let is_late = number < state.rev
            && self
                .late
                .as_ref()
                .is_some_and(|ops| ops.is_news(late, made));
        let is_known = number < state.rev || number == state.rev && state.ops.contains(&digest);
        if is_known && !is_late {
            self.repeated();
            return Ok(());
        }
        if number > state.rev {
            state.rev = number;
            state.ops.clear();
            // What a relay sends next does not follow on the commit that was verified last.
            state.repo = None;
        }
        self.operation(did, commit, cid.as_ref(), now_us)?;
        if let Some(ops) = &mut self.late {
            ops.note(late, now_us);
        }
        if is_late {
            self.stats.late();
            return Ok(());
        }
        // Nobody is to keep the real events of an account out with a time that is yet to come.
        let latest = self.appender.next_time_us(now_us);
        if rev.time() <= latest.plus(BELIEVABLE) {
            dedup::add_op(&mut state, digest);
            self.appender.set_account(did, &state);
        }
        Ok(())
    }

    /// Appends an operation that is news.
    fn operation(
        &mut self,
        did: &str,
        commit: &ClientCommit<'_>,
        cid: Option<&Cid>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let (json, record) = match (commit.operation, commit.record, cid) {
            (Operation::Delete, None, None) => (None, None),
            (Operation::Create | Operation::Update, Some(json), Some(cid)) => {
                (Some(json), Some((&[][..], cid)))
            }
            _ => return Err(Fault::Malformed(Malformed::Json).into()),
        };
        let json = match (json, cid) {
            (Some(json), Some(cid)) => {
                let form = self.record_text.form(json, cid, &mut self.encoder)?;
                match form.cid {
                    CidCheck::Off => {}
                    CidCheck::Matches => {
                        self.stats.verdict(Verdict::Unresolved);
                        self.verdict = Verdict::Unresolved.to_byte();
                    }
                    CidCheck::Unknown => self.stats.unchecked(),
                }
                Some(form.json)
            }
            _ => None,
        };
        self.tally.op(commit.operation, commit.collection);
        let body = DraftBody::Commit {
            rev: commit.rev,
            operation: commit.operation,
            collection: commit.collection,
            rkey: commit.rkey,
            record,
        };
        let kind = commit.operation.into();
        let json = json.as_deref().unwrap_or_default();
        self.append_json(kind, commit.collection, &Draft { did, body }, json, now_us)
    }

    fn identity_event(
        &mut self,
        did: &str,
        identity: &Identity,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let Identity { handle, seq, time } = identity;
        Datetime::check_rfc3339(time).map_err(Fault::Time)?;
        let digest = dedup::digest_identity(handle.as_deref(), time);
        if !self.is_news(did, digest) {
            return Ok(());
        }
        let body = DraftBody::Identity {
            handle: handle.as_deref(),
            seq: *seq,
            time,
        };
        self.append_json(EventKind::Identity, "", &Draft { did, body }, &[], now_us)?;
        self.remember_notice(did, digest);
        Ok(())
    }

    fn account_event(&mut self, did: &str, account: &Account, now_us: Micros) -> Result<(), Stop> {
        let Account {
            active,
            seq,
            status,
            time,
        } = account;
        Datetime::check_rfc3339(time).map_err(Fault::Time)?;
        let digest = dedup::digest_account(*active, status.as_deref(), time);
        if !self.is_news(did, digest) {
            return Ok(());
        }
        let body = DraftBody::Account {
            active: *active,
            seq: *seq,
            status: status.as_deref(),
            time,
        };
        self.append_json(EventKind::Account, "", &Draft { did, body }, &[], now_us)?;
        self.remember_notice(did, digest);
        Ok(())
    }

    /// Appends a sync, of which all but the signature is checked. Its blocks may be absent: it still
    /// says that the repository has to be fetched anew.
    fn sync_event(&mut self, did: &str, sync: &ClientSync, now_us: Micros) -> Result<(), Stop> {
        let (seq, rev, time) = (sync.seq, &*sync.rev, &*sync.time);
        Datetime::check_rfc3339(time).map_err(Fault::Time)?;
        let blocks = sync.car().ok_or(Fault::Malformed(Malformed::Json))?;
        if blocks.len() > MAX_SYNC_BLOCKS_BYTES {
            return Err(Fault::Frame(FrameError::Limit {
                field: "blocks",
                unit: "bytes",
                actual: blocks.len(),
                limit: MAX_SYNC_BLOCKS_BYTES,
            })
            .into());
        }
        if !blocks.is_empty() {
            let message = SyncMessage {
                seq,
                did,
                blocks: &blocks,
                rev,
                time,
            };
            sync_object(&message).map_err(Fault::Commit)?;
        }
        let digest = dedup::digest_sync(rev, &blocks, time);
        if !self.is_news(did, digest) {
            return Ok(());
        }
        let body = DraftBody::Sync {
            blocks: &blocks,
            rev,
            seq,
            time,
        };
        self.append_json(EventKind::Sync, "", &Draft { did, body }, &[], now_us)?;
        self.remember_notice(did, digest);
        Ok(())
    }

    /// Appends an event whose record is there as JSON. The stream does not say how many operations
    /// a commit has, so each stands for a whole one.
    fn append_json(
        &mut self,
        kind: EventKind,
        collection: &str,
        draft: &Draft<'_>,
        json: &[u8],
        now_us: Micros,
    ) -> Result<(), Stop> {
        let time_us = self.appender.next_time_us(now_us);
        self.line.clear();
        let record = self
            .encoder
            .encode_again(draft, time_us, json, LINE_JSON, &mut self.line)
            .map_err(Fault::Record)?;
        self.push_line(kind, collection, CommitPart::WHOLE, draft, time_us, record)
    }
}

/// How many operations are remembered of several Jetstreams: some minutes of the whole network.
const LATE_OPS: usize = 1 << 17;
/// How far the revisions of an account may be ahead of the clock here.
const BELIEVABLE: Duration = Duration::from_secs(3_600);
/// The longest line: as much as the JSON of a frame may have.
const LINE_JSON: usize = 16 << 20;
