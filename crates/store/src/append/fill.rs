//! How full things are: the tail, and the bucket that full blocks go to.

use std::sync::Arc;

use jetwash_event::Micros;

use crate::backend::{BlockKey, Bucket};
use crate::block::{Block, Stored};
use crate::options::Options;
use crate::ring::{BucketView, View};
use crate::seq::Seq;

/// Counts the pieces that will become one block.
#[derive(Default)]
pub(crate) struct Tail {
    /// The number of the next piece.
    pub(crate) slots: u32,
    events: usize,
    json_bytes: usize,
    first_time: Micros,
    last: Option<Arc<Block>>,
}

impl Tail {
    pub(crate) fn of(view: &View, slots: u32) -> Self {
        let mut tail = Self {
            slots,
            ..Self::default()
        };
        view.tail().for_each(|piece| tail.add(piece));
        tail
    }

    /// Whether all the blocks can be added, without making the tail full.
    pub(crate) fn takes(
        &self,
        blocks: &[Arc<Block>],
        options: &Options,
        bucket_start: Option<Micros>,
    ) -> bool {
        let mut sum = Self {
            slots: self.slots,
            last: self.last.clone(),
            ..*self
        };
        for block in blocks {
            if !sum.merges_with(block) {
                return false;
            }
            sum.add(block);
        }
        !sum.is_full(options, bucket_start)
    }

    pub(crate) fn merges_with(&self, block: &Block) -> bool {
        self.last.as_ref().is_none_or(|last| {
            last.index().encoding.merges_with(block.index().encoding)
                && last.next_seq() == block.first_seq()
        })
    }

    pub(crate) fn add(&mut self, block: &Arc<Block>) {
        if self.events == 0 {
            self.first_time = block.index().first_time();
        }
        self.events += block.len();
        self.json_bytes += block.index().json_len();
        self.last = Some(Arc::clone(block));
    }

    pub(crate) fn is_full(&self, options: &Options, bucket_start: Option<Micros>) -> bool {
        let Some(last) = &self.last else { return false };
        let start = bucket_start.unwrap_or(self.first_time).min(self.first_time);
        self.events >= options.block_events
            || self.json_bytes >= options.block_bytes
            || last.index().last_time().since(start) >= options.bucket_age_limit()
    }
}

/// How full a bucket is.
#[derive(Clone)]
pub(crate) struct BucketFill {
    pub(crate) bucket: Arc<dyn Bucket>,
    pub(crate) first_seq: Seq,
    pub(crate) first_time: Micros,
    bytes: u64,
}

impl BucketFill {
    /// An empty bucket for a block and those after it.
    pub(crate) fn new(bucket: Arc<dyn Bucket>, block: &Block) -> Self {
        Self {
            bucket,
            first_seq: block.first_seq(),
            first_time: block.index().first_time(),
            bytes: 0,
        }
    }

    pub(crate) fn of(view: &BucketView) -> Self {
        Self {
            bucket: Arc::clone(&view.bucket),
            first_seq: view.first_seq,
            first_time: view.first_time(),
            bytes: view.bytes,
        }
    }

    pub(crate) fn add(&mut self, stored: &Stored) {
        self.bytes += u64::from(stored.key.bytes);
    }

    /// Whether a block goes to the next bucket. Counted by where the block begins, and not by where the
    /// one before it ends: places in a bucket have 32 bits, and what is skipped between the two has
    /// any length.
    pub(crate) fn is_full(&self, options: &Options, block: &BlockKey) -> bool {
        block.first_seq.since(self.first_seq) >= options.bucket_events
            || self.bytes >= options.bucket_byte_limit()
            || block.first_time.since(self.first_time) >= options.bucket_age_limit()
    }
}
