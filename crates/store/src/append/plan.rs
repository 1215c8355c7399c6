use std::sync::Arc;

use bytes::Bytes;
use jetwash_event::Micros;

use super::appender::Appender;
use super::fill::{BucketFill, Tail};
use crate::backend::BucketName;
use crate::block::{Block, Stored, encode_block};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::ring::BucketView;
use crate::seq::Seq;

/// The events that one commit writes, as full blocks and as pieces of the tail.
pub(super) struct Plan {
    pub(super) full: Vec<FullBlock>,
    /// The pieces to be written to the tail, from `first_slot` on. From slot 0 they replace it.
    pub(super) new_tail: Vec<Arc<Block>>,
    pub(super) first_slot: u32,
}

pub(super) struct FullBlock {
    pub(super) bucket: BucketFill,
    pub(super) stored: Stored,
    pub(super) cursors: Option<Bytes>,
    pub(super) block: Arc<Block>,
}

impl Appender {
    /// Decides what a commit writes: small commits add a piece to the tail, and from time to time
    /// the whole tail becomes a full block.
    pub(super) fn plan(&mut self) -> Result<Plan, StoreError> {
        // Nearly always the events fit into the tail: they are written once, and nothing again.
        if self
            .tail
            .takes(&self.sealed, &self.options, self.bucket_start())
        {
            return Ok(Plan {
                full: Vec::new(),
                new_tail: self.sealed.clone(),
                first_slot: self.tail.slots,
            });
        }
        let mut pieces: Vec<Arc<Block>> = self.ring.view().tail().map(Arc::clone).collect();
        pieces.extend(self.sealed.iter().map(Arc::clone));
        // Otherwise the tail is cut anew. Each run of pieces that can be merged and is full becomes a
        // block; what is left over begins the tail again, at slot 0. Pieces need not follow each
        // other without a gap, as damage may have taken one, but are always in order.
        debug_assert!(pieces.is_sorted_by(|one, next| one.next_seq() <= next.first_seq()));
        let mut full = Vec::new();
        let mut bucket = self.ring.view().buckets.back().map(BucketFill::of);
        let mut open = Tail::default();
        let mut first_open = 0;
        for (index, piece) in pieces.iter().enumerate() {
            if !open.merges_with(piece) {
                self.close(&pieces[first_open..index], &mut bucket, &mut full)?;
                (open, first_open) = (Tail::default(), index);
            }
            open.add(piece);
            let start = bucket.as_ref().map(|bucket| bucket.first_time);
            if open.is_full(&self.options, start) {
                self.close(&pieces[first_open..=index], &mut bucket, &mut full)?;
                (open, first_open) = (Tail::default(), index + 1);
            }
        }
        Ok(Plan {
            full,
            new_tail: pieces.split_off(first_open),
            first_slot: 0,
        })
    }

    /// Makes one full block of several pieces.
    fn close(
        &mut self,
        pieces: &[Arc<Block>],
        bucket: &mut Option<BucketFill>,
        full: &mut Vec<FullBlock>,
    ) -> Result<(), StoreError> {
        let block = match pieces {
            [] => return Ok(()),
            [one] => Arc::clone(one),
            several => match self.merger.merge(several, &self.ring.dictionaries) {
                Some(block) => Arc::new(block),
                // Pieces are never empty. To continue would lose what they hold.
                None => {
                    return Err(StoreError::Corrupt {
                        first_seq: several
                            .first()
                            .map_or(Seq::FIRST, |first| first.first_seq()),
                        next_seq: several.last().map_or(Seq::FIRST, |last| last.next_seq()),
                        what: "the pieces of a block hold no events",
                    });
                }
            },
        };
        debug_assert_eq!(
            block.len(),
            pieces.iter().map(|piece| piece.len()).sum::<usize>()
        );
        let stored = encode_block(&block, &mut self.packer)?;
        let filled = match bucket.take() {
            Some(mut filled) if !filled.is_full(&self.options, &stored.key) => {
                filled.add(&stored);
                filled
            }
            _ => self.begin_bucket(&block, &stored)?,
        };
        *bucket = Some(filled.clone());
        full.push(FullBlock {
            bucket: filled,
            stored,
            cursors: self.cursors.at(block.next_seq(), self.next_seq),
            block,
        });
        Ok(())
    }

    fn begin_bucket(&self, block: &Block, stored: &Stored) -> Result<BucketFill, StoreError> {
        let created = self
            .backend()
            .create_bucket(BucketName::Events(block.first_seq()));
        let bucket = created.map_err(StoreError::storage("begin a bucket"))?;
        crash_point!("commit.bucket_begun");
        let mut filled = BucketFill::new(bucket, block);
        filled.add(stored);
        Ok(filled)
    }

    fn bucket_start(&self) -> Option<Micros> {
        self.ring.view().buckets.back().map(BucketView::first_time)
    }
}
