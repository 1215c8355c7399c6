use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::clock::Clock;
use crate::memory::{Account, Purpose};
use crate::subscriber::socket::{Piece, Socket};

/// Bytes on their way from a subscriber's task to the body of its answer.
///
/// It holds little: what HTTP has been handed and has not written counts too, so a client that takes
/// nothing is noticed as if its socket were here.
pub(crate) struct Pipe {
    state: Mutex<State>,
    account: Arc<Account>,
    /// The clock of the connection, if this crate serves it.
    clock: Option<Arc<Clock>>,
}

#[derive(Default)]
struct State {
    /// The bytes that HTTP has not been handed.
    pieces: VecDeque<Bytes>,
    /// The bytes, and their pieces, that HTTP has not written.
    bytes: usize,
    count: usize,
    /// Those of them that HTTP has been handed.
    handed: usize,
    end: Option<Ending>,
    /// Whether the client has gone.
    is_gone: bool,
    /// Whether the account knows of the bytes.
    is_counted: bool,
    writer: Option<Waker>,
    watcher: Option<Waker>,
    body: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The answer is whole.
    Whole,
    /// The answer is cut off after the last byte.
    Cut,
    /// The answer is cut off at once.
    Reset,
}

/// The next step of a body.
pub(crate) enum Step {
    Piece(Bytes),
    End,
    /// The answer is cut off.
    Cut,
}

impl Pipe {
    pub(crate) fn new(account: Arc<Account>, clock: Option<Arc<Clock>>) -> Arc<Self> {
        if let Some(clock) = &clock {
            clock.stream();
        }
        Arc::new(Self {
            state: Mutex::default(),
            account,
            clock,
        })
    }

    /// The two halves of a subscriber's socket.
    pub(crate) fn halves(self: &Arc<Self>) -> (Watcher, Writer) {
        (Watcher(Arc::clone(self)), Writer(Arc::clone(self)))
    }

    /// Takes the next piece for HTTP.
    pub(crate) fn poll_step(self: &Arc<Self>, context: &mut Context<'_>) -> Poll<Step> {
        let mut state = self.lock();
        if state.end == Some(Ending::Reset) {
            return Poll::Ready(Step::Cut);
        }
        if let Some(piece) = state.pieces.pop_front() {
            state.handed += piece.len();
            let handed = Handed {
                piece,
                pipe: Arc::clone(self),
            };
            return Poll::Ready(Step::Piece(Bytes::from_owner(handed)));
        }
        match state.end {
            Some(Ending::Whole) => Poll::Ready(Step::End),
            // HTTP discards what it has not written when it learns that.
            Some(_) if state.handed == 0 => Poll::Ready(Step::Cut),
            _ => {
                state.body = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Notes that HTTP wants no more.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        // An answer that is whole, and has been handed over, is not one whose client has gone: the
        // pieces are counted until they are written.
        if state.end == Some(Ending::Whole) && state.pieces.is_empty() {
            return;
        }
        state.is_gone = true;
        state.pieces.clear();
        state.wake();
    }

    fn write(&self, context: &Context<'_>, piece: Piece<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if state.is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.is_full() {
            state.is_counted = true;
            // If that is too much, the account ends the subscriber.
            let _ = self.account.set(Purpose::Answer, state.bytes);
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let bytes = match piece {
            Piece::Own(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Shared(bytes) => bytes.clone(),
        };
        let size = bytes.len();
        state.bytes += size;
        state.count += 1;
        state.pieces.push_back(bytes);
        wake(&mut state.body);
        Poll::Ready(Ok(size))
    }

    /// Ends the answer, unless it has been ended.
    fn end(&self, ending: Ending) {
        let mut state = self.lock();
        state.end.get_or_insert(ending);
        wake(&mut state.body);
    }

    /// Notes that HTTP has written a piece, or dropped it.
    fn release(&self, size: usize) {
        let mut state = self.lock();
        debug_assert!(
            state.handed >= size && state.count > 0,
            "pieces are released once"
        );
        state.handed -= size;
        state.bytes -= size;
        state.count -= 1;
        if state.is_counted && !state.is_full() {
            state.is_counted = false;
            let _ = self.account.set(Purpose::Answer, 0);
        }
        wake(&mut state.writer);
        if state.end.is_some() {
            wake(&mut state.body);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES || self.count >= MOST_PIECES
    }

    fn wake(&mut self) {
        for waker in [&mut self.writer, &mut self.watcher, &mut self.body] {
            wake(waker);
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// A piece that HTTP has been handed, until it has been written.
struct Handed {
    piece: Bytes,
    pipe: Arc<Pipe>,
}

impl AsRef<[u8]> for Handed {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.pipe.release(self.piece.len());
    }
}

/// The half of a subscriber's socket that nothing comes from, until the client goes away.
pub(crate) struct Watcher(Arc<Pipe>);

impl AsyncRead for Watcher {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.is_gone {
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker();
        if !state
            .watcher
            .as_ref()
            .is_some_and(|old| old.will_wake(waker))
        {
            state.watcher = Some(waker.clone());
        }
        Poll::Pending
    }
}

/// The half of a subscriber's socket that its messages go to. An answer that is not
/// [shut down](AsyncWrite::poll_shutdown) is cut off.
pub(crate) struct Writer(Arc<Pipe>);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.write(context, Piece::Own(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until HTTP has written everything.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.end(Ending::Whole);
        let mut state = self.0.lock();
        if state.is_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.count == 0 {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Socket for Writer {
    fn reset_on_drop(&self) {
        let mut state = self.0.lock();
        state.end = Some(Ending::Reset);
        // What HTTP has been handed is released by HTTP.
        let pieces = std::mem::take(&mut state.pieces);
        state.count -= pieces.len();
        state.bytes -= pieces.iter().map(Bytes::len).sum::<usize>();
        if let Some(clock) = &self.0.clock {
            clock.reset();
        }
        wake(&mut state.body);
    }

    fn poll_write_piece(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        piece: Piece<'_>,
    ) -> Poll<io::Result<usize>> {
        self.0.write(context, piece)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.end(Ending::Cut);
    }
}

/// From here on nothing is taken: then there are two writes at most, or one large event.
const MOST_BYTES: usize = 64 << 10;
/// HTTP takes 16 at once, and has to learn of an end behind the last.
const MOST_PIECES: usize = 12;
