use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use crate::clock::Clock;
use crate::ingest::{Intake, SourceCursors};
use crate::panic::Panic;
use crate::source::{Endpoint, Prepared, Relay, Watch};
use crate::stats::Stats;
use crate::tasks::Died;

/// The relays, and how they are connected to; `None` without any.
pub(crate) type Relays = (Vec<Endpoint>, Option<Prepared>);

/// The parts of a run that follow relays, the same for all of them.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) intake: Intake,
    pub(crate) cursors: Arc<SourceCursors>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Clock,
    pub(crate) options: Arc<Prepared>,
    pub(crate) died: Died,
}

impl Follower {
    /// Follows a relay, and gives up a connection that is of no use. Restarts after a panic.
    pub(crate) async fn follow(self, endpoint: Endpoint, watch: Arc<Watch>) {
        let name = endpoint.to_string();
        let mut pause = FIRST_RESTART;
        loop {
            let begun = Instant::now();
            let relay = Relay::new(
                endpoint.clone(),
                self.intake.clone(),
                Arc::clone(&self.stats),
                Arc::clone(&watch),
                self.clock.clone(),
                Arc::clone(&self.options),
            );
            let resume = |source: &str| self.cursors.known(source)?.resume;
            // What it was in the middle of is dropped with it.
            let run = AssertUnwindSafe(relay.run(resume)).catch_unwind();
            let ended = tokio::select! {
                ended = run => ended,
                () = self.cursors.given_up(&name) => {
                    info!(relay = %name, "the connection is given up for another");
                    continue;
                }
            };
            let Err(payload) = ended else {
                return;
            };
            let panic = Panic::new(&*payload);
            if begun.elapsed() > LONGEST_RESTART {
                pause = FIRST_RESTART;
            }
            self.stats.panicked("relay", &panic);
            watch.ended(format!("a panic: {panic}"), 0, None);
            error!(relay = %name, %panic, "the task of a relay panicked; it restarts in {pause:?}");
            self.died.note("relay", name.clone(), &panic);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RESTART);
        }
    }
}

/// The wait before the task of a relay restarts after a panic doubles from the first to the longest.
const FIRST_RESTART: Duration = Duration::from_secs(1);
const LONGEST_RESTART: Duration = Duration::from_secs(60);
