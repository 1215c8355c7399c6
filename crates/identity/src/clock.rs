use std::time::SystemTime;

use jetwash_event::Micros;

/// The time by which entries grow old. A test gives a clock of its own.
///
/// # Examples
///
/// ```
/// use jetwash_event::Micros;
/// use jetwash_identity::IdentityClock;
///
/// struct Stopped;
///
/// impl IdentityClock for Stopped {
///     fn now(&self) -> Micros {
///         Micros::new(1_783_175_888_085_434)
///     }
/// }
/// assert_eq!(Stopped.now(), Stopped.now());
/// ```
pub trait IdentityClock: Send + Sync + 'static {
    /// Returns the time that it shows.
    fn now(&self) -> Micros;
}

impl dyn IdentityClock {
    /// The milliseconds since 1970, in which ages are counted.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now().get() / 1_000
    }
}

/// The clock of the machine.
///
/// # Examples
///
/// ```
/// use jetwash_event::Micros;
/// use jetwash_identity::{IdentityClock, SystemClock};
///
/// assert!(SystemClock.now() > Micros::EPOCH);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl IdentityClock for SystemClock {
    fn now(&self) -> Micros {
        SystemTime::now().into()
    }
}
