use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, WriteHalf};
use tokio::net::tcp::OwnedWriteHalf;
use tracing::debug;

/// The half of a socket that a subscriber's messages go to.
pub(crate) trait Socket: AsyncWrite + Unpin + Send + 'static {
    /// Makes the connection end at once when it is dropped: bytes that the subscriber has not taken
    /// are discarded, and it finds the connection reset as soon as it reads. Otherwise the kernel
    /// keeps those bytes for as long as the subscriber likes.
    fn reset_on_drop(&self);

    /// Writes a piece, or part of it. A socket that keeps bytes for a while can keep shared ones
    /// without a copy.
    fn poll_write_piece(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        piece: Piece<'_>,
    ) -> Poll<io::Result<usize>> {
        self.poll_write(context, piece.bytes())
    }
}

/// Bytes to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    /// Those of one subscriber alone.
    Own(&'a [u8]),
    /// The same for many subscribers.
    Shared(&'a Bytes),
}

impl<'a> Piece<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Socket for OwnedWriteHalf {
    fn reset_on_drop(&self) {
        if let Err(error) = self.as_ref().set_zero_linger() {
            debug!(%error, "a subscriber that takes nothing may not see its end");
        }
    }
}

/// A connection of another application, such as TLS: its end is left to that.
impl Socket for WriteHalf<TokioIo<Upgraded>> {
    fn reset_on_drop(&self) {}
}
