//! The log's time: the wall clock's, as far as the monotonic clock bears it out.

use std::time::Duration;

use jetwash_event::Micros;

/// Derives the log's time from readings of two clocks: the wall clock, which anyone may set to
/// anything, and the monotonic clock, which only tells how much time has passed.
///
/// - The time never goes back.
/// - Where the wall clock goes as the monotonic clock does, up to a tenth faster or slower, the
///   time is that of the wall clock.
/// - A jump of the wall clock, by more than [`TOLERANCE`], is refused: the time continues at the pace
///   of the monotonic clock.
/// - A wall clock that stays where it jumped to is believed after a hundredth of the jump, but not
///   before [`SHORTEST`] and not after [`LONGEST`]: a machine that was asleep, or whose clock was
///   set right. The first jump from a time that cannot be, before [`PLAUSIBLE`], is believed at
///   once: a machine without a battery-backed clock gets its time from the network later.
/// - Where the time is ahead of the wall clock, it goes at half the pace until that has caught up;
///   if it is ahead by more than [`HOPELESS`], at the whole pace.
#[derive(Debug)]
pub(crate) struct LogTime {
    /// The time given last, and never again an earlier one.
    last: Micros,
    /// The reading before, once there was one.
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    elapsed: Duration,
    /// The time that the wall clock should show now.
    expected: Micros,
    /// Where it jumped to, if it did: what it should show there, and since when it does.
    elsewhere: Option<(Micros, Duration)>,
}

/// News of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockNews {
    /// The log's newest time is ahead of the first reading by this much.
    LogAhead(Duration),
    /// The clock jumped to another time than the monotonic clock explains; the log does not follow.
    Refused(Jump),
    /// It stayed there, and the log follows.
    Believed(Jump),
    /// It came back.
    CameBack,
}

/// How far a clock jumped, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    Ahead(Duration),
    Back(Duration),
}

impl LogTime {
    /// The time of a log whose newest event has this time.
    pub(crate) fn new(newest: Option<Micros>) -> Self {
        Self {
            last: newest.unwrap_or_default(),
            seen: None,
        }
    }

    /// The time, when the wall clock shows `wall`, and `elapsed` has
    /// passed since some moment that is always the same.
    pub(crate) fn now(&mut self, wall: Micros, elapsed: Duration) -> (Micros, Option<ClockNews>) {
        let Some(seen) = self.seen else {
            self.seen = Some(Seen {
                elapsed,
                expected: wall,
                elsewhere: None,
            });
            let ahead = self.last.since(wall);
            self.last = self.last.max(wall);
            let news = (ahead > TOLERANCE).then_some(ClockNews::LogAhead(ahead));
            return (self.last, news);
        };
        let passed = elapsed.saturating_sub(seen.elapsed);
        let mut expected = seen.expected.plus(passed);
        let mut elsewhere = None;
        let mut news = None;
        let mut shown = wall;
        if wall.distance(expected) <= TOLERANCE {
            // It is followed, but no faster than a clock that is being set right may go.
            let step = passed / SLEW;
            expected = wall.clamp(expected.minus(step), expected.plus(step));
            news = seen.elsewhere.map(|_| ClockNews::CameBack);
        } else {
            let jump = Jump::from(expected, wall);
            let since = match seen.elsewhere {
                Some((there, since)) if wall.distance(there.plus(passed)) <= TOLERANCE => since,
                other => {
                    // One that jumps about is told once.
                    news = other.is_none().then_some(ClockNews::Refused(jump));
                    elapsed
                }
            };
            let is_no_base = expected < PLAUSIBLE && wall >= PLAUSIBLE;
            if is_no_base || elapsed.saturating_sub(since) >= jump.hold() {
                expected = wall;
                news = Some(ClockNews::Believed(jump));
            } else {
                elsewhere = Some((wall, since));
                shown = expected;
            }
        }
        self.seen = Some(Seen {
            elapsed: elapsed.max(seen.elapsed),
            expected,
            elsewhere,
        });
        let ahead = self.last.since(shown);
        let least = if ahead > HOPELESS { passed } else { passed / 2 };
        self.last = self.last.plus(least).max(shown);
        (self.last, news)
    }
}

impl Jump {
    fn from(expected: Micros, wall: Micros) -> Self {
        let by = wall.distance(expected);
        if wall > expected {
            Self::Ahead(by)
        } else {
            Self::Back(by)
        }
    }

    /// How long the clock has to stay there.
    fn hold(self) -> Duration {
        let (Self::Ahead(by) | Self::Back(by)) = self;
        (by / 100).clamp(SHORTEST, LONGEST)
    }
}

