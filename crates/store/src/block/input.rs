//! Reads the parts of an index. Whatever the bytes, nothing panics, and no more memory is taken than
//! they can fill.

use std::sync::Arc;

use jetwash_event::{Micros, PlcDid};

use super::commit_parts::{CommitParts, CommitRun};
use super::damage::Damage;
use super::table::StringTable;
use super::verdicts::Verdicts;
use crate::event::CommitPart;

/// The bytes that are left to read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.chunk().copied()
    }

    #[inline]
    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Damage> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Damage> {
        // Nearly all take one byte or two.
        match *self.0 {
            [one, ref rest @ ..] if one < 0x80 => {
                self.0 = rest;
                return Ok(u64::from(one));
            }
            [one, two, ref rest @ ..] if two < 0x80 => {
                self.0 = rest;
                return Ok(u64::from(one & 0x7f) | u64::from(two) << 7);
            }
            _ => {}
        }
        let mut value = 0;
        for (position, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                self.0 = &self.0[position + 1..];
                return Ok(value);
            }
        }
        Err(Damage("a number in the index has no end"))
    }

    pub(super) fn indexes(
        &mut self,
        events: usize,
        table: usize,
        width: Width,
    ) -> Result<Vec<u16>, Damage> {
        let indexes: Vec<u16> = match width {
            Width::One => self.take(events)?.iter().copied().map(u16::from).collect(),
            Width::Two => {
                let (pairs, _) = self.take(events.saturating_mul(2))?.as_chunks::<2>();
                pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
            }
        };
        if indexes.iter().all(|index| (*index as usize) < table) {
            Ok(indexes)
        } else {
            Err(NO_STRING)
        }
    }

    pub(super) fn short_indexes(
        &mut self,
        events: usize,
        table: usize,
    ) -> Result<Vec<u16>, Damage> {
        let mut indexes = Vec::with_capacity(events.min(self.0.len()));
        for _ in 0..events {
            let index = u16::try_from(self.varint()?).ok();
            indexes.push(
                index
                    .filter(|index| (*index as usize) < table)
                    .ok_or(NO_STRING)?,
            );
        }
        Ok(indexes)
    }

    pub(super) fn commit_parts(&mut self, events: usize) -> Result<CommitParts, Damage> {
        let mut parts = CommitParts::default();
        let mut first = 0_u32;
        for _ in 0..self.varint()? {
            first = self.number()?.checked_add(first).ok_or(BAD_PART)?;
            let (count, index, len) = (self.number()?, self.number()?, self.number()?);
            let end = first.checked_add(count).ok_or(BAD_PART)?;
            let next = index.checked_add(count).ok_or(BAD_PART)?;
            if count == 0 || end as usize > events || next > len {
                return Err(BAD_PART);
            }
            let part = CommitPart { index, len };
            parts.push(CommitRun { first, count, part });
            first = end;
        }
        Ok(parts)
    }

    /// The verdicts of `events` events. That many bytes have been read before, of their kinds, so the
    /// column takes no more than the index itself.
    pub(super) fn verdicts(&mut self, events: usize) -> Result<Verdicts, Damage> {
        let Some(runs) = self.varint()?.checked_sub(1) else {
            return Ok(Verdicts::new(self.take(events)?.to_vec()));
        };
        let [usual] = self.array()?;
        if runs == 0 {
            return Ok(Verdicts::Same(usual));
        }
        let mut each = vec![usual; events];
        let mut first = 0_usize;
        for _ in 0..runs {
            first = first.saturating_add(self.number()? as usize);
            let end = first.saturating_add(self.number()? as usize);
            let [verdict] = self.array()?;
            match each.get_mut(first..end) {
                Some(run) if first < end => run.fill(verdict),
                _ => return Err(BAD_VERDICT),
            }
            first = end;
        }
        Ok(Verdicts::new(each))
    }

    fn number(&mut self) -> Result<u32, Damage> {
        u32::try_from(self.varint()?).map_err(|_| Damage("a number in the index is too large"))
    }

    pub(super) fn times(&mut self, events: usize, first: Micros) -> Result<Vec<Micros>, Damage> {
        let mut times = Vec::with_capacity(events.min(self.0.len() + 1));
        let mut time = first.get();
        times.push(first);
        for _ in 1..events {
            time = time
                .checked_add(self.varint()?)
                .ok_or(Damage("a time overflows"))?;
            times.push(Micros::new(time));
        }
        Ok(times)
    }

    pub(super) fn ends(&mut self, events: usize) -> Result<Arc<[u32]>, Damage> {
        // Each takes a byte at least: this bounds the memory.
        if events > self.0.len() {
            return Err(SHORT);
        }
        let mut outcome = Ok(());
        let mut end = 0_u32;
        let ends = (0..events).map(|_| {
            match self.varint().map(u32::try_from) {
                Ok(Ok(length)) if length <= u32::MAX - end => end += length,
                Ok(_) => outcome = Err(Damage("an event has an impossible length")),
                Err(damage) => outcome = Err(damage),
            }
            end
        });
        // Collected in place, and not copied once more.
        let ends = ends.collect();
        outcome.map(|()| ends)
    }

    pub(super) fn did_table(&mut self, strings: usize) -> Result<StringTable, Damage> {
        let mut text = Vec::with_capacity(strings * PlcDid::TEXT_LENGTH);
        let mut ends = Vec::with_capacity(strings);
        for _ in 0..strings {
            match self.array()? {
                [PLC] => PlcDid::from_bytes(self.chunk()?).write_to(&mut text),
                [PLAIN] => text.extend_from_slice(self.text()?),
                _ => return Err(Damage("a DID has a form that is not known")),
            }
            ends.push(text.len() as u32);
        }
        StringTable::from_parts(text, ends).ok_or(NOT_UTF8)
    }

    pub(super) fn text_table(&mut self, strings: usize) -> Result<StringTable, Damage> {
        let mut text = Vec::with_capacity(strings * 24);
        let mut ends = Vec::with_capacity(strings);
        for _ in 0..strings {
            text.extend_from_slice(self.text()?);
            ends.push(text.len() as u32);
        }
        StringTable::from_parts(text, ends).ok_or(NOT_UTF8)
    }

    fn text(&mut self) -> Result<&'a [u8], Damage> {
        let length = u16::from_le_bytes(self.array()?) as usize;
        self.take(length)
    }
}

/// How many bytes say which string of a table an event has.
#[derive(Clone, Copy)]
pub(super) enum Width {
    One,
    Two,
}

impl Width {
    pub(super) const fn of(strings: usize) -> Self {
        if strings <= 1 << u8::BITS {
            Self::One
        } else {
            Self::Two
        }
    }
}

const BAD_PART: Damage = Damage("an event is an operation that its commit does not have");
const BAD_VERDICT: Damage = Damage("a verdict is of events that the block does not have");
const NO_STRING: Damage = Damage("an event names a string that the block does not have");
const NOT_UTF8: Damage = Damage("a string is not UTF-8");
pub(super) const SHORT: Damage = Damage("the index is cut short");

pub(super) const PLAIN: u8 = 0;
pub(super) const PLC: u8 = 1;
