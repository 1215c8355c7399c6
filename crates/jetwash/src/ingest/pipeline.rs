use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_event::{
    Datetime, Did, Draft, DraftBody, Encoder, Filter, IdentifierError, Kind, Operation,
    RecordError, RecordErrorKind, Tid,
};
use jetwash_frame::{
    AccountMessage, CommitMessage, Frame, FrameError, FrameKind, IdentityMessage, Peek,
    SyncMessage, peek,
};
use jetwash_mst::{
    BlockCheck, CommitError, Leaf, LeafChange, OpError, OpFault, leaves_of, sync_object,
};
use jetwash_store::{
    AccountState, Appender, CommitPart, EventKind, GapCause, NewEvent, Read, StoreError, Trimmed,
    UpstreamGap,
};
use thiserror::Error;
use tracing::{info, warn};

use crate::ingest::dedup::{self, Line, Revs};
use crate::ingest::numbering::{Numbering, Outcome, Place, Turn};
use crate::ingest::record_cache::RecordCache;
use crate::ingest::tally::{SourceTally, Tally};
use crate::noise::Noise;
use crate::panic::{Panic, catch};
use crate::short::short;
use crate::stats::{Snapshot, Stats};

/// Turns frames into events and appends them to the log: the whole way in, on one thread.
///
/// [`Jetstream`](crate::Jetstream) runs one. It is public for those who bring their own sources or
/// runtime, and for benches: it opens no socket, reads no clock and spawns nothing. It does block,
/// because the log's disk does.
///
/// A frame costs at most itself: what is wrong with it, or with one of its operations, is counted
/// by its reason, and the source's cursor moves past it all the same.
///
/// # Examples
///
/// ```
/// use jetwash::Pipeline;
/// use jetwash::store::{self, Location, Options};
///
/// let (appender, log) = store::open(Location::Memory, Options::default())?;
/// let mut pipeline = Pipeline::new(appender);
///
/// // {"t": "#account", "op": 1} {"did": "did:web:a.example", "seq": 7, "time": …, "active": true}
/// let mut frame = b"\xa2\x61t\x68#account\x62op\x01\xa4\x63did\x71did:web:a.example".to_vec();
/// frame.extend(b"\x63seq\x07\x64time\x742026-07-04T14:38:07Z\x66active\xf5");
///
/// let now_us = 1_783_175_888_085_434;
/// pipeline.frame("wss://relay.example/", &frame, now_us)?;
/// pipeline.commit()?;
/// assert_eq!(pipeline.cursor("wss://relay.example/"), Some(7));
/// assert_eq!(log.bounds().next_seq, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    appender: Appender,
    filter: Filter,
    predicate: Option<Predicate>,
    block_check: BlockCheck,
    encoder: Encoder,
    compressor: Option<jetwash_dict::Compressor>,
    accounts: Accounts,
    /// The newest revisions, while accounts are not kept.
    revs: Revs,
    /// The newest revisions of which nothing came to be appended: those of empty commits.
    empty: Revs,
    /// Why the frame at hand is looked at with care.
    place: Place,
    /// How many frames had something that was known.
    known: u64,
    discontinuous: Quota,
    records: Option<Arc<RecordCache>>,
    sources: Vec<Source>,
    /// Which of the sources the frame at hand came from.
    current: usize,
    tally: Tally,
    now_us: u64,
    stats: Arc<Stats>,
    noise: Noise,
    line: Vec<u8>,
    compressed: Vec<u8>,
    pending: usize,
    output: Output,
}

impl Pipeline {
    /// A pipeline that takes every event and compresses none.
    #[must_use]
    pub fn new(appender: Appender) -> Self {
        Self {
            appender,
            filter: Filter::default(),
            predicate: None,
            block_check: BlockCheck::default(),
            encoder: Encoder::new(),
            compressor: None,
            accounts: Accounts::Recent,
            revs: Revs::new(RECENT_ACCOUNTS),
            empty: Revs::new(EMPTY_COMMITS),
            place: Place::Next,
            known: 0,
            discontinuous: Quota::new(DISCONTINUOUS_A_MINUTE),
            records: None,
            sources: Vec::new(),
            current: 0,
            tally: Tally::default(),
            now_us: 0,
            stats: Arc::default(),
            noise: Noise::default(),
            line: Vec::new(),
            compressed: Vec::new(),
            pending: 0,
            output: Output::default(),
        }
    }

