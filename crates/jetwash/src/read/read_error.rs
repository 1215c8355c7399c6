use jetwash_store::{Gap, GapCause, Seq, StoreError};
use thiserror::Error;
use tokio::task::JoinError;

use crate::panic::Panic;
use crate::read::gaps::tell;

/// Why events could not be read.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, ReadError, StartFrom};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// match jetstream.reader(StartFrom::Stored).await {
///     Err(ReadError::NothingStored) => println!("only consumers have a stored cursor"),
///     other => panic!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The events of a block are damaged on disk. Readers that do not load blocks by themselves are
    /// told of a [`Gap`] instead.
    #[error("events {first} to {} are damaged: {what}", next.previous())]
    Damaged {
        /// The first of them.
        first: Seq,
        /// The first event after them.
        next: Seq,
        /// The damage.
        what: &'static str,
    },
    /// [`StartFrom::Stored`](crate::StartFrom::Stored) where nothing is stored: a subscription has
    /// no name, and a consumer has not got anywhere yet.
    #[error("there is no stored cursor to start from")]
    NothingStored,
    /// A function that reads or filters panicked, with this message.
    #[error("a panic: {0}")]
    Panicked(String),
    /// The asynchronous runtime is shutting down.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// The log cannot be read.
    #[error(transparent)]
    Store(StoreError),
}

impl From<JoinError> for ReadError {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(payload) => Self::Panicked(Panic::new(&*payload).to_string()),
            Err(_) => Self::ShuttingDown,
        }
    }
}

impl ReadError {
    /// The gap that damaged events leave to a reader that has come as far as `position`, counted
    /// and logged: it may continue behind it. Any other error is given back.
    ///
    /// For programs that read blocks by themselves, with [`json_of`](crate::json_of) for example.
    ///
    /// # Errors
    ///
    /// When it is not damage.
    pub fn into_gap(self, position: Seq) -> Result<Gap, Self> {
        let Self::Damaged { first, next, what } = self else {
            return Err(self);
        };
        let first = first.max(position);
        let mut gap = Gap::new(first, next, GapCause::Damaged).events(next.since(first));
        gap.detail = Some(what);
        tell(&gap);
        Ok(gap)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt {
                first_seq: first,
                next_seq: next,
                what,
            } => Self::Damaged { first, next, what },
            other => Self::Store(other),
        }
    }
}
