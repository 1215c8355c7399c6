use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use jetwash::KeptFrame;
use metrics::gauge;
use tokio::time::{Instant, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{debug, info, warn};

use crate::connections::Connection;
use crate::counts::OUTDATED;
use crate::end::End;
use crate::frames;
use crate::shared::Shared;
use crate::source::{FrameSourceError, FrameStream};

/// A reader that has been let in, with its share of what is limited.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) opened: Opened,
    /// For the log; `None` if it is unknown or hidden.
    pub(crate) address: Option<IpAddr>,
    pub(crate) token: TaskTrackerToken,
}

/// The answer to a reader's cursor.
pub(crate) enum Opened {
    Frames {
        frames: FrameStream,
        /// Whether they start later than the reader asked for.
        is_outdated: bool,
    },
    /// The cursor is above the newest frame.
    Future { newest: u64 },
}

impl Opened {
    pub(crate) const fn frames(frames: FrameStream, is_outdated: bool) -> Self {
        Self::Frames {
            frames,
            is_outdated,
        }
    }
}

impl Reader {
    /// Sends frames until the reader leaves, has to leave, or the source ends.
    pub(crate) async fn serve(self, shared: &Shared, socket: WebSocket) {
        let Self {
            connection,
            opened,
            address,
            token,
        } = self;
        let _counted = Counted::new();
        let (sink, mut stream) = socket.split();
        let mut output = Output { shared, sink };
        let heard = AtomicBool::new(false);
        // Frames are written and messages are read at the same time: reading is what answers pings
        // and notices that the reader has left, even while its socket takes nothing.
        let end = tokio::select! {
            biased;
            () = shared.closing.cancelled() => End::Stopping,
            end = receive(&mut stream, &heard, shared.options.max_message_bytes) => end,
            end = output.send_all(opened, &heard) => end,
        };
        shared.counters.ended(&end);
        let reason = end.reason();
        match &end {
            End::Gone | End::Stopping => debug!(?address, reason, "a reader has left"),
            _ => info!(?address, reason, "a reader is closed"),
        }
        output.finish(&end).await;
        if end.close().is_some() {
            drain(&mut stream).await;
        }
        drop((output, stream, connection, token));
    }
}

/// Reads what the reader sends, which the protocol says is to be ignored, until it must not continue.
async fn receive(stream: &mut SplitStream<WebSocket>, heard: &AtomicBool, most: usize) -> End {
    let (mut since, mut messages) = (Instant::now(), 0);
    while let Some(Ok(message)) = stream.next().await {
        heard.store(true, Ordering::Relaxed);
        let length = match message {
            Message::Close(_) => return End::Gone,
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        };
        if length > most {
            return End::TooLarge;
        }
        if since.elapsed() > FLOOD_WINDOW {
            (since, messages) = (Instant::now(), 0);
        }
        messages += 1;
        if messages > MOST_MESSAGES {
            return End::Flooding;
        }
    }
    End::Gone
}

/// Reads until the client has closed too. A socket that is closed with unread bytes is reset, and
/// then the client may not see what was sent last.
async fn drain(stream: &mut SplitStream<WebSocket>) {
    let draining = async { while let Some(Ok(_)) = stream.next().await {} };
    let _ = timeout(FAREWELL, draining).await;
}

/// The sending half of a reader's socket.
struct Output<'s> {
    shared: &'s Shared,
    sink: SplitSink<WebSocket, Message>,
}

