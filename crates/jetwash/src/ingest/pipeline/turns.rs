//! Follows the numbers of the sources: what they leave out, repeat or count anew.

use jetwash_event::Micros;
use jetwash_frame::{Frame, Peek};
use jetwash_store::{GapCause, StoreError, UpstreamGap};
use tracing::warn;

use crate::ingest::check::Given;
use crate::ingest::dedup;
use crate::ingest::numbering::{Outcome, Place, Turn};
use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::accounts::Accounts;
use crate::ingest::pipeline::source::{Source, is_contact_name};

impl Pipeline {
    /// Takes in a frame whose number does not follow the last one of its source.
    #[cold]
    pub(super) fn doubtful(
        &mut self,
        place: Place,
        peeked: &Peek<'_>,
        frame: &[u8],
        given: Given,
    ) -> Result<(), StoreError> {
        let Some(seq) = peeked.seq.filter(|_| place != Place::Illegal) else {
            let detail = "its number is not one that a relay gives";
            self.lose("seq_invalid", &detail, (peeked.seq, peeked.did));
            return Ok(());
        };
        let is_kept = !given.is_invalid();
        // The number alone does not say whether the source repeats itself or counts anew; whether
        // the frame has something new in it does. So it is worked on before the number is judged.
        let (events, known) = (self.pending, self.known);
        let outcome = if !self.is_wanted(peeked, given.is_let_in) {
            Self::undecided(frame)
        } else {
            self.place = place;
            let decoded = self.decode(frame, given, self.now_us);
            self.place = Place::Next;
            match decoded? {
                Err(fault) => {
                    self.lose(fault.reason(), &fault, (peeked.seq, peeked.did));
                    Outcome::Unusable
                }
                Ok(()) if self.pending > events => Outcome::New,
                Ok(()) if self.known > known => Outcome::Known,
                Ok(()) => Outcome::Undecided,
            }
        };
        self.settle(place, seq, outcome, (frame, is_kept));
        Ok(())
    }

    /// The outcome of a frame that was only looked at.
    pub(super) fn undecided(frame: &[u8]) -> Outcome {
        match Frame::decode(frame) {
            Ok(_) => Outcome::Undecided,
            Err(_) => Outcome::Unusable,
        }
    }

    /// Draws the conclusion from the outcome of a frame whose number was not next.
    pub(super) fn settle(
        &mut self,
        place: Place,
        seq: u64,
        outcome: Outcome,
        (frame, is_kept): (&[u8], bool),
    ) {
        let source = &mut self.sources[self.current];
        let turn = source.numbering.settle(place, seq, outcome);
        // A repetition may end with the newest number, whose frame is kept already.
        let is_accepted = turn.is_some() || place == Place::First;
        if let Some(turn) = turn {
            self.turned(turn);
        }
        let source = &self.sources[self.current];
        if is_kept && is_accepted && source.numbering.position() == Some(seq) {
            self.appender.keep_frame(&source.name, seq, frame);
        }
    }

    /// Reports that the numbers of the source have taken a turn.
    fn turned(&mut self, turn: Turn) {
        let (cause, first, next) = match turn {
            Turn::Renumbered { last, first } => {
                (GapCause::UpstreamRenumbered, last.saturating_add(1), first)
            }
            // The relay has said so already.
            Turn::Jumped { .. } if self.sources[self.current].is_outdated => {
                self.sources[self.current].is_outdated = false;
                return;
            }
            Turn::Jumped { first, next } => (GapCause::UpstreamJump, first, next),
        };
        self.source_gap(cause, Some(first), Some(next));
    }

    /// Notes a gap of the source at hand, unless it has had too many of them: a relay may send what
    /// it likes.
    pub(super) fn source_gap(&mut self, cause: GapCause, first: Option<u64>, next: Option<u64>) {
        self.stats.gap(cause.name());
        let source = &mut self.sources[self.current];
        if !source.quota.take(self.now_us) {
            return;
        }
        let what = match cause {
            GapCause::UpstreamRenumbered => "the source counts anew; what it repeats is recognised",
            GapCause::UpstreamJump => "the source has left out numbers, and maybe events",
            _ => "the source no longer has all that its cursor asked for",
        };
        warn!(source = %source.name, cause = cause.name(), first, next, "{what}");
        let upstream = UpstreamGap::new(&*source.name, first, next);
        self.appender.note_gap(cause, None, Some(upstream));
    }

