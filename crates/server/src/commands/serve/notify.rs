//! Tells systemd how the server is, as sd_notify(3) describes it. Without `NOTIFY_SOCKET` nothing is
//! told, and nobody asks.

use std::time::Duration;

use jetwash::{DidSet, Jetstream, NotReady};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};

/// The log is open and the addresses are listened on.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Answers the watchdog for as long as the log is written and `is_serving` holds. Ends at once where
/// there is no watchdog.
pub(super) async fn watch(jetstream: Jetstream, is_serving: impl Fn() -> bool) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    // Twice within the limit, as sd_watchdog_enabled(3) has it; the answer may take as long.
    let pause = (limit / 2).max(LEAST_PAUSE);
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if is_serving() && is_alive(&jetstream, pause / 2).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            warn!("the watchdog gets no answer: the log is not written or events are not served");
        }
    }
}

/// Whether the one who writes the log answers within `patience`, or is known to wait for its disk: a
/// new start would make no room there.
async fn is_alive(jetstream: &Jetstream, patience: Duration) -> bool {
    if matches!(jetstream.readiness(), Err(NotReady::LogStalled(_))) {
        return true;
    }
    // A change of a set that nothing uses: only the answer is of interest.
    let change = DidSet::new().clear();
    let answered = timeout(patience, jetstream.holds_from(change)).await;
    matches!(answered, Ok(Ok(_)))
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "the service manager cannot be told");
    }
}

/// A watchdog that is more impatient is one for tests.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_watchdog_is_answered_only_while_the_log_is_written() {
        let (jetstream, ingest) = Jetstream::builder().build().unwrap();
        let moment = Duration::from_millis(50);
        assert!(!is_alive(&jetstream, moment).await);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(ingest.run(async { drop(stopped.await) }));
        assert!(is_alive(&jetstream, Duration::from_secs(60)).await);
        drop(stop);
        running.await.unwrap().unwrap();
        assert!(!is_alive(&jetstream, moment).await);
    }
}
