use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::ops::AddAssign;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use jetwash::dict::CompressError;
use jetwash::store::{Block, Run};
use jetwash::{Gap, Selection};
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::form::encoder::{Encoder, batch_end};
use crate::form::events::Events;
use crate::form::format::BATCH;
use crate::form::messages::Messages;
use crate::form::recoder::RecodeError;
use crate::memory::{Account, Purpose};
use crate::subscriber::addresses::Share;
use crate::subscriber::end::End;
use crate::subscriber::query::Query;
use crate::subscriber::settings::Settings;
use crate::subscriber::socket::Socket;
use crate::tail::batch::Batch;
use crate::websocket::{CloseCode, Opcode, write_close, write_frame};

/// One subscriber's way out: its position in the log, what it wants of it, and its socket.
///
/// There is no queue. What the subscriber has not taken stays in the log; only as much as goes
/// into one write is held here.
pub(crate) struct Outbound<W> {
    socket: W,
    /// What is to be written, and how much of it has been. It has memory only while it is needed.
    out: Vec<u8>,
    written: usize,
    settings: Arc<Settings>,
    encoder: Encoder,
    /// The position of the next event to be looked at.
    position: u64,
    /// The time of the last event passed, sent or not: where the subscriber would resume.
    time_us: u64,
    share: Option<Arc<Share>>,
    account: Arc<Account>,
    /// How much the account has been told of what is to be written.
    held: usize,
    /// How many events the address may have been sent already and was not.
    granted: usize,
}

/// What a shard's task needs for all its members in turn.
#[derive(Default)]
pub(crate) struct Scratch {
    selection: Selection,
    out: Vec<u8>,
}

/// A block's events in a subscriber's form.
pub(crate) struct Pages {
    batches: Option<Events>,
    singles: Option<Events>,
}

/// What has been sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) events: u64,
    /// The bytes of the events alone.
    pub(crate) bytes: u64,
}

