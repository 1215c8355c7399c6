use std::io;
use std::sync::Arc;

use jetwash::dict::CompressError;
use jetwash::store::{Block, Run};
use jetwash::{Kind, Micros, Selection, Seq};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::form::encoder::{Encoder, batch_end};
use crate::form::format::{BATCH, Shape};
use crate::form::framing::{Framing, Mark};
use crate::form::messages::Messages;
use crate::form::recode_error::RecodeError;
use crate::memory::Account;
use crate::metrics::{Delivered, Metrics, Sent};
use crate::subscriber::addresses::Share;
use crate::subscriber::bound::Bound;
use crate::subscriber::end::End;
use crate::subscriber::grant::Grant;
use crate::subscriber::notice::Notice;
use crate::subscriber::output::{Output, WRITE_BYTES};
use crate::subscriber::passage::{Pages, Passage, Wait};
use crate::subscriber::query::Query;
use crate::subscriber::register::Report;
use crate::subscriber::scratch::Scratch;
use crate::subscriber::settings::Settings;
use crate::subscriber::socket::{Piece, Socket};
use crate::tail::batch::Batch;
use crate::websocket::{Opcode, write_frame};

/// One subscriber's way out: its position in the log, its settings, and its socket.
///
/// There is no queue. What the subscriber has not taken stays in the log; only as much as goes
/// into one write is held here. A shard [`deliver`](Self::deliver)s to a subscriber at the end of
/// the log. The subscriber's own task [`advance`](Self::advance)s it through older events.
pub(crate) struct Outbound<W> {
    output: Output<W>,
    settings: Arc<Settings>,
    encoder: Encoder,
    bound: Bound,
    /// The position of the next event to be looked at.
    next_seq: Seq,
    /// The time of the last event passed, sent or not: where the subscriber would resume.
    time_us: Micros,
    grant: Grant,
    /// Counts what a subscriber of version 2 gets.
    sent: Option<Sent>,
    /// Shows it to others.
    report: Arc<Report>,
}

impl<W> Outbound<W> {
    pub(crate) fn new(
        socket: W,
        query: &Query,
        encoder: Encoder,
        share: Option<Arc<Share>>,
        account: Arc<Account>,
        sent: Option<Sent>,
        report: Arc<Report>,
    ) -> Self {
        Self {
            output: Output::new(socket, account),
            settings: Arc::clone(&query.settings),
            encoder,
            bound: query.bound,
            next_seq: Seq::default(),
            time_us: Micros::EPOCH,
            grant: Grant::new(share),
            sent,
            report,
        }
    }

    fn count(&self, delivered: Delivered) -> Delivered {
        if let Some(sent) = &self.sent {
            sent.sent(delivered);
        }
        self.report.sent(delivered);
        self.report.at(self.next_seq, self.time_us);
        delivered
    }

    pub(crate) const fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Continues from a later position: there are no events before it.
    pub(crate) fn skip_to(&mut self, next_seq: Seq) {
        self.next_seq = self.next_seq.max(next_seq);
        self.report.at(self.next_seq, self.time_us);
    }

    /// Continues from a position, after the event of a time.
    pub(crate) fn start_at(&mut self, next_seq: Seq, time_us: Micros) {
        (self.next_seq, self.time_us) = (next_seq, time_us);
        self.report.at(next_seq, time_us);
    }

    pub(crate) const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn set_settings(&mut self, settings: Arc<Settings>) {
        self.report.set(Arc::clone(&settings));
        self.settings = settings;
    }

