use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in microseconds since 1970 in UTC: Jetstream's `time_us`.
///
/// As text and in JSON it is a plain number. Arithmetic stops at both ends instead of wrapping.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use jetwash_event::Micros;
///
/// let time = Micros::new(1_783_175_887_517_000);
/// assert_eq!(time.plus(Duration::from_millis(2)).get(), 1_783_175_887_519_000);
/// assert_eq!(time.next().since(time), Duration::from_micros(1));
/// assert_eq!(Micros::from(UNIX_EPOCH + Duration::from_secs(1)), Micros::new(1_000_000));
/// assert_eq!("1783175887517000".parse(), Ok(time));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(u64);

impl Micros {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    /// The moment that is this many microseconds after the beginning of 1970.
    #[must_use]
    pub const fn new(microseconds: u64) -> Self {
        Self(microseconds)
    }

    /// Returns the microseconds since the beginning of 1970.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the next microsecond.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the moment that is this much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole(duration)))
    }

    /// Returns the moment that is this much earlier, 1970 at the earliest.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole(duration)))
    }

    /// Returns the time that has passed since an earlier moment: zero if that is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Returns the time between this moment and another, whichever is the later one.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
    }
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for Micros {
    /// Rounds down; a time before 1970 is 1970.
    fn from(time: SystemTime) -> Self {
        Self(whole(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

impl From<Micros> for SystemTime {
    fn from(time: Micros) -> Self {
        UNIX_EPOCH + Duration::from_micros(time.0)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Micros {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_both_ends() {
        let (first, last) = (Micros::EPOCH, Micros::new(u64::MAX));
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!((first.next(), last.next()), (Micros(1), last));
        // In microseconds it is too long for 64 bits.
        let long = Duration::from_secs(u64::MAX);
        assert_eq!((first.plus(long), last.minus(long)), (last, first));
        assert_eq!(first.minus(Duration::MAX), first);
        assert_eq!(first.since(last), Duration::ZERO);
        assert_eq!(first.distance(last), last.distance(first));
    }

    #[test]
    fn a_system_time_before_1970_is_1970() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Micros::from(before), Micros::EPOCH);
        let time = Micros::new(1_783_175_887_517_001);
        assert_eq!(Micros::from(SystemTime::from(time)), time);
    }
}
