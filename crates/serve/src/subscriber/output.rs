use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::memory::{Account, Purpose};
use crate::subscriber::end::End;
use crate::subscriber::socket::{Piece, Socket};
use crate::websocket::{CloseCode, write_close};

/// A socket, and the bytes that it has not taken yet. It has a buffer only while it needs one.
pub(crate) struct Output<W> {
    socket: W,
    buffer: Vec<u8>,
    /// The bytes of the buffer that have been written.
    written: usize,
    account: Arc<Account>,
    /// The size of the buffer as the account knows it.
    held: usize,
}

impl<W> Output<W> {
    pub(crate) const fn new(socket: W, account: Arc<Account>) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            written: 0,
            account,
            held: 0,
        }
    }

    /// Whether the socket has left something of the last write: part of a message, or all of it.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.written < self.buffer.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Where messages are appended.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Takes the buffer, to be [put back](Self::put_buffer): one that this thread has used before,
    /// if there is no other.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = SPARE.take();
        }
        std::mem::take(&mut self.buffer)
    }

    pub(crate) fn put_buffer(&mut self, buffer: Vec<u8>) {
        debug_assert!(
            self.buffer.is_empty(),
            "nothing is appended while the buffer is away"
        );
        self.buffer = buffer;
    }

    /// Tells the account the size of the buffer. If that is too much, the account ends the
    /// subscriber's task.
    fn account_for_buffer(&mut self) {
        let held = self.buffer.capacity();
        if self.held != held {
            self.held = held;
            let _ = self.account.set(Purpose::Output, held);
        }
    }

    /// Leaves the buffer to others, so that an idle subscriber has none.
    fn return_buffer(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.written = 0;
        if self.held > 0 {
            self.account_for_buffer();
        }
        // One large event must not keep its room for ever.
        if (1..=2 * WRITE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            SPARE.set(buffer);
        }
    }
}

impl<W: AsyncWrite + Unpin> Output<W> {
    /// Writes the buffer as far as the socket takes it now. Returns whether nothing is left.
    pub(crate) fn write_now(&mut self) -> Result<bool, End> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write_to_socket(&buffer[self.written..]);
        self.buffer = buffer;
        self.written += written.map_err(End::Io)?;
        if self.is_stuck() || !self.is_flushed() {
            return Ok(false);
        }
        self.return_buffer();
        Ok(true)
    }

    /// Waits until the socket takes something.
    pub(crate) async fn write_some(&mut self) -> Result<(), End> {
        self.account_for_buffer();
        let Self {
            socket,
            buffer,
            written,
            ..
        } = self;
        if *written == buffer.len() {
            return socket.flush().await.map_err(End::Io);
        }
        let write = |context: &mut Context<'_>| {
            Pin::new(&mut *socket).poll_write(context, &buffer[*written..])
        };
        match poll_fn(write).await {
            Ok(0) => Err(End::Disconnected),
            Ok(count) => {
                *written += count;
                Ok(())
            }
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Sends a close frame after the messages that have begun, and ends the stream.
    pub(crate) async fn close(&mut self, code: CloseCode, reason: &str) -> io::Result<()> {
        write_close(code, reason, &mut self.buffer);
        self.socket.write_all(&self.buffer[self.written..]).await?;
        self.socket.shutdown().await
    }

    /// Writes as much as the socket takes now, which is nearly always everything.
    fn write_to_socket(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut self.socket).poll_write(&mut context, &bytes[written..]) {
                Poll::Ready(Ok(0)) | Poll::Pending => break,
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(written)
    }

    /// Whether no layer of the socket holds bytes back.
    fn is_flushed(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        matches!(
            Pin::new(&mut self.socket).poll_flush(&mut context),
            Poll::Ready(Ok(()))
        )
    }
}

impl<W: Socket> Output<W> {
    /// Writes bytes without the buffer, as far as the socket takes them now, and keeps the rest.
    /// Returns whether the socket has taken everything.
    pub(crate) fn offer(&mut self, piece: Piece<'_>) -> bool {
        debug_assert!(!self.is_stuck(), "bytes would overtake others");
        let bytes = piece.bytes();
        let mut context = Context::from_waker(Waker::noop());
        let first = match bytes {
            [] => Poll::Ready(Ok(0)),
            _ => Pin::new(&mut self.socket).poll_write_piece(&mut context, piece),
        };
        // The task that tries to write the rest meets the error again.
        let written = match first {
            Poll::Ready(Ok(count)) if (1..bytes.len()).contains(&count) => {
                count + self.write_to_socket(&bytes[count..]).unwrap_or_default()
            }
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        if written < bytes.len() {
            self.buffer.extend_from_slice(&bytes[written..]);
            self.account_for_buffer();
        }
        written == bytes.len() && self.is_flushed()
    }

    /// Writes the rest without regard to deadlines, and ends the stream if that `is_whole`.
    pub(crate) async fn finish(&mut self, is_whole: bool) -> io::Result<()> {
        self.socket.write_all(&self.buffer[self.written..]).await?;
        if is_whole {
            self.socket.shutdown().await?;
        }
        Ok(())
    }

    /// Ends the stream, of which everything has been written, and waits until it is taken.
    pub(crate) async fn shut(&mut self) -> io::Result<()> {
        debug_assert!(self.is_empty(), "the stream ends after the last byte");
        self.socket.shutdown().await
    }

    /// See [`Socket::reset_on_drop`].
    pub(crate) fn reset_on_drop(&self) {
        self.socket.reset_on_drop();
    }
}

thread_local! {
    /// A buffer that is not in use.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much is collected for one write.
pub(crate) const WRITE_BYTES: usize = 32 * 1024;
