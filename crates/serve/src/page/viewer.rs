use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use jetwash::{ReadError, Seq};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::page::board::{Board, SeatOfViewer};
use crate::page::tail::{Tail, push_message};
use crate::page::wish::Wish;

/// One connection to the stream.
///
/// The next piece is made when the socket has taken the one before: a viewer that takes nothing costs
/// nothing, and its tail passes over what came meanwhile.
pub(crate) struct Viewer {
    board: Arc<Board>,
    _seat: SeatOfViewer,
    tail: Tail,
    /// To see when the log is closed.
    tip: watch::Receiver<Seq>,
    next_look: Instant,
    next_status: Instant,
    /// How many samples it has had.
    samples: u64,
    ends_at: Instant,
    is_first: bool,
}

impl Viewer {
    pub(crate) async fn new(
        board: Arc<Board>,
        seat: SeatOfViewer,
        wish: Wish,
    ) -> Result<Self, ReadError> {
        let rate = board.options.max_tail_rate;
        let now = Instant::now();
        let samples = board.history().taken();
        Ok(Self {
            tail: Tail::start(&board.jetstream, wish, rate).await?,
            tip: board.jetstream.store().tip(),
            next_look: now,
            next_status: now,
            samples,
            ends_at: now + board.options.stream_time,
            is_first: true,
            _seat: seat,
            board,
        })
    }

    pub(crate) fn into_body(self) -> Body {
        let pieces = stream::unfold(self, |mut viewer| async move {
            let piece = viewer.next().await?;
            Some((Ok::<_, Infallible>(Bytes::from(piece)), viewer))
        });
        Body::from_stream(pieces)
    }

    /// Returns the next piece of the stream; `None` when the viewer is to connect again, or the log
    /// has been closed.
    async fn next(&mut self) -> Option<String> {
        let mut piece = String::new();
        if std::mem::take(&mut self.is_first) {
            piece.push_str(RETRY);
        }
        loop {
            if self.tip.has_changed().is_err() || self.ends_at <= Instant::now() {
                return None;
            }
            sleep_until(self.next_look).await;
            let now = Instant::now();
            self.next_look = now + LOOK_EVERY;
            self.tail.read(&self.board.jetstream, &mut piece).await;
            if self.next_status <= now {
                self.next_status = now + STATUS_EVERY;
                self.push_samples(&mut piece);
                let status = self.board.status().await;
                push_message(&mut piece, self.tail.last(), "status", &status);
            }
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }

    fn push_samples(&mut self, piece: &mut String) {
        let history = self.board.history();
        for sample in history.since(self.samples) {
            if let Ok(json) = serde_json::to_string(sample) {
                push_message(piece, self.tail.last(), "sample", &json);
            }
        }
        self.samples = history.taken();
    }
}

/// How often the log is looked at for a viewer.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// How many milliseconds a browser waits until it connects again.
const RETRY: &str = "retry: 1000\n\n";
