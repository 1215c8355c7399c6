use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::backend::BucketError;
use crate::error::StoreError;
use crate::frames::kept::KeptFrame;
use crate::frames::log::{FrameView, Log};
use crate::read::Store;
use crate::ring::Ring;

impl Store {
    /// Reads the raw frames of a source. `None` if the ring keeps no frames: see
    /// [`Options::keep_frames`](crate::Options::keep_frames).
    ///
    /// The source need not have sent anything yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::{FrameStart, Frames, Location, Options, open};
    ///
    /// let options = Options::default().keep_frames(1 << 20);
    /// let (mut appender, store) = open(Location::Memory, options)?;
    /// let mut reader = store.frames("relay", FrameStart::Oldest).ok_or("frames are kept")?;
    ///
    /// appender.keep_frame("relay", 4_711, b"a frame");
    /// appender.commit()?;
    /// let Frames::Next(frames) = reader.read()? else { panic!("nothing there") };
    /// assert_eq!((frames[0].seq, &frames[0].bytes[..]), (4_711, &b"a frame"[..]));
    /// assert!(matches!(reader.read()?, Frames::AtTip));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn frames(&self, source: &str, start: FrameStart) -> Option<FrameReader> {
        let ring = Arc::clone(self.ring());
        let frames = ring.frames.as_ref()?;
        let (mut log, mut seq) = (None, 0);
        match start {
            FrameStart::Oldest => {}
            FrameStart::Live => {
                let view = frames.view();
                let known = view.logs.get(source);
                (log, seq) = known.map_or((None, 0), |known| (Some(known.id), known.next));
            }
            FrameStart::Seq(wanted) => seq = wanted,
        }
        let tip = frames.tip.clone();
        Some(FrameReader {
            is_oldest: start == FrameStart::Oldest || (start == FrameStart::Live && log.is_none()),
            source: source.to_owned(),
            ring,
            tip,
            log,
            seq,
        })
    }

    /// The bounds of a source's frames; `None` if it has no frames.
    #[must_use]
    pub fn frame_bounds(&self, source: &str) -> Option<FrameBounds> {
        let view = self.ring().frames.as_ref()?.view();
        let log = view.logs.get(source)?;
        (log.floor < log.next).then_some(FrameBounds {
            oldest_seq: log.floor,
            next_seq: log.next,
        })
    }

    /// The bytes of all frames that are kept.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        let frames = self.ring().frames.as_ref();
        frames.map_or(0, |frames| frames.view().bytes())
    }
}

/// The place at which a reader of frames starts.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{FrameStart, Frames, Location, Options, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default().keep_frames(1 << 20))?;
/// # appender.keep_frame("relay", 4_711, b"a frame");
/// # appender.commit()?;
/// let start = |start| store.frames("relay", start).map(|reader| reader.next_seq());
/// assert_eq!(start(FrameStart::Live), Some(4_712));
/// assert_eq!(start(FrameStart::Seq(17)), Some(17));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameStart {
    /// The next frame to be kept.
    Live,
    /// The oldest frame there is.
    Oldest,
    /// The frame of this sequence number, or the first above it.
    Seq(u64),
}

/// A position among the frames of a source, from [`Store::frames`].
///
/// Like a reader of events it is nothing but a position: it reads until it is told
/// [`Frames::AtTip`], waits for [`FrameReader::tip`] to change, and reads on.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{FrameStart, Frames, Location, Options, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default().keep_frames(1 << 20))?;
/// # appender.keep_frame("relay", 4_711, b"a frame");
/// # appender.commit()?;
/// let mut reader = store.frames("relay", FrameStart::Oldest).ok_or("frames are kept")?;
/// assert!(matches!(reader.read()?, Frames::Next(_)));
/// assert!(matches!(reader.read()?, Frames::AtTip));
/// assert_eq!(reader.next_seq(), 4_712);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameReader {
    ring: Arc<Ring>,
    tip: watch::Receiver<u64>,
    source: String,
    is_oldest: bool,
    /// The log that `seq` belongs to, once that is known.
    log: Option<u32>,
    seq: u64,
}

impl FrameReader {
    /// Reads on. May block on the disk: see [`FrameReader::read_hot`].
    ///
    /// # Errors
    ///
    /// When the disk fails or the frames are damaged. The position is as before.
    pub fn read(&mut self) -> Result<Frames, StoreError> {
        for _ in 0..TRIES {
            let (log, bucket) = {
                let ring = Arc::clone(&self.ring);
                let Some(frames) = &ring.frames else {
                    return Ok(Frames::AtTip);
                };
                let view = frames.view();
                if let Some(found) = self.look(&view) {
                    return Ok(found);
                }
                let Some(log) = self.log else {
                    return Ok(Frames::AtTip);
                };
                match view.bucket_of(log, self.seq) {
                    Some(bucket) => (log, bucket),
                    None => return Ok(Frames::AtTip),
                }
            };
            let rows = bucket.frames(log, self.seq, READ_BYTES);
            let rows = rows.map_err(|error| {
                let source = match error {
                    BucketError::Damaged => "the storage engine finds them changed".into(),
                    BucketError::Failed(source) => source,
                };
                StoreError::storage("read kept frames")(source)
            })?;
            // The bucket may have been dropped meanwhile; then the view says so.
            let Some((last, _)) = rows.last() else {
                continue;
            };
            self.seq = last + 1;
            let frames = rows.into_iter();
            return Ok(Frames::Next(
                frames
                    .map(|(seq, bytes)| KeptFrame { seq, bytes })
                    .collect(),
            ));
        }
        Err(StoreError::storage("read kept frames")(
            "they are missing".into(),
        ))
    }

