//! Places at which a test has the process die.

/// Ends the process here if a test asked for it. Nothing at all without the feature
/// `crash-points`.
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(feature = "crash-points")]
        crate::crash::pass($name);
    };
}

pub(crate) use crash_point;

/// Ends the process at the pass that the environment names: `JETWASH_CRASH_POINT=commit.written:3`.
/// Nothing is dropped, and the status tells it from a panic.
#[cfg(feature = "crash-points")]
pub(crate) fn pass(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<Option<(String, AtomicU64)>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("JETWASH_CRASH_POINT").ok()?;
        let (name, pass) = text.split_once(':')?;
        Some((name.to_owned(), AtomicU64::new(pass.parse().ok()?)))
    });
    if let Some((chosen, left)) = chosen
        && chosen == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::exit(86);
    }
}
