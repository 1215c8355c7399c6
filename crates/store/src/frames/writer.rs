use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::backend::state;
use crate::backend::{Backend, Batch, Bucket, BucketName, FrameRow};
use crate::error::BackendError;
use crate::frames::log::{FrameBucket, FrameRing, FrameView, Log, Spans, StoredFrames, StoredLog};

/// The appender's side of the ring of frames.
pub(crate) struct FrameWriter {
    tip: watch::Sender<u64>,
    max_bytes: u64,
    logs: BTreeMap<String, WriterLog>,
    next_log: u32,
    pending: Vec<Pending>,
    pending_bytes: usize,
}

/// The log of a source, ahead of what is committed.
struct WriterLog {
    id: u32,
    floor: u64,
    next: u64,
    /// Whether this run has seen that nothing is missing since the last one.
    is_checked: bool,
    is_stored: bool,
}

struct Pending {
    source: Arc<str>,
    log: u32,
    seq: u64,
    bytes: Bytes,
}

/// The frames that a commit writes.
pub(crate) struct FramePlan {
    bucket: Arc<dyn Bucket>,
    number: u64,
    spans: Spans,
}

impl FrameWriter {
    /// Puts together what is stored. Buckets that the state does not know of are to be dropped.
    pub(crate) fn open(
        stored: StoredFrames,
        buckets: Vec<(u64, Arc<dyn Bucket>)>,
        max_bytes: u64,
    ) -> (Self, FrameRing, Vec<u64>) {
        let StoredFrames {
            mut logs,
            mut spans,
        } = stored;
        logs.sort_by_key(|log| log.id);
        let mut view = FrameView::default();
        let mut useless = Vec::new();
        for (number, bucket) in buckets {
            match spans.remove(&number) {
                Some(spans) => view.buckets.push_back(FrameBucket {
                    number,
                    bucket,
                    spans,
                }),
                None => useless.push(number),
            }
        }
        let next_log = logs.iter().map(|log| log.id + 1).max().unwrap_or_default();
        let mut writer_logs = BTreeMap::new();
        // In the order of their numbers, so that the one that a source went on with comes last.
        for StoredLog { id, floor, name } in logs {
            let spans = view.buckets.iter().map(|bucket| &bucket.spans);
            let last = spans
                .filter_map(|spans| spans.by_log.get(&id))
                .map(|span| span.1 + 1);
            let next = last.max().unwrap_or(floor);
            let log = WriterLog {
                id,
                floor,
                next,
                is_checked: false,
                is_stored: true,
            };
            writer_logs.insert(name.clone(), log);
            view.logs.insert(name, Log::new(id, floor, next));
        }
        let (sender, tip) = watch::channel(0);
        let writer = Self {
            tip: sender,
            max_bytes,
            logs: writer_logs,
            next_log,
            pending: Vec::new(),
            pending_bytes: 0,
        };
        (writer, FrameRing::new(view, tip), useless)
    }

