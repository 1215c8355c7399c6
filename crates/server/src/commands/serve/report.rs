use std::time::Duration;

use jetwash::Jetstream;
use jetwash_serve::Server;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{Instant, sleep};
use tracing::info;

/// Says at intervals how many events come, how late they are, and how many subscribers there are;
/// never if the interval is zero.
pub(crate) async fn every(
    interval: Duration,
    (jetstream, server, metrics): (Jetstream, Server, PrometheusHandle),
) {
    if interval.is_zero() {
        return;
    }
    let (mut since, mut next_seq) = (Instant::now(), jetstream.bounds().next_seq);
    loop {
        sleep(interval).await;
        let (now, bounds) = (Instant::now(), jetstream.bounds());
        let seconds = (now - since).as_secs_f64().max(0.001);
        let rate = bounds.next_seq.since(next_seq) as f64 / seconds;
        let lag = gauge(&metrics.render(), LAG);
        let lag = lag.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag:.1} s"));
        info!(
            "{rate:.1} events/s, lag {lag}, {} subscribers",
            server.subscribers()
        );
        (since, next_seq) = (now, bounds.next_seq);
    }
}

/// A gauge without labels, as the metrics say it.
fn gauge(rendered: &str, name: &str) -> Option<f64> {
    let mut lines = rendered.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The age of the newest commit when it came.
const LAG: &str = "consumer_last_evt_created_evt_processed_gap";

#[cfg(test)]
mod tests {
    use super::gauge;

    #[test]
    fn a_gauge_is_found_by_its_whole_name() {
        let text = "# TYPE a gauge\na_longer 3\na{b=\"c\"} 4\na 2.5\n";
        assert_eq!(gauge(text, "a"), Some(2.5));
        assert_eq!(gauge(text, "b"), None);
    }
}
