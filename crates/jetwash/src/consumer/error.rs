use jetwash_store::{CursorError, DeadLetterError, Gap, Seq};
use thiserror::Error;

use crate::read::ReadError;

/// Why a consumer ended other than by its shutdown or the log's end.
///
/// Wherever it ended, what was handled up to the stored cursor stays handled, and everything after
/// it comes again at the next run.
///
/// # Examples
///
/// ```
/// use jetwash::{ConsumerError, Event, Failure, Jetstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let consumer = jetstream.consumer("feed").workers(0);
/// match consumer.run(async |_: Event| Ok::<_, Failure>(())).await {
///     Ok(()) => println!("shut down"),
///     Err(ConsumerError::Setting { what, .. }) => assert!(what.starts_with("0 workers")),
///     Err(error) => eprintln!("{error}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The handler asked to stop, or was stuck and is not waited for.
    #[error("the consumer {name:?} stops at event {seq} of {did}, attempt {attempt}: {reason}")]
    Handler {
        /// The consumer.
        name: String,
        /// The event.
        seq: Seq,
        /// Its account.
        did: String,
        /// Which attempt it was, counted from 1.
        attempt: u32,
        /// The message of the handler.
        reason: String,
    },
    /// Another consumer of this name is running.
    #[error("a consumer named {name:?} is already running; give each its own name")]
    InUse {
        /// The name.
        name: String,
    },
    /// An event could not be put aside: there is no room for it, or the disk failed. Rather than
    /// drop it, the consumer stops before it.
    #[error(
        "the consumer {name:?} stops at event {seq} of {did}, which it cannot put aside \
        ({reason}): {source}"
    )]
    DeadLetter {
        /// The consumer.
        name: String,
        /// The event.
        seq: Seq,
        /// Its account.
        did: String,
        /// Why it could not be handled.
        reason: String,
        /// Why it could not be put aside.
        source: DeadLetterError,
    },
    /// Events are missing from the log, and the consumer was told to stop then. It is before them.
    #[error("the consumer {name:?} stops at a gap: {gap}")]
    Gap {
        /// The consumer.
        name: String,
        /// The missing events.
        gap: Gap,
    },
    /// The log cannot be read.
    #[error("the consumer {name:?} cannot read on: {source}")]
    Read {
        /// The consumer.
        name: String,
        /// The mistake.
        source: ReadError,
    },
    /// The name cannot be used, the stored cursor is not where this consumer left it, or it could
    /// not be written at the end.
    #[error("the consumer {name:?} cannot store its cursor: {source}")]
    Cursor {
        /// The consumer.
        name: String,
        /// The mistake.
        source: CursorError,
    },
    /// A setting that cannot work.
    #[error("the consumer {name:?} cannot run with {what}")]
    Setting {
        /// The consumer.
        name: String,
        /// The setting, and what is allowed.
        what: String,
    },
}
