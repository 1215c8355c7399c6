//! A small relay: the frames of another one, kept and sent on byte for byte, beside a Jetstream.
//!
//! ```text
//! cargo run --release -p relay                  # of a simulated network, in memory
//! cargo run --release -p relay -- --relay relay1.us-east.bsky.network --data-dir ./relay
//! ```
//!
//! Two streams come from one connection to the upstream relay:
//!
//! - `/xrpc/com.atproto.sync.subscribeRepos?cursor=` sends the frames as they came, signatures and
//!   proofs and all, so that those who read it need not trust us;
//! - `/subscribe` sends what they say as JSON, as a Jetstream does.
//!
//! The frames come from a ring that the [`Jetstream`] keeps on disk
//! ([`keep_frames`](jetwash::JetstreamBuilder::keep_frames)). A reader is a position in it, so that
//! slow readers cost no memory: one that falls out of the ring is told so and closed. Sequence
//! numbers are those of upstream, so that its readers can change over with the cursor they have.

mod frames;

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::extract::{Query, State, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use jetwash::{FrameStart, FrameSubscription, FramesError, Jetstream};
use tokio::time::timeout;
use tracing::{info, warn};

/// The route of `com.atproto.sync.subscribeRepos`, with the frames of one source of a Jetstream.
///
/// Without a cursor there are the frames to come. With one there are those from it on, itself
/// included, as the specification says: a client passes over what it has. Behind a cursor older
/// than what is kept, `#info` `OutdatedCursor` comes first; to one of the future the answer is the
/// error `FutureCursor`.
pub fn router(jetstream: Jetstream, source: impl Into<String>) -> Router {
    let source = source.into();
    Router::new()
        .route("/xrpc/com.atproto.sync.subscribeRepos", get(subscribe))
        .with_state(Relay { jetstream, source })
}

#[derive(Clone, Debug)]
struct Relay {
    jetstream: Jetstream,
    source: String,
}

async fn subscribe(
    State(relay): State<Relay>,
    Query(parameters): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let cursor = parameters.get("cursor").map(|cursor| cursor.parse());
    let Ok(cursor) = cursor.transpose() else {
        let body = r#"{"error":"InvalidRequest","message":"cursor must be a number from 0 up"}"#;
        return (StatusCode::BAD_REQUEST, body).into_response();
    };
    // Where it starts is settled before it is told that it is connected.
    let frames = relay.open(cursor);
    upgrade.on_upgrade(move |socket| serve(frames, socket))
}

/// Sends frames until the reader leaves or is left.
async fn serve(frames: Result<Opened, Ended>, socket: WebSocket) {
    let (sink, mut incoming) = socket.split();
    let mut reader = Reader { sink };
    // Reading is what answers pings and notices that the reader has gone.
    let leaving = async { while let Some(Ok(_)) = incoming.next().await {} };
    tokio::select! {
        ended = reader.send_all(frames) => match ended {
            Ended::Gone => {}
            Ended::Stopping => reader.close(close_code::AWAY, "").await,
            Ended::Error(name, message) => {
                info!(name, "a reader is closed");
                if reader.send([frames::error(name, &message)]).await.is_ok() {
                    reader.close(close_code::POLICY, name).await;
                }
            }
        },
        () = leaving => {}
    }
}

/// The frames that a reader is to get.
struct Opened {
    frames: FrameSubscription,
    /// Whether they start later than the reader asked for.
    is_outdated: bool,
}

/// Why a reader gets no more frames.
enum Ended {
    Error(&'static str, String),
    Gone,
    Stopping,
}

impl Relay {
    fn open(&self, cursor: Option<u64>) -> Result<Opened, Ended> {
        let (start, is_outdated) = match cursor {
            None => (FrameStart::Live, false),
            Some(cursor) => self.start(cursor)?,
        };
        let frames = self.jetstream.kept_frames(&self.source, start)?;
        Ok(Opened {
            frames,
            is_outdated,
        })
    }

    /// Where a reader starts that has a cursor, and whether that is later than it asked for.
    fn start(&self, cursor: u64) -> Result<(FrameStart, bool), Ended> {
        let bounds = self.jetstream.store().frame_bounds(&self.source);
        let (oldest, next) = bounds.map_or((1, 1), |kept| (kept.oldest_seq, kept.next_seq));
        if cursor >= next {
            let message = format!("Cursor in the future: the last is {}", next - 1);
            return Err(Ended::Error("FutureCursor", message));
        }
        if cursor >= oldest {
            return Ok((FrameStart::Seq(cursor), false));
        }
        // 0 asks for all there is, and a reader that has the frame before the oldest misses none.
        let is_outdated = cursor > 0 && cursor + 1 < oldest;
        Ok((FrameStart::Oldest, is_outdated))
    }
}

impl From<FramesError> for Ended {
    fn from(error: FramesError) -> Self {
        if matches!(error, FramesError::Lost { .. }) {
            return Self::Error("ConsumerTooSlow", error.to_string());
        }
        warn!("frames cannot be read: {error}");
        Self::Error("InternalServerError", "frames cannot be read".to_owned())
    }
}

/// The sending half of a socket.
struct Reader {
    sink: SplitSink<WebSocket, Message>,
}

impl Reader {
    async fn send_all(&mut self, opened: Result<Opened, Ended>) -> Ended {
        match self.try_send_all(opened).await {
            Err(ended) => ended,
            Ok(()) => Ended::Stopping,
        }
    }

    async fn try_send_all(&mut self, opened: Result<Opened, Ended>) -> Result<(), Ended> {
        let Opened {
            mut frames,
            is_outdated,
        } = opened?;
        if is_outdated {
            let message = "Requested cursor exceeded limit. Possibly missing events";
            self.send([frames::info("OutdatedCursor", message)]).await?;
        }
        while let Some(kept) = frames.next().await {
            let messages = kept?.into_iter();
            self.send(messages.map(|frame| Message::Binary(frame.bytes)))
                .await?;
        }
        Ok(())
    }

    /// Sends some messages; a reader that does not take them in time counts as gone.
    async fn send(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Ended> {
        let sending = async {
            for message in messages {
                self.sink.feed(message).await?;
            }
            self.sink.flush().await
        };
        match timeout(PATIENCE, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended::Gone),
        }
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        let reason = reason.into();
        let close = Message::Close(Some(CloseFrame { code, reason }));
        // It need not be told, if it does not listen.
        let _ = timeout(FAREWELL, self.sink.send(close)).await;
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const FAREWELL: Duration = Duration::from_secs(1);

/// The examples of the guide, which have to run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/relay-builder.md")]
struct Guide;
