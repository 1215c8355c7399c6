use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Bytes, HttpBody};
use hyper::body::Frame;
use thiserror::Error;

use crate::events::pipe::{Pipe, Step};

/// The body of an answer that a subscriber writes.
pub(crate) struct EventsBody(Arc<Pipe>);

/// The answer ends before its end.
#[derive(Clone, Copy, Debug, Error)]
#[error("the answer is cut off")]
pub(crate) struct CutOff;

impl EventsBody {
    pub(crate) const fn new(pipe: Arc<Pipe>) -> Self {
        Self(pipe)
    }
}

impl HttpBody for EventsBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        Poll::Ready(match ready!(self.0.poll_step(context)) {
            Step::Piece(piece) => Some(Ok(Frame::data(piece))),
            Step::End => None,
            Step::Cut => Some(Err(CutOff)),
        })
    }
}

impl Drop for EventsBody {
    fn drop(&mut self) {
        self.0.leave();
    }
}