    /// Whether nothing is left to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.output.is_empty() && self.encoder.pending() == 0
    }

    /// Whether as much is left to be written as should go into one write.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() + self.encoder.pending() >= WRITE_BYTES
    }

    pub(crate) const fn framing(&self) -> Framing {
        self.encoder.framing()
    }

    /// Whether the subscription ends by itself, sooner or later.
    pub(crate) const fn is_bounded(&self) -> bool {
        self.bound.is_set()
    }

    /// Whether the subscription has come to the end that it was given.
    pub(crate) fn is_complete(&self) -> bool {
        self.bound.is_reached(self.next_seq)
    }

    /// Appends the beginning of an answer.
    pub(crate) fn push_start(&mut self) {
        self.framing().write_start(self.output.buffer());
    }

    /// Appends a ping, or another sign of life. Returns whether an answer is to be expected.
    pub(crate) fn push_ping(&mut self) -> bool {
        if self.framing() == Framing::Websocket {
            self.push_control(Opcode::Ping, &[]);
            return true;
        }
        let mark = Mark {
            seq: self.next_seq.previous(),
            time_us: self.time_us,
        };
        let cursor = mark.cursor(self.encoder.shape());
        self.framing().write_heartbeat(cursor, self.output.buffer());
        false
    }

    /// Appends a control message.
    pub(crate) fn push_control(&mut self, opcode: Opcode, payload: &[u8]) {
        write_frame(opcode, payload, self.output.buffer());
    }

    /// Appends a notice.
    pub(crate) fn push_notice(&mut self, notice: Notice<'_>) -> Result<(), CompressError> {
        let json = match self.encoder.shape() {
            Shape::V2 => notice.to_v2(self.next_seq),
            _ => notice.to_json(self.time_us),
        };
        let out = self.output.buffer();
        self.encoder.write_notice(notice.name(), &json, out)
    }

    /// Appends the message that comes before the end: in version 2 an error, and as a server-sent
    /// event the reason of any other end, because such a stream has no close frame.
    pub(crate) fn push_end(&mut self, end: &End) -> Result<(), CompressError> {
        let error = end.to_v2(self.next_seq);
        let error = error.filter(|_| self.encoder.shape() == Shape::V2);
        let is_event_stream = self.framing() == Framing::EventStream;
        match error.or_else(|| end.to_json().filter(|_| is_event_stream)) {
            Some(json) => self
                .encoder
                .write_notice("end", &json, self.output.buffer()),
            None => Ok(()),
        }
    }

    /// The socket, for the time after the last event.
    pub(crate) fn into_output(self) -> Output<W> {
        self.output
    }

    /// Notes that the events of a run have been looked at up to the position `until`.
    pub(crate) fn pass(&mut self, run: &Run, until: Seq) {
        self.next_seq = until.clamp(self.next_seq, run.next_seq());
        let passed = self.next_seq.since(run.block().first_seq()) as usize;
        if let Some(last) = passed.checked_sub(1)
            && let Some(time_us) = run.block().times().get(last)
        {
            self.time_us = *time_us;
        }
    }

    /// Returns a function that loads a block's events, which may block, if the subscriber wants
    /// any.
    pub(crate) fn loader(&self) -> impl FnOnce(&Run) + Send + use<W> {
        let load = self.encoder.loader(self.takes_all());
        let settings = Arc::clone(&self.settings);
        move |run| {
            let mut selection = Selection::default();
            selection.select(run, &settings.filter);
            if !selection.is_empty() {
                load(run.block(), selection.len());
            }
        }
    }

    /// Loads a block's events after [`Wait::Events`]: in batches if the subscriber takes batches
    /// and they have not been tried, otherwise one by one, and only the `wanted` ones surely.
    pub(crate) async fn load(
        &mut self,
        block: &Arc<Block>,
        wanted: &[usize],
        may_load_batches: bool,
    ) -> Result<Pages, RecodeError> {
        if may_load_batches
            && self.takes_all()
            && let Some(batches) = self.encoder.batches_of(block).await?
        {
            return Ok(Pages::Batches(batches));
        }
        self.encoder.events(block, wanted).await.map(Pages::Singles)
    }

    /// Whether the subscriber wants every event that its shape has.
    fn takes_all(&self) -> bool {
        let Settings {
            filter,
            max_message_size,
            ..
        } = &*self.settings;
        let shape = self.encoder.shape();
        let takes = |kind| filter.matches_kind(kind) || !shape.has(kind);
        *max_message_size == 0
            && !filter.has_collections()
            && !filter.judges_dids()
            && Kind::ALL.into_iter().all(takes)
    }
}