    /// Adds a frame. `cursor` is how far its source was read before, as far as that is stored.
    pub(crate) fn push(&mut self, source: &str, seq: u64, frame: &[u8], cursor: Option<u64>) {
        // After a crash a source may begin before its newest frames, because some of them waited for
        // something else: those are kept already.
        let is_kept = |log: &WriterLog| !log.is_checked && cursor < Some(seq) && seq < log.next;
        if cursor.is_some() && self.logs.get(source).is_some_and(is_kept) {
            return;
        }
        let log = match self.logs.get_mut(source) {
            // Frames that came while none were kept are missing.
            Some(log) if seq >= log.next && (log.is_checked || cursor < Some(log.next)) => log,
            _ => {
                let id = self.next_log;
                self.next_log += 1;
                let log = WriterLog {
                    id,
                    floor: seq,
                    next: seq,
                    is_checked: true,
                    is_stored: false,
                };
                self.logs.insert(source.to_owned(), log);
                return self.push(source, seq, frame, cursor);
            }
        };
        log.is_checked = true;
        log.next = seq + 1;
        let last = self.pending.last();
        let known = last.filter(|pending| &*pending.source == source);
        self.pending_bytes += frame.len();
        self.pending.push(Pending {
            source: known.map_or_else(|| Arc::from(source), |known| Arc::clone(&known.source)),
            log: log.id,
            seq,
            bytes: Bytes::copy_from_slice(frame),
        });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) const fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Adds what is pending to a batch. Nothing is different until [`FrameWriter::publish`].
    pub(crate) fn plan(
        &self,
        ring: &FrameRing,
        backend: &dyn Backend,
        batch: &mut Batch,
    ) -> Result<Option<FramePlan>, BackendError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        // Spans are copied and given back when the batch has been written: until then a failed
        // commit leaves everything as it was.
        let last = ring.view().buckets.back().map(|last| {
            let bucket = Arc::clone(&last.bucket);
            (last.number, bucket, last.spans.clone())
        });
        let (number, bucket, mut spans) = match last {
            Some((number, bucket, spans)) if spans.bytes < self.bucket_bytes() => {
                (number, bucket, spans)
            }
            last => {
                let number = last.map_or(0, |(number, ..)| number + 1);
                let bucket = backend.create_bucket(BucketName::Frames(number))?;
                (number, bucket, Spans::default())
            }
        };
        for pending in &self.pending {
            spans.add(pending.log, pending.seq, pending.bytes.len());
            batch.frames.push(FrameRow {
                bucket: number,
                log: pending.log,
                seq: pending.seq,
                bytes: pending.bytes.clone(),
            });
        }
        for (name, log) in self.logs.iter().filter(|(_, log)| !log.is_stored) {
            let value = state::encode_frame_log(log.floor, name);
            batch.set(state::frame_log_key(log.id), value);
        }
        batch.set(state::frame_bucket_key(number), spans.encode());
        Ok(Some(FramePlan {
            bucket,
            number,
            spans,
        }))
    }

    /// Makes what was written visible.
    pub(crate) fn publish(&mut self, ring: &FrameRing, plan: FramePlan) {
        let FramePlan {
            bucket,
            number,
            spans,
        } = plan;
        // Under one lock, so that a reader finds each frame in memory or in a bucket.
        let mut view = ring.view_mut();
        match view.buckets.back_mut() {
            Some(last) if last.number == number => last.spans = spans,
            _ => view.buckets.push_back(FrameBucket {
                number,
                bucket,
                spans,
            }),
        }
        view.count += self.pending.len() as u64;
        for Pending {
            source,
            log: id,
            seq,
            bytes,
        } in self.pending.drain(..)
        {
            match view.logs.get_mut(&*source) {
                Some(log) if log.id == id => log.push(seq, bytes),
                _ => {
                    let mut log = Log::new(id, seq, seq);
                    log.push(seq, bytes);
                    view.logs.insert(source.as_ref().to_owned(), log);
                }
            }
        }
        let count = view.count;
        drop(view);
        self.pending_bytes = 0;
        self.logs.values_mut().for_each(|log| log.is_stored = true);
        self.tip.send_replace(count);
    }

    pub(crate) fn is_over(&self, ring: &FrameRing) -> bool {
        let view = ring.view();
        view.buckets.len() > 1 && view.bytes() > self.max_bytes
    }

    /// Returns how many of the oldest buckets are too many, and adds their removal to a batch.
    pub(crate) fn plan_trim(&self, ring: &FrameRing, batch: &mut Batch) -> usize {
        let view = ring.view();
        let mut bytes = view.bytes();
        let mut count = 0;
        while bytes > self.max_bytes && count + 1 < view.buckets.len() {
            bytes -= view.buckets[count].spans.bytes;
            batch.remove(state::frame_bucket_key(view.buckets[count].number));
            count += 1;
        }
        let kept = || {
            view.buckets
                .range(count..)
                .map(|bucket| &bucket.spans.by_log)
        };
        for dropped in view.buckets.range(..count) {
            for (log, (_, last)) in &dropped.spans.by_log {
                match view.logs.iter().find(|(_, known)| known.id == *log) {
                    Some((name, known)) => {
                        let floor = known.floor.max(last + 1);
                        let value = state::encode_frame_log(floor, name);
                        batch.set(state::frame_log_key(*log), value);
                    }
                    // A log that its source did not continue with.
                    None if kept().all(|spans| !spans.contains_key(log)) => {
                        batch.remove(state::frame_log_key(*log));
                    }
                    None => {}
                }
            }
        }
        count
    }

    /// Takes the oldest buckets out of view, and returns their numbers.
    pub(crate) fn publish_trim(&mut self, ring: &FrameRing, count: usize) -> Vec<u64> {
        let mut view = ring.view_mut();
        let dropped: Vec<_> = view.buckets.drain(..count).collect();
        let spans = dropped.iter().flat_map(|bucket| &bucket.spans.by_log);
        for (id, (_, last)) in spans {
            if let Some(log) = view.logs.values_mut().find(|log| log.id == *id) {
                log.floor = log.floor.max(last + 1);
            }
        }
        dropped.iter().map(|bucket| bucket.number).collect()
    }

    fn bucket_bytes(&self) -> u64 {
        (self.max_bytes / 16).clamp(1 << 12, 1 << 30)
    }
}
