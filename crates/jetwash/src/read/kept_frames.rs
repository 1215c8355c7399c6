use std::fmt;

use jetwash_store::{FrameReader, FrameStart, Frames, KeptFrame, Store, StoreError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The raw frames of a source from a sequence number on, kept or still to come.
///
/// [`Jetstream::kept_frames`](crate::Jetstream::kept_frames) makes one. It holds no queue: one that
/// is slow reads older frames, from disk if need be. It is what a relay that serves
/// `subscribeRepos` again is made of.
///
/// # Examples
///
/// ```
/// use jetwash::{FrameStart, Jetstream};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder()
///     .relay("relay1.us-east.bsky.network")
///     .folder("jetwash.db")
///     .keep_frames(10 << 30)
///     .build()?;
/// tokio::spawn(ingest.run(std::future::pending()));
///
/// let relay = "wss://relay1.us-east.bsky.network/xrpc/com.atproto.sync.subscribeRepos";
/// let mut frames = jetstream.kept_frames(relay, FrameStart::Seq(31_527_015_421))?;
/// while let Some(next) = frames.next().await {
///     for frame in next? {
///         println!("{} has {} bytes", frame.seq, frame.bytes.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct FrameSubscription {
    state: State,
    tip: watch::Receiver<u64>,
}

impl FrameSubscription {
    pub(crate) fn open(
        store: &Store,
        source: &str,
        start: FrameStart,
    ) -> Result<Self, FramesError> {
        let reader = store.frames(source, start).ok_or(FramesError::NotKept)?;
        Ok(Self {
            tip: reader.tip(),
            state: State::Here(reader),
        })
    }

    /// The next frames, at least one and at most a few hundred kilobytes, as they were received;
    /// waits for one otherwise. `None` when the log has been closed and everything has been
    /// read.
    ///
    /// It is safe to drop the future and call again.
    ///
    /// # Errors
    ///
    /// When frames are gone, or cannot be read. After [`FramesError::Lost`] the next call continues
    /// with the oldest that there are.
    pub async fn next(&mut self) -> Option<Result<Vec<KeptFrame>, FramesError>> {
        loop {
            self.tip.mark_unchanged();
            let found = match self.look() {
                Some(found) => Ok(found),
                None => self.read_cold().await?,
            };
            match found {
                Ok(Frames::Next(frames)) => return Some(Ok(frames)),
                Ok(Frames::Lost { from, oldest }) => {
                    return Some(Err(FramesError::Lost { from, oldest }));
                }
                Ok(_) => {
                    if self.tip.changed().await.is_err() {
                        // What was committed last may have come after the look at it.
                        return match self.look() {
                            Some(Frames::Next(frames)) => Some(Ok(frames)),
                            _ => None,
                        };
                    }
                }
                Err(error) => return Some(Err(FramesError::Store(error))),
            }
        }
    }

    /// Returns the frames in memory, unless the reader is away.
    fn look(&mut self) -> Option<Frames> {
        match &mut self.state {
            State::Here(reader) => reader.read_hot(),
            State::Away(_) | State::Gone => None,
        }
    }

    /// A read that may touch the disk, on a thread where that is allowed.
    async fn read_cold(&mut self) -> Option<Result<Frames, StoreError>> {
        if let State::Here(_) = &self.state
            && let State::Here(mut reader) = std::mem::replace(&mut self.state, State::Gone)
        {
            self.state = State::Away(tokio::task::spawn_blocking(move || {
                let found = reader.read();
                (reader, found)
            }));
        }
        let State::Away(read) = &mut self.state else {
            return None;
        };
        let (reader, found) = match read.await {
            Ok(found) => found,
            // A panic is passed on to the caller.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is going away, and with it this task.
            Err(_) => return None,
        };
        self.state = State::Here(reader);
        Some(found)
    }
}

impl fmt::Debug for FrameSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSubscription").finish_non_exhaustive()
    }
}

/// Where the reader is.
enum State {
    Here(FrameReader),
    /// It reads from the disk on another thread.
    Away(JoinHandle<(FrameReader, Result<Frames, StoreError>)>),
    /// Lost with the thread it was on.
    Gone,
}

/// Why there are no frames.
///
/// # Examples
///
/// ```
/// use jetwash::{FrameStart, FramesError, Jetstream};
///
/// let (jetstream, _ingest) = Jetstream::builder().build()?;
/// match jetstream.kept_frames("mine", FrameStart::Seq(1)) {
///     Err(FramesError::NotKept) => println!("call `keep_frames` on the builder"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FramesError {
    /// The log has moved past the reader, it has never had those frames, or the source counts
    /// anew, in which case `oldest` is below `from`.
    #[error("frames from {from} on are not kept; the oldest is {oldest}")]
    Lost {
        /// Where the reader was.
        from: u64,
        /// From here on nothing is missing.
        oldest: u64,
    },
    /// The frames were never to be kept.
    #[error("frames are not kept: the builder's `keep_frames` was not called")]
    NotKept,
    /// They cannot be read.
    #[error(transparent)]
    Store(StoreError),
}
