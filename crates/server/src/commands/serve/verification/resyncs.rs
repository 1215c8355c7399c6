use std::time::Duration;

use jetwash::{Resync, Resyncs};
use metrics::counter;
use tokio::time::Instant;
use tracing::info;

/// Counts repositories of which commits are missing, and logs the first and then one in a minute,
/// with how many there were besides. Ends with the ingest.
pub(crate) async fn watch(mut resyncs: Resyncs) {
    let mut quiet = Quiet::default();
    while let Some(resync) = resyncs.recv().await {
        match resync {
            Ok(resync) => {
                count(if resync.is_sync { "sync" } else { "commit" }, 1);
                if let Some(others) = quiet.admit(Instant::now()) {
                    log(&resync, others);
                }
            }
            Err(lagged) => {
                count("unknown", lagged.missed);
                quiet.held += lagged.missed;
            }
        }
    }
}

fn count(shown_by: &'static str, resyncs: u64) {
    counter!("jetwash_resyncs_total", "shown_by" => shown_by).increment(resyncs);
}

fn log(resync: &Resync, others: u64) {
    info!(
        did = %resync.did,
        rev = %resync.rev,
        source = %resync.source,
        others,
        "commits of a repository are missing, so that its events are not all",
    );
}

/// Keeps a flood of notices from filling the log.
#[derive(Debug, Default)]
struct Quiet {
    told: Option<Instant>,
    held: u64,
}

impl Quiet {
    /// Returns how many notices before this one were not logged, if this one is to be.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now < told + PAUSE) {
            self.held += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.held))
    }
}

const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_notices_is_a_line_in_a_minute() {
        let (mut quiet, start) = (Quiet::default(), Instant::now());
        let logged: Vec<_> = (0..200_000_u64)
            .filter_map(|millis| {
                let others = quiet.admit(start + Duration::from_millis(millis))?;
                Some((millis, others))
            })
            .collect();
        assert_eq!(
            logged,
            [
                (0, 0),
                (60_000, 59_999),
                (120_000, 59_999),
                (180_000, 59_999)
            ]
        );
    }
}
