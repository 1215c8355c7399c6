use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jetwash_client::ClientEvent;
use jetwash_store::{GapCause, LogMessage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::ingest::mirroring::MirrorConnection;

/// A frame, or news of a connection, on its way from a source to the pipeline.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The name of the source, which is that of its cursor.
    pub(crate) source: Arc<str>,
    pub(crate) content: Content,
    /// The number that the source has for the frame, if that is not its own.
    pub(crate) number: Option<u64>,
    /// When it came, before it waited for room.
    pub(crate) arrived: Instant,
    /// Returns the frame's share of the queue when the frame has been dealt with.
    _room: OwnedSemaphorePermit,
}

/// A message from a source.
#[derive(Debug)]
pub(crate) enum Content {
    Frame(Bytes),
    /// A connection was made that asked for what comes after `cursor`.
    Connected {
        cursor: Option<u64>,
    },
    /// Messages were stepped over because they could not be received, from the number `first` up
    /// to, but not including, `next`, as far as these are known.
    SteppedOver {
        first: Option<u64>,
        next: Option<u64>,
    },
    /// The relay said that the cursor is ahead of all that it has, so it counts anew.
    CursorRefused,
    /// A connection to a host of a Jetstream was made.
    Joined {
        host: Arc<str>,
    },
    /// Events of a Jetstream, all from one host.
    Events {
        host: Arc<str>,
        events: Vec<ClientEvent>,
    },
    /// Events of a source of the caller's, and the cursor behind them, if they have one.
    OwnEvents {
        events: Vec<ClientEvent>,
        cursor: Option<u64>,
    },
    /// A source lacks events after those that came: those with the numbers from `first` up to, but
    /// not including, `next`, as far as these are known.
    Missing {
        cause: GapCause,
        first: Option<u64>,
        next: Option<u64>,
    },
    /// A message of the log that this one mirrors, and its length in bytes.
    Mirrored {
        connection: Arc<MirrorConnection>,
        message: Box<LogMessage>,
        bytes: usize,
    },
}

impl Content {
    /// The bytes that it counts for in the queue.
    fn len(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Events { events, .. } | Self::OwnEvents { events, .. } => {
                events.iter().map(|event| event.text().len()).sum()
            }
            Self::Mirrored { bytes, .. } => *bytes,
            Self::Connected { .. }
            | Self::SteppedOver { .. }
            | Self::CursorRefused
            | Self::Joined { .. }
            | Self::Missing { .. } => 0,
        }
    }
}

/// The way into the pipeline, bounded by bytes: a source that is faster than the pipeline waits,
/// and so does the relay behind it.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    sender: mpsc::Sender<Arrival>,
    room: Arc<Semaphore>,
    budget: u32,
    has_begun: Arc<AtomicBool>,
}

impl Intake {
    pub(crate) fn new(budget: u32) -> (Self, mpsc::Receiver<Arrival>) {
        let (sender, receiver) = mpsc::channel(QUEUE_FRAMES);
        (
            Self {
                sender,
                room: Arc::new(Semaphore::new(budget as usize)),
                budget,
                has_begun: Arc::default(),
            },
            receiver,
        )
    }

    /// How many frames wait for the pipeline, and how many bytes they have.
    pub(crate) fn queued(&self) -> (u64, u64) {
        let frames = self.sender.max_capacity() - self.sender.capacity();
        let bytes = (self.budget as usize).saturating_sub(self.room.available_permits());
        (frames as u64, bytes as u64)
    }

    /// Notes that the pipeline takes frames from now on.
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    /// Whether the pipeline has begun, and not stopped since.
    pub(crate) fn is_running(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// Whether nothing is taken any more.
    pub(crate) fn has_stopped(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits for room and hands the frame over; `Err` if the pipeline has stopped.
    pub(crate) async fn send(&self, source: &Arc<str>, frame: Bytes) -> Result<(), Stopped> {
        self.pass_on(source, Content::Frame(frame)).await
    }

    /// Waits for room and passes on news of the connection, in order with its frames.
    pub(crate) async fn pass_on(&self, source: &Arc<str>, content: Content) -> Result<(), Stopped> {
        self.pass_on_as(source, content, None).await
    }

    /// The same, with the number that the source has for a frame, if that is not its own.
    pub(crate) async fn pass_on_as(
        &self,
        source: &Arc<str>,
        content: Content,
        number: Option<u64>,
    ) -> Result<(), Stopped> {
        let arrived = Instant::now();
        // A frame larger than the whole budget goes alone.
        let share = u32::try_from(content.len())
            .unwrap_or(u32::MAX)
            .min(self.budget);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(share)
            .await
            .map_err(|_| Stopped)?;
        let arrival = Arrival {
            source: Arc::clone(source),
            content,
            number,
            arrived,
            _room: room,
        };
        self.sender.send(arrival).await.map_err(|_| Stopped)
    }
}

/// The pipeline has stopped, so nothing more can be taken in.
///
/// # Examples
///
/// ```
/// use jetwash::{Jetstream, Stopped};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (jetstream, ingest) = Jetstream::builder().build()?;
/// let pusher = jetstream.pusher("mine");
/// // It runs until the shutdown, which is over at once.
/// ingest.run(std::future::ready(())).await?;
/// assert_eq!(pusher.push(vec![0xa0]).await, Err(Stopped));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the Jetstream has stopped and takes no more frames")]
pub struct Stopped;

/// Small frames are bounded by number too, for the memory that each takes beside its bytes.
const QUEUE_FRAMES: usize = 4096;
