use std::time::SystemTime;

use jetwash_store::{DeadLetterError, DeadLetters, LetterTotals, Seq};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::consumer::handle::Command;
use crate::consumer::{ConsumerHandle, NotRunning};
use crate::jetstream::Jetstream;
use crate::read::{Event, Phase};

impl Jetstream {
    /// The dead letters of a consumer, whether or not it runs.
    #[must_use]
    pub fn dead_letters(&self, consumer: &str) -> Letters {
        Letters {
            store: self.store().dead_letters(consumer),
        }
    }
}

/// The events that a consumer could not handle, put aside in the log's own store so that it can go
/// on with the others. They stay until they are discarded, or [replayed](ConsumerHandle::replay)
/// with success.
///
/// # Examples
///
/// ```
/// use jetwash::Jetstream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let letters = jetstream.dead_letters("feed");
/// for letter in letters.list(None, 100).await? {
///     println!("{} failed: {}", letter.event.seq(), letter.reason);
///     letters.discard(letter.event.seq()).await?;
/// }
/// assert_eq!(letters.held().await?.letters, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Letters {
    store: DeadLetters,
}

/// An event that a consumer could not handle.
///
/// # Examples
///
/// ```
/// use jetwash::DeadLetter;
///
/// fn show(letter: &DeadLetter) -> String {
///     let DeadLetter { event, reason, attempts, .. } = letter;
///     format!("{} of {}, tried {attempts} times: {reason}", event.seq(), event.did())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event, as it was. Its position names the letter.
    pub event: Event,
    /// The message of the last failure.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was put aside.
    pub failed_at: SystemTime,
}

impl Letters {
    /// The letters after the one named `after`, or from the first on, oldest event first; at most
    /// `max`.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or one is damaged.
    pub async fn list(
        &self,
        after: Option<Seq>,
        max: usize,
    ) -> Result<Vec<DeadLetter>, LettersError> {
        let letters = self.blocking(move |store| store.list(after, max)).await?;
        Ok(letters.iter().filter_map(letter).collect())
    }

    /// Returns how many there are, and how many bytes they take.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn held(&self) -> Result<LetterTotals, LettersError> {
        self.blocking(DeadLetters::held).await
    }

    /// Deletes a letter for good; returns `false` if there is no letter of that name.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub async fn discard(&self, name: Seq) -> Result<bool, LettersError> {
        self.blocking(move |store| store.discard(name)).await
    }

    async fn get(&self, name: Seq) -> Result<Option<jetwash_store::StoredLetter>, LettersError> {
        self.blocking(move |store| store.get(name)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DeadLetters) -> Result<T, DeadLetterError> + Send + 'static,
    ) -> Result<T, LettersError> {
        let store = self.store.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&store)).await;
        match outcome {
            Ok(outcome) => Ok(outcome?),
            // This is the caller's task, and the panic so becomes its own.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(LettersError::ShuttingDown),
        }
    }
}

impl ConsumerHandle {
    /// Has the running consumer handle a dead letter once more, in turn with the other events of
    /// its account. If that goes well, the letter is discarded; otherwise it stays.
    ///
    /// # Errors
    ///
    /// When the consumer does not run, or the letter is not there or cannot be read.
    pub async fn replay(&self, name: Seq) -> Result<bool, LettersError> {
        let letters = self.letters();
        let letter = letters.get(name).await?;
        let letter = letter.ok_or(LettersError::Unknown { letter: name })?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Replay(letter, reply)).await?;
        let succeeded = answer.await.map_err(|_| self.not_running())?;
        if succeeded {
            letters.discard(name).await?;
        }
        Ok(succeeded)
    }

    /// Replays every dead letter that there is now, one after the other, oldest event first.
    ///
    /// # Errors
    ///
    /// When the consumer does not run, or the letters cannot be read. Those that have been handled
    /// by then are discarded.
    pub async fn replay_all(&self) -> Result<Replayed, LettersError> {
        let mut replayed = Replayed::default();
        let mut after = None;
        loop {
            // One at a time, so that the memory is bounded whatever is in them.
            let letters = self.letters().list(after, 1).await?;
            let Some(letter) = letters.first() else {
                return Ok(replayed);
            };
            let name = letter.event.seq();
            after = Some(name);
            if self.replay(name).await? {
                replayed.succeeded += 1;
            } else {
                replayed.failed += 1;
            }
        }
    }

    fn letters(&self) -> Letters {
        Letters {
            store: self.shared.store.dead_letters(&self.shared.name),
        }
    }
}

/// How many dead letters a replay settled.
///
/// # Examples
///
/// ```
/// use jetwash::{ConsumerHandle, LettersError, Replayed};
///
/// async fn repair(handle: &ConsumerHandle) -> Result<(), LettersError> {
///     let Replayed { succeeded, failed, .. } = handle.replay_all().await?;
///     println!("{succeeded} handled, {failed} failed again");
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// Handled, and discarded.
    pub succeeded: u64,
    /// Failed again, and still there.
    pub failed: u64,
}

/// Why dead letters could not be read, discarded or replayed.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, LettersError, Seq};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// let handle = jetstream.consumer("feed").handle();
/// match handle.replay(Seq::new(7)).await {
///     Err(LettersError::Unknown { letter }) => assert_eq!(letter.get(), 7),
///     Err(error) => return Err(error.into()),
///     Ok(succeeded) => println!("{succeeded}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LettersError {
    /// Only a running consumer can handle them.
    #[error(transparent)]
    NotRunning(#[from] NotRunning),
    /// The asynchronous runtime is shutting down.
    #[error("the runtime is shutting down")]
    ShuttingDown,
    /// They cannot be read or written.
    #[error(transparent)]
    Store(#[from] DeadLetterError),
    /// There is no letter of that name.
    #[error("there is no dead letter of the event {letter}")]
    Unknown {
        /// The name.
        letter: Seq,
    },
}

fn letter(stored: &jetwash_store::StoredLetter) -> Option<DeadLetter> {
    Some(DeadLetter {
        event: event_of(stored)?,
        reason: stored.reason().to_owned(),
        attempts: stored.attempts(),
        failed_at: stored.failed_at_us().into(),
    })
}

/// The event of a letter, which is in memory as a whole.
pub(super) fn event_of(letter: &jetwash_store::StoredLetter) -> Option<Event> {
    let json = letter.block().json().ok()?;
    Event::at(letter.block(), json, 0, Phase::Replay)
}
