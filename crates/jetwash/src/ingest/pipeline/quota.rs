use std::time::Duration;

use jetwash_event::Micros;

/// Limits how often something is noted in a minute.
#[derive(Debug)]
pub(super) struct Quota {
    since: Micros,
    taken: u32,
    limit: u32,
}

impl Quota {
    pub(super) const fn new(limit: u32) -> Self {
        Self {
            since: Micros::EPOCH,
            taken: 0,
            limit,
        }
    }

    pub(super) fn take(&mut self, now_us: Micros) -> bool {
        if now_us.distance(self.since) >= MINUTE {
            (self.since, self.taken) = (now_us, 0);
        }
        let is_allowed = self.taken < self.limit;
        self.taken += u32::from(is_allowed);
        is_allowed
    }

    /// Whether what was taken last is the first of its minute.
    pub(super) const fn is_first(&self) -> bool {
        self.taken == 1
    }
}

const MINUTE: Duration = Duration::from_secs(60);