impl<W: AsyncWrite + Unpin> Outbound<W> {
    pub(crate) fn new(
        socket: W,
        query: &Query,
        encoder: Encoder,
        share: Option<Arc<Share>>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            socket,
            out: Vec::new(),
            written: 0,
            settings: Arc::clone(&query.settings),
            encoder,
            position: 0,
            time_us: 0,
            share,
            account,
            held: 0,
            granted: 0,
        }
    }

    /// Whether the last write was of part of a frame, or of nothing while there is something.
    pub(crate) fn is_stuck(&self) -> bool {
        self.written < self.out.len()
    }

    /// Whether nothing is left to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.encoder.pending() == 0
    }

    /// Whether as much is left to be written as should go into one write.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() + self.encoder.pending() >= WRITE_BYTES
    }

    /// Sends batches to a subscriber that is at the end of the log, as far as the socket takes
    /// them now. `false` if the subscriber's own task has to go on: with what is left to be
    /// written, or with events from the position on.
    pub(crate) fn deliver(
        &mut self,
        batches: &[Arc<Batch>],
        scratch: &mut Scratch,
    ) -> (Delivered, bool) {
        if self.encoder.is_stream() {
            return (Delivered::default(), false);
        }
        if let [batch] = batches
            && batch.begins_at(self.position)
            && let Some(messages) = self.shared_messages(batch)
        {
            let delivered = Delivered {
                events: messages.events as u64,
                bytes: messages.payload as u64,
            };
            return self.offer(&messages.bytes, delivered, batch);
        }
        scratch.out.clear();
        let mut delivered = Delivered::default();
        let (mut position, mut last) = (self.position, None);
        for batch in batches {
            if batch.next_seq() <= position {
                continue;
            }
            let begun = scratch.out.len();
            let so_far = delivered;
            if !batch.covers(position) || !self.encode(batch, position, scratch, &mut delivered) {
                scratch.out.truncate(begun);
                delivered = so_far;
                break;
            }
            (position, last) = (batch.next_seq(), Some(batch));
        }
        let is_all = batches
            .last()
            .is_none_or(|batch| batch.next_seq() <= position);
        match last {
            Some(batch) => {
                let (delivered, is_taken) = self.offer(&scratch.out, delivered, batch);
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

    /// Appends what this subscriber wants of a batch; `false` if it is not at hand.
    fn encode(
        &mut self,
        batch: &Batch,
        position: u64,
        scratch: &mut Scratch,
        delivered: &mut Delivered,
    ) -> bool {
        let Scratch { selection, out } = scratch;
        for run in batch.runs() {
            selection.select(run, &self.settings.filter);
            selection.skip_to(position.saturating_sub(run.block().first_seq()) as usize);
            if selection.is_empty() {
                continue;
            }
            let Some(events) = self.encoder.ready_events(run.block()) else {
                return false;
            };
            for payload in selection.by_ref().filter_map(|index| events.get(index)) {
                *delivered += self.write_payload(payload, 1, out);
            }
        }
        true
    }

    /// Writes the messages of all batches up to `last` if the address may have them, and notes
    /// that they have been passed. What the socket does not take is kept.
    fn offer(&mut self, bytes: &[u8], delivered: Delivered, last: &Batch) -> (Delivered, bool) {
        if let Some(share) = &self.share
            && !share.take_now(delivered.events as usize, Instant::now().into_std())
        {
            return (Delivered::default(), false);
        }
        self.position = last.next_seq();
        if let Some(time_us) = last.last_time_us() {
            self.time_us = time_us;
        }
        // An error is met again by the task that tries to write the rest.
        let written = self.write_to_socket(bytes).unwrap_or_default();
        if written < bytes.len() {
            self.out.extend_from_slice(&bytes[written..]);
            self.account_for_output();
        }
        (delivered, written == bytes.len() && self.is_flushed())
    }

    /// Writes as much as the socket takes now, which is nearly always all.
    fn write_to_socket(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut self.socket).poll_write(&mut context, &bytes[written..]) {
                Poll::Ready(Ok(0)) | Poll::Pending => break,
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Whether the socket has kept nothing back.
    fn is_flushed(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(
            Pin::new(&mut self.socket).poll_flush(&mut context),
            Poll::Ready(Ok(()))
        )
    }

    /// Appends events of a run that the subscriber wants, as far as they are granted, go into one
    /// write, come before the position `until`, and are in `pages`. `false` if the next is not.
    pub(crate) fn fill(
        &mut self,
        run: &Run,
        pages: &Pages,
        selection: &mut Selection,
        until: u64,
    ) -> (Delivered, bool) {
        self.borrow_buffer();
        let mut out = std::mem::take(&mut self.out);
        let mut delivered = Delivered::default();
        let mut is_there = true;
        let first_seq = run.block().first_seq();
        let end = run.next_seq().min(until).saturating_sub(first_seq) as usize;
        let batches = pages.batches.as_ref().filter(|_| self.takes_all());
        while self.granted > 0 && out.len() + self.encoder.pending() < WRITE_BYTES {
            let Some(index) = selection.next() else { break };
            if index >= end {
                self.pass(run, until);
                break;
            }
            let batch = batches
                .and_then(|batches| Some((batches, batch_end(index, run.block().len(), end)?)));
            let (page, at, next) = match (batch, &pages.singles) {
                (Some((batches, next)), _) => (batches, index / BATCH, next),
                (None, Some(singles)) => (singles, index, index + 1),
                (None, None) => {
                    self.pass(run, first_seq + index as u64);
                    is_there = false;
                    break;
                }
            };
            selection.skip_to(next);
            self.granted = self.granted.saturating_sub(next - index);
            self.pass(run, first_seq + next as u64);
            if let Some(payload) = page.get(at) {
                delivered += self.write_payload(payload, next - index, &mut out);
            }
        }
        self.out = out;
        (delivered, is_there)
    }

    fn write_payload(&mut self, payload: &[u8], events: usize, out: &mut Vec<u8>) -> Delivered {
        let limit = self.settings.max_message_size as usize;
        match self.encoder.write(payload, limit, out) {
            Some(size) => Delivered {
                events: events as u64,
                bytes: size as u64,
            },
            None => Delivered::default(),
        }
    }

    /// Loads a block's events in the form that comes closest to the subscriber's: in batches if
    /// it takes such and that has not been tried, else one by one, and only those surely that are
    /// `wanted`.
    pub(crate) async fn load(
        &mut self,
        block: &Arc<Block>,
        wanted: &[usize],
        is_first: bool,
    ) -> Result<Pages, RecodeError> {
        if is_first
            && self.takes_all()
            && let Some(batches) = self.encoder.batches_of(block).await?
        {
            return Ok(Pages {
                batches: Some(batches),
                singles: None,
            });
        }
        Ok(Pages {
            batches: None,
            singles: Some(self.encoder.events(block, wanted).await?),
        })
    }

    /// Ends the message that events are being collected for, and gives its size.
    pub(crate) fn finish(&mut self) -> Result<Delivered, CompressError> {
        let size = self.encoder.finish(&mut self.out)?;
        Ok(Delivered {
            events: 0,
            bytes: size as u64,
        })
    }

    /// Asks for events to be granted, and says when they are.
    pub(crate) fn request(&mut self, wanted: usize) -> Instant {
        let now = Instant::now();
        let Some(share) = &self.share else {
            self.granted = wanted;
            return now;
        };
        if self.granted > 0 {
            return now;
        }
        let (granted, wait) = share.reserve(wanted, now.into_std());
        self.granted = granted;
        now + wait
    }

    /// Writes what is left, as far as the socket takes it now; `true` if nothing is left.
    pub(crate) fn write_now(&mut self) -> Result<bool, End> {
        let out = std::mem::take(&mut self.out);
        let written = self.write_to_socket(&out[self.written..]);
        self.out = out;
        self.written += written.map_err(End::Io)?;
        if self.written < self.out.len() || !self.is_flushed() {
            return Ok(false);
        }
        self.return_buffer();
        Ok(true)
    }

    /// Waits until the socket takes something.
    pub(crate) async fn write_some(&mut self) -> Result<(), End> {
        self.account_for_output();
        let Self {
            socket,
            out,
            written,
            ..
        } = self;
        if *written == out.len() {
            return socket.flush().await.map_err(End::Io);
        }
        let write = |context: &mut Context<'_>| {
            Pin::new(&mut *socket).poll_write(context, &out[*written..])
        };
        match poll_fn(write).await {
            Ok(0) => Err(End::Disconnected),
            Ok(count) => {
                *written += count;
                Ok(())
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Ends the stream, after the frames that were begun, with the reason if there is one.
    pub(crate) async fn close(&mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        write_close(code, reason, &mut self.out);
        self.socket.write_all(&self.out[self.written..]).await?;
        self.socket.shutdown().await
    }
}

impl<W: Socket> Outbound<W> {
    /// See [`Socket::reset_on_drop`].
    pub(crate) fn reset_on_drop(&self) {
        self.socket.reset_on_drop();
    }
}

impl<W> Outbound<W> {
    /// Whether every event is wanted.
    fn takes_all(&self) -> bool {
        self.settings.filter.is_empty() && self.settings.max_message_size == 0
    }

    pub(crate) const fn position(&self) -> u64 {
        self.position
    }

    /// Goes on from a later position: there are no events before it.
    pub(crate) fn skip_to(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// Goes on from a position, after the event of a time.
    pub(crate) const fn start_at(&mut self, position: u64, time_us: u64) {
        (self.position, self.time_us) = (position, time_us);
    }

    pub(crate) const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn set_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// What loads a block's events, where that may block, if it has any that are wanted.
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

    /// Notes that the events of a run have been looked at up to the position `until`.
    pub(crate) fn pass(&mut self, run: &Run, until: u64) {
        self.position = until.clamp(self.position, run.next_seq());
        let passed = self.position.saturating_sub(run.block().first_seq()) as usize;
        if let Some(last) = passed.checked_sub(1)
            && let Some(time_us) = run.block().times().get(last)
        {
            self.time_us = *time_us;
        }
    }

    /// Appends a control frame.
    pub(crate) fn push_control(&mut self, opcode: Opcode, payload: &[u8]) {
        write_frame(opcode, payload, &mut self.out);
    }

    /// Appends a message that tells where the stream is, for those only who asked for it.
    pub(crate) fn push_notice(&mut self, kind: &str) -> Result<(), CompressError> {
        let notice = format!(r#"{{"kind":"{kind}","time_us":{}}}"#, self.time_us);
        self.encoder.write_notice(&notice, &mut self.out)
    }

    /// Appends a message that tells of a gap, as [`push_notice`](Self::push_notice).
    pub(crate) fn push_gap(&mut self, gap: &Gap) -> Result<(), CompressError> {
        let gap = GapNotice::of(gap);
        let gap = serde_json::to_string(&gap).unwrap_or_else(|_| "{}".to_owned());
        let notice = format!(r#"{{"kind":"gap","time_us":{},"gap":{gap}}}"#, self.time_us);
        self.encoder.write_notice(&notice, &mut self.out)
    }

    /// Makes sure of a buffer, one that this thread has used before if there is one.
    fn borrow_buffer(&mut self) {
        if self.out.capacity() == 0 {
            self.out = SPARE.take();
        }
    }

    /// Tells the account about what is to be written. If it is too much, the subscriber's task
    /// learns that by itself.
    fn account_for_output(&mut self) {
        let held = self.out.capacity();
        if self.held != held {
            self.held = held;
            let _ = self.account.set(Purpose::Output, held);
        }
    }

    /// Gives the buffer away for others to use, so that an idle subscriber has none.
    fn return_buffer(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.written = 0;
        if self.held > 0 {
            self.account_for_output();
        }
        // One large event must not keep its room for ever.
        if (1..=2 * WRITE_BYTES).contains(&out.capacity()) {
            out.clear();
            SPARE.set(out);
        }
    }
}

/// A gap as a subscriber is told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GapNotice<'a> {
    cause: &'static str,
    from: u64,
    to: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a str>,
}

impl<'a> GapNotice<'a> {
    fn of(gap: &'a Gap) -> Self {
        let upstream = gap.upstream.as_ref();
        Self {
            cause: gap.cause.name(),
            from: gap.first_seq,
            to: gap.next_seq,
            events: gap.events,
            source: upstream.map(|upstream| &*upstream.source),
            source_from: upstream.and_then(|upstream| upstream.first),
            source_to: upstream.and_then(|upstream| upstream.next),
            did: upstream.and_then(|upstream| upstream.did.as_deref()),
        }
    }
}

impl Scratch {
    /// Gives back the memory that an unusual amount of events has taken.
    pub(crate) fn trim(&mut self) {
        if self.out.capacity() > 2 * WRITE_BYTES {
            self.out = Vec::new();
        }
    }
}

impl AddAssign for Delivered {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

thread_local! {
    /// A buffer that nobody uses now.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much is collected for one write.
const WRITE_BYTES: usize = 32 * 1024;
