//! The pipeline, and its steps in the order in which a frame takes them.
//!
//! - `gate` and `predicate`: is anything of the frame wanted?
//! - `source` and `turns`: is it the next of its source, and if not, what has happened?
//! - `decode`: what the frame says, as events appended to the log.
//! - `events` and `record_text`: an event of a Jetstream; `mirror`: a message of a mirrored log.
//! - `labels` and `labelers`: a frame of a labeler, in a log of labels.
//! - `news`, `accounts` and `log_lines`: is it news to the log?
//! - `checker` and `ruling`: what verification says of it.
//! - `waiting`: frames that wait for a key between these steps.
//! - `output`: the JSON of a frame, encoded within bounds.
//! - `fault` and `quota`: why something is lost, and how often that is told.

mod accounts;
mod checker;
mod decode;
mod events;
mod fault;
mod gate;
mod labelers;
mod labels;
mod log_lines;
mod mirror;
mod news;
mod output;
mod predicate;
mod quota;
mod record_text;
mod ruling;
mod source;
mod turns;
mod waiting;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jetwash_dict::Dictionary;
use jetwash_event::{Encoder, Filter, Micros};
use jetwash_frame::{Peek, peek};
use jetwash_mst::BlockCheck;
use jetwash_store::{Appender, Seq, StoreError, Trimmed};
use jetwash_verify::Policy;
use tracing::warn;

use crate::ingest::check::{Given, Keys};
use crate::ingest::dedup::Revs;
use crate::ingest::late::LateOps;
use crate::ingest::numbering::{Place, numbered};
use crate::ingest::record_cache::RecordCache;
use crate::ingest::tally::Tally;
use crate::noise::Noise;
use crate::short::short;
use crate::stats::{Snapshot, Stats};
use crate::verify::{ResyncSender, Verify};

use accounts::{Accounts, RECENT_ACCOUNTS};
use checker::Checker;
pub(crate) use gate::Sort;
use labelers::Labelers;
pub(crate) use mirror::MirrorFault;
use output::Output;
use predicate::Predicate;
use quota::Quota;
use record_text::RecordText;
use source::Source;

