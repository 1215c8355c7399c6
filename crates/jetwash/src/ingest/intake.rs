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

    /// Waits for room and hands over frames that came together, in their order; `Err` if the pipeline
    /// has stopped.
    ///
    /// A source that waits for room and the pipeline that waits for frames wake each other, which
    /// costs several times what a frame costs here: so they do it once for many frames.
    pub(crate) async fn send_all(
        &self,
        source: &Arc<str>,
        frames: &mut Vec<Bytes>,
    ) -> Result<(), Stopped> {
        let arrived = Instant::now();
        while !frames.is_empty() {
            let (count, bytes) = self.fitting(frames);
            let room = Arc::clone(&self.room).acquire_many_owned(bytes);
            let mut room = room.await.map_err(|_| Stopped)?;
            let places = self.sender.reserve_many(count).await;
            let places = places.map_err(|_| Stopped)?;
            for (frame, place) in frames.drain(..count).zip(places) {
                let share = room.split(self.share(frame.len()) as usize);
                debug_assert!(share.is_some(), "the room is that of all of them");
                let Some(share) = share else { break };
                place.send(Arrival {
                    source: Arc::clone(source),
                    content: Content::Frame(frame),
                    arrived,
                    number: None,
                    _room: share,
                });
            }
        }
        Ok(())
    }

    /// How many of the first frames are handed over together, and the room that they take. A part of
    /// the queue, so that the pipeline has something to do while a source waits.
    fn fitting(&self, frames: &[Bytes]) -> (usize, u32) {
        let most = self.budget / PARTS;
        let (mut count, mut bytes) = (0, 0);
        for frame in frames.iter().take(QUEUE_FRAMES / PARTS as usize) {
            let share = self.share(frame.len());
            if count > 0 && most.saturating_sub(bytes) < share {
                break;
            }
            (count, bytes) = (count + 1, bytes + share);
        }
        (count, bytes)
    }

    /// A frame larger than the whole budget goes alone.
    fn share(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.budget)
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
        let share = self.share(content.len());
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
/// Up to this part of the queue is filled at once.
const PARTS: u32 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However frames are sent, they arrive in order, and what has not been dealt with takes no
        /// more than the budget.
        #[test]
        fn frames_come_in_order_and_within_the_budget(
            batches in prop::collection::vec(prop::collection::vec(0..300_usize, 0..40), 0..20),
            held in 0..30_usize,
        ) {
            const BUDGET: u32 = 256;
            let sizes = batches.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let came = runtime.block_on(async move {
                let (intake, mut arrivals) = Intake::new(BUDGET);
                let room = Arc::clone(&intake.room);
                let sending = tokio::spawn(async move {
                    let source = Arc::from("source");
                    for batch in batches {
                        let frames = batch.into_iter().map(|size| Bytes::from(vec![1; size]));
                        let mut frames = frames.collect();
                        intake.send_all(&source, &mut frames).await.unwrap();
                        assert!(frames.is_empty());
                    }
                });
                let (mut waiting, mut came) = (Vec::new(), Vec::new());
                while let Some(arrival) = arrivals.recv().await {
                    let size = arrival.content.len();
                    came.push(size);
                    waiting.push((arrival, size.min(BUDGET as usize)));
                    let taken: usize = waiting.iter().map(|(_, share)| share).sum();
                    let left = BUDGET as usize - room.available_permits();
                    assert!(taken <= left && left <= BUDGET as usize, "{taken} of {left}");
                    // Nothing waits for ever for room that is held here.
                    if waiting.len() > held || arrivals.is_empty() {
                        waiting.clear();
                    }
                }
                waiting.clear();
                sending.await.unwrap();
                assert_eq!(room.available_permits(), BUDGET as usize);
                came
            });
            prop_assert_eq!(came, sizes);
        }
    }

    #[tokio::test]
    async fn what_comes_after_the_end_is_refused() {
        let (intake, arrivals) = Intake::new(1 << 20);
        drop(arrivals);
        let mut frames = vec![Bytes::from_static(b"a")];
        let sent = intake.send_all(&Arc::from("source"), &mut frames).await;
        assert_eq!(sent, Err(Stopped));
    }
}
