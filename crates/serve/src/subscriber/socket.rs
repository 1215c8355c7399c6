use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, WriteHalf};
use tokio::net::tcp::OwnedWriteHalf;
use tracing::debug;

/// A subscriber's way out, as far as the server can tell what is below it.
pub(crate) trait Socket: AsyncWrite + Unpin + Send + 'static {
    /// Has the connection end at once when it is dropped, whatever the subscriber has not taken:
    /// that is thrown away, and the subscriber finds the connection reset as soon as it reads.
    /// Otherwise the kernel keeps it all for as long as the subscriber likes.
    fn reset_on_drop(&self);
}

impl Socket for OwnedWriteHalf {
    fn reset_on_drop(&self) {
        if let Err(error) = self.as_ref().set_zero_linger() {
            debug!(%error, "a subscriber that takes nothing may not see its end");
        }
    }
}

/// The connection is of a sort that another application brought: its end is left to that.
impl Socket for WriteHalf<TokioIo<Upgraded>> {
    fn reset_on_drop(&self) {}
}