/// The subscriber's own task sends it events that it has missed.
impl<W: AsyncWrite + Unpin> Outbound<W> {
    /// Takes the subscriber as far through a run as it goes without waiting, and returns what it
    /// waits for then. It goes no further than the position `until`, where new settings hold, and
    /// than its bound.
    pub(crate) fn advance(
        &mut self,
        passage: &mut Passage<'_>,
        until: Seq,
        metrics: &Metrics,
    ) -> Result<Wait, End> {
        // A turn is for one write. Whatever else this waits for, others do not wait for it.
        let turn = passage.turn.take();
        self.bound.find_in(passage.run);
        let until = until.min(self.bound.seq());
        passage.select(&self.settings, self.next_seq);
        if passage.selection.is_empty() {
            self.pass(passage.run, until);
            self.report.at(self.next_seq, self.time_us);
            let is_over = until >= passage.run.next_seq();
            return Ok(if is_over { Wait::Run } else { Wait::Settings });
        }
        if passage.pages.is_none() {
            return Ok(Wait::Events);
        }
        let now = Instant::now();
        let wanted = self.bound.most(passage.selection.len());
        let granted_at = self.grant.request(wanted, now);
        if granted_at > now {
            return Ok(Wait::Allowance(granted_at));
        }
        // Last, so that nobody who has a turn waits for anything else.
        if turn.is_none() {
            return Ok(Wait::Turn);
        }
        let delivered = self.fill(passage, until);
        self.bound.sent(delivered.events);
        metrics.delivered(self.count(delivered));
        if !self.is_full() {
            return Ok(Wait::Settings);
        }
        let is_taken = self.write_now(metrics)?;
        Ok(if is_taken { Wait::Others } else { Wait::Socket })
    }

    /// Ends the message that events are being collected for, and writes as much as the socket takes
    /// now. Returns whether nothing is left.
    pub(crate) fn write_now(&mut self, metrics: &Metrics) -> Result<bool, End> {
        let size = self.encoder.finish(self.output.buffer())?;
        let rest = Delivered {
            events: 0,
            bytes: size as u64,
        };
        metrics.delivered(rest);
        self.report.sent(rest);
        self.output.write_now()
    }

    /// Ends the stream, once everything has been written, and waits until it is taken.
    pub(crate) async fn shut(&mut self) -> io::Result<()>
    where
        W: Socket,
    {
        self.output.shut().await
    }

    /// Waits until the socket takes something.
    pub(crate) async fn write_some(&mut self) -> Result<(), End> {
        self.output.write_some().await
    }

    /// Appends events that the subscriber wants, as far as they are granted, go into one write,
    /// come before the position `until`, and are loaded.
    fn fill(&mut self, passage: &mut Passage<'_>, until: Seq) -> Delivered {
        let run = passage.run;
        let (first_seq, length) = (run.block().first_seq(), run.block().len());
        let end = run.next_seq().min(until).since(first_seq) as usize;
        let takes_all = self.takes_all();
        let mut out = self.output.take_buffer();
        let mut delivered = Delivered::default();
        while self.grant.left() > 0 && out.len() + self.encoder.pending() < WRITE_BYTES {
            let Some(index) = passage.selection.next() else {
                break;
            };
            if index >= end {
                self.pass(run, until);
                break;
            }
            // Those that its shape does not have may come before it in its batch.
            let begin = index - index % BATCH;
            let is_begin_ahead = self.next_seq <= first_seq.plus(begin as u64);
            let begin = if is_begin_ahead { begin } else { index };
            let place = match &passage.pages {
                Some(Pages::Batches(batches)) if takes_all => {
                    batch_end(begin, length, end).map(|next| (batches, begin / BATCH, next))
                }
                Some(Pages::Singles(singles)) => Some((singles, index, index + 1)),
                _ => None,
            };
            let Some((page, at, next)) = place else {
                // A batch that begins before the position, or ends after `until`, has events that
                // are not to be sent. Those around it go one by one.
                self.pass(run, first_seq.plus(index as u64));
                passage.load_singles();
                break;
            };
            let left = passage.selection.len();
            passage.selection.skip_to(next);
            let events = 1 + left - passage.selection.len();
            self.grant.spend(events);
            self.pass(run, first_seq.plus(next as u64));
            let limit = self.settings.max_message_size as usize;
            let place = (at, Mark::of(run.block(), index));
            if let Some(size) = self.encoder.write_from(page, place, limit, &mut out) {
                delivered += Delivered {
                    events: events as u64,
                    bytes: size as u64,
                };
            }
        }
        self.output.put_buffer(out);
        delivered
    }
}

