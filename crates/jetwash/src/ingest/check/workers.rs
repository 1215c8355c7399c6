use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::Bytes;
use jetwash_event::Micros;
use jetwash_verify::Verifier;
use tokio::sync::mpsc::UnboundedSender;

use crate::ingest::check::checked::{Checked, check_frame};
use crate::ingest::check::keys::Keys;
use crate::panic::catch;
use crate::stats::Stats;

/// A frame to check.
pub(crate) struct Task {
    pub(crate) ticket: u64,
    pub(crate) frame: Bytes,
    pub(crate) now: Micros,
}

/// A frame that was checked.
pub(crate) struct Done {
    pub(crate) ticket: u64,
    pub(crate) outcome: Outcome,
}

/// The end of a check.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are checked, and a box would be an allocation for each"
)]
pub(crate) enum Outcome {
    Checked(Checked),
    /// There was nothing to check.
    Nothing,
    Panicked,
}

/// Threads that check frames. They end when this is dropped.
///
/// The queues have no bound of their own: the window bounds what is on its way.
pub(crate) struct Workers {
    queues: Vec<mpsc::Sender<Vec<Task>>>,
    next: usize,
}

impl Workers {
    pub(crate) fn start(
        count: usize,
        keys: &Arc<Keys>,
        stats: &Arc<Stats>,
        done: &UnboundedSender<Vec<Done>>,
    ) -> io::Result<Self> {
        let mut queues = Vec::with_capacity(count);
        for number in 0..count {
            let (sender, queue) = mpsc::channel();
            let (keys, stats, done) = (Arc::clone(keys), Arc::clone(stats), done.clone());
            thread::Builder::new()
                .name(format!("jetwash-verify-{number}"))
                .spawn(move || work(&queue, &keys, &stats, &done))?;
            queues.push(sender);
        }
        Ok(Self { queues, next: 0 })
    }

    /// Spreads tasks over the workers, in portions that are worth waking one for.
    pub(crate) fn check(&mut self, tasks: &mut Vec<Task>) {
        let portion = tasks.len().div_ceil(self.queues.len()).clamp(1, PORTION);
        let mut tasks = tasks.drain(..);
        loop {
            let portion: Vec<Task> = tasks.by_ref().take(portion).collect();
            if portion.is_empty() {
                return;
            }
            self.next = (self.next + 1) % self.queues.len();
            // A worker ends only after this has.
            let _ = self.queues[self.next].send(portion);
        }
    }
}

fn work(
    queue: &mpsc::Receiver<Vec<Task>>,
    keys: &Keys,
    stats: &Stats,
    done: &UnboundedSender<Vec<Done>>,
) {
    let mut verifier = Verifier::new();
    while let Ok(tasks) = queue.recv() {
        let check = |task: Task| {
            let checked = catch(|| check_frame(&mut verifier, &task.frame, keys, task.now));
            let outcome = match checked {
                Ok(Some(checked)) => Outcome::Checked(checked),
                Ok(None) => Outcome::Nothing,
                Err(panic) => {
                    stats.panicked("verifier", &panic);
                    verifier = Verifier::new();
                    Outcome::Panicked
                }
            };
            Done {
                ticket: task.ticket,
                outcome,
            }
        };
        let checked = tasks.into_iter().map(check).collect();
        if done.send(checked).is_err() {
            return;
        }
    }
}

/// The most frames that a worker is handed at once: about a millisecond of work.
const PORTION: usize = 16;