    /// Keeps only the events that `filter` matches. Frames of which nothing is wanted, for their
    /// kind, their account or the collections of all their operations, are turned away before they
    /// are decoded.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Also turns away the frames for which `predicate` says `false`, before they are decoded. It is
    /// asked about commits, identities and accounts that the filter lets pass.
    #[must_use]
    pub fn filter_with(mut self, predicate: impl Fn(&Peek<'_>) -> bool + Send + 'static) -> Self {
        self.predicate = Some(Predicate(Box::new(predicate)));
        self
    }

    /// Says which blocks of a commit have to match their CIDs; all of them if not said.
    #[must_use]
    pub const fn check_blocks(mut self, check: BlockCheck) -> Self {
        self.block_check = check;
        self
    }

    /// Compresses each event once, with this dictionary, which is stored beside the events.
    ///
    /// # Errors
    ///
    /// When the dictionary cannot be stored.
    pub fn dictionary(mut self, dictionary: &Dictionary) -> Result<Self, StoreError> {
        self.rotate_dictionary(dictionary)?;
        Ok(self)
    }

    /// Recognises events that come from several sources, and keeps the first of each.
    ///
    /// The newest revision of each account is kept in the log, with what tells its operations apart:
    /// what is older is no news, however late a source is, and however often the process is started.
    /// With one source this begins by itself when the source repeats itself or counts anew.
    #[must_use]
    pub fn deduplicate(mut self) -> Self {
        self.accounts = Accounts::Wanted;
        self
    }

    pub(crate) fn record_cache(mut self, records: Option<Arc<RecordCache>>) -> Self {
        self.records = records;
        self
    }

    /// Notes how long the last frame waited to be taken in.
    pub(crate) fn waited(&self, wait: Duration) {
        self.stats.waited(wait);
    }

    pub(crate) fn stats(mut self, stats: Arc<Stats>) -> Self {
        self.stats = stats;
        self
    }

    /// Takes in one frame that `source` sent. Its events become visible with the next
    /// [`commit`](Self::commit), together with the source's cursor.
    ///
    /// `now_us` is the time in microseconds since 1970, which the event gets if no earlier event
    /// has it or a later one. It is believed: a [`Jetstream`](crate::Jetstream) defends itself
    /// against a clock that jumps, see [`Clock`](crate::Clock), before it comes here.
    ///
    /// A frame gives at most 16 MiB of JSON, eight times what the blocks of a commit may have: the
    /// records after those are dropped as `output_too_long`, deletions are not.
    ///
    /// # Errors
    ///
    /// Only when the log fails. What is wrong with the frame is counted, see
    /// [`snapshot`](Self::snapshot).
    #[inline]
    pub fn frame(&mut self, source: &str, frame: &[u8], now_us: u64) -> Result<(), StoreError> {
        self.now_us = now_us;
        self.output.begin_frame();
        self.stats.frame(frame.len());
        let peeked = match peek(frame) {
            Ok(peeked) => peeked,
            Err(error) => {
                self.current = self.source(source);
                self.lose(error.reason(), &error, (None, None));
                return Ok(());
            }
        };
        self.current = self.source(source);
        if self.accounts == Accounts::Wanted {
            self.keep_accounts();
        }
        let place = self.sources[self.current].judge(&peeked);
        if place != Place::Next {
            return self.doubtful(place, &peeked, frame);
        }
        if self.appender.keeps_frames()
            && let Some(seq) = peeked.seq
        {
            let name = &self.sources[self.current].name;
            self.appender.keep_frame(name, seq, frame);
        }
        if !self.is_wanted(&peeked) {
            return Ok(());
        }
        if let Err(fault) = self.decode(frame, now_us)? {
            self.lose(fault.reason(), &fault, (peeked.seq, peeked.did));
        }
        Ok(())
    }

    /// Counts what was lost with a frame of the current source, and tells the first of each kind.
    #[cold]
    fn lose(
        &mut self,
        reason: &'static str,
        detail: &dyn fmt::Display,
        (seq, did): (Option<u64>, Option<&str>),
    ) {
        self.stats.dropped(reason);
        let source = &self.sources[self.current].name;
        let now = Duration::from_micros(self.now_us);
        if let Some(held) = self.noise.admit(source, reason, now) {
            let did = did.map(short);
            warn!(
                %source,
                reason,
                seq,
                did,
                not_told = held,
                "a frame was dropped, or a part of it: {detail}",
            );
        }
    }

    /// Takes in a frame whose number does not follow the last one of its source.
    #[cold]
    fn doubtful(
        &mut self,
        place: Place,
        peeked: &Peek<'_>,
        frame: &[u8],
    ) -> Result<(), StoreError> {
        let Some(seq) = peeked.seq.filter(|_| place != Place::Illegal) else {
            let detail = "its number is not one that a relay gives";
            self.lose("seq_invalid", &detail, (peeked.seq, peeked.did));
            return Ok(());
        };
        let (events, known) = (self.pending, self.known);
        let outcome = if !self.is_wanted(peeked) {
            match Frame::decode(frame) {
                Ok(_) => Outcome::Undecided,
                Err(_) => Outcome::Unusable,
            }
        } else {
            self.place = place;
            let decoded = self.decode(frame, self.now_us);
            self.place = Place::Next;
            match decoded? {
                Err(fault) => {
                    self.lose(fault.reason(), &fault, (peeked.seq, peeked.did));
                    Outcome::Unusable
                }
                Ok(()) if self.pending > events => Outcome::New,
                Ok(()) if self.known > known => Outcome::Known,
                Ok(()) => Outcome::Undecided,
            }
        };
        let source = &mut self.sources[self.current];
        let turn = source.numbering.settle(place, seq, outcome);
        if let Some(turn) = turn {
            self.turned(turn);
        }
        let source = &self.sources[self.current];
        if source.numbering.position() == Some(seq) && place != Place::Again {
            self.appender.keep_frame(&source.name, seq, frame);
        }
        Ok(())
    }

    /// Tells that the numbers of the source have taken a turn.
    fn turned(&mut self, turn: Turn) {
        let (cause, first, next) = match turn {
            Turn::Renumbered { last, first } => {
                (GapCause::UpstreamRenumbered, last.saturating_add(1), first)
            }
            // The relay has said so already.
            Turn::Jumped { .. } if self.sources[self.current].is_outdated => {
                self.sources[self.current].is_outdated = false;
                return;
            }
            Turn::Jumped { first, next } => (GapCause::UpstreamJump, first, next),
        };
        self.source_gap(cause, Some(first), Some(next));
    }

    /// Notes a gap of the source at hand, unless it has had too many of them: a relay may send what
    /// it likes.
    fn source_gap(&mut self, cause: GapCause, first: Option<u64>, next: Option<u64>) {
        self.stats.gap(cause.name());
        let source = &mut self.sources[self.current];
        if !source.quota.take(self.now_us) {
            return;
        }
        let what = match cause {
            GapCause::UpstreamRenumbered => "the source counts anew; what it repeats is recognised",
            GapCause::UpstreamJump => "the source has left out numbers, and maybe events",
            _ => "the source no longer has all that its cursor asked for",
        };
        warn!(source = %source.name, cause = cause.name(), first, next, "{what}");
        let upstream = UpstreamGap::new(&*source.name, first, next);
        self.appender.note_gap(cause, None, Some(upstream));
    }

    /// Notes that `source` was connected to, and that it was asked for what comes after `cursor`.
    pub(crate) fn connected(&mut self, source: &str, cursor: Option<u64>, now_us: u64) {
        self.now_us = now_us;
        self.current = self.source(source);
        self.sources[self.current].connected(cursor, now_us);
    }

    /// Notes that messages of `source` were stepped over, because they could not be received.
    pub(crate) fn stepped_over(&mut self, source: &str, first: Option<u64>, next: Option<u64>) {
        let upstream = UpstreamGap::new(source, first, next);
        self.stats.gap(GapCause::UpstreamSteppedOver.name());
        self.appender
            .note_gap(GapCause::UpstreamSteppedOver, None, Some(upstream));
    }

    /// Notes that `source` said that its cursor is ahead of all that it has: it counts anew.
    pub(crate) fn cursor_refused(&mut self, source: &str) {
        self.current = self.source(source);
        self.future_cursor();
    }

    /// Makes everything taken in since the last commit visible and, as far as the log's durability
    /// promises, permanent: the events and the cursors of their sources, all of it or nothing.
    ///
    /// # Errors
    ///
    /// When the log fails.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        for source in &mut self.sources {
            if std::mem::take(&mut source.is_touched) {
                match (source.numbering.position(), source.contact_us) {
                    (Some(position), _) => self.appender.set_cursor(&source.name, position),
                    (None, Some(contact)) => self
                        .appender
                        .set_cursor(&contact_name(&source.name), contact),
                    (None, None) => {}
                }
                source.tally.flush(&source.name, self.now_us);
            }
        }
        if let Some(age_us) = self.tally.flush(self.now_us) {
            self.stats.age(age_us);
        }
        self.pending = 0;
        self.output.pending = 0;
        self.appender.commit()?;
        // Not left to the next trim, lest a high rate goes far beyond the bytes allowed.
        if self.appender.is_trim_due() {
            self.appender.trim(self.now_us)?;
        }
        Ok(())
    }

    /// Opens the log's storage anew after a call failed with [`StoreError::Storage`], so that it
    /// can be repeated. Nothing that was taken in is lost.
    ///
    /// # Errors
    ///
    /// When the log still cannot be written; then it is worth trying again later.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        self.appender.reopen()
    }

    /// Lets the log forget what is older or more than its retention allows.
    ///
    /// # Errors
    ///
    /// When the log fails.
    pub fn trim(&mut self, now_us: u64) -> Result<Trimmed, StoreError> {
        self.appender.trim(now_us)
    }

    /// Compresses all events from now on with another dictionary, and gives the position of the
    /// first of them. What is in the log stays as it is, with the dictionary that it needs.
    ///
    /// # Errors
    ///
    /// When the dictionary cannot be stored, or the log has another of the same number. The one
    /// before it stays in use.
    pub fn rotate_dictionary(&mut self, dictionary: &Dictionary) -> Result<u64, StoreError> {
        self.appender.set_dictionary(dictionary)?;
        self.compressor = Some(dictionary.compressor());
        Ok(self.appender.next_seq())
    }

    /// The position that the next event will get.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.appender.next_seq()
    }

    /// How many events await the next commit.
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending
    }

    /// Whether so much awaits the next commit that it should not wait for more.
    pub(crate) fn is_full(&self) -> bool {
        self.pending >= BATCH_EVENTS || self.is_heavy()
    }

    /// Whether what awaits the next commit takes so much memory that not even the frames that have
    /// arrived should be taken in before it.
    pub(crate) fn is_heavy(&self) -> bool {
        self.output.pending >= BATCH_JSON || self.appender.pending_frame_bytes() >= BATCH_BYTES
    }

    /// The sequence number up to which the frames of `source` have been dealt with.
    #[must_use]
    pub fn cursor(&self, source: &str) -> Option<u64> {
        match self.sources.iter().find(|known| *known.name == *source) {
            Some(source) => source.numbering.position(),
            None => self.appender.cursor(source),
        }
    }

    /// Sets the cursor of `source`, backwards too; it is stored with the next commit.
    pub fn set_cursor(&mut self, source: &str, seq: u64) {
        let index = self.source(source);
        let source = &mut self.sources[index];
        source.numbering.set(seq);
        source.is_touched = true;
    }

    /// Whether the connection to `source` is of no use: it has sent nothing when it was first
    /// connected to, and goes over so much from before now that it cannot be a quiet one.
    ///
    /// This is told once.
    pub(crate) fn gives_up(&mut self, source: &str) -> bool {
        let mut sources = self.sources.iter_mut();
        let known = sources.find(|known| *known.name == *source);
        known.is_some_and(|source| std::mem::take(&mut source.gives_up))
    }

    /// The cursor to ask `source` for the next time, which is 0 for all that it has: if it has said
    /// that it is not as far as the one before, or has been connected to and has sent nothing yet.
    pub(crate) fn resume_from(&self, source: &str) -> Option<u64> {
        match self.sources.iter().find(|known| *known.name == *source) {
            Some(source) => source.resume_from(),
            None => Source::open(source, &self.appender).resume_from(),
        }
    }

    /// What the pipeline has done so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Sources are few, so a walk along them is faster than a hash.
    fn source(&mut self, name: &str) -> usize {
        let known = self.sources.iter().position(|source| *source.name == *name);
        known.unwrap_or_else(|| {
            self.sources.push(Source::open(name, &self.appender));
            self.sources.len() - 1
        })
    }

    /// Whether anything of a frame is wanted; counts it if not.
    #[inline]
    fn is_wanted(&self, peeked: &Peek<'_>) -> bool {
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

    fn decode(&mut self, bytes: &[u8], now_us: u64) -> Result<Result<(), Fault>, StoreError> {
        let outcome = match Frame::decode(bytes) {
            Ok(Frame::Commit(commit)) => self.commit_frame(&commit, now_us),
            Ok(Frame::Identity(identity)) => self.identity_frame(&identity, now_us),
            Ok(Frame::Account(account)) => self.account_frame(&account, now_us),
            Ok(Frame::Sync(sync)) => Self::sync_frame(&sync),
            Ok(Frame::Unknown(_)) => {
                self.stats.ignored();
                Ok(())
            }
            Ok(Frame::Error(error)) => {
                if error.error == "FutureCursor" {
                    self.future_cursor();
                }
                Ok(())
            }
            Ok(Frame::Info(info)) => {
                if info.name == "OutdatedCursor" {
                    self.outdated_cursor();
                }
                Ok(())
            }
            Err(error) => Err(Fault::Frame(error).into()),
        };
        match outcome {
            Ok(()) => Ok(Ok(())),
            Err(Stop::Fault(fault)) => Ok(Err(fault)),
            Err(Stop::Store(error)) => Err(error),
        }
    }

    fn commit_frame(&mut self, commit: &CommitMessage<'_>, now_us: u64) -> Result<(), Stop> {
        Did::check(commit.repo).map_err(Fault::Did)?;
        let rev: Tid = commit.rev.parse().map_err(Fault::Rev)?;
        Datetime::check_rfc3339(commit.time).map_err(Fault::Time)?;
        if commit.rebase {
            return Err(Fault::Rebase.into());
        }
        if commit.too_big && commit.ops().is_empty() {
            return Err(Fault::TooBig.into());
        }
        self.tally.commit(commit.rev);
        if self.is_before_contact(commit.time) {
            return Ok(());
        }
        let leaves = leaves_of(commit, self.block_check).map_err(Fault::Commit)?;
        let Some(mut account) = self.news_of(commit, &rev) else {
            return Ok(());
        };
        let before = self.pending;
        let len = leaves.len() as u32;
        for (index, leaf) in (0..).zip(leaves) {
            let digest = account.digest(commit, index);
            if account.is_known(digest) {
                continue;
            }
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
        if self.pending > before {
            self.remember_commit(commit.repo, &account);
        } else if len == 0 && account.is_believable {
            self.empty.insert(self.revs.key(commit.repo), account.rev);
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        commit: &CommitMessage<'_>,
        leaf: &Leaf<'_>,
        part: CommitPart,
        now_us: u64,
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

    /// Nothing comes of a `#sync`, but what is wrong with one is counted.
    fn sync_frame(sync: &SyncMessage<'_>) -> Result<(), Stop> {
        Did::check(sync.did).map_err(Fault::Did)?;
        Tid::check(sync.rev).map_err(Fault::Rev)?;
        Datetime::check_rfc3339(sync.time).map_err(Fault::Time)?;
        sync_object(sync).map_err(Fault::Commit)?;
        Ok(())
    }

    fn identity_frame(&mut self, identity: &IdentityMessage<'_>, now_us: u64) -> Result<(), Stop> {
        Did::check(identity.did).map_err(Fault::Did)?;
        Datetime::check_rfc3339(identity.time).map_err(Fault::Time)?;
        if self.is_before_contact(identity.time) {
            return Ok(());
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

    fn account_frame(&mut self, account: &AccountMessage<'_>, now_us: u64) -> Result<(), Stop> {
        Did::check(account.did).map_err(Fault::Did)?;
        Datetime::check_rfc3339(account.time).map_err(Fault::Time)?;
        if self.is_before_contact(account.time) {
            return Ok(());
        }
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
        Ok(())
    }

    fn append(
        &mut self,
        kind: EventKind,
        collection: &str,
        commit: CommitPart,
        draft: &Draft<'_>,
        now_us: u64,
    ) -> Result<(), Stop> {
        let time_us = self.appender.next_time_us(now_us);
        self.line.clear();
        self.output
            .encode(&mut self.encoder, draft, commit, time_us, &mut self.line)?;
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
            did: draft.did,
            collection,
            commit,
            source: &self.sources[self.current].name,
            time_us,
            json,
            compressed,
        };
        let seq = self.appender.next_seq();
        self.appender.push(&event).map_err(|_| Fault::TooLong)?;
        if let Some(records) = &self.records {
            remember(records, seq, draft, json);
        }
        self.pending += 1;
        self.output.taken(json.len());
        self.tally.event(json.len());
        self.stats
            .event(json.len(), compressed.map_or(0, <[u8]>::len));
        Ok(())
    }

    /// What is new in a commit; `None` if nothing is, which is counted.
    fn news_of(&mut self, commit: &CommitMessage<'_>, rev: &Tid) -> Option<News> {
        let number = dedup::rev_number(rev);
        // Nobody is to keep the real events of an account out with a time that is yet to come.
        let latest = self.appender.next_time_us(self.now_us);
        let is_believable = rev.microseconds() <= latest.saturating_add(BELIEVABLE_US);
        let mut news = News {
            key: 0,
            rev: number,
            is_believable,
            state: None,
        };
        if self.accounts != Accounts::Kept {
            news.key = self.revs.key(commit.repo);
            let known = self.revs.get(news.key);
            // A source that goes on with its numbers may repeat itself all the same.
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
            if state.rev > 0 {
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

    /// Tells if a commit builds on a revision that the log does not have, although it has an older
    /// one. Only if every commit is looked at, this says something.
    fn check_since(&mut self, commit: &CommitMessage<'_>, known: u64) {
        let since = commit.since.and_then(|since| since.parse::<Tid>().ok());
        let since = since.as_ref().map(dedup::rev_number);
        let Some(since) = since.filter(|&since| since > known) else {
            return;
        };
        let is_partial = self.filter.has_collections() || self.predicate.is_some();
        if is_partial || self.empty.get(self.revs.key(commit.repo)) == Some(since) {
            return;
        }
        let cause = GapCause::Discontinuous;
        self.stats.gap(cause.name());
        if !self.discontinuous.take(self.now_us) {
            return;
        }
        let source = &self.sources[self.current];
        if self.discontinuous.is_first() {
            warn!(
                source = %source.name, did = commit.repo, rev = commit.rev, since = commit.since,
                "a commit builds on a revision that the log does not have"
            );
        }
        let upstream = UpstreamGap::new(&*source.name, None, None).did(commit.repo);
        self.appender.note_gap(cause, None, Some(upstream));
    }

    fn remember_commit(&mut self, did: &str, news: &News) {
        if !news.is_believable {
            return;
        }
        match &news.state {
            Some(state) => self.appender.set_account(did, state),
            None => self.revs.insert(news.key, news.rev),
        }
    }

    /// Whether an event of an account other than a commit is not in the log; otherwise it is counted.
    fn is_news(&mut self, did: &str, digest: u64) -> bool {
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

    fn remember_notice(&mut self, did: &str, digest: u64) {
        if self.accounts == Accounts::Kept {
            let mut state = self.account(did);
            state.add_notice(digest);
            self.appender.set_account(did, &state);
        }
    }

    fn repeated(&mut self) {
        self.known += 1;
        self.stats.repeated();
    }

    /// What is known of an account. If it cannot be read, its events are taken for new: better twice
    /// than not at all.
    fn account(&mut self, did: &str) -> AccountState {
        let found = self.appender.account(did);
        let found = found.inspect_err(|_| self.stats.dropped("account_unreadable"));
        found.ok().flatten().unwrap_or_default()
    }

    /// Goes over to keeping what is known of accounts, and finds out what the log says of them.
    #[cold]
    fn keep_accounts(&mut self) {
        self.accounts = Accounts::Kept;
        if let Err(error) = self.account_for_log() {
            warn!(%error, "events that come again may not be recognised: the log cannot be gone over");
        }
    }

    fn account_for_log(&mut self) -> Result<(), StoreError> {
        self.appender.commit()?;
        let store = self.appender.store();
        let end = store.bounds().next_seq;
        let start = self.appender.accounted_to().max(store.bounds().oldest_seq);
        let mut position = start.max(end.saturating_sub(LOOKED_BACK));
        if position < end {
            info!(
                events = end - position,
                "going over the log, for what it has of each account"
            );
        }
        let mut count = 0_u32;
        while position < end {
            let run = match store.read(position)? {
                Read::Events(run) => run,
                Read::Gap(gap) if gap.next_seq > position => {
                    position = gap.next_seq;
                    continue;
                }
                _ => break,
            };
            if let Ok(page) = run.block().json() {
                let lines = run.indexes().filter_map(|index| page.get(index));
                for line in lines.filter_map(Line::parse) {
                    let mut state = self.account(line.did());
                    if line.add_to(&mut state) {
                        self.appender.set_account(line.did(), &state);
                        count += 1;
                    }
                }
            }
            position = run.next_seq();
            if count >= ACCOUNTS_AT_ONCE {
                self.appender.commit()?;
                count = 0;
            }
        }
        self.appender.keep_accounted();
        self.appender.commit()
    }

    /// The source says that its numbers are not yet at the cursor: it counts anew.
    fn future_cursor(&mut self) {
        let source = &mut self.sources[self.current];
        let last = source.numbering.position().filter(|&last| last > 0);
        let Some(last) = last.filter(|_| !source.numbering.starts_over()) else {
            return;
        };
        source.numbering.start_over();
        self.source_gap(GapCause::UpstreamRenumbered, Some(last + 1), None);
        if self.accounts != Accounts::Kept {
            self.keep_accounts();
        }
    }

    /// The source says that it no longer has all that comes after the cursor.
    fn outdated_cursor(&mut self) {
        let source = &mut self.sources[self.current];
        if source.numbering.asked() == Some(0) {
            return;
        }
        source.is_outdated = true;
        let first = source.numbering.position().map(|last| last + 1);
        self.source_gap(GapCause::UpstreamOutdated, first, None);
    }

    /// Whether a frame is older than the first connection to its source, which is asked for all that
    /// it has because it had sent nothing yet.
    fn is_before_contact(&mut self, time: &str) -> bool {
        let source = &mut self.sources[self.current];
        let Some(from) = source.skipped_before else {
            return false;
        };
        if dedup::utc_seconds(time).is_none_or(|time| time >= from) {
            source.skipped_before = None;
            return false;
        }
        self.stats.rejected();
        source.skipped += 1;
        if source.skipped >= MOST_SKIPPED && !source.asks_live {
            (source.asks_live, source.gives_up) = (true, true);
            source.numbering.start_over();
            self.source_gap(GapCause::UpstreamJump, None, None);
        }
        true
    }
}

/// What is new in a commit.
struct News {
    /// The account in the table of newest revisions.
    key: u64,
    rev: u64,
    /// Whether the revision is not from a time that is yet to come.
    is_believable: bool,
    /// What is known of the account, if that is kept.
    state: Option<AccountState>,
}

impl News {
    fn digest(&self, commit: &CommitMessage<'_>, index: u32) -> u64 {
        match (&self.state, commit.ops().get(index as usize)) {
            (Some(_), Some(op)) => dedup::op_digest(op),
            _ => 0,
        }
    }

    fn is_known(&self, digest: u64) -> bool {
        let state = self.state.as_ref();
        state.is_some_and(|state| state.ops.contains(&digest))
    }

    fn add(&mut self, digest: u64) {
        if let Some(state) = &mut self.state {
            dedup::add_op(state, digest);
        }
    }
}

/// What is remembered of accounts, to tell what is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accounts {
    /// The newest revision of those that were active not long ago.
    Recent,
    /// All that the log has of each, from the next frame on.
    Wanted,
    /// All that the log has of each.
    Kept,
}

/// How often something may be told of in a minute.
#[derive(Debug)]
struct Quota {
    since_us: u64,
    taken: u32,
    limit: u32,
}

impl Quota {
    const fn new(limit: u32) -> Self {
        Self {
            since_us: 0,
            taken: 0,
            limit,
        }
    }

    fn take(&mut self, now_us: u64) -> bool {
        if now_us.abs_diff(self.since_us) >= MINUTE_US {
            (self.since_us, self.taken) = (now_us, 0);
        }
        let is_allowed = self.taken < self.limit;
        self.taken += u32::from(is_allowed);
        is_allowed
    }

    /// Whether what was taken last is the first of its minute.
    const fn is_first(&self) -> bool {
        self.taken == 1
    }
}

/// Keeps the record of an event that has just been encoded, for a later one to look back at.
fn remember(records: &RecordCache, seq: u64, draft: &Draft<'_>, line: &[u8]) {
    let DraftBody::Commit {
        collection,
        rkey,
        record,
        ..
    } = &draft.body
    else {
        return;
    };
    // Before the record, the line has nothing with a quote in it; after it, only the CID.
    let line = std::str::from_utf8(line).unwrap_or_default();
    let json = line.split_once(r#","record":"#);
    let json = json.and_then(|(_, rest)| rest.rsplit_once(r#","cid":""#));
    let json = json.map(|(json, _)| json).filter(|_| record.is_some());
    let path = format!("{}/{collection}/{rkey}", draft.did);
    records.note(seq, &path, json);
}

/// What comes out of a frame, budgeted: its JSON may be many times its size, since a character may
/// become six, and one block may be the record of all its operations.
#[derive(Debug, Default)]
struct Output {
    /// The bytes of JSON that await the next commit.
    pending: usize,
    /// Those that the frame at hand has made.
    of_frame: usize,
    /// Whether a record of the frame at hand did not fit any more: then the records after it are
    /// not tried, since each try may cost as much as one that fits.
    is_over: bool,
    /// The larger records of the frame at hand as JSON, by where they are in the frame: operations
    /// that share a block have it encoded once.
    records: Vec<(usize, usize, Range<usize>)>,
    json: Vec<u8>,
}

impl Output {
    #[inline]
    fn begin_frame(&mut self) {
        self.of_frame = 0;
        self.is_over = false;
        if !self.records.is_empty() {
            self.records.clear();
            self.json.clear();
            self.json.shrink_to(BATCH_BYTES);
        }
    }

    const fn taken(&mut self, bytes: usize) {
        self.of_frame += bytes;
        self.pending += bytes;
    }

    fn encode(
        &mut self,
        encoder: &mut Encoder,
        draft: &Draft<'_>,
        commit: CommitPart,
        time_us: u64,
        line: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let left = FRAME_JSON.saturating_sub(self.of_frame);
        let record = match &draft.body {
            DraftBody::Commit { record, .. } => record.map(|(record, _)| record),
            _ => None,
        };
        let Some(record) = record else {
            // What has no record is short, and of deletions none may be missing.
            encoder
                .encode_within(draft, time_us, FRAME_JSON, line)
                .map_err(Fault::Record)?;
            return Ok(());
        };
        if self.is_over {
            return Err(Fault::OutputTooLong);
        }
        let is_shared = commit.len > 1 && record.len() >= SHARED;
        let place = (record.as_ptr().addr(), record.len());
        let is_it = |known: &&(usize, usize, _)| (known.0, known.1) == place;
        let known = self.records.iter().find(is_it).filter(|_| is_shared);
        let known = known.map(|(_, _, json)| json.clone());
        let is_new = is_shared && known.is_none();
        let encoded = match known {
            Some(json) => {
                let json = self.json.get(json).unwrap_or_default();
                encoder.encode_again(draft, time_us, json, left, line)
            }
            None => encoder.encode_within(draft, time_us, left, line),
        };
        match encoded {
            Ok(json) if is_new => {
                let start = self.json.len();
                self.json
                    .extend_from_slice(line.get(json).unwrap_or_default());
                self.records
                    .push((place.0, place.1, start..self.json.len()));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.is_over = error.kind == RecordErrorKind::OutputLength;
                Err(Fault::Record(error))
            }
        }
    }
}

/// What the caller lets pass.
struct Predicate(Box<dyn Fn(&Peek<'_>) -> bool + Send>);

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Predicate")
    }
}

/// A source of frames: how far it is, and what came from it.
#[derive(Debug)]
struct Source {
    name: Box<str>,
    numbering: Numbering,
    /// When it was first connected to without a cursor.
    contact_us: Option<u64>,
    /// Frames of before this time, in seconds since 1970, are not wanted.
    skipped_before: Option<i64>,
    skipped: u32,
    gives_up: bool,
    /// Whether the source has sent too many old frames to be asked for more of them.
    asks_live: bool,
    /// Whether it has said that its oldest frames are newer than the cursor.
    is_outdated: bool,
    is_touched: bool,
    tally: SourceTally,
    quota: Quota,
}

impl Source {
    /// One as an earlier run left it.
    fn open(name: &str, appender: &Appender) -> Self {
        Self {
            name: name.into(),
            numbering: Numbering::new(appender.cursor(name)),
            contact_us: appender.cursor(&contact_name(name)),
            skipped_before: None,
            skipped: 0,
            gives_up: false,
            asks_live: false,
            is_outdated: false,
            is_touched: false,
            tally: SourceTally::default(),
            quota: Quota::new(GAPS_A_MINUTE),
        }
    }

    fn connected(&mut self, cursor: Option<u64>, now_us: u64) {
        self.is_touched = true;
        self.is_outdated = false;
        self.numbering.connected(cursor);
        self.asks_live &= cursor.is_some();
        if self.numbering.position().is_some() {
            return;
        }
        match (cursor, self.contact_us) {
            (None, None) => self.contact_us = Some(now_us),
            (Some(0), Some(contact)) => {
                let contact = i64::try_from(contact / 1_000_000).unwrap_or(i64::MAX);
                self.skipped_before = Some(contact - CLOCKS_APART);
            }
            _ => {}
        }
    }

    fn resume_from(&self) -> Option<u64> {
        if self.asks_live {
            return None;
        }
        if self.numbering.starts_over() {
            return Some(0);
        }
        let position = self.numbering.position();
        position.or_else(|| self.contact_us.map(|_| 0))
    }

    /// Moves on to a frame, if it is the next.
    #[inline]
    fn judge(&mut self, peeked: &Peek<'_>) -> Place {
        self.is_touched = true;
        self.tally.frame(peeked);
        self.numbering.judge(peeked.seq)
    }
}

/// The name under which the log has when a source was first connected to. No source has such a
/// name, as the addresses of relays have no fragments.
fn contact_name(source: &str) -> String {
    format!("{source}#first-contact")
}

/// What a frame was lost for, or one of its operations.
#[derive(Clone, Debug, Error, PartialEq)]
enum Fault {
    #[error(transparent)]
    Commit(CommitError),
    #[error("the event could not be compressed")]
    Compress,
    #[error("account: {0}")]
    Did(IdentifierError),
    #[error(transparent)]
    Frame(FrameError),
    #[error(transparent)]
    Op(OpFault),
    #[error("the frame's events have too much JSON")]
    OutputTooLong,
    #[error(transparent)]
    Record(RecordError),
    #[error(
        "`rebase` is set: the history before the commit was rewritten, which is no longer done"
    )]
    Rebase,
    #[error("revision: {0}")]
    Rev(IdentifierError),
    #[error("time: {0}")]
    Time(IdentifierError),
    #[error("`tooBig` is set and there are no operations, so they were left out")]
    TooBig,
    #[error("the event is longer than the log takes")]
    TooLong,
}

impl Fault {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    fn reason(&self) -> &'static str {
        match self {
            Self::Commit(error) => error.reason(),
            Self::Compress => "event_not_compressed",
            Self::Did(_) => "did_invalid",
            Self::Frame(error) => error.reason(),
            Self::Op(fault) => fault.reason(),
            Self::OutputTooLong => "output_too_long",
            Self::Record(error) => error.reason(),
            Self::Rebase => "rebase",
            Self::Rev(_) => "rev_invalid",
            Self::Time(_) => "time_invalid",
            Self::TooBig => "too_big",
            Self::TooLong => "event_too_long",
        }
    }
}

/// Why work on a frame ended early.
enum Stop {
    Fault(Fault),
    Store(StoreError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
/// The JSON that awaits a commit at most, beside what the last frame adds.
const BATCH_JSON: usize = 4 << 20;
/// The JSON of one frame: eight times what the blocks of a commit may have.
const FRAME_JSON: usize = 16 << 20;
/// A record of at least this many bytes is kept for later operations that share it.
const SHARED: usize = 512;
/// The least number of accounts whose revisions are remembered in memory, in 1.2 MB at most.
const RECENT_ACCOUNTS: usize = 28_000;
const EMPTY_COMMITS: usize = 1_700;
/// So much of the log is gone over for what it has of accounts: some seconds of work.
const LOOKED_BACK: u64 = 2_000_000;
const ACCOUNTS_AT_ONCE: u32 = 4096;
const GAPS_A_MINUTE: u32 = 10;
const DISCONTINUOUS_A_MINUTE: u32 = 60;
const MINUTE_US: u64 = 60_000_000;
/// How far the revisions of an account may be ahead of the clock here.
const BELIEVABLE_US: u64 = 3_600_000_000;
/// After this many frames from before its first connection, a source is followed live.
const MOST_SKIPPED: u32 = 20_000;
/// How many seconds the clock of a source may be behind the one here.
const CLOCKS_APART: i64 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_operations_share_is_encoded_once() {
        // {"text": …} with 600 letters.
        let mut record = b"\xa1\x64text\x79\x02\x58".to_vec();
        record.resize(record.len() + 600, b'a');
        let cid = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
        let cid = cid.parse().expect("a CID");
        let draft = Draft {
            did: "did:web:a.example",
            body: DraftBody::Commit {
                rev: "3l3qo2vutsw2b",
                operation: Operation::Create,
                collection: "app.bsky.feed.post",
                rkey: "self",
                record: Some((&record, &cid)),
            },
        };
        let (mut encoder, mut output) = (Encoder::new(), Output::default());
        let mut line = |output: &mut Output, part| {
            let mut line = Vec::new();
            let encoded = output.encode(&mut encoder, &draft, part, 7, &mut line);
            assert_eq!(encoded, Ok(()));
            String::from_utf8(line).expect("JSON")
        };
        let part = CommitPart { index: 0, len: 3 };
        let first = line(&mut output, part);
        assert_eq!(line(&mut output, part), first);
        // What is kept of it is what the next event gets, so it is not encoded again.
        output.json.fill(b'x');
        let again = line(&mut output, part);
        let json = format!(r#"{{"text":"{}"}}"#, "a".repeat(600));
        assert_eq!(again, first.replace(&json, &"x".repeat(json.len())));
        // The next frame has records of its own, and of one operation nothing is kept.
        output.begin_frame();
        assert_eq!(line(&mut output, CommitPart::WHOLE), first);
        assert!(output.records.is_empty());
    }
}