/// Two readings are never quite of the same moment, and clocks are set right by small steps.
const TOLERANCE: Duration = Duration::from_secs(1);
/// A clock that is being set right goes up to a tenth faster or slower.
const SLEW: u32 = 10;
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(10 * 60);
const HOPELESS: Duration = Duration::from_secs(24 * 60 * 60);
/// The beginning of 2025, before which there was no such log.
const PLAUSIBLE: Micros = Micros::new(1_735_689_600_000_000);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 1_783_175_888_000_000;
    const SECOND: u64 = 1_000_000;
    const YEAR: u64 = 365 * 24 * 3600 * SECOND;

    /// Both clocks, once a second.
    struct Clocks {
        time: LogTime,
        wall_us: u64,
        elapsed: Duration,
    }

    impl Clocks {
        fn new(newest_us: Option<u64>, wall_us: u64) -> (Self, Option<ClockNews>) {
            let mut time = LogTime::new(newest_us.map(Micros::new));
            let (_, news) = time.now(Micros::new(wall_us), Duration::ZERO);
            let elapsed = Duration::ZERO;
            (
                Self {
                    time,
                    wall_us,
                    elapsed,
                },
                news,
            )
        }

        fn pass(&mut self, seconds: u64) -> (u64, Vec<ClockNews>) {
            let mut told = Vec::new();
            let mut now = self.time.last.get();
            for _ in 0..seconds {
                self.wall_us += SECOND;
                self.elapsed += Duration::from_secs(1);
                let (next, news) = self.time.now(Micros::new(self.wall_us), self.elapsed);
                assert!(next.get() >= now);
                now = next.get();
                told.extend(news);
            }
            (now, told)
        }
    }

    #[test]
    fn a_jump_of_ten_years_for_six_seconds_leaves_no_trace() {
        let (mut clocks, news) = Clocks::new(Some(START - SECOND), START);
        assert_eq!(news, None);
        clocks.pass(10);
        clocks.wall_us += 10 * YEAR;
        let (now, told) = clocks.pass(6);
        assert_eq!(now, START + 16 * SECOND);
        let jump = Jump::Ahead(Duration::from_micros(10 * YEAR));
        assert_eq!(told, [ClockNews::Refused(jump)]);
        clocks.wall_us -= 10 * YEAR;
        let (now, told) = clocks.pass(10);
        assert_eq!(now, START + 26 * SECOND);
        assert_eq!(told, [ClockNews::CameBack]);
    }

    #[test]
    fn a_machine_that_was_asleep_is_believed_after_a_while() {
        let (mut clocks, _) = Clocks::new(None, START);
        let asleep = 8 * 3600 * SECOND;
        clocks.wall_us += asleep;
        let (now, _) = clocks.pass(60);
        assert_eq!(now, START + 60 * SECOND);
        let (now, told) = clocks.pass(240);
        assert_eq!(now, START + asleep + 300 * SECOND);
        let jump = Jump::Ahead(Duration::from_micros(asleep));
        assert_eq!(told, [ClockNews::Believed(jump)]);
    }

    #[test]
    fn a_machine_that_starts_without_a_clock_is_believed_at_once() {
        let (mut clocks, _) = Clocks::new(None, 100 * SECOND);
        clocks.pass(5);
        clocks.wall_us = START;
        assert_eq!(clocks.pass(1).0, START + SECOND);
    }

    #[test]
    fn a_log_from_the_future_goes_on_and_is_told() {
        let (mut clocks, news) = Clocks::new(Some(START + 10 * YEAR), START);
        let ahead = Duration::from_micros(10 * YEAR);
        assert_eq!(news, Some(ClockNews::LogAhead(ahead)));
        assert_eq!(clocks.pass(100).0, START + 10 * YEAR + 100 * SECOND);
        // If it is not so far, the clock catches up.
        let (mut clocks, _) = Clocks::new(Some(START + 60 * SECOND), START);
        assert_eq!(clocks.pass(60).0, START + 90 * SECOND);
        assert_eq!(clocks.pass(100).0, START + 160 * SECOND);
    }

    proptest! {
        /// Whatever the wall clock shows, the time never goes back, and unless a jump is believed
        /// it goes at most a tenth faster than the monotonic clock, and a second.
        #[test]
        fn no_wall_clock_takes_the_time_along(
            newest in prop_oneof![Just(None), (0..4 * START).prop_map(Some)],
            first in PLAUSIBLE.get()..2 * START,
            readings in prop::collection::vec((any::<u64>(), 0..3u8, 0..30_000_000u64), 1..200),
        ) {
            let mut time = LogTime::new(newest.map(Micros::new));
            let mut elapsed = Duration::ZERO;
            let mut wall = Micros::new(first);
            let (mut last, _) = time.now(wall, elapsed);
            let mut base = last;
            let mut since = elapsed;
            for (number, kind, passed) in readings {
                elapsed += Duration::from_micros(passed);
                wall = match kind {
                    0 => Micros::new(number),
                    1 => wall.plus(Duration::from_micros(passed)),
                    _ => wall.plus(Duration::from_micros(passed + number % 5_000_000)),
                };
                let (now, news) = time.now(wall, elapsed);
                prop_assert!(now >= last);
                if matches!(news, Some(ClockNews::Believed(_))) {
                    (base, since) = (now, elapsed);
                }
                let passed = elapsed - since;
                let most = base.plus(passed + passed / SLEW + 2 * TOLERANCE);
                prop_assert!(now <= most, "{now} is more than {most}");
                last = now;
            }
        }

        /// A clock that is right within what clocks are is simply followed.
        #[test]
        fn a_clock_that_is_right_is_followed(
            steps in prop::collection::vec((1_000..2_000_000u64, -500..500i64), 1..200),
        ) {
            let mut time = LogTime::new(None);
            let mut elapsed = Duration::from_secs(1);
            time.now(Micros::new(START), elapsed);
            let mut wall = START;
            for (passed, drift_ppm) in steps {
                elapsed += Duration::from_micros(passed);
                let drift = passed as i64 * drift_ppm / 1_000_000;
                wall = wall.saturating_add(passed).saturating_add_signed(drift);
                let (now, news) = time.now(Micros::new(wall), elapsed);
                prop_assert_eq!((now.get(), news), (wall, None));
            }
        }
    }
}
