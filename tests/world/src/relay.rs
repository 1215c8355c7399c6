//! Relays that follow the network, each with numbers of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt, StreamExt};
use jetwash_cbor::CborWriter;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::chance::Chance;
use crate::trace::Trace;
use crate::truth::{TruthFrame, renumber};

/// A relay; its clones are the same.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) name: &'static str,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<usize>>,
    trace: Trace,
}

struct State {
    chance: Chance,
    /// Its history: the number of each frame, and its place in the truth.
    frames: Vec<(u64, usize, Vec<u8>)>,
    next_seq: u64,
    is_down: bool,
    repeats: bool,
    /// How often it has begun to count anew.
    renumbered: u32,
    /// The number at which the first client joined, without a cursor.
    joined: Option<u64>,
}

impl Relay {
    pub(crate) fn new(name: &'static str, seed: u64, first_seq: u64, trace: Trace) -> Self {
        let state = State {
            chance: Chance::of(seed, name),
            frames: Vec::new(),
            next_seq: first_seq,
            is_down: false,
            repeats: false,
            renumbered: 0,
            joined: None,
        };
        Self {
            name,
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(watch::channel(0).0),
            trace,
        }
    }

    pub(crate) fn publish(&self, place: usize, frame: &TruthFrame) {
        let mut state = self.state();
        let seq = state.next_seq;
        state.next_seq += 1;
        state.frames.push((seq, place, renumber(&frame.bytes, seq)));
        drop(state);
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    pub(crate) fn is_down(&self) -> bool {
        self.state().is_down
    }

    pub(crate) fn set_repeats(&self, repeats: bool) {
        self.state().repeats = repeats;
    }

    /// Has it forget its history and count from 1.
    pub(crate) fn count_anew(&self) {
        let mut state = self.state();
        state.frames.clear();
        state.next_seq = 1;
        state.renumbered += 1;
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.state().joined.is_some()
    }

    pub(crate) fn has_renumbered(&self) -> bool {
        self.state().renumbered > 0
    }

    /// The places of what came after the first client joined, with numbers up to `cursor`.
    pub(crate) fn sent_up_to(&self, cursor: u64) -> Vec<usize> {
        let state = self.state();
        let Some(joined) = state.joined else {
            return Vec::new();
        };
        let sent = state.frames.iter();
        let sent = sent.filter(|(seq, ..)| (joined..=cursor).contains(seq));
        sent.map(|(_, place, _)| *place).collect()
    }

    /// Serves one client, as far as the connection lasts.
    pub(crate) async fn serve(self, stream: DuplexStream) {
        let mut query = String::new();
        #[allow(clippy::result_large_err, reason = "the signature is the library's")]
        let look = |request: &Request, response: Response| {
            query = request.uri().query().unwrap_or_default().to_owned();
            Ok(response)
        };
        let Ok(mut socket) = accept_hdr_async(stream, look).await else {
            return;
        };
        let cursor = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("cursor="));
        let cursor: Option<u64> = cursor.map(|text| text.parse().unwrap());
        self.trace
            .note(format!("{}: a client with cursor {cursor:?}", self.name));
        let epoch = self.state().renumbered;
        let Some(mut next) = self.start(cursor) else {
            let error = Message::Binary(future_cursor().into());
            let _ = socket.send(error).await;
            let _ = socket.close(None).await;
            return;
        };
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            while let Some(frames) = self.take(&mut next, epoch) {
                for frame in frames {
                    if socket.send(Message::Binary(frame.into())).await.is_err() {
                        return;
                    }
                }
            }
            if self.state().renumbered != epoch || self.is_down() {
                return;
            }
            tokio::select! {
                biased;
                _ = changed.changed() => {}
                message = socket.next() => {
                    if !matches!(message, Some(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    /// The number to begin with; `None` if the cursor is ahead of all.
    fn start(&self, cursor: Option<u64>) -> Option<u64> {
        let mut state = self.state();
        let Some(cursor) = cursor else {
            let next = state.next_seq;
            state.joined.get_or_insert(next);
            return Some(next);
        };
        (cursor < state.next_seq).then_some(cursor + 1)
    }

    /// The next frame, and now and then the last ones before it once more.
    fn take(&self, next: &mut u64, epoch: u32) -> Option<Vec<Vec<u8>>> {
        let mut state = self.state();
        if state.renumbered != epoch || state.is_down {
            return None;
        }
        let first = state.frames.first()?.0;
        let index = next.saturating_sub(first) as usize;
        let (seq, ..) = *state.frames.get(index)?;
        *next = seq + 1;
        let is_repeated = state.repeats && state.chance.percent(5);
        let back = if is_repeated {
            state.chance.between(1, 4) as usize
        } else {
            0
        };
        let frames = &state.frames[index.saturating_sub(back)..=index];
        Some(frames.iter().map(|(.., bytes)| bytes.clone()).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error frame of the event stream specification.
fn future_cursor() -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(1);
    writer.text("op").integer(-1);
    writer.map(2);
    writer.text("error").text("FutureCursor");
    writer.text("message").text("Cursor in the future.");
    writer.into_bytes()
}
