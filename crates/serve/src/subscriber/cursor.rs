use std::time::{Duration, SystemTime};

use jetwash::store::Bounds;
use jetwash::{Cursor, Micros, Seq, StartFrom};

/// From where to where the log had events when a query came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) oldest_seq: Seq,
    pub(crate) next_seq: Seq,
    pub(crate) oldest_time_us: Option<Micros>,
    pub(crate) newest_time_us: Option<Micros>,
}

impl Extent {
    /// The place behind the last event that there was.
    pub(crate) fn end(&self) -> StartFrom {
        StartFrom::Cursor(Cursor::before(self.next_seq))
    }
}

impl From<Bounds> for Extent {
    fn from(bounds: Bounds) -> Self {
        Self {
            oldest_seq: bounds.oldest_seq,
            next_seq: bounds.next_seq,
            oldest_time_us: bounds.oldest_time_us,
            newest_time_us: bounds.newest_time_us,
        }
    }
}

/// Reads a cursor of version 1; `None` if it is not a number.
///
/// Cursors are times in microseconds. Seconds and milliseconds are taken for what they are: no
/// time that a log can hold is so small in microseconds.
pub(crate) fn cursor_of_v1(text: &str, now: SystemTime) -> Option<StartFrom> {
    if text.is_empty() {
        return Some(StartFrom::Live);
    }
    let number: i64 = text.parse().ok()?;
    let time = match u64::try_from(number) {
        Err(_) | Ok(0) => return Some(StartFrom::Oldest),
        Ok(number) => SystemTime::UNIX_EPOCH + since_1970(number),
    };
    Some(if time > now {
        StartFrom::Live
    } else {
        StartFrom::Time(time)
    })
}

/// The time that a number stands for in version 1, whatever its unit.
pub(crate) const fn since_1970(number: u64) -> Duration {
    match number {
        ..SECONDS => Duration::from_micros(number),
        SECONDS..MILLISECONDS => Duration::from_secs(number),
        MILLISECONDS..MICROSECONDS => Duration::from_millis(number),
        MICROSECONDS.. => Duration::from_micros(number),
    }
}

/// Reads a cursor of a subscriber to version 1 that gets positions: as in version 2, a small one is
/// a position. If the log no longer has it, the subscriber begins with the oldest event.
pub(crate) fn cursor_or_seq(text: &str, log: Extent, now: SystemTime) -> Option<StartFrom> {
    let seq = text.parse().ok().filter(|number| *number < LEAST_TIME);
    match seq.map(Seq::new) {
        Some(seq) if seq < Seq::FIRST => Some(StartFrom::Oldest),
        // Not the next one: it may come before the subscriber has its place.
        Some(seq) if seq > log.next_seq => Some(StartFrom::Live),
        Some(seq) => Some(StartFrom::Cursor(Cursor::before(seq))),
        None => cursor_of_v1(text, now),
    }
}

/// In version 2, a cursor from here on is a time in microseconds, and one before it a position.
pub(crate) const LEAST_TIME: u64 = 1_000_000_000_000_000;
/// March 1973 in seconds, and as much in milliseconds and microseconds.
const SECONDS: u64 = 100_000_000;
const MILLISECONDS: u64 = SECONDS * 1_000;
const MICROSECONDS: u64 = SECONDS * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_behind_the_next_event_is_one_of_the_future() {
        let log = Extent {
            oldest_seq: Seq::new(3),
            next_seq: Seq::new(8),
            oldest_time_us: None,
            newest_time_us: None,
        };
        let start = |text| cursor_or_seq(text, log, SystemTime::UNIX_EPOCH);
        let before = |seq| Some(StartFrom::Cursor(Cursor::before(Seq::new(seq))));
        assert_eq!(start("0"), Some(StartFrom::Oldest));
        assert_eq!(start("7"), before(7));
        assert_eq!(start("8"), before(8));
        assert_eq!(start("9"), Some(StartFrom::Live));
    }
}
