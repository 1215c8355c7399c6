use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::http::open::Open;
use crate::http::serving::HttpLimits;
use crate::memory::{Account, NOTEWORTHY, Purpose};

/// A connection's socket, which tells its [`Clock`] when a request begins.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: TcpStream,
    open: Open,
    clock: Arc<Clock>,
    account: Account,
    /// How much has come of a request's head.
    head: usize,
}

/// How far a connection is with its request, and since when.
#[derive(Debug)]
pub(crate) struct Clock {
    limits: Arc<HttpLimits>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    since: Instant,
    /// Whether something of a request has come, and nothing been written since.
    is_unanswered: bool,
    /// When the server was told to stop.
    stopped: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has come of a request.
    Idle,
    /// Its head is awaited.
    Head,
    /// Its body is awaited, or it is being answered.
    Request,
    /// The answer is there, but not all of it has been taken.
    Answered,
}

impl Guarded {
    pub(crate) const fn new(
        stream: TcpStream,
        open: Open,
        clock: Arc<Clock>,
        account: Account,
    ) -> Self {
        Self {
            stream,
            open,
            clock,
            account,
            head: 0,
        }
    }

    /// Tells the account about a head, if it is more than next to nothing. If it is too much, the
    /// connection's task learns that by itself.
    fn account_for_head(&mut self, head: usize) {
        if head.max(self.head) >= NOTEWORTHY {
            let noted = if head < NOTEWORTHY { 0 } else { head };
            let _ = self.account.set(Purpose::Incoming, noted);
        }
        self.head = head;
    }

    /// What tells the connection's task that it has to end.
    pub(crate) const fn ending(&self) -> &CancellationToken {
        self.account.ending()
    }

    /// The socket, if part of a request has come, and nothing been written since.
    pub(crate) fn unanswered(&mut self) -> Option<&mut TcpStream> {
        self.clock.lock().is_unanswered.then_some(&mut self.stream)
    }

    /// The socket itself, and what counts it.
    pub(crate) fn into_parts(self) -> (TcpStream, Open) {
        (self.stream, self.open)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let count = buffer.filled().len() - before;
        if count > 0 {
            let is_head = self.clock.received();
            let head = if is_head { self.head + count } else { 0 };
            self.account_for_head(head);
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.clock.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.clock.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.clock.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Clock {
    /// For a connection that has just been opened, and has to say something.
    pub(crate) fn new(limits: Arc<HttpLimits>) -> Self {
        let state = State {
            stage: Stage::Head,
            since: Instant::now(),
            is_unanswered: false,
            stopped: None,
        };
        Self {
            limits,
            state: Mutex::new(state),
        }
    }

    /// When the connection has to have gone on.
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
        };
        let due = since.checked_add(patience).unwrap_or_else(|| since + AGES);
        stopped.map_or(due, |stopped| due.min(stopped + goodbye))
    }

    /// What takes too long, as a short name for a counter's label.
    pub(crate) fn overdue(&self) -> Option<&'static str> {
        let is_overdue = self.due() <= Instant::now();
        is_overdue.then(|| match self.lock().stage {
            Stage::Idle => "idle",
            Stage::Head => "head",
            Stage::Request | Stage::Answered => "request",
        })
    }

    /// A request's head is complete.
    pub(crate) fn begin(&self) {
        self.set(Stage::Request);
    }

    /// The request has been answered.
    pub(crate) fn end(&self) {
        self.lock().stage = Stage::Answered;
    }

    pub(crate) fn stop(&self) {
        self.lock().stopped = Some(Instant::now());
    }

    /// Something has come from the client. Says whether it belongs to a head.
    fn received(&self) -> bool {
        let mut state = self.lock();
        if state.stage == Stage::Idle {
            (state.stage, state.since) = (Stage::Head, Instant::now());
        }
        let is_head = state.stage == Stage::Head;
        state.is_unanswered |= is_head;
        is_head
    }

    /// Something may have been written of an answer.
    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if written.is_ready() {
            self.lock().is_unanswered = false;
        }
    }

    /// Nothing is left that the client could take.
    fn flushed(&self) {
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

/// How long connections without a request may stay when the server stops.
const LINGER: Duration = Duration::from_secs(1);
/// How long a request may then still take.
const GOODBYE: Duration = Duration::from_secs(5);
/// For a timeout that no clock can hold.
const AGES: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
