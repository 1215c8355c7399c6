use std::sync::Arc;
use std::time::Duration;

use super::appender::Appender;
use super::fill::{BucketFill, Tail};
use super::plan::{FullBlock, Plan};
use crate::backend::{Batch, BlockKey, BlockRow, Reserved, state};
use crate::block::{Block, encode_piece};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::frames::FramePlan;
use crate::options::Durability;
use crate::seq::Seq;
use crate::skipped::Skipped;

impl Appender {
    /// Makes all that was pushed and set since the last commit durable and visible, all of it or
    /// nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be written. Nothing is visible then, and nothing lost: after
    /// [`Appender::reopen`] the commit can be tried again. The upstream cursors on disk are still
    /// true, so the appender may as well be dropped and the ring opened anew.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        self.seal();
        let has_frames = self
            .frames
            .as_ref()
            .is_some_and(|frames| !frames.is_empty());
        let has_accounts = self.accounts.has_pending();
        let covered = self.accounts.cover(self.next_seq);
        if self.sealed.is_empty()
            && !self.cursors.has_changed()
            && self.noted.is_empty()
            && self.skipped.is_empty()
            && !has_frames
            && !has_accounts
            && covered.is_none()
        {
            let synced = self.ring.durable.sync_if_due();
            return synced.map_err(StoreError::storage("sync the ring"));
        }
        crash_point!("commit.begun");
        // The order keeps the promises: positions are reserved before a reader can see them, all is
        // written in one batch, and only what has been written is published.
        self.reserve()?;
        let plan = self.plan()?;
        crash_point!("commit.planned");
        let mut batch = Batch::default();
        if self.backend().keeps_state() {
            self.add_state(&plan, &mut batch)?;
            self.add_accounts(covered, &mut batch)?;
        }
        let kept = self.plan_frames(&mut batch)?;
        let mut full = Vec::with_capacity(plan.full.len());
        for FullBlock {
            bucket,
            stored,
            cursors,
            block,
        } in plan.full
        {
            batch.blocks.push(BlockRow {
                bucket: bucket.first_seq,
                key: stored.key,
                index: stored.index,
                payload: stored.payload,
                cursors,
            });
            full.push((bucket, stored.key, block));
        }
        self.write(&batch, "commit events")?;
        crash_point!("commit.written");
        // From here on nothing fails: what is stored becomes visible.
        self.untrimmed += batch.event_bytes();
        self.cursors.committed(self.next_seq);
        self.accounts.committed(self.next_seq);
        self.sealed.clear();
        if let (Some(frames), Some(ring), Some(kept)) = (&mut self.frames, &self.ring.frames, kept)
        {
            frames.publish(ring, kept);
        }
        self.publish(full, plan.new_tail, plan.first_slot);
        crash_point!("commit.published");
        Ok(())
    }

    /// Makes sure that no position and no time is given out again after a power failure, although it
    /// may take the commit itself.
    fn reserve(&mut self) -> Result<(), StoreError> {
        let used = Reserved {
            seq: self.next_seq,
            time_us: self.last_time,
        };
        // A mirror's origin gives the same position to the same event again.
        let survives =
            self.options.durability == Durability::SyncedBatch || self.ring.identity.is_mirror();
        if survives || self.reserved.covers(used) {
            return Ok(());
        }
        let reserved = Reserved {
            seq: used.seq.plus(RESERVED_EVENTS),
            time_us: used.time_us.plus(RESERVED_TIME),
        };
        self.backend()
            .reserve(reserved)
            .map_err(StoreError::storage("reserve positions"))?;
        self.reserved = reserved;
        crash_point!("commit.reserved");
        Ok(())
    }

    fn add_state(&self, plan: &Plan, batch: &mut Batch) -> Result<(), StoreError> {
        for (slot, piece) in (plan.first_slot..).zip(&plan.new_tail) {
            batch.set(state::tail_key(slot), encode_piece(piece)?);
        }
        let position = state::encode_numbers(&[self.next_seq.get(), self.last_time.get()]);
        batch.set(state::POSITION.to_vec(), position);
        self.add_skipped(batch);
        for (name, value) in self.cursors.changed() {
            batch.set(state::cursor_key(name), state::encode_numbers(&[value]));
        }
        let removed = self.ring.view().noted_beyond(&self.noted);
        removed
            .into_iter()
            .for_each(|number| batch.remove(state::noted_key(number)));
        for noted in &self.noted {
            batch.set(state::noted_key(noted.number), noted.encode());
        }
        Ok(())
    }

    fn add_accounts(&mut self, covered: Option<Seq>, batch: &mut Batch) -> Result<(), StoreError> {
        let backend = self.ring.durable.backend();
        let planned = self.accounts.plan(self.last_time, backend);
        batch.accounts = planned.map_err(StoreError::storage("begin a bucket of accounts"))?;
        if let Some(covered) = covered {
            let covered = state::encode_numbers(&[covered.get()]);
            batch.set(state::ACCOUNTS.to_vec(), covered);
        }
        Ok(())
    }

    fn plan_frames(&self, batch: &mut Batch) -> Result<Option<FramePlan>, StoreError> {
        let Some((frames, ring)) = self.frames.as_ref().zip(self.ring.frames.as_ref()) else {
            return Ok(None);
        };
        let planned = frames.plan(ring, self.backend(), batch);
        planned.map_err(StoreError::storage("begin a bucket of frames"))
    }

    fn publish(
        &mut self,
        full: Vec<(BucketFill, BlockKey, Arc<Block>)>,
        new_tail: Vec<Arc<Block>>,
        first_slot: u32,
    ) {
        let ring = Arc::clone(&self.ring);
        let mut view = ring.view_mut();
        // All under one lock, so that no reader finds an event in two places, or in none.
        if first_slot == 0 {
            view.clear_tail();
            self.tail = Tail::default();
        }
        self.tail.slots = first_slot + new_tail.len() as u32;
        new_tail.iter().for_each(|piece| self.tail.add(piece));
        for (fill, key, block) in full {
            view.push_stored(&fill.bucket, fill.first_seq, &key);
            if let Some(bucket) = view.buckets.back_mut() {
                bucket.next_seq = block.next_seq();
            }
            view.push_hot(block);
        }
        for piece in new_tail {
            view.push_tail(piece);
        }
        debug_assert!(
            view.hot
                .back()
                .is_none_or(|(last, _)| last.next_seq() <= self.next_seq),
            "no event is at the next position or after it"
        );
        view.note(self.noted.drain(..));
        for skipped in self.skipped.drain(..) {
            skipped.push_to(&mut view.gaps);
        }
        Skipped::keep_newest(&mut view.gaps);
        view.next_seq = self.next_seq;
        view.last_time = self.last_time;
        view.shrink_hot(self.options.hot_bytes);
        drop(view);
        self.tip
            .send_if_modified(|tip| std::mem::replace(tip, self.next_seq) != self.next_seq);
    }
}

/// Reserved at a time: enough that the mark is seldom moved, and little enough that the gap after a
/// power failure is small. That much time passes before a machine is up again.
const RESERVED_EVENTS: u64 = 1 << 16;
const RESERVED_TIME: Duration = Duration::from_secs(10);
