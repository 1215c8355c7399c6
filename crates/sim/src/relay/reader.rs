use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::timeout;

use super::history::Start;
use super::state::Feed;
use crate::frames;

/// Sends frames to one reader until it leaves, falls behind, or the relay stops.
pub(crate) async fn read(feed: Arc<Feed>, socket: WebSocket, cursor: Option<u64>) {
    let (sink, stream) = socket.split();
    // Under one lock, so that the first frame is still kept when the reader starts to count.
    let (start, seq, number) = {
        let mut history = feed.history();
        let start = history.start(cursor);
        let seq = match start {
            Start::At(seq) | Start::Outdated(seq) => seq,
            Start::Future => u64::MAX,
        };
        (start, seq, history.add_reader(seq))
    };
    feed.progress.notify_one();
    let mut reader = Reader {
        feed: &feed,
        sink,
        stream,
        number,
        seq,
    };
    if start == Start::Future {
        let message = "Cursor in the future.";
        return reader.fail("FutureCursor", message).await;
    }
    if start != Start::At(seq) {
        let message = "Requested cursor exceeded limit. Possibly missing events";
        let info = frames::info("OutdatedCursor", message);
        if reader.send(vec![info.into()]).await.is_err() {
            return;
        }
    }
    match reader.run().await {
        Ended::Gone => {}
        Ended::Slow => {
            let message = "Stream consumer too slow";
            reader.fail("ConsumerTooSlow", message).await;
        }
        Ended::Stopping => reader.close(close_code::AWAY, "").await,
    }
}

struct Reader<'r> {
    feed: &'r Feed,
    sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
    number: u64,
    seq: u64,
}

/// Why a reader's stream ends.
enum Ended {
    Gone,
    Slow,
    Stopping,
}

const PING_AFTER: Duration = Duration::from_secs(30);

/// Long enough for a client that still reads; others are not waited for.
const FAREWELL: Duration = Duration::from_secs(1);

impl Reader<'_> {
    async fn run(&mut self) -> Ended {
        let mut head = self.feed.head.subscribe();
        let mut stopping = self.feed.stopping.clone();
        loop {
            head.mark_unchanged();
            let frames = self.feed.history().read(self.seq);
            let Ok(frames) = frames else {
                return Ended::Slow;
            };
            if *stopping.borrow() {
                return Ended::Stopping;
            }
            if !frames.is_empty() {
                let count = frames.len() as u64;
                if let Err(ended) = self.send(frames).await {
                    return ended;
                }
                self.seq += count;
                self.feed.history().move_reader(self.number, self.seq);
                self.feed.progress.notify_one();
                // Reading is what answers pings and notices that the reader has left.
                match self.stream.next().now_or_never() {
                    Some(Some(Ok(_))) | None => continue,
                    Some(Some(Err(_)) | None) => return Ended::Gone,
                }
            }
            tokio::select! {
                _ = head.changed() => {}
                _ = stopping.changed() => return Ended::Stopping,
                message = self.stream.next() => match message {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Ended::Gone,
                },
                () = tokio::time::sleep(PING_AFTER) => {
                    if self.sink.send(Message::Ping(Bytes::new())).await.is_err() {
                        return Ended::Gone;
                    }
                }
            }
        }
    }

    async fn send(&mut self, frames: Vec<Bytes>) -> Result<(), Ended> {
        let sending = async {
            for frame in frames {
                self.sink.feed(Message::Binary(frame)).await?;
            }
            self.sink.flush().await
        };
        match timeout(self.feed.send_timeout, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Slow),
        }
    }

    async fn fail(mut self, error: &str, message: &str) {
        // Nothing waits any more for where it is.
        self.feed.history().remove_reader(self.number);
        self.feed.progress.notify_one();
        let frame = frames::error(error, message);
        let sending = self.sink.send(Message::Binary(frame.into()));
        if let Ok(Ok(())) = timeout(FAREWELL, sending).await {
            self.close(close_code::POLICY, error).await;
        }
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let reason = reason.into();
        let close = Message::Close(Some(CloseFrame { code, reason }));
        let _ = timeout(FAREWELL, self.sink.send(close)).await;
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.feed.history().remove_reader(self.number);
        self.feed.progress.notify_one();
    }
}