impl Output<'_> {
    async fn send_all(&mut self, opened: Opened, heard: &AtomicBool) -> End {
        let sent = match opened {
            Opened::Frames {
                frames,
                is_outdated,
            } => self.send_frames(frames, is_outdated, heard).await,
            Opened::Future { newest } => Err(End::FutureCursor(format!(
                "Cursor in the future: the last is {newest}"
            ))),
        };
        sent.err().unwrap_or(End::Stopping)
    }

    async fn send_frames(
        &mut self,
        mut frames: FrameStream,
        mut is_outdated: bool,
        heard: &AtomicBool,
    ) -> Result<(), End> {
        if is_outdated {
            self.send_outdated().await?;
        }
        let (mut has_sent, mut pinged) = (false, None);
        loop {
            let interval = self.shared.options.ping_interval;
            let Ok(next) = timeout(interval, frames.next()).await else {
                self.ping(&mut pinged, heard).await?;
                continue;
            };
            match next {
                None => return Ok(()),
                Some(Ok(kept)) => {
                    has_sent |= !kept.is_empty();
                    pinged = None;
                    self.send(kept).await?;
                }
                // The ring moved on between the look at its bounds and the first read.
                Some(Err(FrameSourceError::Lost { from, oldest }))
                    if !has_sent && oldest >= from =>
                {
                    if !is_outdated {
                        is_outdated = true;
                        self.shared.counters.cursor(OUTDATED);
                        self.send_outdated().await?;
                    }
                }
                Some(Err(error)) => return Err(end_of(&error)),
            }
        }
    }

    async fn send_outdated(&mut self) -> Result<(), End> {
        let message = "Requested cursor exceeded limit. Possibly missing events";
        let info = frames::info("OutdatedCursor", message);
        self.feed(Message::Binary(info.into())).await?;
        self.flush().await
    }

    async fn send(&mut self, kept: Vec<KeptFrame>) -> Result<(), End> {
        let (mut frames, mut bytes) = (0, 0);
        let mut outcome = Ok(());
        for frame in kept {
            let length = frame.bytes.len() as u64;
            outcome = self.feed(Message::Binary(frame.bytes)).await;
            if outcome.is_err() {
                break;
            }
            (frames, bytes) = (frames + 1, bytes + length);
        }
        self.shared.counters.sent(frames, bytes);
        outcome?;
        self.flush().await
    }

    /// Sends a ping, unless an earlier one is still unanswered after its time.
    async fn ping(&mut self, pinged: &mut Option<Instant>, heard: &AtomicBool) -> Result<(), End> {
        if heard.swap(false, Ordering::Relaxed) {
            *pinged = None;
        }
        let timeout = self.shared.options.pong_timeout;
        if pinged.is_some_and(|since| since.elapsed() >= timeout) {
            return Err(End::Silent);
        }
        pinged.get_or_insert_with(Instant::now);
        self.feed(Message::Ping(Bytes::new())).await?;
        self.flush().await
    }

    async fn feed(&mut self, message: Message) -> Result<(), End> {
        let within = self.shared.options.write_timeout;
        match timeout(within, self.sink.feed(message)).await {
            Ok(fed) => fed.map_err(|_| End::Gone),
            Err(_) => Err(stuck(within)),
        }
    }

    async fn flush(&mut self) -> Result<(), End> {
        let within = self.shared.options.write_timeout;
        match timeout(within, self.sink.flush()).await {
            Ok(flushed) => flushed.map_err(|_| End::Gone),
            Err(_) => Err(stuck(within)),
        }
    }

    /// Sends the error frame and closes the websocket. A client that does not listen is not waited
    /// for long.
    async fn finish(&mut self, end: &End) {
        let finishing = async {
            if let Some((name, message)) = end.error() {
                let error = frames::error(name, message);
                self.sink.send(Message::Binary(error.into())).await?;
            }
            match end.close() {
                Some((code, reason)) => {
                    let reason = reason.into();
                    let close = Message::Close(Some(CloseFrame { code, reason }));
                    self.sink.send(close).await
                }
                // Answers the client's close, if that is how it left.
                None => self.sink.close().await,
            }
        };
        let _ = timeout(FAREWELL, finishing).await;
    }
}

fn end_of(error: &FrameSourceError) -> End {
    match error {
        FrameSourceError::Lost { from, oldest } if oldest < from => {
            End::FutureCursor(format!("the source has begun to count anew, at {oldest}"))
        }
        FrameSourceError::Lost { .. } => End::TooSlow(error.to_string()),
        FrameSourceError::Failed(_) => {
            warn!(
                error = error as &dyn std::error::Error,
                "a reader cannot be served"
            );
            End::Failed
        }
    }
}

fn stuck(within: Duration) -> End {
    End::TooSlow(format!(
        "no frame was taken within {} s",
        within.as_secs_f32()
    ))
}

/// Counts a reader in the gauge until it is dropped.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!("jetwash_firehose_readers").increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!("jetwash_firehose_readers").decrement(1);
    }
}

/// Long enough for a client that still reads; others are not waited for.
const FAREWELL: Duration = Duration::from_secs(1);
/// The messages that a reader may send in a time. It has no reason to send more than pongs.
const MOST_MESSAGES: u32 = 1000;
const FLOOD_WINDOW: Duration = Duration::from_secs(60);