/// A shard's task sends new events to subscribers at the end of the log.
impl<W: Socket> Outbound<W> {
    /// Sends batches to a subscriber that is at the end of the log, as far as the socket takes
    /// them now. Returns `false` if the subscriber's own task has to continue: with what is left to be
    /// written, or with events from the position on.
    ///
    /// The shard has dozens of other subscribers, so this never waits, and never reads the disk.
    pub(crate) fn deliver(
        &mut self,
        batches: &[Arc<Batch>],
        scratch: &mut Scratch,
    ) -> (Delivered, bool) {
        // A message of a stream cannot be left out once it is made, so it must not be made before
        // it is sure that the address may have it. One with a bound is gone soon.
        if self.encoder.is_stream() || self.is_bounded() {
            return (Delivered::default(), false);
        }
        // Nearly always there is one batch, and most subscribers want all of it: they share bytes.
        if let [batch] = batches
            && batch.begins_at(self.next_seq)
            && let Some(messages) = self.shared_messages(batch)
        {
            let delivered = Delivered {
                events: messages.events as u64,
                bytes: messages.payload as u64,
            };
            return self.offer(Piece::Shared(&messages.bytes), delivered, batch);
        }
        scratch.out.clear();
        let mut delivered = Delivered::default();
        let (mut next_seq, mut last) = (self.next_seq, None);
        for batch in batches {
            // It caught up by itself beyond this batch, which was announced before.
            if batch.next_seq() <= next_seq {
                continue;
            }
            let begun = scratch.out.len();
            let so_far = delivered;
            // A batch goes out whole or not at all: the position is always between two batches, and
            // the first that is missing ends the row, because events go out in order.
            if !batch.covers(next_seq) || !self.encode(batch, next_seq, scratch, &mut delivered) {
                scratch.out.truncate(begun);
                delivered = so_far;
                break;
            }
            (next_seq, last) = (batch.next_seq(), Some(batch));
        }
        let is_all = batches
            .last()
            .is_none_or(|batch| batch.next_seq() <= next_seq);
        match last {
            Some(batch) => {
                let (delivered, is_taken) = self.offer(Piece::Own(&scratch.out), delivered, batch);
                (delivered, is_taken && is_all)
            }
            None => (Delivered::default(), is_all),
        }
    }

    /// The messages of a batch that can go out as they are, if this subscriber wants them all.
    fn shared_messages(&self, batch: &Batch) -> Option<Messages> {
        if self.takes_all() {
            batch.messages(&self.encoder)
        } else {
            None
        }
    }

    /// Appends what this subscriber wants of a batch; `false` if it is not in memory.
    fn encode(
        &mut self,
        batch: &Batch,
        next_seq: Seq,
        scratch: &mut Scratch,
        delivered: &mut Delivered,
    ) -> bool {
        let Scratch { selection, out } = scratch;
        for run in batch.runs() {
            selection.select(run, &self.settings.filter);
            selection.skip_to(next_seq.since(run.block().first_seq()) as usize);
            if selection.is_empty() {
                continue;
            }
            let Some(events) = self.encoder.ready_events(run.block()) else {
                return false;
            };
            let limit = self.settings.max_message_size as usize;
            for index in selection.by_ref() {
                let Some(payload) = events.get(index) else {
                    continue;
                };
                let mark = Mark::of(run.block(), index);
                if let Some(size) = self.encoder.write(payload, mark, limit, out) {
                    *delivered += Delivered {
                        events: 1,
                        bytes: size as u64,
                    };
                }
            }
        }
        true
    }

    /// Writes the messages of all batches up to `last` if the address may have them, and notes
    /// that they have been passed. What the socket does not take is kept.
    fn offer(&mut self, bytes: Piece<'_>, delivered: Delivered, last: &Batch) -> (Delivered, bool) {
        if !self
            .grant
            .take_now(delivered.events as usize, Instant::now())
        {
            return (Delivered::default(), false);
        }
        debug_assert!(self.next_seq < last.next_seq(), "no event is sent twice");
        self.next_seq = last.next_seq();
        if let Some(time_us) = last.last_time_us() {
            self.time_us = time_us;
        }
        (self.count(delivered), self.output.offer(bytes))
    }
}
