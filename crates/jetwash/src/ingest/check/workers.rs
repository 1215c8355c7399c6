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
    /// Checks at once, where there are no threads.
    inline: Option<Checker>,
}

impl Workers {
    /// Checks frames where they are handed in, without threads: for simulations.
    pub(crate) fn inline(
        keys: &Arc<Keys>,
        stats: &Arc<Stats>,
        done: &UnboundedSender<Vec<Done>>,
    ) -> Self {
        Self {
            queues: Vec::new(),
            next: 0,
            inline: Some(Checker::new(keys, stats, done)),
        }
    }

    pub(crate) fn start(
        count: usize,
        keys: &Arc<Keys>,
        stats: &Arc<Stats>,
        done: &UnboundedSender<Vec<Done>>,
    ) -> io::Result<Self> {
        let mut queues = Vec::with_capacity(count);
        for number in 0..count {
            let (sender, queue) = mpsc::channel();
            let mut checker = Checker::new(keys, stats, done);
            thread::Builder::new()
                .name(format!("jetwash-verify-{number}"))
                .spawn(move || {
                    while let Ok(tasks) = queue.recv()
                        && checker.check(tasks).is_ok()
                    {}
                })?;
            queues.push(sender);
        }
        Ok(Self {
            queues,
            next: 0,
            inline: None,
        })
    }

    /// Spreads tasks over the workers, in portions that are worth waking one for.
    pub(crate) fn check(&mut self, tasks: &mut Vec<Task>) {
        if let Some(checker) = &mut self.inline {
            // The stage that asks is the one that listens.
            let _ = checker.check(std::mem::take(tasks));
            return;
        }
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

/// The parts that a worker checks with.
struct Checker {
    verifier: Verifier,
    keys: Arc<Keys>,
    stats: Arc<Stats>,
    done: UnboundedSender<Vec<Done>>,
}

impl Checker {
    fn new(keys: &Arc<Keys>, stats: &Arc<Stats>, done: &UnboundedSender<Vec<Done>>) -> Self {
        Self {
            verifier: Verifier::new(),
            keys: Arc::clone(keys),
            stats: Arc::clone(stats),
            done: done.clone(),
        }
    }

    /// Checks frames; `Err` if nobody waits for the results any more.
    fn check(&mut self, tasks: Vec<Task>) -> Result<(), ()> {
        let checked = tasks.into_iter().map(|task| self.check_one(&task));
        let checked = checked.collect();
        self.done.send(checked).map_err(drop)
    }

    fn check_one(&mut self, task: &Task) -> Done {
        let (verifier, keys) = (&mut self.verifier, &*self.keys);
        let outcome = match catch(|| check_frame(verifier, &task.frame, keys, task.now)) {
            Ok(Some(checked)) => Outcome::Checked(checked),
            Ok(None) => Outcome::Nothing,
            Err(panic) => {
                self.stats.panicked("verifier", &panic);
                self.verifier = Verifier::new();
                Outcome::Panicked
            }
        };
        Done {
            ticket: task.ticket,
            outcome,
        }
    }
}

/// The most frames that a worker is handed at once: about a millisecond of work.
const PORTION: usize = 16;
