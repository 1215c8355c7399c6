//! Looks at all of a message's events before any of them is taken over.

use jetwash_dict::Decompressor;
use jetwash_event::Micros;

use super::error::MirrorError;
use super::events::LogEvents;
use crate::append::Appender;
use crate::block::{Encoding, Index};
use crate::seq::Seq;

/// Events that may be pushed: those of the message from `start` on, with their JSON.
pub(super) struct Checked {
    pub(super) start: usize,
    /// The events' JSON, one directly after the other.
    pub(super) json: Vec<u8>,
}

impl Appender {
    /// Checks the events that are not there yet; `None` if all of them are.
    pub(super) fn check_events(
        &mut self,
        events: &LogEvents,
    ) -> Result<Option<Checked>, MirrorError> {
        let (index, next) = (events.index(), self.next_seq());
        if index.first_seq > next {
            return Err(MirrorError::Order {
                expected: next,
                found: index.first_seq,
            });
        }
        if index.next_seq() <= next {
            return Ok(None);
        }
        let start = next.since(index.first_seq) as usize;
        check_sizes(index)?;
        self.check_times(index, start)?;
        let json = match index.encoding {
            Encoding::Json => plain(events, start),
            Encoding::PackedJson => packed(events, start),
            Encoding::Compressed { dictionary } => {
                let (from, mut json) = (index.first_seq, Vec::new());
                let unpack = |decoder: &mut Decompressor| unpack(decoder, events, start, &mut json);
                match self.with_decoder(dictionary, unpack) {
                    None => return Err(MirrorError::NoDictionary { id: dictionary }),
                    Some(Ok(())) => Ok(json),
                    Some(Err(event)) => Err(MirrorError::Event {
                        seq: from.plus(event as u64),
                        what: NOT_DECOMPRESSED,
                    }),
                }
            }
        }?;
        check_text(index, start, &json)?;
        Ok(Some(Checked { start, json }))
    }

    /// Times increase, also from the newest event here on; and where that is in the message as well, it
    /// has the same time.
    fn check_times(&self, index: &Index, start: usize) -> Result<(), MirrorError> {
        let last_time_us = self.last_time_us();
        let before = start
            .checked_sub(1)
            .and_then(|event| index.times.get(event));
        if let Some(found) = before.filter(|found| **found != last_time_us)
            && !self.is_behind_gap()
        {
            return Err(MirrorError::Parted {
                seq: self.next_seq().previous(),
                own: last_time_us,
                found: *found,
            });
        }
        let first = index.times.get(start).copied().unwrap_or_default();
        if first <= last_time_us {
            return Err(MirrorError::TimeOrder {
                seq: self.next_seq(),
                time_us: first,
                last_time_us,
            });
        }
        let last = index.last_time();
        if last > LAST_TIME || index.next_seq() > LAST_SEQ {
            return Err(MirrorError::Event {
                seq: index.next_seq().previous(),
                what: "its position or its time is not one that a log gives out",
            });
        }
        Ok(())
    }
}

/// No message of an honest origin has more, and no ring could keep it. Only then anything is unpacked.
fn check_sizes(index: &Index) -> Result<(), MirrorError> {
    let within = |part, size, limit| {
        if size <= limit {
            return Ok(());
        }
        Err(MirrorError::TooLarge { part, size, limit })
    };
    within("events", index.times.len(), MAX_EVENTS)?;
    within("bytes of JSON", index.json_len(), MAX_EVENT)?;
    for event in 0..index.times.len() {
        let (_, compressed) = index.lengths(event);
        within("bytes in a compressed event", compressed, MAX_EVENT)?;
    }
    Ok(())
}

fn plain(events: &LogEvents, start: usize) -> Result<Vec<u8>, MirrorError> {
    let (index, json) = (events.index(), events.payload());
    if json.len() != index.json_len() {
        return Err(not_unpacked(index));
    }
    Ok(json
        .get(json_start(index, start)..)
        .unwrap_or_default()
        .to_vec())
}

fn packed(events: &LogEvents, start: usize) -> Result<Vec<u8>, MirrorError> {
    let (index, mut json) = (events.index(), Vec::new());
    let mut decoder = Decompressor::without_dictionary();
    let unpacked = decoder.decompress_all(events.payload(), index.json_len(), &mut json);
    unpacked.map_err(|_| not_unpacked(index))?;
    json.drain(..json_start(index, start));
    Ok(json)
}

fn not_unpacked(index: &Index) -> MirrorError {
    MirrorError::Event {
        seq: index.first_seq,
        what: NOT_DECOMPRESSED,
    }
}

/// Decompresses the events from one on. Each must be one whole frame of the length that the index says,
/// as readers get each by itself. Returns the first that is not.
fn unpack(
    decoder: &mut Decompressor,
    events: &LogEvents,
    start: usize,
    json: &mut Vec<u8>,
) -> Result<(), usize> {
    let index = events.index();
    let before = |ends: &[u32]| {
        let end = start.checked_sub(1).and_then(|event| ends.get(event));
        end.map_or(0, |end| *end as usize)
    };
    json.reserve_exact(index.json_len() - before(&index.json_ends));
    let mut at = before(&index.compressed_ends);
    for event in start..index.times.len() {
        let (json_length, length) = index.lengths(event);
        let compressed = events.payload().get(at..at + length).ok_or(event)?;
        let whole = json.len() + json_length;
        let result = decoder.decompress(compressed, json_length, json);
        if result.is_err() || json.len() != whole {
            return Err(event);
        }
        at += length;
    }
    if at == events.payload().len() {
        return Ok(());
    }
    Err(index.times.len() - 1)
}

/// Readers send events as text, which has to be UTF-8.
fn check_text(index: &Index, start: usize, json: &[u8]) -> Result<(), MirrorError> {
    let mut at = 0;
    for event in start..index.times.len() {
        let (length, _) = index.lengths(event);
        let text = json.get(at..at + length).map(str::from_utf8);
        if !matches!(text, Some(Ok(_))) {
            return Err(MirrorError::Event {
                seq: index.first_seq.plus(event as u64),
                what: "it is not UTF-8",
            });
        }
        at += length;
    }
    Ok(())
}

fn json_start(index: &Index, start: usize) -> usize {
    let end = start
        .checked_sub(1)
        .and_then(|event| index.json_ends.get(event));
    end.map_or(0, |end| *end as usize)
}

const NOT_DECOMPRESSED: &str = "it does not decompress to the length that is said of it";

/// The limit of a message's events, four times what is sent.
const MAX_EVENTS: usize = 16_384;
/// The limit of a message's JSON, which is that of an event.
const MAX_EVENT: usize = 16 << 20;
/// Clients read positions and times as signed numbers.
pub(super) const LAST_SEQ: Seq = Seq::new(i64::MAX as u64);
const LAST_TIME: Micros = Micros::new(i64::MAX as u64);
