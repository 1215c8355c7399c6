use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetwash::dict::EncodeError;
use jetwash::store::Run;
use jetwash::{Jetstream, ReadError, Reader, Selection, StartFrom};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::encoding::{Encoding, batch_end};
use crate::limits::Share;
use crate::live::{Batch, Live, Messages};
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::query::Query;
use crate::recoded::{BATCH, RecodeError};
use crate::settings::Settings;
use crate::update::parse_update;
use crate::websocket::{
    CloseCode, Incoming, IncomingError, Message, Opcode, write_close, write_frame,
};

/// One subscriber: a socket, and a position in the log.
///
/// There is no queue. What the subscriber has not taken stays in the log; only as much as goes
/// into one write is held here.
pub(crate) struct Connection<R, W> {
    read: R,
    write: W,
    incoming: Incoming,
    /// What is to be written, and how much of it has been. It has memory only while it is needed.
    out: Vec<u8>,
    written: usize,
    options: Arc<ServeOptions>,
    metrics: Arc<Metrics>,
    share: Option<Share>,
    closing: CancellationToken,
    settings: Arc<Settings>,
    encoding: Encoding,
    selection: Selection,
    /// The time of the last event passed, sent or not: where the subscriber would resume.
    time_us: u64,
    /// When the subscriber has to have been heard from, if it was pinged since it last was.
    pong_due: Option<Instant>,
    /// How many times events have gone out.
    deliveries: u32,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<R, W> {
    pub(crate) fn new(
        (read, write): (R, W),
        query: &Query,
        encoding: Encoding,
        share: Option<Share>,
        options: Arc<ServeOptions>,
        metrics: Arc<Metrics>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            read,
            write,
            incoming: Incoming::new(options.max_message_bytes),
            out: Vec::new(),
            written: 0,
            options,
            metrics,
            share,
            closing,
            settings: Arc::clone(&query.settings),
            encoding,
            selection: Selection::default(),
            time_us: 0,
            pong_due: None,
            deliveries: 0,
        }
    }

    /// Serves until either side ends it, and says goodbye where the socket still allows it.
    pub(crate) async fn run(
        mut self,
        jetstream: &Jetstream,
        live: &Arc<Live>,
        query: Query,
    ) -> End {
        let end = match self.serve(jetstream, live, &query).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some((code, reason)) = end.close_frame() {
            // A frame that was begun has to be ended first.
            write_close(code, &reason, &mut self.out);
            let goodbye = async {
                self.write.write_all(&self.out[self.written..]).await?;
                self.write.shutdown().await?;
                // The client's own close frame follows, unless it has gone away.
                while self.read.read(&mut [0; 1024]).await? > 0 {}
                io::Result::Ok(())
            };
            let _ = timeout(GOODBYE, goodbye).await;
        }
        end
    }

    async fn serve(
        &mut self,
        jetstream: &Jetstream,
        live: &Arc<Live>,
        query: &Query,
    ) -> Result<std::convert::Infallible, End> {
        if query.require_hello {
            self.hello().await?;
        }
        // Before the reader has its place: what comes in between is still to be sent.
        let newest = jetstream.bounds().newest_time_us.unwrap_or_default();
        self.time_us = match query.start {
            StartFrom::Oldest => 0,
            StartFrom::Time(time) => micros(time).min(newest),
            _ => newest,
        };
        let mut reader = jetstream.reader(query.start).await.map_err(End::Read)?;
        if let StartFrom::Time(time) = query.start
            && jetstream
                .bounds()
                .oldest_time_us
                .is_some_and(|oldest| micros(time) < oldest)
        {
            self.metrics.cursors_clamped.increment(1);
        }
        let batches = live.subscribe(jetstream).await;
        let mut batches = batches.map_err(End::Read)?;
        let mut announce_tip = query.caught_up && query.start != StartFrom::Live;
        let closing = self.closing.clone();
        let mut closing = pin!(closing.cancelled());
        let mut dues = Dues::new(self.options.ping_interval, query.progress);
        // One timer for all, because to set one costs more than to look which it was.
        let mut timer = pin!(sleep_until(dues.next(None)));
        let mut turn = 0_u32;
        loop {
            if announce_tip && reader.is_at_tip() {
                announce_tip = false;
                self.notice("caughtUp").await?;
            }
            // Nearly always there are events, so they are looked for first. The others have their
            // turn when there are none, and now and then.
            turn = turn.wrapping_add(1);
            let is_others_turn = turn.is_multiple_of(OTHERS_TURN);
            tokio::select! {
                biased;
                next = next(&mut reader, &mut batches), if !is_others_turn => match next {
                    None => return Err(End::ShuttingDown),
                    Some(Err(error)) => return Err(End::Read(error)),
                    Some(Ok(next)) => self.deliver(next, &mut reader).await?,
                },
                () = &mut closing => return Err(End::ShuttingDown),
                received = self.read.read_buf(self.incoming.buffer()) => {
                    self.received(received)?;
                }
                () = &mut timer => {
                    self.meet(&mut dues).await?;
                    timer.as_mut().reset(dues.next(self.pong_due));
                }
                () = std::future::ready(()), if is_others_turn => {}
            }
            // What came in now, or during a write.
            if !self.incoming.is_empty() {
                let announced = batches.borrow().next_seq();
                self.deliver_up_to_now(&mut reader, announced).await?;
                self.answer().await?;
            }
        }
    }

