use jetwash_event::Filter;
use jetwash_store::Seq;
use tokio::sync::{mpsc, oneshot, watch};

use crate::ingest::dictionaries::Rotation;
use crate::ingest::intake::Arrival;

/// Everything that the writer is asked.
pub(crate) struct Inbox {
    pub(super) arrivals: mpsc::Receiver<Arrival>,
    pub(super) rotations: mpsc::Receiver<Rotation>,
    pub(super) questions: mpsc::Receiver<Question>,
    /// The ingest filter, for the sources that ask others to apply it.
    pub(super) filter: watch::Sender<Filter>,
}

/// A question for the position from which on frames are judged by all that has changed until now.
#[derive(Debug)]
pub(crate) struct Question {
    /// The ingest filter to judge by from there on; `None` for the one that there is.
    pub(crate) filter: Option<Filter>,
    pub(crate) answer: oneshot::Sender<Seq>,
}

impl Inbox {
    pub(crate) fn new(
        arrivals: mpsc::Receiver<Arrival>,
        rotations: mpsc::Receiver<Rotation>,
        (questions, filter): (mpsc::Receiver<Question>, watch::Sender<Filter>),
    ) -> Self {
        Self {
            arrivals,
            rotations,
            questions,
            filter,
        }
    }
}
