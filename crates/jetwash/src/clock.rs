use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where the times of events come from, and with them the age at which the log forgets them.
///
/// The system's clock unless [`JetstreamBuilder::clock`](crate::JetstreamBuilder::clock) says
/// otherwise, which is for tests. Whatever the clock says, the times of events only grow.
#[derive(Clone)]
pub struct Clock {
    read: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Clock {
    /// A clock that is read by calling `read`, from any thread.
    pub fn new(read: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self {
            read: Arc::new(read),
        }
    }

    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// A clock that shows `start` now and goes on as tokio's does: where a test has paused that one
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

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        (self.read)()
    }

    /// What it shows, in microseconds since 1970.
    pub(crate) fn now_us(&self) -> u64 {
        micros(self.now())
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
/// # Examples
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use jetwash::{Jetstream, ManualClock};
///
/// let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_783_175_888));
/// let jetstream = Jetstream::builder().clock(&clock).build()?;
/// // What arrives from now on is an hour younger.
/// clock.advance(Duration::from_secs(3600));
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    now_us: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows this time, to the microsecond.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self {
            now_us: Arc::new(AtomicU64::new(micros(now))),
        }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.now_us.load(Ordering::SeqCst))
    }

    /// Sets it, backwards too.
    pub fn set(&self, now: SystemTime) {
        self.now_us.store(micros(now), Ordering::SeqCst);
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }
}

impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        let clock = clock.clone();
        Self::new(move || clock.now())
    }
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