/// Turns frames into events and appends them to the log: the whole way in, on one thread.
///
/// An [`Ingest`](crate::Ingest) runs one. It is public for programs with their own sources or
/// runtime, and for benches: it opens no socket, reads no clock and spawns nothing. It does block,
/// because the log's disk does.
///
/// A frame costs at most itself: what is wrong with it, or with one of its operations, is counted
/// by its reason, and the source's cursor moves past it all the same.
///
/// # Examples
///
/// ```
/// use jetwash::store::{self, Location, Options};
/// use jetwash::{Micros, Pipeline, Seq};
///
/// let (appender, log) = store::open(Location::Memory, Options::default())?;
/// let mut pipeline = Pipeline::new(appender);
///
/// // {"t": "#account", "op": 1} {"did": "did:web:a.example", "seq": 7, "time": …, "active": true}
/// let mut frame = b"\xa2\x61t\x68#account\x62op\x01\xa4\x63did\x71did:web:a.example".to_vec();
/// frame.extend(b"\x63seq\x07\x64time\x742026-07-04T14:38:07Z\x66active\xf5");
///
/// let now = Micros::new(1_783_175_888_085_434);
/// pipeline.frame("wss://relay.example/", &frame, now)?;
/// pipeline.commit()?;
/// assert_eq!(pipeline.cursor("wss://relay.example/"), Some(7));
/// assert_eq!(log.bounds().next_seq, Seq::new(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pipeline {
    appender: Appender,
    filter: Filter,
    predicate: Option<Predicate>,
    block_check: BlockCheck,
    /// How frames are verified, if they are.
    checker: Option<Box<Checker>>,
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
    /// The position of that source before the frame.
    position_before: Option<u64>,
    tally: Tally,
    now_us: Micros,
    stats: Arc<Stats>,
    noise: Noise,
    /// Who the sources are, if they are labelers.
    labelers: Option<Labelers>,
    /// The operations that came, if there are several Jetstreams and nothing else.
    late: Option<LateOps>,
    /// Rewrites records that a Jetstream writes otherwise than we do.
    record_text: RecordText,
    line: Vec<u8>,
    compressed: Vec<u8>,
    pending: usize,
    output: Output,
    /// That of the frame at hand, for its events.
    verdict: u8,
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
            checker: None,
            encoder: Encoder::new(),
            compressor: None,
            // All are kept from `deduplicate` on, or once a source repeats itself.
            accounts: Accounts::Recent,
            revs: Revs::new(RECENT_ACCOUNTS),
            empty: Revs::new(EMPTY_COMMITS),
            place: Place::Next,
            known: 0,
            discontinuous: Quota::new(DISCONTINUOUS_A_MINUTE),
            records: None,
            sources: Vec::new(),
            current: 0,
            position_before: None,
            tally: Tally::default(),
            now_us: Micros::EPOCH,
            stats: Arc::default(),
            noise: Noise::default(),
            labelers: None,
            late: None,
            record_text: RecordText::default(),
            line: Vec::new(),
            compressed: Vec::new(),
            pending: 0,
            output: Output::default(),
            verdict: 0,
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

    pub(crate) fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
    }

    /// Also turns away the frames for which `predicate` says `false`, before they are decoded. It
    /// is asked about commits, identities, accounts and syncs that the filter lets pass.
    #[must_use]
    pub fn filter_with(mut self, predicate: impl Fn(&Peek<'_>) -> bool + Send + 'static) -> Self {
        self.predicate = Some(Predicate(Box::new(predicate)));
        self
    }

    /// Sets which blocks of a commit must match their CIDs. Defaults to all.
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
    /// The newest revision of each account is kept in the log, with what tells its operations
    /// apart: what is older is no news, however late a source is, and however often the process is
    /// started. With one source this begins by itself when the source repeats itself or counts
    /// anew.
    #[must_use]
    pub fn deduplicate(mut self) -> Self {
        self.accounts = Accounts::Wanted;
        self
    }

    /// Verifies commits before they are appended, each when it comes, on this thread.
    ///
    /// Nothing waits here: a commit whose key the identity service does not have in memory is
    /// [unresolved](jetwash_verify::Verdict::Unresolved), and one whose key is there and does not fit
    /// is invalid, though the key may have changed. An [`Ingest`](crate::Ingest) looks keys up
    /// first, and checks on several threads.
    #[must_use]
    pub fn verify(self, verify: &Verify) -> Self {
        let keys = Arc::new(Keys::new(verify.identities.clone()));
        let resyncs = ResyncSender::new(verify.policy.needs_keys());
        self.checker(Checker::new(verify.policy, keys, resyncs, false))
    }

    /// Verifies commits, of which those that need it were checked before.
    pub(crate) fn staged(self, policy: Policy, keys: Arc<Keys>, resyncs: ResyncSender) -> Self {
        self.checker(Checker::new(policy, keys, resyncs, true))
    }

    fn checker(mut self, checker: Checker) -> Self {
        let policy = checker.policy;
        self.checker = policy.is_on().then(|| Box::new(checker));
        // Chains are judged by the states of accounts.
        if policy.needs_keys() {
            return self.deduplicate();
        }
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
    pub fn frame(&mut self, source: &str, frame: &[u8], now_us: Micros) -> Result<(), StoreError> {
        self.frame_given(source, frame, now_us, Given::default())
    }

    /// Takes in a frame of which some answers are there already.
    #[inline]
    pub(crate) fn frame_given(
        &mut self,
        source: &str,
        frame: &[u8],
        now_us: Micros,
        given: Given,
    ) -> Result<(), StoreError> {
        let is_kept = !given.is_invalid();
        let frame_at = (frame, given.number);
        let Some((place, peeked)) = self.begin(source, frame_at, now_us, is_kept) else {
            return Ok(());
        };
        if place != Place::Next {
            return self.doubtful(place, &peeked, frame, given);
        }
        if !self.is_wanted(&peeked, given.is_let_in) {
            return Ok(());
        }
        if let Err(fault) = self.decode(frame, given, now_us)? {
            self.lose(fault.reason(), &fault, (peeked.seq, peeked.did));
        }
        Ok(())
    }

    /// Notes that a frame has come, and says where its number stands: its own, or the one that the
    /// source has for it.
    #[inline]
    fn begin<'f>(
        &mut self,
        source: &str,
        (frame, number): (&'f [u8], Option<u64>),
        now_us: Micros,
        is_kept: bool,
    ) -> Option<(Place, Peek<'f>)> {
        self.now_us = now_us;
        // Of frames it is not noted what came.
        self.late = None;
        self.output.begin_frame();
        self.stats.frame(frame.len());
        let peeked = match peek(frame) {
            Ok(peeked) => numbered(peeked, number),
            Err(error) => {
                self.turn_to(source);
                self.lose(error.reason(), &error, (None, None));
                return None;
            }
        };
        self.turn_to(source);
        if self.accounts == Accounts::Wanted {
            self.keep_accounts();
        }
        // From here on the cursor counts the frame as dealt with, whatever comes of it. A number
        // out of turn is the exception, and is only believed once more of them have come.
        let place = self.sources[self.current].judge(&peeked);
        // Before the filter: kept frames are for programs that send the whole stream on.
        if is_kept
            && place == Place::Next
            && self.appender.keeps_frames()
            && let Some(seq) = peeked.seq
        {
            let name = &self.sources[self.current].name;
            self.appender.keep_frame(name, seq, frame);
        }
        Some((place, peeked))
    }

    /// Counts what was lost with a frame of the current source, and logs the first of each kind.
    #[cold]
    fn lose(
        &mut self,
        reason: &'static str,
        detail: &dyn fmt::Display,
        (seq, did): (Option<u64>, Option<&str>),
    ) {
        self.stats.dropped(reason);
        let source = &self.sources[self.current].name;
        let now = self.now_us.since(Micros::EPOCH);
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

    /// Makes everything taken in since the last commit visible and, as far as the log's durability
    /// promises, permanent: the events and the cursors of their sources, all of it or nothing.
    ///
    /// # Errors
    ///
    /// When the log fails.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        for source in &mut self.sources {
            if mem::take(&mut source.is_touched) {
                source.store_cursor(&mut self.appender);
                source.tally.flush(&source.name, self.now_us);
            }
        }
        if let Some(age) = self.tally.flush(self.now_us) {
            self.stats.age(age);
        }
        self.pending = 0;
        self.output.pending = 0;
        self.appender.commit()?;
        if let Some(checker) = &mut self.checker {
            checker.report();
        }
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
    pub fn trim(&mut self, now_us: Micros) -> Result<Trimmed, StoreError> {
        self.appender.trim(now_us)
    }

    /// Compresses all events from now on with another dictionary, and returns the position of the
    /// first of them. What is in the log stays as it is, with the dictionary that it needs.
    ///
    /// # Errors
    ///
    /// When the dictionary cannot be stored, or the log has another of the same number. The one
    /// before it stays in use.
    pub fn rotate_dictionary(&mut self, dictionary: &Dictionary) -> Result<Seq, StoreError> {
        self.appender.set_dictionary(dictionary)?;
        self.compressor = Some(dictionary.compressor());
        Ok(self.appender.next_seq())
    }

    /// The position that the next event will get.
    #[must_use]
    pub const fn next_seq(&self) -> Seq {
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
            Some(Source {
                place: Some(place), ..
            }) => Some(place.time().get()),
            Some(source) => source.stored_position(),
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

    /// Returns the counts so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.stats.snapshot()
    }

    /// Has what follows come from `source`, of which everything so far has been taken in.
    #[inline]
    fn turn_to(&mut self, source: &str) {
        self.current = self.source(source);
        self.position_before = self.sources[self.current].numbering.position();
    }

    /// Sources are few, so a walk along them is faster than a hash.
    fn source(&mut self, name: &str) -> usize {
        let known = self.sources.iter().position(|source| *source.name == *name);
        known.unwrap_or_else(|| {
            let mut source = Source::open(name, &self.appender);
            if self.labelers.is_some() {
                source.numbering = mem::take(&mut source.numbering).sparse();
            }
            self.sources.push(source);
            self.sources.len() - 1
        })
    }
}

const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
/// The JSON that awaits a commit at most, beside what the last frame adds.
const BATCH_JSON: usize = 4 << 20;
const EMPTY_COMMITS: usize = 1_700;
const DISCONTINUOUS_A_MINUTE: u32 = 60;
