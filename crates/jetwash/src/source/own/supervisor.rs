use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use crate::noise::Noise;
use crate::panic::Panic;
use crate::short::short;
use crate::source::{BoxedSource, SourceHandle};
use crate::tasks::Died;

/// Runs a source until it has ended or the pipeline has stopped: again after a panic or an error,
/// after a pause.
pub(crate) async fn supervise(mut source: BoxedSource, handle: SourceHandle, died: Died) {
    let (kind, name) = (source.kind(), handle.name());
    let (begun, mut noise) = (Instant::now(), Noise::default());
    let mut pause = FIRST_RESTART;
    loop {
        let restarted = Instant::now();
        // What it was in the middle of is dropped with it.
        let run = AssertUnwindSafe(source.run(handle.clone())).catch_unwind();
        let ended = run.await;
        if handle.parts().intake.has_stopped() {
            return;
        }
        if restarted.elapsed() > LONGEST_RESTART {
            pause = FIRST_RESTART;
        }
        match ended {
            Ok(Ok(())) => {
                info!(source = %name, "the source has ended");
                return;
            }
            Ok(Err(fault)) => {
                let why = short(&fault.to_string());
                if let Some(held) = noise.admit(name, "fault", begun.elapsed()) {
                    error!(source = %name, not_told = held, "{why}; it is asked again in {pause:?}");
                }
                handle.failed(why);
            }
            Err(payload) => {
                let panic = Panic::new(&*payload);
                handle.parts().stats.panicked(kind, &panic);
                handle.watch().ended(format!("a panic: {panic}"), 0, None);
                error!(source = %name, %panic, "the task of a {kind} panicked; it restarts in {pause:?}");
                died.note(kind, name.to_string(), &panic);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_RESTART);
    }
}

/// The wait before a source is run again doubles from the first to the longest.
const FIRST_RESTART: Duration = Duration::from_secs(1);
const LONGEST_RESTART: Duration = Duration::from_secs(60);
