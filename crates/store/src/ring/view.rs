use std::collections::VecDeque;
use std::sync::Arc;

use jetwash_event::Micros;

use super::bucket_view::{BlockEntry, BucketView, ColdPlace};
use super::run::{Read, Run};
use crate::backend::{BlockKey, Bucket};
use crate::block::Block;
use crate::gap::{Gap, GapCause, MAX_NOTED, Noted};
use crate::seq::Seq;
use crate::skipped::Skipped;

/// The place of every committed event. The buckets and the tail together hold each event once; the
/// hot blocks before the tail are copies of the buckets' newest.
#[derive(Default)]
pub(crate) struct View {
    /// In order, and not empty, each of them.
    pub(crate) buckets: VecDeque<BucketView>,
    /// The newest blocks with the bytes each was counted with, in order.
    pub(crate) hot: VecDeque<(Arc<Block>, usize)>,
    pub(crate) hot_bytes: usize,
    /// How many of the last hot blocks are pieces of the tail: in no bucket yet.
    pub(crate) tail: usize,
    pub(crate) tail_bytes: u64,
    pub(crate) bucket_bytes: u64,
    /// The position of the next event.
    pub(crate) next_seq: Seq,
    /// The time of the newest event, even if it has been trimmed.
    pub(crate) last_time: Micros,
    /// Positions that were given out before a power failure, to events that did not survive it; in a
    /// mirror, those that its origin does not have. In order. Nearly always empty.
    pub(crate) gaps: Vec<Skipped>,
    /// The gaps of upstreams, in order. Nearly always empty.
    pub(crate) noted: VecDeque<Noted>,
}

impl View {
    pub(crate) fn oldest_seq(&self) -> Seq {
        match self.buckets.front() {
            Some(bucket) => bucket.first_seq,
            None => self
                .tail()
                .next()
                .map_or(self.next_seq, |piece| piece.first_seq()),
        }
    }

    pub(crate) fn oldest_time(&self) -> Option<Micros> {
        match self.buckets.front() {
            Some(bucket) => Some(bucket.first_time()),
            None => self.tail().next().map(|piece| piece.index().first_time()),
        }
    }

    /// The end of the gaps that a position is in, one after the other; the position itself if it is in
    /// none.
    pub(crate) fn after_gap(&self, seq: Seq) -> Seq {
        let mut after = seq;
        for gap in &self.gaps {
            if (gap.first..gap.next).contains(&after) {
                after = gap.next;
            }
        }
        after
    }

    /// How many positions in the ring have no event.
    pub(crate) fn gap_len(&self) -> u64 {
        let oldest = self.oldest_seq();
        let within = |gap: &Skipped| gap.next.since(oldest.max(gap.first));
        self.gaps.iter().map(within).sum()
    }

    /// Answers a reader at a position, if that is possible without the disk.
    pub(crate) fn look(&self, from: Seq) -> Option<Read> {
        if let Some(block) = self.hot_block(from) {
            return Some(Read::Events(self.run(block, from)));
        }
        if from == self.next_seq {
            return Some(Read::AtTip);
        }
        if from > self.next_seq {
            let gap = Gap::new(from, self.next_seq, GapCause::CursorAhead);
            return Some(Read::Gap(gap));
        }
        let is_in = |gap: &&Skipped| (gap.first..gap.next).contains(&from);
        if let Some(gap) = self.gaps.iter().find(is_in) {
            return Some(Read::Gap(gap.gap_from(from)));
        }
        let oldest = self.oldest_seq();
        (from < oldest).then(|| {
            let next = self.next_gap_after(from).min(oldest);
            Read::Gap(Gap::new(from, next, GapCause::Trimmed).events(next.since(from)))
        })
    }

    /// The events of a block from a position on, up to the next place where an upstream has a gap.
    pub(crate) fn run(&self, block: &Arc<Block>, from: Seq) -> Run {
        let first_seq = block.first_seq();
        let (mut end, mut gaps) = (block.next_seq(), Vec::new());
        if !self.noted.is_empty() {
            let start = self
                .noted
                .partition_point(|noted| noted.gap.first_seq < from);
            for noted in self.noted.range(start..) {
                if noted.gap.first_seq > from {
                    end = end.min(noted.gap.first_seq);
                    break;
                }
                gaps.push(noted.gap.clone());
            }
        }
        let indexes = from.since(first_seq) as usize..end.since(first_seq) as usize;
        Run::new(Arc::clone(block), indexes, gaps)
    }

