use std::collections::BTreeSet;

use jetwash_event::Micros;
use jetwash_frame::Peek;
use jetwash_store::Appender;

use crate::ingest::host_place::HostPlace;
use crate::ingest::numbering::{Numbering, Place};
use crate::ingest::pipeline::quota::Quota;
use crate::ingest::tally::SourceTally;

/// A source of frames: how far it is, and what came from it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Box<str>,
    pub(super) numbering: Numbering,
    /// When it was first connected to without a cursor.
    pub(super) contact_us: Option<Micros>,
    /// Frames of before this time, in seconds since 1970, are not wanted.
    pub(super) skipped_before: Option<i64>,
    pub(super) skipped: u32,
    pub(super) gives_up: bool,
    /// Whether the source has sent too many old frames to be asked for more of them.
    pub(super) asks_live: bool,
    /// Whether it has said that its oldest frames are newer than the cursor.
    pub(super) is_outdated: bool,
    pub(super) is_touched: bool,
    pub(super) tally: SourceTally,
    pub(super) quota: Quota,
    /// The numbers of frames that wait for a key.
    pub(super) waiting: BTreeSet<u64>,
    /// How far it is, if it is a Jetstream.
    pub(super) place: Option<HostPlace>,
}

impl Source {
    /// One as an earlier run left it.
    pub(super) fn open(name: &str, appender: &Appender) -> Self {
        Self {
            name: name.into(),
            numbering: Numbering::new(appender.cursor(name)),
            contact_us: appender.cursor(&contact_name(name)).map(Micros::new),
            skipped_before: None,
            skipped: 0,
            gives_up: false,
            asks_live: false,
            is_outdated: false,
            is_touched: false,
            tally: SourceTally::default(),
            quota: Quota::new(GAPS_A_MINUTE),
            waiting: BTreeSet::new(),
            place: None,
        }
    }

    pub(super) fn connected(&mut self, cursor: Option<u64>, now_us: Micros) {
        self.is_touched = true;
        self.is_outdated = false;
        self.numbering.connected(cursor);
        self.asks_live &= cursor.is_some();
        if self.numbering.position().is_some() {
            return;
        }
        match (cursor, self.contact_us) {
            (None, None) => self.contact_us = Some(now_us),
            (Some(0), Some(contact)) => {
                let contact = contact.since(Micros::EPOCH).as_secs();
                let contact = i64::try_from(contact).unwrap_or(i64::MAX);
                self.skipped_before = Some(contact - CLOCKS_APART);
            }
            _ => {}
        }
    }

    /// The number up to which all frames have been dealt with: those that wait have not.
    pub(super) fn stored_position(&self) -> Option<u64> {
        self.numbering.position().map(|it| self.before_waiting(it))
    }

    fn before_waiting(&self, position: u64) -> u64 {
        let waiting = self.waiting.first().map(|first| first.saturating_sub(1));
        waiting.map_or(position, |waiting| waiting.min(position))
    }

    /// Stores how far it is. Those of a Jetstream are not numbers of its own.
    pub(super) fn store_cursor(&mut self, appender: &mut Appender) {
        self.store_cursor_at(self.numbering.position(), appender);
    }

    /// Stores that it was at a position, while a frame behind it is being taken in.
    pub(super) fn store_cursor_at(&mut self, position: Option<u64>, appender: &mut Appender) {
        if let Some(place) = &mut self.place {
            return place.store(appender);
        }
        let position = position.map(|position| self.before_waiting(position));
        match (position, self.contact_us) {
            (Some(position), _) => appender.set_cursor(&self.name, position),
            (None, Some(contact)) => {
                appender.set_cursor(&contact_name(&self.name), contact.get());
            }
            (None, None) => {}
        }
    }

    pub(super) fn resume_from(&self) -> Option<u64> {
        if self.asks_live {
            return None;
        }
        if self.numbering.starts_over() {
            return Some(0);
        }
        let position = self.numbering.position();
        position.or_else(|| self.contact_us.map(|_| 0))
    }

    /// Moves on to a frame, if it is the next.
    #[inline]
    pub(super) fn judge(&mut self, peeked: &Peek<'_>) -> Place {
        self.is_touched = true;
        self.tally.frame(peeked);
        self.numbering.judge(peeked.seq)
    }
}

/// The name under which the log has when a source was first connected to. No source has such a
/// name, as the addresses of relays have no fragments.
fn contact_name(source: &str) -> String {
    format!("{source}{CONTACT}")
}

pub(super) fn is_contact_name(name: &str) -> bool {
    name.ends_with(CONTACT)
}

const CONTACT: &str = "#first-contact";

const GAPS_A_MINUTE: u32 = 10;
/// How many seconds the clock of a source may be behind the one here.
const CLOCKS_APART: i64 = 600;