    /// Notes that `source` was connected to, and that it was asked for what comes after `cursor`.
    pub(crate) fn connected(&mut self, source: &str, cursor: Option<u64>, now_us: Micros) {
        self.now_us = now_us;
        self.turn_to(source);
        self.sources[self.current].connected(cursor, now_us);
    }

    /// Notes that messages of `source` were stepped over, because they could not be received.
    pub(crate) fn stepped_over(&mut self, source: &str, first: Option<u64>, next: Option<u64>) {
        let upstream = UpstreamGap::new(source, first, next);
        self.stats.gap(GapCause::UpstreamSteppedOver.name());
        self.appender
            .note_gap(GapCause::UpstreamSteppedOver, None, Some(upstream));
    }

    /// Notes that `source` said that its cursor is ahead of all that it has: it counts anew.
    pub(crate) fn cursor_refused(&mut self, source: &str) {
        self.turn_to(source);
        self.future_cursor();
    }

    /// The source says that its numbers are not yet at the cursor: it counts anew.
    pub(super) fn future_cursor(&mut self) {
        let source = &mut self.sources[self.current];
        let last = source.numbering.position().filter(|&last| last > 0);
        let Some(last) = last.filter(|_| !source.numbering.starts_over()) else {
            return;
        };
        source.numbering.start_over();
        self.source_gap(GapCause::UpstreamRenumbered, Some(last + 1), None);
        // What a labeler repeats is not known by accounts.
        if self.accounts != Accounts::Kept && self.labelers.is_none() {
            self.keep_accounts();
        }
    }

    /// The source says that it no longer has all that comes after the cursor.
    pub(super) fn outdated_cursor(&mut self) {
        let source = &mut self.sources[self.current];
        if source.numbering.asked() == Some(0) {
            return;
        }
        source.is_outdated = true;
        let first = source.numbering.position().map(|last| last + 1);
        self.source_gap(GapCause::UpstreamOutdated, first, None);
    }

    /// Whether a frame is older than the first connection to its source, which is asked for all
    /// that it has because it had sent nothing yet.
    pub(super) fn is_before_contact(&mut self, time: &str) -> bool {
        let source = &mut self.sources[self.current];
        let Some(from) = source.skipped_before else {
            return false;
        };
        if dedup::utc_seconds(time).is_none_or(|time| time >= from) {
            source.skipped_before = None;
            return false;
        }
        self.stats.rejected();
        source.skipped += 1;
        if source.skipped >= MOST_SKIPPED && !source.asks_live {
            (source.asks_live, source.gives_up) = (true, true);
            source.numbering.start_over();
            self.source_gap(GapCause::UpstreamJump, None, None);
        }
        true
    }

    /// Whether the connection to `source` is of no use: it has sent nothing when it was first
    /// connected to, and goes over so much from before now that it cannot be a quiet one.
    ///
    /// Returns `true` once.
    pub(crate) fn gives_up(&mut self, source: &str) -> bool {
        let mut sources = self.sources.iter_mut();
        let known = sources.find(|known| *known.name == *source);
        known.is_some_and(|source| std::mem::take(&mut source.gives_up))
    }

    /// The names of the sources of earlier runs, as far as the log has their cursors.
    pub(crate) fn earlier_sources(&self) -> impl Iterator<Item = &str> {
        let names = self.appender.cursors().map(|(name, _)| name);
        names.filter(|name| !is_contact_name(name))
    }

    /// The cursor to ask `source` for the next time, which is 0 for all that it has: if it has said
    /// that it is not as far as the one before, or has been connected to and has sent nothing yet.
    pub(crate) fn resume_from(&self, source: &str) -> Option<u64> {
        match self.sources.iter().find(|known| *known.name == *source) {
            Some(source) => source.resume_from(),
            None => Source::open(source, &self.appender).resume_from(),
        }
    }
}

/// After this many frames from before its first connection, a source is followed live.
const MOST_SKIPPED: u32 = 20_000;
