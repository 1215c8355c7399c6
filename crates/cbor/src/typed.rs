//! Items of a type that the caller expects.

use crate::cid::Link;
use crate::error::{Error, ErrorKind};
use crate::item::Item;
use crate::map_reader::MapReader;
use crate::reader::CborReader;

/// The deepest nesting of arrays and maps that [`CborReader::skip`] follows.
///
/// The data model guide suggests 32; records seen in the network stay below 20. The bound is there
/// because records nested thousands of levels deep have been used to crash consumers.
pub const MAX_DEPTH: usize = 128;

impl<'a> CborReader<'a> {
    /// Reads the head of an array and returns the number of its items.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not an array.
    #[inline]
    pub fn array(&mut self) -> Result<usize, Error> {
        match self.typed()? {
            (_, Item::Array(length)) => Ok(length),
            (start, _) => Err(wrong_type(start, "an array")),
        }
    }

    /// Reads a boolean.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not a boolean.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, Error> {
        match self.typed()? {
            (_, Item::Boolean(value)) => Ok(value),
            (start, _) => Err(wrong_type(start, "a boolean")),
        }
    }

    /// Reads a byte string.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not a byte string.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        match self.typed()? {
            (_, Item::Bytes(bytes)) => Ok(bytes),
            (start, _) => Err(wrong_type(start, "a byte string")),
        }
    }

    /// Reads an integer of the data model: signed, 64 bits.
    ///
    /// # Errors
    ///
    /// When the next item is malformed, not an integer, or out of that range.
    pub fn integer(&mut self) -> Result<i64, Error> {
        let range = |offset| Error {
            offset,
            kind: ErrorKind::IntegerRange,
        };
        match self.typed()? {
            (start, Item::Unsigned(value)) => i64::try_from(value).map_err(|_| range(start)),
            (start, Item::Negative(value)) => i64::try_from(value)
                .map(|value| -1 - value)
                .map_err(|_| range(start)),
            (start, _) => Err(wrong_type(start, "an integer")),
        }
    }

    /// Reads a link.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not a link.
    #[inline]
    pub fn link(&mut self) -> Result<Link<'a>, Error> {
        match self.typed()? {
            (_, Item::Link(link)) => Ok(link),
            (start, _) => Err(wrong_type(start, "a link")),
        }
    }

    /// Reads the head of a map. The keys are then asked of the [`MapReader`], each value of `self`.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not a map.
    #[inline]
    pub fn map(&mut self) -> Result<MapReader<'a>, Error> {
        match self.typed()? {
            (_, Item::Map(pairs)) => Ok(MapReader::new(pairs)),
            (start, _) => Err(wrong_type(start, "a map")),
        }
    }

    /// Reads a text string.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not text.
    #[inline]
    pub fn text(&mut self) -> Result<&'a str, Error> {
        match self.typed()? {
            (_, Item::Text(text)) => Ok(text),
            (start, _) => Err(wrong_type(start, "text")),
        }
    }

    /// Reads an integer from zero up.
    ///
    /// # Errors
    ///
    /// When the next item is malformed or not such an integer.
    #[inline]
    pub fn unsigned(&mut self) -> Result<u64, Error> {
        match self.typed()? {
            (_, Item::Unsigned(value)) => Ok(value),
            (start, _) => Err(wrong_type(start, "an unsigned integer")),
        }
    }

    /// Passes over one whole item, checking all of it.
    ///
    /// # Errors
    ///
    /// When it is not strict DAG-CBOR or nested deeper than [`MAX_DEPTH`].
    #[inline]
    pub fn skip(&mut self) -> Result<(), Error> {
        self.skip_at(0)
    }

    #[inline]
    fn typed(&mut self) -> Result<(usize, Item<'a>), Error> {
        let start = self.position();
        Ok((start, self.item()?))
    }

    fn skip_at(&mut self, depth: usize) -> Result<(), Error> {
        let start = self.position();
        match self.item()? {
            Item::Array(_) | Item::Map(_) if depth == MAX_DEPTH => Err(Error {
                offset: start,
                kind: ErrorKind::Depth,
            }),
            Item::Array(length) => (0..length).try_for_each(|_| self.skip_at(depth + 1)),
            Item::Map(pairs) => {
                let mut map = MapReader::new(pairs);
                while map.next_key(self)?.is_some() {
                    self.skip_at(depth + 1)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

const fn wrong_type(offset: usize, expected: &'static str) -> Error {
    Error {
        offset,
        kind: ErrorKind::Type(expected),
    }
}
