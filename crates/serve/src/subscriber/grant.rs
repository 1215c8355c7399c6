use std::sync::Arc;

use tokio::time::Instant;

use crate::subscriber::addresses::Share;

/// The events that a subscriber may have now, of those that its address may have.
pub(crate) struct Grant {
    /// `None` if the address is not limited.
    share: Option<Arc<Share>>,
    /// Events that the address has paid for and not got.
    left: usize,
}

impl Grant {
    pub(crate) const fn new(share: Option<Arc<Share>>) -> Self {
        Self { share, left: 0 }
    }

    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// Asks for events to be granted, and returns the time when they are.
    pub(crate) fn request(&mut self, wanted: usize, now: Instant) -> Instant {
        let Some(share) = &self.share else {
            self.left = wanted;
            return now;
        };
        if self.left > 0 {
            return now;
        }
        let (granted, wait) = share.reserve(wanted, now.into_std());
        self.left = granted;
        now + wait
    }

    /// Notes that events are sent. A batch may have more than were granted.
    pub(crate) const fn spend(&mut self, events: usize) {
        self.left = self.left.saturating_sub(events);
    }

    /// Takes what events cost, without a request before, if the address may have them all at once.
    /// Returns whether it may.
    pub(crate) fn take_now(&self, events: usize, now: Instant) -> bool {
        self.share
            .as_ref()
            .is_none_or(|share| share.take_now(events, now.into_std()))
    }
}
