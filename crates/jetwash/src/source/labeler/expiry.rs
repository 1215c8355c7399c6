use std::convert::Infallible;
use std::time::Duration;

use jetwash_event::Labels;
use tokio::time::interval;

use crate::clock::Clock;
use crate::ingest::LogTime;

/// Tells an index what time it is, whatever the clock does.
pub(super) async fn expire(labels: Labels, clock: Clock) -> Infallible {
    let (mut time, mut tick) = (LogTime::new(None), interval(EVERY));
    loop {
        tick.tick().await;
        let (wall, elapsed) = clock.read_us();
        let now = elapsed.map_or(wall, |elapsed| time.now(wall, elapsed).0);
        labels.advance(now);
    }
}

/// How late a label may expire.
const EVERY: Duration = Duration::from_secs(1);
