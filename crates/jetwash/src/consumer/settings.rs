use std::time::Duration;

use jetwash_event::{ContentFilter, Filter};
use jetwash_store::LetterLimits;

use crate::consumer::Retry;
use crate::read::StartFrom;

/// The reaction to a handler that has not returned in time.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, WhenStuck};
///
/// assert_eq!(WhenStuck::default(), WhenStuck::Wait);
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let consumer = jetstream.consumer("feed").when_stuck(WhenStuck::DeadLetter);
/// # drop(consumer);
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenStuck {
    /// Tell, and wait on.
    #[default]
    Wait,
    /// Tell, drop the handler's future, and put the event aside. A handler that blocks its thread
    /// cannot be dropped: it is waited for.
    DeadLetter,
    /// Tell, drop the handler's future, and stop the consumer.
    Stop,
}

/// The settings of a consumer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) filter: Filter,
    /// An event with a record has to pass all of them.
    pub(crate) content: Vec<ContentFilter>,
    pub(crate) start: StartFrom,
    pub(crate) workers: usize,
    pub(crate) retry: Retry,
    pub(crate) window_events: u64,
    pub(crate) window_bytes: usize,
    pub(crate) save_every: Duration,
    pub(crate) save_after: u64,
    pub(crate) stuck_after: Duration,
    pub(crate) when_stuck: WhenStuck,
    pub(crate) drain: Duration,
    pub(crate) letters: LetterLimits,
    pub(crate) stop_at_gaps: bool,
}

impl Settings {
    /// Returns the first setting that cannot work.
    pub(crate) fn mistake(&self) -> Option<String> {
        let is_small = self.window_bytes < LEAST_WINDOW;
        if self.workers == 0 || self.workers > MOST_WORKERS {
            let workers = self.workers;
            Some(format!(
                "{workers} workers: between 1 and {MOST_WORKERS} are allowed"
            ))
        } else if is_small {
            let bytes = self.window_bytes;
            Some(format!(
                "a window of {bytes} bytes: at least {LEAST_WINDOW} are needed"
            ))
        } else if self.window_events == 0 {
            Some("a window of no events: at least 1 is needed".to_owned())
        } else if self.retry.attempts == 0 {
            Some("no attempt at all: at least 1 is needed".to_owned())
        } else if self.stuck_after.is_zero() || self.save_every.is_zero() {
            Some("a time of 0 s for `stuck_after` or `save_every`: it must be more".to_owned())
        } else {
            None
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            filter: Filter::new(),
            content: Vec::new(),
            start: StartFrom::Live,
            workers: 1,
            retry: Retry::new(),
            window_events: 100_000,
            window_bytes: 32 << 20,
            save_every: Duration::from_secs(1),
            save_after: 10_000,
            stuck_after: Duration::from_secs(30),
            when_stuck: WhenStuck::Wait,
            drain: Duration::from_secs(10),
            letters: LetterLimits::default(),
            stop_at_gaps: false,
        }
    }
}

const MOST_WORKERS: usize = 4096;
const LEAST_WINDOW: usize = 64 << 10;
