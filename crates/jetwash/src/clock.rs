use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jetwash_event::Micros;
use tokio::time::Instant;

/// Where the times of events come from, and with them the age at which the log forgets them.
///
/// The system's clock unless [`JetstreamBuilder::clock`](crate::JetstreamBuilder::clock) says
/// otherwise, which is for tests. Whatever the clock says, the times of events only grow.
///
/// # A clock that jumps
///
/// The system's clock can be set to anything, and one that stands in the year 2036 for six seconds
/// must not stamp events for ten years, nor have the log forget all that it holds. So what it shows
/// is compared with a monotonic clock:
///
/// - A jump of more than a second, ahead or back, is not followed: the log's time continues at the
///   pace of the monotonic clock.
/// - A clock that stays where it jumped to is believed after a hundredth of the jump, but not
///   before a minute nor after ten: a machine that was asleep for eight hours, after five minutes.
/// - A clock that begins before 2025 is believed as soon as it shows a later time.
/// - A log whose newest event is in the future, from a run before, continues from there, at half the
///   pace until the clock has caught up; at the whole pace if that is more than a day.
///
/// Each jump is reported: in the program's log, by the counter `jetwash_clock_jumps_total`, and in
/// [`Snapshot::clock_jumps`](crate::Snapshot::clock_jumps).
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> Reading + Send + Sync>,
}

/// The time that a clock shows, and the time that has passed since some moment. Without the latter
/// the clock is believed.
type Reading = (SystemTime, Option<Duration>);

impl Clock {
    /// A clock that is read by calling `read`, from any thread. It is believed, however it jumps,
    /// unless [`monotonic`](Self::monotonic) says how to check it.
    pub fn new(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            read: Arc::new(move || (read(), None)),
        }
    }

    /// Checks what it shows against a monotonic clock: `elapsed` gives the time that has passed
    /// since some moment, which has to be the same for all calls.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Instant, SystemTime};
    /// use jetwash::Clock;
    ///
    /// // The system's clock, as `Clock::system` makes it.
    /// let begun = Instant::now();
    /// let clock = Clock::new(SystemTime::now).monotonic(move || begun.elapsed());
    /// # drop(clock);
    /// ```
    #[must_use]
    pub fn monotonic(self, elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let read = self.read;
        Self {
            read: Arc::new(move || (read().0, Some(elapsed()))),
        }
    }

    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        // Not tokio's, which a test may have paused: the system's continues then.
        let begun = std::time::Instant::now();
        Self::new(SystemTime::now).monotonic(move || begun.elapsed())
    }

    /// A clock that shows `start` now and continues as tokio's does: where a test has paused that one
    /// and moves it by hand, this one too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use jetwash::Clock;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
    /// let clock = Clock::runtime(UNIX_EPOCH);
    /// tokio::time::advance(Duration::from_secs(60)).await;
    /// assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(60));
    /// # });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn runtime(start: SystemTime) -> Self {
        let begun = Instant::now();
        Self::new(move || start + begun.elapsed())
    }

    /// Returns the time that it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.read)().0
    }

    /// Returns the time in microseconds since 1970 and, if the clock is to be checked, the time
    /// that has passed since some moment.
    pub(crate) fn read_us(&self) -> (Micros, Option<Duration>) {
        let (now, elapsed) = (self.read)();
        (now.into(), elapsed)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// A clock that a test sets. Its clones show the same time.
///
/// It has a monotonic clock beside it, which [`advance`](Self::advance) moves and
/// [`set`](Self::set) does not: so a test can also have the clock jump, which a log
/// [does not follow](Clock#a-clock-that-jumps).
///
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use jetwash::{Jetstream, ManualClock};
///
/// let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_783_175_888));
/// let (jetstream, _ingest) = Jetstream::builder().clock(&clock).build()?;
/// // What arrives from now on is an hour younger.
/// clock.advance(Duration::from_secs(3600));
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    /// The time shown and the time passed.
    state: Arc<Mutex<(Micros, Duration)>>,
}

impl ManualClock {
    /// A clock that shows this time, to the microsecond.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self {
            state: Arc::new(Mutex::new((now.into(), Duration::ZERO))),
        }
    }

    /// Returns the time that it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.state().0.into()
    }

    /// Has it jump to a time, backwards too, while no time passes.
    pub fn set(&self, now: SystemTime) {
        self.state().0 = now.into();
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.0 = state.0.plus(by);
        state.1 = state.1.saturating_add(by);
    }

    fn state(&self) -> MutexGuard<'_, (Micros, Duration)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        let clock = clock.clone();
        Self {
            read: Arc::new(move || {
                let (now, elapsed) = *clock.state();
                (now.into(), Some(elapsed))
            }),
        }
    }
}
