use std::collections::VecDeque;

use jetwash_event::Micros;
use jetwash_store::{Gap, GapCause, Read, Run, Seq, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::executor::run_blocking;
use crate::read::gaps::tell;
use crate::read::{ReadError, StartFrom};

/// Reads the log block by block from a position on. Subscriptions and servers are built on it.
///
/// [`Jetstream::reader`](crate::Jetstream::reader) makes one.
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Jetstream, Reading, StartFrom, json_of};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let frames = frames_from([SimChange::identity(did(0), None)])?;
/// # let frames = futures_util::stream::iter(frames);
/// # let (jetstream, ingest) = Jetstream::builder().frame_stream("test", frames).build()?;
/// let mut reader = jetstream.reader(StartFrom::Oldest).await?;
/// # tokio::spawn(ingest.run(std::future::pending()));
/// while let Some(reading) = reader.next().await {
///     if let Reading::Events(run) = reading? {
///         let page = json_of(run.block()).await?;
///         for line in run.indexes().filter_map(|index| page.get(index)) {
///             println!("{}", String::from_utf8_lossy(line));
///         }
///     }
/// #   break;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    store: Store,
    tip: watch::Receiver<Seq>,
    position: Seq,
    ahead: Option<Ahead>,
    /// Gaps that have not been given, and the events behind them.
    gaps: VecDeque<Gap>,
    behind_gaps: Option<Run>,
}

/// An item of a [`Reader`].
///
/// # Examples
///
/// ```
/// use jetwash::testing::{SimChange, did, frames_from};
/// use jetwash::{Jetstream, Reading, StartFrom};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let frames = frames_from([SimChange::identity(did(0), None)])?;
/// # let frames = futures_util::stream::iter(frames);
/// # let (jetstream, ingest) = Jetstream::builder().frame_stream("test", frames).build()?;
/// let mut reader = jetstream.reader(StartFrom::Oldest).await?;
/// # tokio::spawn(ingest.run(std::future::pending()));
/// match reader.next().await.unwrap()? {
///     Reading::Events(run) => assert_eq!(run.indexes().len(), 1),
///     Reading::Gap(gap) => println!("missing: {gap}"),
///     _ => {}
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reading {
    /// Events, at least one and at most to the end of a block.
    Events(Run),
    /// Events are missing, or may be. The reader is behind them.
    Gap(Gap),
}

/// A read that was begun before it was asked for.
#[derive(Debug)]
struct Ahead {
    position: Seq,
    read: JoinHandle<Result<Read, StoreError>>,
}

impl Reader {
    /// Resolves where to start. It may have to look into the log's files, so it is not for an
    /// asynchronous task.
    pub(crate) fn open(store: Store, start: StartFrom) -> Result<Self, ReadError> {
        let bounds = store.bounds();
        let mut gaps = VecDeque::new();
        let mut clamp = |gap: Gap| {
            let position = gap.next_seq;
            tell(&gap);
            gaps.push_back(gap);
            position
        };
        let start = match start {
            StartFrom::CursorOf { log, cursor } if log == store.log_id() => {
                StartFrom::Cursor(cursor)
            }
            start => start,
        };
        // A start that the log does not have is moved to the nearest that it has, and told as a
        // gap.
        let position = match start {
            StartFrom::CursorOf { .. } => {
                let oldest = bounds.oldest_seq;
                clamp(Gap::new(oldest, oldest, GapCause::OtherLog))
            }
            StartFrom::Cursor(cursor) if cursor.next() > bounds.next_seq => clamp(Gap::new(
                cursor.next(),
                bounds.next_seq,
                GapCause::CursorAhead,
            )),
            StartFrom::Cursor(cursor) => cursor.next(),
            StartFrom::Live => bounds.next_seq,
            StartFrom::Oldest => bounds.oldest_seq,
            StartFrom::Stored => return Err(ReadError::NothingStored),
            StartFrom::Time(time) => {
                let time = Micros::from(time);
                let position = store.seq_at_time(time)?;
                if bounds.oldest_time_us.is_some_and(|oldest| time < oldest) {
                    clamp(Gap::new(position, position, GapCause::Trimmed))
                } else {
                    position
                }
            }
        };
        Ok(Self {
            tip: store.tip(),
            store,
            position,
            ahead: None,
            gaps,
            behind_gaps: None,
        })
    }