    /// Reads on as [`FrameReader::read`] does, but only from memory. `None` says to call that, where
    /// blocking is allowed.
    pub fn read_hot(&mut self) -> Option<Frames> {
        let ring = Arc::clone(&self.ring);
        match &ring.frames {
            Some(frames) => self.look(&frames.view()),
            None => Some(Frames::AtTip),
        }
    }

    /// The sequence number from which the reader continues.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.seq
    }

    /// Continues from a later sequence number.
    pub fn skip_to(&mut self, seq: u64) {
        self.seq = self.seq.max(seq);
    }

    /// Changes with each commit that brings frames. Waiting on it is an error once the
    /// [`Appender`](crate::Appender) is gone.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<u64> {
        self.tip.clone()
    }

    /// Answers without reading a bucket, if that is possible.
    fn look(&mut self, view: &FrameView) -> Option<Frames> {
        let Some(log) = view.logs.get(&self.source) else {
            return Some(Frames::AtTip);
        };
        if std::mem::take(&mut self.is_oldest) {
            (self.log, self.seq) = (Some(log.id), log.floor);
        }
        let is_same = *self.log.get_or_insert(log.id) == log.id;
        if !is_same || self.seq < log.floor {
            let from = std::mem::replace(&mut self.seq, log.floor);
            self.log = Some(log.id);
            let oldest = log.floor;
            return Some(Frames::Lost { from, oldest });
        }
        if self.seq >= log.next {
            return Some(Frames::AtTip);
        }
        (self.seq >= log.hot_from).then(|| self.take_hot(log))
    }

    fn take_hot(&mut self, log: &Log) -> Frames {
        let start = log.hot.partition_point(|frame| frame.seq < self.seq);
        let mut bytes = 0;
        let frames = log.hot.range(start..).take_while(|frame| {
            let is_first = bytes == 0;
            bytes += frame.bytes.len();
            is_first || bytes <= READ_BYTES
        });
        let frames: Vec<KeptFrame> = frames.cloned().collect();
        if let Some(last) = frames.last() {
            self.seq = last.seq + 1;
        }
        Frames::Next(frames)
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FrameReader")
            .field("source", &self.source)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// The result of a read with a [`FrameReader`].
///
/// # Examples
///
/// ```
/// # use jetwash_store::{FrameStart, Frames, Location, Options, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default().keep_frames(1 << 20))?;
/// # appender.keep_frame("relay", 4_711, b"a frame");
/// # appender.commit()?;
/// let mut reader = store.frames("relay", FrameStart::Seq(4_000)).ok_or("frames are kept")?;
/// match reader.read()? {
///     Frames::Lost { from, oldest } => assert_eq!((from, oldest), (4_000, 4_711)),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frames {
    /// The next frames, at least one, in order.
    Next(Vec<KeptFrame>),
    /// Nothing yet.
    AtTip,
    /// Frames may be missing: those from `from` on up to `oldest`. The ring has moved past them,
    /// or they were never kept. The next read continues with the oldest that there is.
    ///
    /// `oldest` is below `from` where the source has begun to count anew.
    Lost {
        /// The reader's position before.
        from: u64,
        /// The first sequence number from which on no frame is missing.
        oldest: u64,
    },
}

/// The first and the last of a source's frames.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{FrameStart, Frames, Location, Options, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default().keep_frames(1 << 20))?;
/// # appender.keep_frame("relay", 4_711, b"a frame");
/// # appender.commit()?;
/// let bounds = store.frame_bounds("relay").ok_or("the source has frames")?;
/// assert_eq!((bounds.oldest_seq, bounds.next_seq), (4_711, 4_712));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameBounds {
    /// The first sequence number from which on no frame is missing.
    pub oldest_seq: u64,
    /// One above the sequence number of the newest.
    pub next_seq: u64,
}

impl FrameBounds {
    /// Makes bounds, for those who keep frames elsewhere.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_store::FrameBounds;
    ///
    /// let bounds = FrameBounds::new(4_711, 4_712);
    /// assert_eq!((bounds.oldest_seq, bounds.next_seq), (4_711, 4_712));
    /// ```
    #[must_use]
    pub const fn new(oldest_seq: u64, next_seq: u64) -> Self {
        Self {
            oldest_seq,
            next_seq,
        }
    }
}

/// About as much as is read at once.
const READ_BYTES: usize = 256 << 10;
/// How often a bucket may be dropped just when it was to be read.
const TRIES: usize = 8;
