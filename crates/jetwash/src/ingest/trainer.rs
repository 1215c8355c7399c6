//! Trains dictionaries on the log, on a thread that yields to all others.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use jetwash_dict::{Dictionary, Evaluation, TrainError, Trained, Trainer};
use jetwash_store::{Read, Store, StoreError};
use metrics::{counter, gauge};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::ingest::auto_dictionary::AutoDictionary;
use crate::ingest::dictionaries::Dictionaries;

/// Attends to the dictionaries until the log ends.
///
/// `is_trained` says that the dictionary in use is one that an earlier run trained. `reading` is
/// let go of when the log is, which can be a little later than this future.
pub(crate) async fn attend(
    auto: AutoDictionary,
    store: Store,
    dictionaries: Dictionaries,
    is_trained: bool,
    reading: mpsc::Sender<Infallible>,
) {
    let mut tip = store.tip();
    let mut due = match is_trained {
        true => store.bounds().next_seq.plus(auto.look_every),
        false => store.bounds().oldest_seq.plus(auto.first_after),
    };
    let mut when_new = if is_trained {
        WhenNew::Unknown
    } else {
        WhenNew::Untrained
    };
    // One look at a time, and the next is due by the log's growth, not by a clock: a quiet network
    // brings nothing new to train on.
    while tip.wait_for(|next_seq| *next_seq >= due).await.is_ok() {
        due = store.bounds().next_seq.plus(auto.look_every.max(1));
        let current = dictionaries.in_use();
        let look = Look {
            auto: auto.clone(),
            log: Log {
                store: store.clone(),
                _reading: reading.clone(),
            },
            current,
            when_new,
        };
        match on_thread(move |is_wanted| look.run(is_wanted)).await {
            Some(Ok(Found::Good { ratio })) => {
                gauge!("jetwash_dictionary_ratio").set(ratio);
                if when_new == WhenNew::Unknown {
                    when_new = WhenNew::Ratio(ratio);
                }
            }
            Some(Ok(Found::Better(trained))) => {
                when_new = WhenNew::Ratio(trained.held_out().ratio());
                put_into_use(&dictionaries, &trained).await;
            }
            Some(Ok(Found::NoBetter { ratio })) => when_new = WhenNew::Ratio(ratio),
            Some(Err(error)) => warn!(%error, "no dictionary could be trained"),
            None => return,
        }
    }
}

/// How small the dictionary in use made events when it was new.
#[derive(Clone, Copy, Debug, PartialEq)]
enum WhenNew {
    Ratio(f64),
    /// It was trained by an earlier run: the first look tells.
    Unknown,
    /// It was not trained on this log.
    Untrained,
}

/// One look at the log, on a thread where it may take its time.
struct Look {
    auto: AutoDictionary,
    log: Log,
    current: Option<Dictionary>,
    when_new: WhenNew,
}

/// The log while it is read. The run waits for the end of it, so that the log is closed by then.
struct Log {
    // Dropped in this order.
    store: Store,
    _reading: mpsc::Sender<Infallible>,
}

enum Found {
    /// The dictionary in use is good enough.
    Good {
        ratio: f64,
    },
    Better(Box<Trained>),
    /// Another was trained, and is not better.
    NoBetter {
        ratio: f64,
    },
}

#[derive(Debug, Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl Look {
    fn run(self, is_wanted: &dyn Fn() -> bool) -> Result<Found, LookError> {
        let ratio = self.recent(is_wanted)?.ratio();
        let limit = match self.when_new {
            WhenNew::Ratio(when_new) => when_new * (1.0 + self.auto.worse_by),
            WhenNew::Unknown => f64::INFINITY,
            WhenNew::Untrained => 0.0,
        };
        if ratio <= limit || self.log.store.dictionaries().len() >= self.auto.max_kept {
            return Ok(Found::Good { ratio });
        }
        let mut trainer = Trainer::new().sizes(self.auto.sizes.clone());
        let count = self.auto.first_after.max(self.auto.look_every);
        self.log
            .each_line(count, is_wanted, |line| trainer.add(line))?;
        // Training takes seconds, and needs the log no longer.
        drop(self.log);
        if let Some(current) = self.current {
            trainer = trainer.compare(current);
        }
        let trained = trainer.train(None)?;
        let before = trained.compared().map_or(1.0, |result| result.ratio());
        if trained.held_out().ratio() < before * WORTH_IT {
            return Ok(Found::Better(Box::new(trained)));
        }
        Ok(Found::NoBetter { ratio })
    }

    /// How small the newest events are made by the dictionary in use.
    fn recent(&self, is_wanted: &dyn Fn() -> bool) -> Result<Evaluation, StoreError> {
        let mut lines = Vec::new();
        let take = |line: &str| lines.push(line.to_owned());
        self.log.each_line(RECENT, is_wanted, take)?;
        Ok(match &self.current {
            Some(current) => Evaluation::of(current, lines.iter().map(String::as_bytes)),
            None => Evaluation::default(),
        })
    }
}

impl Log {
    /// Passes the lines of the newest events to `take`, up to `count`, while they are wanted.
    fn each_line(
        &self,
        count: u64,
        is_wanted: &dyn Fn() -> bool,
        mut take: impl FnMut(&str),
    ) -> Result<(), StoreError> {
        let bounds = self.store.bounds();
        let mut position = bounds.oldest_seq.max(bounds.next_seq.minus(count));
        while position < bounds.next_seq && is_wanted() {
            match self.store.read(position)? {
                Read::Events(run) => {
                    let page = run.block().json()?;
                    let lines = run.indexes().filter_map(|index| page.get(index));
                    lines
                        .filter_map(|line| std::str::from_utf8(line).ok())
                        .for_each(&mut take);
                    position = run.next_seq();
                }
                Read::Gap(gap) => position = gap.next_seq,
                Read::AtTip => break,
            }
        }
        Ok(())
    }
}

async fn put_into_use(dictionaries: &Dictionaries, trained: &Trained) {
    let dictionary = trained.dictionary();
    let (id, ratio) = (dictionary.id(), trained.held_out().ratio());
    let before = trained.compared().map(|result| result.ratio());
    match dictionaries.rotate(dictionary.clone()).await {
        Ok(position) => {
            let bytes = dictionary.bytes().len();
            info!(
                id,
                bytes, ratio, before, %position, "a new dictionary is in use"
            );
            counter!("jetwash_dictionaries_trained_total").increment(1);
            gauge!("jetwash_dictionary_ratio").set(ratio);
        }
        Err(error) => warn!(%error, id, "the new dictionary is not used"),
    }
}

/// Does something on a thread of its own that all others go before, and can ask whether its outcome
/// is still wanted. `None` if there is no thread.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = oneshot::channel();
    let spawned = thread::Builder::new()
        .name("jetwash-trainer".to_owned())
        .spawn(move || {
            // Linux counts this by thread; elsewhere the whole process would step back.
            #[cfg(target_os = "linux")]
            let _ = rustix::process::nice(19);
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&|| !answer.is_closed())));
            let _ = answer.send(outcome);
        });
    if let Err(error) = spawned {
        warn!(%error, "the trainer's thread could not be started");
        return None;
    }
    // A panic becomes that of the task that waits, whose end is looked at.
    Some(
        answered
            .await
            .ok()?
            .unwrap_or_else(|panic| resume_unwind(panic)),
    )
}

/// How many of the newest events are measured.
const RECENT: u64 = 5_000;
/// A new dictionary has to be one per cent better: each costs its readers a download.
const WORTH_IT: f64 = 0.99;
