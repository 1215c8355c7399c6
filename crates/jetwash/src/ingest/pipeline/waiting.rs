//! Frames that wait for a key: their numbers count when they come, their events when the key is
//! there. Until then the stored cursor of their source stays before them.

use jetwash_event::Micros;
use jetwash_frame::peek;
use jetwash_store::StoreError;

use crate::ingest::check::{Checked, Given};
use crate::ingest::numbering::{Place, numbered};
use crate::ingest::pipeline::Pipeline;

impl Pipeline {
    /// Notes a frame that waits from now on. Returns whether anything of it is wanted; otherwise it
    /// has been dealt with.
    pub(crate) fn hold(
        &mut self,
        source: &str,
        (frame, number): (&[u8], Option<u64>),
        now_us: Micros,
        is_let_in: Option<bool>,
    ) -> bool {
        let Some((place, peeked)) = self.begin(source, (frame, number), now_us, true) else {
            return false;
        };
        let is_wanted = place != Place::Illegal && self.is_wanted(&peeked, is_let_in);
        match peeked.seq.filter(|_| place != Place::Illegal) {
            Some(seq) if place != Place::Next => {
                // What comes of it is seen too late for its number to be judged by it.
                self.settle(place, seq, Self::undecided(frame), (frame, true));
            }
            None if place != Place::Next => {
                let detail = "its number is not one that a relay gives";
                self.lose("seq_invalid", &detail, (peeked.seq, peeked.did));
            }
            _ => {}
        }
        // 0 stands for no number.
        if is_wanted && let Some(seq) = peeked.seq.filter(|&seq| seq > 0) {
            self.sources[self.current].waiting.insert(seq);
        }
        is_wanted
    }

    /// Takes in a frame that has waited, with what is known now.
    pub(crate) fn finish(
        &mut self,
        source: &str,
        (frame, number): (&[u8], Option<u64>),
        checked: Option<Checked>,
        now_us: Micros,
    ) -> Result<(), StoreError> {
        self.now_us = now_us;
        self.output.begin_frame();
        self.turn_to(source);
        let Ok(peeked) = peek(frame) else {
            debug_assert!(false, "it could be read before it waited");
            return Ok(());
        };
        let peeked = numbered(peeked, number);
        let source = &mut self.sources[self.current];
        source.is_touched = true;
        if let Some(seq) = peeked.seq {
            source.waiting.remove(&seq);
        }
        // The filter may have changed meanwhile; the closure has been asked.
        let given = Given {
            checked,
            is_let_in: Some(true),
            number,
        };
        if !self.is_wanted(&peeked, given.is_let_in) {
            return Ok(());
        }
        if let Err(fault) = self.decode(frame, given, now_us)? {
            self.lose(fault.reason(), &fault, (peeked.seq, peeked.did));
        }
        Ok(())
    }

    /// Drops a frame whose check panicked.
    pub(crate) fn lose_unchecked(
        &mut self,
        source: &str,
        (frame, number): (&[u8], Option<u64>),
        now_us: Micros,
    ) {
        let Some((place, peeked)) = self.begin(source, (frame, number), now_us, true) else {
            return;
        };
        if let Some(seq) = peeked.seq.filter(|_| place != Place::Next) {
            self.settle(place, seq, Self::undecided(frame), (frame, true));
        }
        let detail = "its check panicked";
        self.lose("verifier_panicked", &detail, (peeked.seq, peeked.did));
    }
}
