//! The ways to write that only a mirror has: at positions and times that its origin has given out.

use jetwash_dict::{Decompressor, Dictionary};
use jetwash_event::Micros;

use super::appender::Appender;
use crate::backend::{Batch, state};
use crate::error::StoreError;
use crate::event::NewEvent;
use crate::gap::{Gap, GapCause};
use crate::identity::LogId;
use crate::seq::Seq;
use crate::skipped::Skipped;

impl Appender {
    /// Whether nothing was ever written, and nothing is about to be.
    pub(crate) fn is_untouched(&self) -> bool {
        let is_first = self.next_seq == Seq::FIRST && self.last_time == Micros::EPOCH;
        let is_pending = self.accounts.has_pending() || !self.noted.is_empty();
        is_first && !is_pending && self.uses.is_empty() && self.cursors.iter().next().is_none()
    }

    /// Makes the ring one of another's log, on disk before anybody can see it.
    pub(crate) fn adopt(&mut self, log: LogId) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let id = state::encode_numbers(&[log.get()]);
        // All three at once: a ring that has one of them without the others is refused.
        let version = state::MIRROR_FORMAT.to_le_bytes().to_vec();
        batch.set(state::VERSION.to_vec(), version);
        batch.set(state::LOG.to_vec(), id.clone());
        batch.set(state::MIRROR.to_vec(), id);
        self.write(&batch, "make the ring a mirror")?;
        let stocked = self.backend().take_stock();
        stocked.map_err(StoreError::storage("make the ring a mirror"))?;
        self.ring.identity.become_mirror(log);
        Ok(())
    }

    /// The time of the newest event, committed or not.
    pub(crate) const fn last_time_us(&self) -> Micros {
        self.last_time
    }

    /// Whether the position before the next one has no event.
    pub(crate) fn is_behind_gap(&self) -> bool {
        let last = self.skipped.last().copied();
        let last = last.or_else(|| self.ring.view().gaps.last().copied());
        last.is_some_and(|skipped| skipped.next == self.next_seq)
    }

    /// Remembers a dictionary, in place of the one before it, until events need it.
    pub(crate) fn offer_dictionary(&mut self, dictionary: Dictionary) {
        self.offered = Some(dictionary);
    }

    /// A dictionary that events in the ring are compressed with, or one that was offered.
    pub(crate) fn known_dictionary(&self, id: u32) -> Option<Dictionary> {
        let offered = || self.offered.clone().filter(|offered| offered.id() == id);
        self.ring.dictionaries.get(id).or_else(offered)
    }

    /// How often the dictionary changes among the events in the ring, if the next have this one.
    pub(crate) fn dictionary_uses(&self, id: u32) -> usize {
        self.uses.len() + usize::from(self.dictionary != Some(id))
    }

    /// Lends a decoder for the events that were compressed with a dictionary; `None` if that is not
    /// known.
    pub(crate) fn with_decoder<T>(
        &self,
        id: u32,
        work: impl FnOnce(&mut Decompressor) -> T,
    ) -> Option<T> {
        let dictionary = self.known_dictionary(id)?;
        if self.ring.dictionaries.get(id).is_none() {
            return Some(work(&mut dictionary.decompressor()));
        }
        let mut result = None;
        let lent = self.ring.dictionaries.with_decoder(id, |decoder| {
            result = Some(work(decoder));
            Ok(())
        });
        lent.ok().and(result)
    }

    /// Adds an event of the origin, which has been checked, at the next position.
    pub(crate) fn push_mirrored(&mut self, event: &NewEvent<'_>) {
        debug_assert!(event.time_us > self.last_time, "times increase");
        self.push_checked(event);
    }

    /// Leaves out the positions before `next`, as part of the next commit: with the events behind them,
    /// or earlier.
    pub(crate) fn skip_to(&mut self, next: Seq, cause: GapCause) {
        debug_assert!(next > self.next_seq, "positions never go back");
        self.seal();
        let skipped = Skipped {
            first: self.next_seq,
            next,
            cause,
        };
        skipped.push_to(&mut self.skipped);
        Skipped::keep_newest(&mut self.skipped);
        self.next_seq = next;
    }

    /// Notes a gap of the origin's upstreams before the next position. It may come again, with the same
    /// or more in it, so it replaces what is known.
    pub(crate) fn note_mirrored(&mut self, gap: Gap) {
        debug_assert_eq!(gap.first_seq, self.next_seq, "gaps are noted in order");
        self.note(gap, |known, new| known.clone_from(new));
    }

    pub(super) fn add_skipped(&self, batch: &mut Batch) {
        if self.skipped.is_empty() {
            return;
        }
        let mut gaps = self.ring.view().gaps.clone();
        for skipped in &self.skipped {
            skipped.push_to(&mut gaps);
        }
        Skipped::keep_newest(&mut gaps);
        batch.set(state::GAPS.to_vec(), state::encode_gaps(&gaps));
        batch.set(state::CAUSES.to_vec(), state::encode_causes(&gaps));
    }
}
