use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::ingest::check::Checked;

/// The frames that wait for a key, by account: what follows of an account waits behind them, and
/// the other accounts do not.
pub(super) struct Lanes {
    lanes: HashMap<u64, Lane>,
    /// When each lane was begun, the oldest first.
    begun: BTreeSet<(Instant, u64)>,
    frames: usize,
    bytes: usize,
    max_bytes: usize,
    hold_for: Duration,
    /// The number of the next lane.
    next: u64,
}

struct Lane {
    /// Tells it from an earlier one of the same account.
    number: u64,
    begun: Instant,
    frames: VecDeque<Held>,
}

/// A frame that waits, or waits behind one that does.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) source: Arc<str>,
    pub(crate) frame: Bytes,
    /// The number that the source has for it, if that is not its own.
    pub(crate) number: Option<u64>,
    /// `None` if there is nothing to check.
    pub(crate) checked: Option<Checked>,
}

impl Lanes {
    pub(super) fn new(max_bytes: usize, hold_for: Duration) -> Self {
        Self {
            lanes: HashMap::new(),
            begun: BTreeSet::new(),
            frames: 0,
            bytes: 0,
            max_bytes,
            hold_for,
            next: 0,
        }
    }

    pub(super) fn has(&self, account: u64) -> bool {
        self.lanes.contains_key(&account)
    }

    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Whether there is room for a frame of an account.
    pub(super) fn has_room(&self, account: u64, bytes: usize) -> bool {
        let of_account = self.lanes.get(&account).map_or(0, |lane| lane.frames.len());
        of_account < FRAMES_OF_ACCOUNT
            && self.frames < FRAMES
            && self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// Holds a frame, behind those of its account.
    pub(super) fn hold(&mut self, account: u64, held: Held, now: Instant) {
        self.frames += 1;
        self.bytes += held.frame.len();
        let lane = self.lanes.entry(account).or_insert_with(|| {
            self.begun.insert((now, account));
            self.next += 1;
            Lane {
                number: self.next,
                begun: now,
                frames: VecDeque::new(),
            }
        });
        lane.frames.push_back(held);
    }

    /// The number that the next lane to begin will have.
    pub(super) const fn next_number(&self) -> u64 {
        self.next + 1
    }

    /// Whether the lane of an account is the one of that number.
    pub(super) fn is_current(&self, account: u64, number: u64) -> bool {
        self.lanes
            .get(&account)
            .is_some_and(|lane| lane.number == number)
    }

    /// Takes all that is held of an account.
    pub(super) fn take(&mut self, account: u64) -> VecDeque<Held> {
        let Some(lane) = self.lanes.remove(&account) else {
            return VecDeque::new();
        };
        self.begun.remove(&(lane.begun, account));
        self.frames -= lane.frames.len();
        self.bytes -= lane
            .frames
            .iter()
            .map(|held| held.frame.len())
            .sum::<usize>();
        lane.frames
    }

    /// When the oldest has waited long enough.
    pub(super) fn due(&self) -> Option<Instant> {
        let (begun, _) = self.begun.first()?;
        Some(*begun + self.hold_for)
    }

    /// The account whose frames have waited longest, if that is long enough.
    pub(super) fn overdue(&self, now: Instant) -> Option<u64> {
        let (begun, account) = self.begun.first()?;
        (*begun + self.hold_for <= now).then_some(*account)
    }

    pub(super) fn any(&self) -> Option<u64> {
        self.lanes.keys().next().copied()
    }
}

/// The most frames that are held, for the memory that each takes beside its bytes.
const FRAMES: usize = 8_192;
/// The most of one account.
const FRAMES_OF_ACCOUNT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn held(bytes: usize) -> Held {
        Held {
            source: "a".into(),
            frame: vec![0; bytes].into(),
            number: None,
            checked: None,
        }
    }

    #[test]
    fn the_number_and_the_bytes_of_frames_are_bounded() {
        let now = Instant::now();
        let mut lanes = Lanes::new(1_000, Duration::from_secs(1));
        assert!(lanes.has_room(1, 1_000) && !lanes.has_room(1, 1_001));
        lanes.hold(1, held(600), now);
        assert!(!lanes.has_room(2, 401));
        for _ in 1..FRAMES_OF_ACCOUNT {
            lanes.hold(1, held(1), now);
        }
        assert!(!lanes.has_room(1, 1) && lanes.has_room(2, 1));
        assert_eq!(lanes.take(1).len(), FRAMES_OF_ACCOUNT);
        assert!(lanes.has_room(1, 1_000) && lanes.due().is_none());
        for account in 0..FRAMES as u64 {
            lanes.hold(account, held(0), now);
        }
        assert!(!lanes.has_room(9_999, 0));
    }

    #[test]
    fn those_that_wait_longest_are_overdue_first() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut lanes = Lanes::new(1_000, Duration::from_secs(10));
        lanes.hold(2, held(1), later(1));
        lanes.hold(1, held(1), later(0));
        lanes.hold(1, held(1), later(5));
        assert_eq!(lanes.due(), Some(later(10)));
        assert_eq!(lanes.overdue(later(9)), None);
        // At the moment that is due, or the writer would wake for nothing until it has passed.
        assert_eq!(lanes.overdue(later(10)), Some(1));
        assert_eq!(lanes.take(1).len(), 2);
        assert_eq!(lanes.overdue(later(11)), Some(2));
    }

    #[test]
    fn an_answer_that_comes_late_is_not_for_the_lane_begun_since() {
        let now = Instant::now();
        let mut lanes = Lanes::new(1_000, Duration::from_secs(1));
        let first = lanes.next_number();
        lanes.hold(1, held(1), now);
        assert!(lanes.is_current(1, first));
        lanes.take(1);
        assert!(!lanes.is_current(1, first));
        let second = lanes.next_number();
        lanes.hold(1, held(1), now);
        assert!(!lanes.is_current(1, first) && lanes.is_current(1, second));
    }
}
