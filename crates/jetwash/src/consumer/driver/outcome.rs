//! How attempts of the handler end, and what follows.

use std::time::SystemTime;

use jetwash_store::NewDeadLetter;
use tokio::task::{Id, JoinError};
use tokio::time::Instant;
use tracing::{error, warn};

use super::Driver;
use super::work::{Work, Written};
use crate::consumer::window::Job;
use crate::consumer::{ConsumerError, Failure, Handler, Reaction, WhenStuck};
use crate::executor::run_blocking_in;
use crate::panic::Panic;

impl<H: Handler> Driver<H> {
    pub(super) fn told(&mut self, told: Result<(), JoinError>) {
        if let Err(error) = told {
            let name = &self.shared.name;
            self.counts.panicked += u64::from(error.is_panic());
            error!(consumer = name, %error, "the handler did not take a gap");
        }
    }

    pub(super) fn ended(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Ok(outcome)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(in_hand) = self.in_hand.remove(&id) else {
            return;
        };
        let job = in_hand.job;
        self.meter.attempt(in_hand.since.elapsed());
        match outcome {
            Ok(Ok(())) => {
                self.counts.handled += 1;
                self.meter.outcome("handled");
                self.finish(job);
            }
            Ok(Err(failure)) => self.failed(job, failure.reaction(), failure.reason()),
            Err(error) if error.is_panic() => {
                self.counts.panicked += 1;
                let panic = Panic::new(&*error.into_panic());
                self.shared.stats.panicked("handler", &panic);
                let reason = format!("the handler panicked: {panic}");
                self.failed(job, Reaction::Retry, reason);
            }
            // Only the watchdog does that.
            Err(_) => {
                let reason = format!(
                    "the handler did not return in {:?}",
                    in_hand.since.elapsed()
                );
                let reaction = match self.settings.when_stuck {
                    WhenStuck::Stop => Reaction::Stop,
                    _ => Reaction::DeadLetter,
                };
                self.failed(job, reaction, reason);
            }
        }
    }

    pub(super) fn failed(&mut self, job: Job<Work>, reaction: Reaction, reason: String) {
        self.counts.failed += 1;
        self.meter.outcome("failed");
        let (name, seq, attempt) = (
            self.shared.name.as_str(),
            job.item.event.seq(),
            job.failures + 1,
        );
        warn!(consumer = name, did = %job.did, %seq, attempt, reason, ?reaction, "the handler failed");
        // Every branch settles the job: back into the window, done, put aside, or the consumer
        // stops and the cursor stays before it.
        match reaction {
            Reaction::Retry => match self.settings.retry.wait(attempt, seq) {
                Some(wait) => self.window.retry(job, Instant::now() + wait),
                None => self.put_aside(job, reason),
            },
            Reaction::Skip => {
                self.counts.skipped += 1;
                self.meter.outcome("skipped");
                self.finish(job);
            }
            Reaction::DeadLetter => self.put_aside(job, reason),
            Reaction::Stop => {
                let error = ConsumerError::Handler {
                    name: name.to_owned(),
                    seq,
                    did: job.did.to_string(),
                    attempt,
                    reason,
                };
                self.fail_with(error);
            }
        }
    }

    /// Makes a dead letter of an event; one that is being replayed is one already.
    fn put_aside(&mut self, mut job: Job<Work>, reason: String) {
        if let Some(reply) = job.item.replay.take() {
            // Who asked may have gone away.
            let _ = reply.send(false);
            self.finish(job);
            return;
        }
        let letters = self.shared.store.dead_letters(&self.shared.name);
        let limits = self.settings.letters;
        self.aside += 1;
        let may_block = self.shared.store.may_block();
        run_blocking_in(&mut self.writes, may_block, move || {
            let (block, index) = job.item.event.place();
            let letter = NewDeadLetter {
                block,
                index,
                reason: &reason,
                attempts: job.failures + 1,
                failed_at_us: SystemTime::now().into(),
            };
            let written = letters.put(&letter, limits);
            Written::Letter(Box::new(job), reason, written)
        });
    }

    /// An event is done with, one way or another.
    pub(super) fn finish(&mut self, job: Job<Work>) {
        self.done_since_save += 1;
        if let Some(reply) = self.window.finish(job).replay {
            // Who asked may have gone away.
            let _ = reply.send(true);
        }
        if self.done_since_save >= self.settings.save_after {
            self.save();
        }
    }
}
