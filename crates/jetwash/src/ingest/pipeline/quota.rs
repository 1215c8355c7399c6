/// Limits how often something is noted in a minute.
#[derive(Debug)]
pub(super) struct Quota {
    since_us: u64,
    taken: u32,
    limit: u32,
}

impl Quota {
    pub(super) const fn new(limit: u32) -> Self {
        Self {
            since_us: 0,
            taken: 0,
            limit,
        }
    }

    pub(super) fn take(&mut self, now_us: u64) -> bool {
        if now_us.abs_diff(self.since_us) >= MINUTE_US {
            (self.since_us, self.taken) = (now_us, 0);
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

const MINUTE_US: u64 = 60_000_000;