    /// Sends what is in the log but has not been announced, unless the subscriber is further
    /// behind: so that an update acts on what is committed after it came, and only on that.
    async fn deliver_up_to_now(&mut self, reader: &mut Reader, announced: u64) -> Result<(), End> {
        while (announced..).contains(&reader.position()) && !reader.is_at_tip() {
            match reader.next().await {
                None => return Err(End::ShuttingDown),
                Some(run) => {
                    let run = run.map_err(End::Read)?;
                    self.deliver(Next::Run(run), reader).await?;
                }
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, next: Next, reader: &mut Reader) -> Result<(), End> {
        match next {
            Next::Run(run) => {
                let settings = Arc::clone(&self.settings);
                let load = self.encoding.loader(self.takes_all());
                reader.read_ahead(move |run| {
                    let mut selection = Selection::default();
                    selection.select(run, &settings.filter);
                    if !selection.is_empty() {
                        load(run.block());
                    }
                });
                self.send(&run, run.indexes().start).await?;
                if reader.is_at_tip() {
                    self.flush().await?;
                }
            }
            Next::Batch { batch, position } => {
                self.send_batch(&batch, position).await?;
                self.observe_delay();
            }
        }
        Ok(())
    }

    /// Does what is due by now.
    async fn meet(&mut self, dues: &mut Dues) -> Result<(), End> {
        let now = Instant::now();
        if self.pong_due.is_some_and(|due| due <= now) {
            return Err(End::PongTimeout);
        }
        if dues.ping <= now {
            self.ping().await?;
            dues.ping = Instant::now() + self.options.ping_interval;
        }
        if let Some((every, due)) = &mut dues.progress
            && *due <= now
        {
            self.notice("progress").await?;
            *due = Instant::now() + *every;
        }
        Ok(())
    }

    /// Waits for the first valid settings.
    async fn hello(&mut self) -> Result<(), End> {
        let mut ping = Instant::now() + self.options.ping_interval;
        loop {
            let closing = self.closing.clone();
            tokio::select! {
                biased;
                () = closing.cancelled() => return Err(End::ShuttingDown),
                received = self.read.read_buf(self.incoming.buffer()) => self.received(received)?,
                () = sleep_until(self.pong_due.unwrap_or(ping)), if self.pong_due.is_some() => {
                    return Err(End::PongTimeout);
                }
                () = sleep_until(ping) => {
                    self.ping().await?;
                    ping = Instant::now() + self.options.ping_interval;
                }
            }
            if self.answer().await? {
                return Ok(());
            }
        }
    }

    /// Sends the events of a batch from a position on, and writes them with one call if possible.
    async fn send_batch(&mut self, batch: &Batch, position: u64) -> Result<(), End> {
        if batch.begins_at(position)
            && self.out.is_empty()
            && let Some(messages) = self.shared_messages(batch)
        {
            self.pace(messages.events).await?;
            self.metrics
                .events_delivered
                .increment(messages.events as u64);
            self.metrics
                .bytes_delivered
                .increment(messages.payload as u64);
            let written = write_some(&mut self.write, &messages.bytes).await?;
            self.out.extend_from_slice(&messages.bytes[written..]);
            self.pass(batch.runs().last());
        } else {
            for run in batch.runs() {
                let start = position.saturating_sub(run.block().first_seq()) as usize;
                self.send(run, start.max(run.indexes().start)).await?;
            }
        }
        self.flush().await
    }

    /// The messages of a batch that can go out as they are, if this subscriber wants them all.
    fn shared_messages(&self, batch: &Batch) -> Option<Messages> {
        if self.takes_all() {
            self.encoding.shared_messages(batch)
        } else {
            None
        }
    }

    /// Whether every event is wanted.
    fn takes_all(&self) -> bool {
        self.settings.filter.is_empty() && self.settings.max_message_size == 0
    }

    /// Takes the events of a run that the subscriber wants, from an index of the block on, and
    /// writes them in as few writes as the buffer allows. The last are left in the buffer.
    async fn send(&mut self, run: &Run, start: usize) -> Result<(), End> {
        self.selection.select(run, &self.settings.filter);
        self.selection.skip_to(start);
        if !self.selection.is_empty() {
            self.pace(self.selection.len()).await?;
            let limit = self.settings.max_message_size as usize;
            let (length, end) = (run.block().len(), run.indexes().end);
            let batches = if self.takes_all() {
                self.encoding.batches_of(run.block()).await?
            } else {
                None
            };
            let mut singles = None;
            let (mut events, mut bytes) = (0, 0);
            while let Some(index) = self.selection.next() {
                let batch = batches
                    .as_ref()
                    .and_then(|batches| Some((batches, batch_end(index, length, end)?)));
                let (page, at, next) = match batch {
                    Some((batches, next)) => (batches, index / BATCH, next),
                    None => {
                        if singles.is_none() {
                            singles = Some(self.encoding.events(run.block()).await?);
                        }
                        let Some(events) = &singles else { continue };
                        (events, index, index + 1)
                    }
                };
                let Some(payload) = page.get(at) else {
                    continue;
                };
                self.selection.skip_to(next);
                self.borrow_buffer();
                if let Some(size) = self.encoding.write(payload, limit, &mut self.out) {
                    events += (next - index) as u64;
                    bytes += size as u64;
                }
                if self.out.len() + self.encoding.pending() >= WRITE_BYTES {
                    self.flush().await?;
                }
            }
            self.metrics.events_delivered.increment(events);
            self.metrics.bytes_delivered.increment(bytes);
        }
        self.pass(Some(run));
        Ok(())
    }

    /// Notes that a run has been dealt with.
    fn pass(&mut self, run: Option<&Run>) {
        if let Some(time) = run.and_then(|run| run.block().times().last()) {
            self.time_us = *time;
        }
    }

    /// Acts on the messages that have come in, and says whether there were new settings among them.
    async fn answer(&mut self) -> Result<bool, End> {
        let mut is_updated = false;
        while let Some(message) = self.incoming.next().map_err(End::Incoming)? {
            match message {
                Message::Close(code) => return Err(End::ClosedByClient(code)),
                Message::Ping(payload) => {
                    write_frame(Opcode::Pong, &payload, &mut self.out);
                    self.flush().await?;
                }
                Message::Pong | Message::Binary => {}
                Message::Text(text) => match parse_update(&text, &self.options) {
                    Ok(Some(settings)) => {
                        self.settings = Arc::new(settings);
                        is_updated = true;
                    }
                    Ok(None) => debug!("a message of an unknown type was ignored"),
                    Err(error) => return Err(End::Update(error.to_string())),
                },
            }
        }
        Ok(is_updated)
    }

    fn received(&mut self, received: io::Result<usize>) -> Result<(), End> {
        match received {
            Ok(0) => Err(End::Disconnected),
            Ok(_) => {
                self.pong_due = None;
                Ok(())
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        write_frame(Opcode::Ping, &[], &mut self.out);
        self.flush().await?;
        // Of several pings without an answer, the first counts.
        let due = Instant::now() + self.options.pong_timeout;
        self.pong_due.get_or_insert(due);
        Ok(())
    }

    /// Tells where the stream is, in a message that only those get who asked for it.
    async fn notice(&mut self, kind: &str) -> Result<(), End> {
        let notice = format!(r#"{{"kind":"{kind}","time_us":{}}}"#, self.time_us);
        self.encoding.write_notice(&notice, &mut self.out)?;
        self.flush().await
    }

    /// Writes what is in the buffer.
    async fn flush(&mut self) -> Result<(), End> {
        let size = self.encoding.finish(&mut self.out)?;
        self.metrics.bytes_delivered.increment(size as u64);
        self.written += write_some(&mut self.write, &self.out[self.written..]).await?;
        while self.written < self.out.len() {
            self.wait_and_write().await?;
        }
        self.write.flush().await.map_err(End::Io)?;
        self.return_buffer();
        Ok(())
    }

    /// Waits until the socket takes something. Meanwhile the subscriber's own bytes are taken in,
    /// so that neither side waits for the other; they are acted on afterwards.
    async fn wait_and_write(&mut self) -> Result<(), End> {
        let deadline = Instant::now() + self.options.write_timeout;
        let closing = self.closing.clone();
        let (mut closing, mut timer) = (pin!(closing.cancelled()), pin!(sleep_until(deadline)));
        loop {
            let takes_in = self.incoming.buffer().len() <= self.options.max_message_bytes;
            tokio::select! {
                biased;
                wrote = self.write.write(&self.out[self.written..]) => match wrote {
                    Ok(0) => return Err(End::Disconnected),
                    Ok(count) => {
                        self.written += count;
                        return Ok(());
                    }
                    Err(error) => return Err(End::Io(error)),
                },
                received = self.read.read_buf(self.incoming.buffer()), if takes_in => {
                    self.received(received)?;
                }
                () = &mut closing => return Err(End::ShuttingDown),
                () = &mut timer => return Err(End::WriteTimeout),
            }
        }
    }

    /// Makes sure of a buffer, one that this thread has used before if there is one.
    fn borrow_buffer(&mut self) {
        if self.out.capacity() == 0 {
            self.out = SPARE.take();
        }
    }

    /// Gives the buffer away for others to use, so that an idle subscriber has none.
    fn return_buffer(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        self.written = 0;
        // One large event must not keep its room for ever.
        if (1..=2 * WRITE_BYTES).contains(&out.capacity()) {
            out.clear();
            SPARE.set(out);
        }
    }

    /// How long after its arrival an event went into the socket, for a part of them: to look at
    /// the clock each time would cost more than it tells.
    fn observe_delay(&mut self) {
        self.deliveries = self.deliveries.wrapping_add(1);
        if !self.deliveries.is_multiple_of(OBSERVED) {
            return;
        }
        let delay = micros(SystemTime::now()).saturating_sub(self.time_us);
        self.metrics
            .delivery_delay
            .record(Duration::from_micros(delay));
    }

    /// Waits until the subscriber's address may have so many more events.
    async fn pace(&mut self, events: usize) -> Result<(), End> {
        let (Some(share), Some(rate)) = (&self.share, self.options.max_events_per_address) else {
            return Ok(());
        };
        let now = Instant::now();
        let wait = share.take(events, rate, now.into_std());
        if wait.is_zero() {
            return Ok(());
        }
        self.flush().await?;
        tokio::select! {
            () = self.closing.cancelled() => Err(End::ShuttingDown),
            () = sleep_until(now + wait) => Ok(()),
        }
    }
}

/// When a subscriber is to be sent what is not events.
struct Dues {
    ping: Instant,
    /// If it was asked for, with its interval.
    progress: Option<(Duration, Instant)>,
}

impl Dues {
    fn new(ping_interval: Duration, progress: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            ping: now + ping_interval,
            progress: progress.map(|every| (every, now + every)),
        }
    }

    /// When to look again, if a pong may be due as well.
    fn next(&self, pong: Option<Instant>) -> Instant {
        let progress = self.progress.map(|(_, due)| due);
        [pong, progress]
            .into_iter()
            .flatten()
            .fold(self.ping, Instant::min)
    }
}

/// What a subscriber is to be sent next.
enum Next {
    /// The events of a batch from a position on.
    Batch { batch: Arc<Batch>, position: u64 },
    /// Events of the log, while it is behind.
    Run(Run),
}

/// What comes next for a subscriber, waiting for it if there is none; `None` when the log has
/// ended. It is safe to drop the future and call again.
async fn next(
    reader: &mut Reader,
    batches: &mut watch::Receiver<Arc<Batch>>,
) -> Option<Result<Next, ReadError>> {
    loop {
        let position = reader.position();
        let batch = Arc::clone(&batches.borrow_and_update());
        if batch.covers(position) {
            reader.skip_to(batch.next_seq());
            return Some(Ok(Next::Batch { batch, position }));
        }
        // What comes after the batch is announced in time.
        if position < batch.next_seq() || batches.changed().await.is_err() {
            return Some(reader.next().await?.map(Next::Run));
        }
    }
}

/// Writes as much as the socket takes now, which is nearly always all.
async fn write_some(socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<usize, End> {
    let mut written = 0;
    while written < bytes.len() {
        // To wait is the caller's business, who has other things to wait for as well.
        let write = |context: &mut Context<'_>| {
            Poll::Ready(Pin::new(&mut *socket).poll_write(context, &bytes[written..]))
        };
        match poll_fn(write).await {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Err(End::Disconnected),
            Poll::Ready(Ok(count)) => written += count,
            Poll::Ready(Err(error)) => return Err(End::Io(error)),
        }
    }
    Ok(written)
}

/// How a connection ended.
#[derive(Debug, Error)]
pub(crate) enum End {
    #[error("closed by the client with code {0:?}")]
    ClosedByClient(Option<u16>),
    #[error("the client went away")]
    Disconnected,
    #[error(transparent)]
    Encode(EncodeError),
    #[error("bad bytes from the client: {0}")]
    Incoming(IncomingError),
    #[error("the socket failed: {0}")]
    Io(io::Error),
    #[error("no pong in time")]
    PongTimeout,
    #[error("no events to be had: {0}")]
    Read(ReadError),
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("bad settings from the client: {0}")]
    Update(String),
    #[error("the socket took no bytes in time")]
    WriteTimeout,
}

impl From<EncodeError> for End {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<RecodeError> for End {
    fn from(error: RecodeError) -> Self {
        match error {
            RecodeError::Encode(error) => Self::Encode(error),
            RecodeError::Read(error) => Self::Read(error),
        }
    }
}

impl End {
    /// A short name for a counter's label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::ClosedByClient(_) => "closed_by_client",
            Self::Disconnected => "disconnected",
            Self::Encode(_) => "encode_error",
            Self::Incoming(IncomingError::TooBig { .. }) => "message_too_big",
            Self::Incoming(_) => "protocol_error",
            Self::Io(_) => "io_error",
            Self::PongTimeout => "pong_timeout",
            Self::Read(ReadError::Lost { .. }) => "too_slow",
            Self::Read(_) => "read_error",
            Self::ShuttingDown => "shutting_down",
            Self::Update(_) => "bad_update",
            Self::WriteTimeout => "write_timeout",
        }
    }

    /// What the client is told, if the socket may still carry it.
    fn close_frame(&self) -> Option<(CloseCode, String)> {
        Some(match self {
            Self::ClosedByClient(_) => (CloseCode::Normal, String::new()),
            Self::Disconnected | Self::Io(_) => return None,
            Self::Incoming(error) => {
                let code = match error {
                    IncomingError::TooBig { .. } => CloseCode::TooBig,
                    IncomingError::Utf8 => CloseCode::InvalidPayload,
                    _ => CloseCode::Protocol,
                };
                (code, error.to_string())
            }
            Self::Encode(error) => (CloseCode::Internal, error.to_string()),
            Self::PongTimeout => (CloseCode::Policy, "no pong in time".to_owned()),
            Self::Read(ReadError::Lost { .. }) => (
                CloseCode::Policy,
                "consumer too slow: its position is no longer kept".to_owned(),
            ),
            Self::Read(error) => (CloseCode::Internal, error.to_string()),
            Self::ShuttingDown => (CloseCode::GoingAway, "server shutting down".to_owned()),
            Self::Update(reason) => (CloseCode::Normal, reason.clone()),
            Self::WriteTimeout => (CloseCode::Policy, "the socket took no bytes".to_owned()),
        })
    }
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

thread_local! {
    /// A buffer that nobody uses now.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much is collected for one write.
const WRITE_BYTES: usize = 32 * 1024;
/// One turn in so many is for what is not events.
const OTHERS_TURN: u32 = 16;
/// One delivery in so many has its delay measured.
const OBSERVED: u32 = 64;
/// How long a closing handshake may take.
const GOODBYE: Duration = Duration::from_secs(2);
