use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::http::clock::Clock;
use crate::http::open::Open;
use crate::memory::{Account, NOTEWORTHY, Purpose};

/// A connection's socket, which tells its [`Clock`] when a request begins.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: TcpStream,
    open: Open,
    clock: Arc<Clock>,
    account: Account,
    /// The bytes of a request's head that have arrived.
    head: usize,
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

    /// Tells the account about a head of a noteworthy size. If that is too much, the account
    /// cancels [`ending`](Self::ending).
    fn account_for_head(&mut self, head: usize) {
        if head.max(self.head) >= NOTEWORTHY {
            let noted = if head < NOTEWORTHY { 0 } else { head };
            let _ = self.account.set(Purpose::Incoming, noted);
        }
        self.head = head;
    }

    /// Is cancelled when the connection's task has to end.
    pub(crate) const fn ending(&self) -> &CancellationToken {
        self.account.ending()
    }

    /// The socket, if part of a request has arrived and nothing has been written since.
    pub(crate) fn unanswered(&mut self) -> Option<&mut TcpStream> {
        self.clock.is_unanswered().then_some(&mut self.stream)
    }

    /// Has the connection reset when this is dropped: the kernel does not keep bytes that the client
    /// has not taken.
    pub(crate) fn reset_on_drop(&self) {
        if let Err(error) = self.stream.set_zero_linger() {
            debug!(%error, "a client that takes nothing may not see its end");
        }
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
