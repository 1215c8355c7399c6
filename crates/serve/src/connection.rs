use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetwash::store::Run;
use jetwash::{Dictionary, Jetstream, ReadError, Selection, StartFrom};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::encoding::Encoding;
use crate::limits::Share;
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::query::Query;
use crate::settings::Settings;
use crate::update::parse_update;
use crate::websocket::{
    CloseCode, Incoming, IncomingError, Message, Opcode, write_close, write_frame,
};

/// One subscriber: a socket, and a position in the log.
///
/// There is no queue. What the subscriber has not taken stays in the log; only as much as goes
/// into one write is held here.
pub(crate) struct Connection<IO> {
    read: ReadHalf<IO>,
    write: WriteHalf<IO>,
    incoming: Incoming,
    /// What is to be written, and how much of it has been.
    out: Vec<u8>,
    written: usize,
    options: Arc<ServeOptions>,
    metrics: Arc<Metrics>,
    share: Option<Share>,
    closing: CancellationToken,
    settings: Settings,
    encoding: Encoding,
    selection: Selection,
    /// The time of the last event passed, sent or not: where the subscriber would resume.
    time_us: u64,
    /// When the subscriber has to have been heard from, if it was pinged since it last was.
    pong_due: Option<Instant>,
}

impl<IO: AsyncRead + AsyncWrite> Connection<IO> {
    pub(crate) fn new(
        io: IO,
        query: &Query,
        dictionary: Option<&Dictionary>,
        share: Option<Share>,
        options: Arc<ServeOptions>,
        metrics: Arc<Metrics>,
        closing: CancellationToken,
    ) -> Self {
        let (read, write) = tokio::io::split(io);
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
            settings: query.settings.clone(),
            encoding: Encoding::new(query.format, dictionary),
            selection: Selection::default(),
            time_us: 0,
            pong_due: None,
        }
    }

    /// Serves until either side ends it, and says goodbye where the socket still allows it.
    pub(crate) async fn run(mut self, jetstream: Jetstream, query: Query) -> End {
        let end = match self.serve(jetstream, &query).await {
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
        jetstream: Jetstream,
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
        let mut announce_tip = query.caught_up && query.start != StartFrom::Live;
        let mut resume = Instant::now();
        let mut ping = Instant::now() + self.options.ping_interval;
        let mut progress = query.progress.map(|every| Instant::now() + every);
        loop {
            if announce_tip && reader.is_at_tip() {
                announce_tip = false;
                self.notice("caughtUp").await?;
            }
            let closing = self.closing.clone();
            let next = async {
                sleep_until(resume).await;
                reader.next().await
            };
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
                () = sleep_until(progress.unwrap_or(ping)), if progress.is_some() => {
                    self.notice("progress").await?;
                    progress = query.progress.map(|every| Instant::now() + every);
                }
                run = next => match run {
                    None => return Err(End::ShuttingDown),
                    Some(Err(error)) => return Err(End::Read(error)),
                    Some(Ok(run)) => {
                        self.send(&run).await?;
                        if reader.is_at_tip() {
                            self.flush().await?;
                            self.observe_delay();
                            resume = Instant::now() + self.options.max_delay;
                        }
                    }
                },
            }
            self.answer().await?;
        }
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

    /// Writes the events of a run that the subscriber wants, in as few writes as the buffer allows.
    async fn send(&mut self, run: &Run) -> Result<(), End> {
        let block = run.block();
        self.selection.select(run, &self.settings.filter);
        if !self.selection.is_empty() {
            self.pace(self.selection.len()).await?;
            let page = self.encoding.page(block).await.map_err(End::Read)?;
            let limit = self.settings.max_message_size as usize;
            let (mut events, mut bytes) = (0, 0);
            while let Some(index) = self.selection.next() {
                let Some(event) = page.events.get(index) else {
                    continue;
                };
                let size = self
                    .encoding
                    .write(page.is_compressed, event, limit, &mut self.out);
                events += u64::from(size > 0);
                bytes += size as u64;
                if self.out.len() >= WRITE_BYTES {
                    self.flush().await?;
                }
            }
            self.metrics.events_delivered.increment(events);
            self.metrics.bytes_delivered.increment(bytes);
        }
        self.time_us = block.times().last().copied().unwrap_or(self.time_us);
        Ok(())
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
                        self.settings = settings;
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
        self.encoding
            .write(false, notice.as_bytes(), 0, &mut self.out);
        self.flush().await
    }

    /// Writes what is in the buffer. Meanwhile the subscriber's own bytes are taken in, so that
    /// neither side waits for the other; they are acted on afterwards.
    async fn flush(&mut self) -> Result<(), End> {
        let mut deadline = Instant::now() + self.options.write_timeout;
        while self.written < self.out.len() {
            let takes_in = self.incoming.buffer().len() <= self.options.max_message_bytes;
            let closing = self.closing.clone();
            tokio::select! {
                biased;
                wrote = self.write.write(&self.out[self.written..]) => match wrote {
                    Ok(0) => return Err(End::Disconnected),
                    Ok(count) => {
                        self.written += count;
                        deadline = Instant::now() + self.options.write_timeout;
                    }
                    Err(error) => return Err(End::Io(error)),
                },
                received = self.read.read_buf(self.incoming.buffer()), if takes_in => {
                    self.received(received)?;
                }
                () = closing.cancelled() => return Err(End::ShuttingDown),
                () = sleep_until(deadline) => return Err(End::WriteTimeout),
            }
        }
        self.write.flush().await.map_err(End::Io)?;
        self.out.clear();
        self.written = 0;
        // One large event must not keep its room for the life of the connection.
        self.out.shrink_to(WRITE_BYTES);
        Ok(())
    }

    /// How long after its arrival the last event went into the socket.
    fn observe_delay(&self) {
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

/// How a connection ended.
#[derive(Debug, Error)]
pub(crate) enum End {
    #[error("closed by the client with code {0:?}")]
    ClosedByClient(Option<u16>),
    #[error("the client went away")]
    Disconnected,
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

impl End {
    /// A short name for a counter's label.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::ClosedByClient(_) => "closed_by_client",
            Self::Disconnected => "disconnected",
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

/// How much is collected for one write.
const WRITE_BYTES: usize = 32 * 1024;
/// How long a closing handshake may take.
const GOODBYE: Duration = Duration::from_secs(2);
