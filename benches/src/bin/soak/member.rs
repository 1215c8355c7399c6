use std::time::{Duration, Instant};

use jetwash_benches::Link;

use crate::check::Check;
use crate::random::Random;
use crate::wish::Wish;

/// One subscriber of the crowd.
pub(crate) struct Member {
    pub(crate) link: Option<Link>,
    pub(crate) is_dialing: bool,
    pub(crate) wish: Wish,
    pub(crate) check: Option<Check>,
    pub(crate) pace: Pace,
    /// Whether there may be something to read.
    pub(crate) is_ready: bool,
    /// When it leaves, and when it reads, connects or changes its filter next.
    pub(crate) leaves: Instant,
    pub(crate) reads: Instant,
    pub(crate) connects: Instant,
    pub(crate) changes: Option<Instant>,
    /// Which server process it is connected to.
    pub(crate) generation: u64,
    pub(crate) failures: u32,
}

/// How fast a subscriber takes what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Normal,
    /// A few kilobytes now and then.
    Slow,
    /// Nothing at all.
    Stuck,
}

impl Member {
    pub(crate) fn new(wish: Wish, now: Instant) -> Self {
        Self {
            link: None,
            is_dialing: false,
            wish,
            check: None,
            pace: Pace::Normal,
            is_ready: false,
            leaves: now,
            reads: now,
            connects: now,
            changes: None,
            generation: 0,
            failures: 0,
        }
    }

    /// Decides how long a new connection is to stay, and how fast it reads.
    pub(crate) fn settle(&mut self, random: &mut Random, now: Instant, stay: Duration) {
        self.pace = match random.below(100) {
            0..6 => Pace::Slow,
            6 => Pace::Stuck,
            _ => Pace::Normal,
        };
        let stay = if self.pace == Pace::Stuck {
            stay * 3
        } else {
            stay
        };
        self.leaves = now + random.around(stay);
        self.reads = now;
        self.is_ready = true;
        let changes = !self.wish.filter.is_v2 && self.pace == Pace::Normal && random.percent(40);
        self.changes = changes.then(|| now + random.around(stay / 3));
    }

    pub(crate) fn receive_buffer(&self) -> Option<usize> {
        (self.pace != Pace::Normal).then_some(16 << 10)
    }
}

/// How often a slow subscriber reads, and how much.
pub(crate) const SLOW_EVERY: Duration = Duration::from_millis(200);
pub(crate) const SLOW_BYTES: usize = 8 << 10;
