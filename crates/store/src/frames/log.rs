use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use tokio::sync::watch;

use crate::backend::Bucket;
use crate::backend::state;
use crate::frames::kept::KeptFrame;

/// The part of the frames that the appender and the readers share.
pub(crate) struct FrameRing {
    view: RwLock<FrameView>,
    /// Changed by each commit of frames.
    pub(super) tip: watch::Receiver<u64>,
}

impl FrameRing {
    pub(crate) const fn new(view: FrameView, tip: watch::Receiver<u64>) -> Self {
        Self {
            view: RwLock::new(view),
            tip,
        }
    }

    pub(super) fn view(&self) -> RwLockReadGuard<'_, FrameView> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, FrameView> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of all committed frames.
#[derive(Default)]
pub(crate) struct FrameView {
    pub(super) buckets: VecDeque<FrameBucket>,
    /// The logs that can be read, by the names of their sources.
    pub(super) logs: BTreeMap<String, Log>,
    /// How many frames were committed in this run.
    pub(super) count: u64,
}

impl FrameView {
    pub(super) fn bytes(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.spans.bytes).sum()
    }

    /// The bucket with the first frame of a log from a sequence number on.
    pub(super) fn bucket_of(&self, log: u32, seq: u64) -> Option<Arc<dyn Bucket>> {
        let mut buckets = self.buckets.iter();
        let holds = |bucket: &&FrameBucket| {
            let span = bucket.spans.by_log.get(&log);
            span.is_some_and(|(_, last)| seq <= *last)
        };
        buckets.find(holds).map(|bucket| Arc::clone(&bucket.bucket))
    }
}

/// The frames of a source that follow each other.
pub(super) struct Log {
    /// Another number each time that a source begins anew: its sequence numbers went back, or
    /// frames were not kept for a while.
    pub(super) id: u32,
    /// No frame is missing from this sequence number on.
    pub(super) floor: u64,
    /// The sequence number after the last frame.
    pub(super) next: u64,
    /// The newest frames, in memory.
    pub(super) hot: VecDeque<KeptFrame>,
    pub(super) hot_bytes: usize,
    /// Frames are in `hot` from this sequence number on.
    pub(super) hot_from: u64,
}

impl Log {
    pub(super) const fn new(id: u32, floor: u64, next: u64) -> Self {
        Self {
            id,
            floor,
            next,
            hot: VecDeque::new(),
            hot_bytes: 0,
            hot_from: next,
        }
    }

    pub(super) fn push(&mut self, seq: u64, bytes: Bytes) {
        self.next = seq + 1;
        self.hot_bytes += bytes.len();
        self.hot.push_back(KeptFrame { seq, bytes });
        while self.hot_bytes > HOT_BYTES && self.hot.len() > 1 {
            if let Some(frame) = self.hot.pop_front() {
                self.hot_bytes -= frame.bytes.len();
                self.hot_from = frame.seq + 1;
            }
        }
    }
}

/// A bucket of frames.
pub(super) struct FrameBucket {
    pub(super) number: u64,
    pub(super) bucket: Arc<dyn Bucket>,
    pub(super) spans: Spans,
}

/// The contents of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spans {
    pub(super) bytes: u64,
    /// The first and the last sequence number of each log.
    pub(super) by_log: BTreeMap<u32, (u64, u64)>,
}

impl Spans {
    pub(super) fn add(&mut self, log: u32, seq: u64, bytes: usize) {
        self.bytes += bytes as u64;
        self.by_log.entry(log).or_insert((seq, seq)).1 = seq;
    }

    pub(super) fn encode(&self) -> Bytes {
        let spans = self.by_log.iter();
        let spans = spans.flat_map(|(log, (first, last))| [u64::from(*log), *first, *last]);
        let numbers: Vec<u64> = [self.bytes].into_iter().chain(spans).collect();
        state::encode_numbers(&numbers)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (total, rest) = bytes.split_first_chunk::<8>()?;
        let (spans, rest) = rest.as_chunks::<24>();
        let spans = spans.iter().map(|span| {
            let [log, first, last] = state::decode_numbers(span)?;
            Some((u32::try_from(log).ok()?, (first, last)))
        });
        let by_log = spans.collect::<Option<_>>()?;
        rest.is_empty().then_some(Self {
            bytes: u64::from_le_bytes(*total),
            by_log,
        })
    }
}

/// The entries of the state that concern frames.
#[derive(Default)]
pub(crate) struct StoredFrames {
    pub(super) logs: Vec<StoredLog>,
    pub(super) spans: BTreeMap<u64, Spans>,
}

pub(super) struct StoredLog {
    pub(super) id: u32,
    pub(super) floor: u64,
    pub(super) name: String,
}

impl StoredFrames {
    /// Takes an entry of the state; `None` if it does not concern frames, or is damaged.
    pub(crate) fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        if let Some(id) = state::frame_log_id(key) {
            let (floor, name) = value.split_first_chunk::<8>()?;
            self.logs.push(StoredLog {
                id,
                floor: u64::from_le_bytes(*floor),
                name: str::from_utf8(name).ok()?.to_owned(),
            });
        } else {
            let number = state::frame_bucket_number(key)?;
            self.spans.insert(number, Spans::decode(value)?);
        }
        Some(())
    }

    /// The keys of all that is stored.
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        let logs = self.logs.iter().map(|log| state::frame_log_key(log.id));
        let buckets = self.spans.keys();
        logs.chain(buckets.map(|number| state::frame_bucket_key(*number)))
            .collect()
    }
}

/// The memory for the newest frames of each source.
const HOT_BYTES: usize = 1 << 20;
