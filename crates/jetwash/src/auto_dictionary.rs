use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use jetwash_dict::{Dictionary, Evaluation, TrainError, Trained, Trainer};
use jetwash_store::{Read, Store, StoreError};
use metrics::{counter, gauge};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::jetstream::Jetstream;

/// Dictionaries that a [`Jetstream`] trains by itself, on the events in its log: see
/// [`JetstreamBuilder::auto_dictionary`](crate::JetstreamBuilder::auto_dictionary).
///
/// The first is trained when there are enough events. From then on it is looked from time to time
/// how small new events get; if they get so much larger than when the dictionary was new, another
/// is trained. A dictionary goes into use only if it is better than the one before it, judged by
/// events of accounts that it was not trained on.
///
/// The work is done on a thread of its own, which on Linux yields to all others, a few seconds
/// of it for each dictionary. It never holds up the way in.
///
/// # Examples
///
/// ```
/// use jetwash::{AutoDictionary, Jetstream};
///
/// let auto = AutoDictionary::new().first_after(50_000).look_every(200_000);
/// let jetstream = Jetstream::builder().auto_dictionary(auto).build()?;
/// // Until there are enough events, none is used, because none was given.
/// assert!(jetstream.dictionary().is_none());
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AutoDictionary {
    first_after: u64,
    look_every: u64,
    worse_by: f64,
    max_kept: usize,
    sizes: Vec<usize>,
}

impl AutoDictionary {
    /// The first after 100,000 events, a look at every 100,000, another when events have become
    /// 5 % larger, and eight at most in the log at a time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            first_after: 100_000,
            look_every: 100_000,
            worse_by: 0.05,
            max_kept: 8,
            sizes: Trainer::SIZES.to_vec(),
        }
    }

    /// How many events the log has to hold before the first dictionary is trained.
    #[must_use]
    pub const fn first_after(mut self, events: u64) -> Self {
        self.first_after = events;
        self
    }

    /// After how many events it is looked again how small they get.
    #[must_use]
    pub const fn look_every(mut self, events: u64) -> Self {
        self.look_every = events;
        self
    }

    /// By how much compressed events have to have grown, in relation to their JSON, for another
    /// dictionary to be trained: 0.05 stands for 5 %.
    #[must_use]
    pub const fn worse_by(mut self, share: f64) -> Self {
        self.worse_by = share;
        self
    }

    /// How many dictionaries the log may have: with so many, none is trained until events that
    /// need the oldest have expired.
    #[must_use]
    pub const fn max_kept(mut self, dictionaries: usize) -> Self {
        self.max_kept = dictionaries;
        self
    }

    /// The sizes to try, in bytes, as in [`Trainer::sizes`].
    #[must_use]
    pub fn sizes(mut self, sizes: impl Into<Vec<usize>>) -> Self {
        self.sizes = sizes.into();
        self
    }

    /// Attends to the dictionaries until the log ends.
    ///
    /// `is_trained` says that the dictionary in use is one that an earlier run trained. `reading` is
    /// let go of when the log is, which can be a little later than this future.
    pub(crate) async fn attend(
        self,
        jetstream: Jetstream,
        is_trained: bool,
        reading: mpsc::Sender<Infallible>,
    ) {
        let store = jetstream.store().clone();
        let mut tip = store.tip();
        let mut due = match is_trained {
            true => store.bounds().next_seq + self.look_every,
            false => store.bounds().oldest_seq + self.first_after,
        };
        let mut when_new = if is_trained {
            WhenNew::Unknown
        } else {
            WhenNew::Untrained
        };
        while tip.wait_for(|next_seq| *next_seq >= due).await.is_ok() {
            due = store.bounds().next_seq + self.look_every.max(1);
            let current = jetstream.dictionary();
            let look = Look {
                auto: self.clone(),
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
                    put_into_use(&jetstream, &trained).await;
                }
                Some(Ok(Found::NoBetter { ratio })) => when_new = WhenNew::Ratio(ratio),
                Some(Err(error)) => warn!(%error, "no dictionary could be trained"),
                None => return,
            }
        }
    }
}

impl Default for AutoDictionary {
    fn default() -> Self {
        Self::new()
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

/// What is to be looked at, on a thread where that may take its time.
struct Look {
    auto: AutoDictionary,
    log: Log,
    current: Option<Dictionary>,
    when_new: WhenNew,
}

/// The log while it is read. Whoever waits for its end must not find it still open.
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
    /// The lines of the newest events, so many at most, for as long as they are wanted.
    fn each_line(
        &self,
        count: u64,
        is_wanted: &dyn Fn() -> bool,
        mut take: impl FnMut(&str),
    ) -> Result<(), StoreError> {
        let bounds = self.store.bounds();
        let mut position = bounds.oldest_seq.max(bounds.next_seq.saturating_sub(count));
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

async fn put_into_use(jetstream: &Jetstream, trained: &Trained) {
    let dictionary = trained.dictionary();
    let (id, ratio) = (dictionary.id(), trained.held_out().ratio());
    let before = trained.compared().map(|result| result.ratio());
    match jetstream.rotate_dictionary(dictionary.clone()).await {
        Ok(position) => {
            let bytes = dictionary.bytes().len();
            info!(
                id,
                bytes, ratio, before, position, "a new dictionary is in use"
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

/// So many of the newest events show how small events get.
const RECENT: u64 = 5_000;
/// A new dictionary has to be one per cent better: each costs its readers a download.
const WORTH_IT: f64 = 0.99;