    /// The position of the next event to be read.
    #[must_use]
    pub const fn next_seq(&self) -> Seq {
        self.position
    }

    /// Continues from a later position: the events before it have come another way. An earlier one
    /// changes nothing.
    pub fn skip_to(&mut self, position: Seq) {
        if position > self.position {
            self.position = position;
            self.gaps.clear();
            self.behind_gaps = None;
        }
    }

    /// Whether everything that the log has so far has been read.
    #[must_use]
    pub fn is_at_tip(&self) -> bool {
        self.gaps.is_empty() && self.position >= *self.tip.borrow()
    }

    /// Returns the next events, or a gap before them, and waits for either. `None` when the log has
    /// been closed and everything has been read.
    ///
    /// It is safe to drop the future and call again.
    ///
    /// # Errors
    ///
    /// When the log cannot be read. Reading may be tried again.
    pub async fn next(&mut self) -> Option<Result<Reading, ReadError>> {
        loop {
            if let Some(gap) = self.gaps.pop_front() {
                return Some(Ok(Reading::Gap(gap)));
            }
            if let Some(run) = self.behind_gaps.take() {
                self.position = run.next_seq();
                return Some(Ok(Reading::Events(run)));
            }
            // The position moves only when a result is about to be returned, with no `await` in
            // between: so the future can be dropped at any time.
            let read = match self.store.read_hot(self.position) {
                Some(read) => Ok(read),
                None => self.read_cold().await,
            };
            match read {
                Ok(Read::Events(run)) if run.gaps().is_empty() => {
                    self.position = run.next_seq();
                    return Some(Ok(Reading::Events(run)));
                }
                Ok(Read::Events(run)) => {
                    self.come_to(run.gaps());
                    self.behind_gaps = Some(run);
                }
                Ok(Read::AtTip) => {
                    let position = self.position;
                    if self.tip.wait_for(|&next| next > position).await.is_err()
                        && self.store.bounds().next_seq <= position
                    {
                        return None;
                    }
                }
                Ok(Read::Gap(gap)) => {
                    let noted = self.store.noted_gaps(gap.first_seq, gap.next_seq);
                    self.position = gap.next_seq;
                    self.come_to(&[gap]);
                    self.come_to(&noted);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn come_to(&mut self, gaps: &[Gap]) {
        gaps.iter().for_each(tell);
        self.gaps.extend(gaps.iter().cloned());
    }

    /// Begins to read what the next call of [`next`](Self::next) will give, if it has to come from
    /// disk, so that it is read while the caller does something else.
    ///
    /// `prepare` is called with it on a thread that may block, to load what the caller will need.
    /// The block is kept until it is asked for: a read begun costs the memory of one block.
    pub fn read_ahead(&mut self, prepare: impl FnOnce(&Run) + Send + 'static) {
        let position = self.position;
        let is_begun = |ahead: &Ahead| ahead.position == position;
        let has_more = !self.gaps.is_empty() || self.behind_gaps.is_some();
        if has_more
            || self.ahead.as_ref().is_some_and(is_begun)
            || self.store.read_hot(position).is_some()
        {
            return;
        }
        let store = self.store.clone();
        let read = run_blocking(store.may_block(), move || {
            let read = store.read(position)?;
            if let Read::Events(run) = &read {
                prepare(run);
            }
            Ok(read)
        });
        self.ahead = Some(Ahead { position, read });
    }

    /// A read that may touch the disk, on a thread where that is allowed.
    async fn read_cold(&mut self) -> Result<Read, ReadError> {
        self.ahead = self
            .ahead
            .take()
            .filter(|ahead| ahead.position == self.position);
        if self.ahead.is_none() {
            self.read_ahead(|_| {});
        }
        let Some(ahead) = &mut self.ahead else {
            // It has come into memory meanwhile.
            return Ok(self.store.read(self.position)?);
        };
        let read = (&mut ahead.read).await;
        self.ahead = None;
        match read {
            Ok(read) => Ok(read?),
            Err(error) if error.is_panic() => Err(error.into()),
            // The runtime is going away, and with it this task.
            Err(_) => Ok(Read::AtTip),
        }
    }
}
