use std::time::Duration;

use jetwash_event::Micros;
use jetwash_store::LogMessage;
use tokio::sync::watch;

/// A connection to the origin of a mirror, as the task that reads it and the writer share it.
///
/// The writer refuses a connection when it refuses a message: nothing that comes after it on the
/// same connection is taken in.
#[derive(Debug, Default)]
pub(crate) struct MirrorConnection(watch::Sender<Option<MirrorRefusal>>);

/// Why a message is not taken into a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorRefusal {
    /// A short name for a counter's label.
    pub(crate) reason: &'static str,
    /// More about it, for people to read.
    pub(crate) text: String,
    /// Whether the same host would be refused again.
    pub(crate) is_lasting: bool,
}

impl MirrorConnection {
    pub(crate) fn refuse(&self, refusal: MirrorRefusal) {
        self.0.send_replace(Some(refusal));
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until the writer refuses the connection.
    pub(crate) async fn refused(&self) -> MirrorRefusal {
        let mut refusals = self.0.subscribe();
        let refused = refusals.wait_for(Option::is_some).await;
        match refused.ok().and_then(|refusal| refusal.clone()) {
            Some(refusal) => refusal,
            None => std::future::pending().await,
        }
    }
}

impl MirrorRefusal {
    /// The refusal of events that are ahead of the log's time by more than clocks differ: readers by
    /// time and retention by age would go wrong for as long.
    pub(crate) fn of_time(newest: Option<Micros>, now_us: Micros) -> Option<Self> {
        let ahead = newest?.since(now_us);
        (ahead > MOST_AHEAD).then(|| Self {
            reason: "future_time",
            text: format!(
                "it sent events whose time is {} h ahead of the clock here",
                ahead.as_secs() / 3600
            ),
            is_lasting: true,
        })
    }
}

/// The time of the newest event that a message has or announces.
pub(crate) fn newest_time(message: &LogMessage) -> Option<Micros> {
    match message {
        LogMessage::Hello { last_time_us, .. } => Some(*last_time_us),
        LogMessage::Events(events) => Some(events.last_time_us()),
        _ => None,
    }
}

/// How far the clock of an origin may be ahead of the one here.
const MOST_AHEAD: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_a_day() {
        let (now, day) = (Micros::new(1_783_175_888_000_000), 86_400_000_000);
        for (newest, is_refused) in [
            (None, false),
            (Some(Micros::EPOCH), false),
            (Some(Micros::new(now.get() + day)), false),
            (Some(Micros::new(now.get() + day + 1)), true),
            (Some(Micros::new(u64::MAX)), true),
        ] {
            let refusal = MirrorRefusal::of_time(newest, now);
            assert_eq!(refusal.is_some(), is_refused, "{newest:?}");
        }
    }
}
