//! The items that pass through a driver.

use std::time::Duration;

use jetwash_store::{Cursor, CursorError, DeadLetterError};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::consumer::ConsumerError;
use crate::consumer::window::Job;
use crate::panic::Panic;
use crate::read::Event;

/// Whether an event is wanted.
pub(in crate::consumer) type Predicate = Box<dyn Fn(&Event) -> bool + Send>;

/// An event on its way.
pub(super) struct Work {
    pub(super) event: Event,
    /// Set for a dead letter that is replayed: the answer says whether it was handled.
    pub(super) replay: Option<oneshot::Sender<bool>>,
    /// Set if the caller's filter panicked, so that it is not known whether the event is wanted.
    pub(super) panicked: Option<Panic>,
}

/// An event that a handler has.
pub(super) struct InHand {
    pub(super) job: Job<Work>,
    pub(super) since: Instant,
    pub(super) abort: AbortHandle,
    /// How often it was said that it is stuck.
    pub(super) reports: u32,
}

/// A finished write to the store.
pub(super) enum Written {
    Cursor(Cursor, Result<(), CursorError>),
    Letter(Box<Job<Work>>, String, Result<(), DeadLetterError>),
}

/// Why it ends.
pub(super) enum Stop {
    Asked,
    Failed(Box<ConsumerError>),
}

/// Between two looks at what is due.
pub(super) const TICK: Duration = Duration::from_millis(100);