    /// A gap of events that cannot be read.
    pub(crate) fn damaged(&self, from: Seq, next: Seq, detail: &'static str) -> Gap {
        let next = next.max(from.next()).min(self.next_gap_after(from));
        Gap::new(from, next, GapCause::Damaged)
            .events(next.since(from))
            .detail(detail)
    }

    /// The start of the next skipped positions after one that has an event.
    fn next_gap_after(&self, seq: Seq) -> Seq {
        let firsts = self.gaps.iter().map(|gap| gap.first);
        firsts
            .filter(|first| *first > seq)
            .min()
            .unwrap_or(Seq::MAX)
    }

    /// The gaps of upstreams that lie at positions from `first` on, and before `next`.
    pub(crate) fn noted_in(&self, first: Seq, next: Seq) -> Vec<Gap> {
        let start = self
            .noted
            .partition_point(|noted| noted.gap.first_seq < first);
        let within = self.noted.range(start..);
        within
            .take_while(|noted| noted.gap.first_seq < next)
            .map(|noted| noted.gap.clone())
            .collect()
    }

    /// The gap that another one is the same as.
    pub(crate) fn noted_like(&self, gap: &Gap) -> Option<&Noted> {
        let last = self.noted.iter().rev();
        last.take_while(|noted| noted.gap.first_seq == gap.first_seq)
            .find(|noted| noted.gap.is_same(gap))
    }

    /// The numbers of gaps of upstreams that lie before a position.
    pub(crate) fn noted_before(&self, seq: Seq) -> Vec<u64> {
        let before = self.noted.iter();
        before
            .take_while(|noted| noted.gap.first_seq < seq)
            .map(|noted| noted.number)
            .collect()
    }

    /// The numbers of the gaps that have to go once others are noted.
    pub(crate) fn noted_beyond(&self, others: &[Noted]) -> Vec<u64> {
        let last = self.noted.back().map(|noted| noted.number);
        let new = others.iter().filter(|noted| last < Some(noted.number));
        let beyond = (self.noted.len() + new.count()).saturating_sub(MAX_NOTED);
        let oldest = self.noted.iter().take(beyond);
        oldest.map(|noted| noted.number).collect()
    }

    pub(crate) fn note(&mut self, others: impl Iterator<Item = Noted>) {
        for other in others {
            let mut last = self.noted.iter_mut().rev();
            match last.find(|noted| noted.number <= other.number) {
                Some(noted) if noted.number == other.number => *noted = other,
                _ => self.noted.push_back(other),
            }
        }
        while self.noted.len() > MAX_NOTED {
            self.noted.pop_front();
        }
    }

    pub(crate) fn forget_noted_before(&mut self, seq: Seq) {
        while self
            .noted
            .front()
            .is_some_and(|noted| noted.gap.first_seq < seq)
        {
            self.noted.pop_front();
        }
    }

    /// The committed blocks that are in no bucket yet.
    pub(crate) fn tail(&self) -> impl Iterator<Item = &Arc<Block>> {
        let start = self.hot.len() - self.tail;
        self.hot.range(start..).map(|(block, _)| block)
    }

    /// The hot block that holds a position.
    pub(crate) fn hot_block(&self, seq: Seq) -> Option<&Arc<Block>> {
        let after = self
            .hot
            .partition_point(|(block, _)| block.first_seq() <= seq);
        let (block, _) = self.hot.get(after.checked_sub(1)?)?;
        (seq < block.next_seq()).then_some(block)
    }

    /// The place on disk where a position should be.
    pub(crate) fn cold_block(&self, seq: Seq) -> Option<ColdPlace> {
        let after = self
            .buckets
            .partition_point(|bucket| bucket.first_seq <= seq);
        self.cold_place(after.checked_sub(1)?, |entry, bucket| {
            bucket.seq_of(entry) <= seq
        })
    }

