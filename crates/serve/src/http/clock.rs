use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::limits::HttpLimits;

/// The stage of a connection's request, and since when it has been there.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: Arc<HttpLimits>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    since: Instant,
    /// Whether part of a request has arrived and nothing has been written since.
    is_unanswered: bool,
    /// The time when the server was told to stop.
    stopped: Option<Instant>,
    /// Whether bytes that the client has not taken are to be discarded at the end.
    is_reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No part of a request has arrived.
    Idle,
    /// Its head is awaited.
    Head,
    /// Its body is awaited, or it is being answered.
    Request,
    /// It is being answered for as long as the client likes.
    Streaming,
    /// The answer is there, but not all of it has been taken.
    Answered,
}

impl Clock {
    /// Starts with the head of the first request.
    pub(crate) fn new(limits: Arc<HttpLimits>) -> Self {
        let state = State {
            stage: Stage::Head,
            since: Instant::now(),
            is_unanswered: false,
            stopped: None,
            is_reset: false,
        };
        Self {
            limits,
            state: Mutex::new(state),
        }
    }

    /// The time by which the connection has to reach its next stage.
    pub(crate) fn due(&self) -> Instant {
        let State {
            stage,
            since,
            stopped,
            ..
        } = *self.lock();
        let (patience, goodbye) = match stage {
            Stage::Idle => (self.limits.idle_timeout, LINGER),
            Stage::Head => (self.limits.head_timeout, LINGER),
            Stage::Request | Stage::Answered => (self.limits.request_timeout, GOODBYE),
            // A client that takes nothing is the streamer's to notice.
            Stage::Streaming => (AGES, GOODBYE),
        };
        let due = since.checked_add(patience).unwrap_or_else(|| since + AGES);
        stopped.map_or(due, |stopped| due.min(stopped + goodbye))
    }

    /// Returns the stage that takes too long, as a label of a counter.
    pub(crate) fn overdue(&self) -> Option<&'static str> {
        let is_overdue = self.due() <= Instant::now();
        is_overdue.then(|| match self.lock().stage {
            Stage::Idle => "idle",
            Stage::Head => "head",
            Stage::Request | Stage::Streaming | Stage::Answered => "request",
        })
    }

    /// Notes that a request's head is complete.
    pub(crate) fn begin(&self) {
        self.set(Stage::Request);
    }

    /// Notes that the answer has no end in sight.
    pub(crate) fn stream(&self) {
        self.set(Stage::Streaming);
    }

    /// Notes that the router has answered the request.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        if state.stage == Stage::Streaming {
            state.since = Instant::now();
        }
        state.stage = Stage::Answered;
    }

    /// Notes that bytes which the client has not taken are to be discarded at the end.
    pub(crate) fn reset(&self) {
        self.lock().is_reset = true;
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.lock().is_reset
    }

    /// Notes that the server has been told to stop.
    pub(crate) fn stop(&self) {
        self.lock().stopped = Some(Instant::now());
    }

    /// Whether part of a request has arrived and nothing has been written since.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.lock().is_unanswered
    }

    /// Notes bytes from the client. Returns whether they belong to a head.
    pub(crate) fn received(&self) -> bool {
        let mut state = self.lock();
        if state.stage == Stage::Idle {
            (state.stage, state.since) = (Stage::Head, Instant::now());
        }
        let is_head = state.stage == Stage::Head;
        state.is_unanswered |= is_head;
        is_head
    }

    /// Notes that some of an answer may have been written.
    pub(crate) fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if written.is_ready() {
            self.lock().is_unanswered = false;
        }
    }

    /// Notes that the client has taken everything.
    pub(crate) fn flushed(&self) {
        let mut state = self.lock();
        if state.stage == Stage::Answered {
            (state.stage, state.since) = (Stage::Idle, Instant::now());
        }
    }

    fn set(&self, stage: Stage) {
        let mut state = self.lock();
        (state.stage, state.since) = (stage, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time that connections without a request have when the server stops.
const LINGER: Duration = Duration::from_secs(1);
/// The time that a request then has.
const GOODBYE: Duration = Duration::from_secs(5);
/// For a timeout that no clock can hold.
const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
