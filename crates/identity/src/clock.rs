use std::time::{SystemTime, UNIX_EPOCH};

/// The time by which entries grow old. A test gives a clock of its own.
///
/// # Examples
///
/// ```
/// use jetwash_identity::IdentityClock;
///
/// struct Stopped;
///
/// impl IdentityClock for Stopped {
///     fn now_ms(&self) -> u64 {
///         1_783_175_888_085
///     }
/// }
/// assert_eq!(Stopped.now_ms() / 1000, 1_783_175_888);
/// ```
pub trait IdentityClock: Send + Sync + 'static {
    /// The milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// The clock of the machine.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{IdentityClock, SystemClock};
///
/// assert!(SystemClock.now_ms() > 1_700_000_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl IdentityClock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as u64)
    }
}