    /// The place on disk of the last block that begins at or before a time.
    pub(crate) fn cold_block_at_time(&self, time_us: Micros) -> Option<ColdPlace> {
        let after = self
            .buckets
            .partition_point(|bucket| bucket.first_time() <= time_us);
        self.cold_place(after.checked_sub(1)?, |entry, _| {
            entry.first_time <= time_us
        })
    }

    /// The first position after `seq` at which a block begins, or the end of the ring.
    pub(crate) fn next_block_after(&self, seq: Seq) -> Seq {
        let hot = self.hot.iter().map(|(block, _)| block.first_seq());
        let hot = hot.filter(|first| *first > seq).min();
        let entries = self
            .buckets
            .iter()
            .filter(|bucket| bucket.next_seq > seq)
            .find_map(|bucket| {
                let after = bucket
                    .entries
                    .partition_point(|entry| bucket.seq_of(entry) <= seq);
                bucket.entries.get(after).map(|entry| bucket.seq_of(entry))
            });
        let first = hot.into_iter().chain(entries).min();
        first.unwrap_or(self.next_seq)
    }

    /// The bytes of all blocks in the backend.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bucket_bytes + self.tail_bytes
    }

    /// Adds a block that was written to the bucket that begins at a position.
    pub(crate) fn push_stored(&mut self, bucket: &Arc<dyn Bucket>, first_seq: Seq, key: &BlockKey) {
        let last = self.buckets.back();
        if last.is_none_or(|last| last.first_seq != first_seq) {
            self.buckets.push_back(BucketView {
                bucket: Arc::clone(bucket),
                first_seq,
                next_seq: first_seq,
                bytes: 0,
                entries: Vec::new(),
            });
        }
        if let Some(last) = self.buckets.back_mut() {
            last.push(key);
            self.bucket_bytes += u64::from(key.bytes);
        }
    }

    /// Takes out the oldest buckets.
    pub(crate) fn drop_buckets(&mut self, count: usize) -> Vec<BucketView> {
        let dropped: Vec<_> = self.buckets.drain(..count).collect();
        self.bucket_bytes -= dropped.iter().map(|bucket| bucket.bytes).sum::<u64>();
        dropped
    }

    pub(crate) fn push_tail(&mut self, piece: Arc<Block>) {
        self.tail += 1;
        self.tail_bytes += u64::from(piece.index().payload_len);
        self.push_hot(piece);
    }

    pub(crate) fn push_hot(&mut self, block: Arc<Block>) {
        let bytes = block.memory();
        self.hot_bytes += bytes;
        self.hot.push_back((block, bytes));
    }

    pub(crate) fn clear_tail(&mut self) {
        self.tail_bytes = 0;
        for _ in 0..std::mem::take(&mut self.tail) {
            if let Some((_, bytes)) = self.hot.pop_back() {
                self.hot_bytes -= bytes;
            }
        }
    }

    /// Drops the hot blocks before a position.
    pub(crate) fn forget_before(&mut self, seq: Seq) {
        while self
            .hot
            .front()
            .is_some_and(|(block, _)| block.first_seq() < seq)
        {
            self.pop_hot_front();
        }
    }

    /// Drops the oldest hot blocks, except those of the tail, which are in no bucket yet.
    pub(crate) fn shrink_hot(&mut self, budget: usize) {
        while self.hot_bytes > budget && self.hot.len() > self.tail {
            self.pop_hot_front();
        }
    }

    fn pop_hot_front(&mut self) {
        if let Some((_, bytes)) = self.hot.pop_front() {
            self.hot_bytes -= bytes;
        }
    }

    fn cold_place(
        &self,
        bucket: usize,
        before: impl Fn(&BlockEntry, &BucketView) -> bool,
    ) -> Option<ColdPlace> {
        let view = self.buckets.get(bucket)?;
        let after = view.entries.partition_point(|entry| before(entry, view));
        let entry = view.entries.get(after.checked_sub(1)?)?;
        let next = view.entries.get(after).map(|entry| view.seq_of(entry));
        Some(ColdPlace {
            bucket: Arc::clone(&view.bucket),
            key: BlockKey {
                first_seq: view.seq_of(entry),
                first_time: entry.first_time,
                bytes: entry.bytes,
            },
            next_seq: next.unwrap_or(view.next_seq),
        })
    }
}
