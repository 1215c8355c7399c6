use crate::cid::Link;
use crate::error::{Error, ErrorKind};
use crate::item::Item;

/// Walks DAG-CBOR item by item, without copying and without building a tree.
///
/// The reader never looks back: after an error its position is inside the item at fault, and
/// reading on makes no sense.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{ErrorKind, CborReader};
///
/// assert_eq!(CborReader::new(&[0x18, 0x2a]).unsigned(), Ok(42));
/// // Seventeen fits into the initial byte, so the two-byte form is refused.
/// let error = CborReader::new(&[0x18, 0x11]).unsigned().unwrap_err();
/// assert_eq!((error.offset, error.kind), (0, ErrorKind::Overlong));
/// ```
#[derive(Clone, Debug)]
pub struct CborReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> CborReader<'a> {
    /// Starts at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Starts at `position`, where an item must start; at the end if it lies beyond.
    #[must_use]
    pub const fn starting_at(bytes: &'a [u8], position: usize) -> Self {
        let position = if position < bytes.len() {
            position
        } else {
            bytes.len()
        };
        Self { bytes, position }
    }

    /// Reads the next item of any type; of a container, only its head.
    ///
    /// # Errors
    ///
    /// When the bytes are not strict DAG-CBOR.
    #[inline]
    pub fn item(&mut self) -> Result<Item<'a>, Error> {
        // Errors point at the item's first byte, wherever in it the fault lies.
        let start = self.position;
        let fail = |kind| Error {
            offset: start,
            kind,
        };
        let initial = *self.bytes.get(start).ok_or_else(|| fail(ErrorKind::End))?;
        self.position = start + 1;
        let (major, info) = (initial >> 5, initial & 0x1f);
        if major == 7 {
            return self.simple(info, start);
        }
        let argument = self.argument(info, start)?;
        match major {
            0 => Ok(Item::Unsigned(argument)),
            1 => Ok(Item::Negative(argument)),
            2 => Ok(Item::Bytes(self.take(argument, start)?)),
            3 => {
                let bytes = self.take(argument, start)?;
                let text = std::str::from_utf8(bytes).map_err(|_| fail(ErrorKind::Utf8))?;
                Ok(Item::Text(text))
            }
            4 => Ok(Item::Array(self.length(argument, 1, start)?)),
            5 => Ok(Item::Map(self.length(argument, 2, start)?)),
            _ if argument == 42 => Ok(Item::Link(self.tagged_link(start)?)),
            _ => Err(fail(ErrorKind::Tag)),
        }
    }

    /// Reads `null` if it comes next, and says whether it did. Anything else is left unread.
    #[inline]
    pub fn null(&mut self) -> bool {
        let is_null = self.bytes.get(self.position) == Some(&0xf6);
        self.position += usize::from(is_null);
        is_null
    }

    /// Passes over one whole item by its lengths alone. Its content is not checked, so this is for
    /// bytes that are thrown away or checked later. Nesting costs no stack, so it has no bound.
    ///
    /// # Errors
    ///
    /// When the bytes end too early, or a head is reserved, indefinite or overlong.
    #[inline]
    pub fn pass_over(&mut self) -> Result<(), Error> {
        let mut items = 1_u64;
        while items > 0 {
            items -= 1;
            let start = self.position;
            let initial = self.bytes.get(start).ok_or(Error {
                offset: start,
                kind: ErrorKind::End,
            })?;
            self.position = start + 1;
            if matches!(*initial, 0xf8..) {
                // A float or a reserved simple value; a float's bytes read like a number's.
                self.simple(initial & 0x1f, start)?;
                continue;
            }
            let argument = self.argument(initial & 0x1f, start)?;
            match initial >> 5 {
                2 | 3 => drop(self.take(argument, start)?),
                // Each head takes a byte, so what is announced beyond the bytes ends in an error.
                4 => items = items.saturating_add(self.length(argument, 1, start)? as u64),
                5 => items = items.saturating_add(2 * self.length(argument, 2, start)? as u64),
                6 => items = items.saturating_add(1),
                _ => {}
            }
        }
        Ok(())
    }

    /// The position of the next byte to be read.
    #[inline]
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The bytes from `start` up to the next byte to be read; empty if `start` lies beyond it.
    ///
    /// With [`position`](Self::position) this returns the encoding of an item just passed over.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position).unwrap_or_default()
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.position >= self.bytes.len()
    }

    /// Makes sure that everything has been read.
    ///
    /// # Errors
    ///
    /// When bytes are left.
    pub const fn finish(&self) -> Result<(), Error> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(Error {
                offset: self.position,
                kind: ErrorKind::Trailing,
            })
        }
    }

    #[inline]
    fn argument(&mut self, info: u8, start: usize) -> Result<u64, Error> {
        let fail = |kind| Error {
            offset: start,
            kind,
        };
        let (value, least) = match info {
            0..=23 => return Ok(u64::from(info)),
            24 => (u64::from(u8::from_be_bytes(self.array_of(start)?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array_of(start)?)), 1 << 8),
            26 => (
                u64::from(u32::from_be_bytes(self.array_of(start)?)),
                1 << 16,
            ),
            27 => (u64::from_be_bytes(self.array_of(start)?), 1 << 32),
            31 => return Err(fail(ErrorKind::Indefinite)),
            _ => return Err(fail(ErrorKind::Reserved)),
        };
        if value < least {
            Err(fail(ErrorKind::Overlong))
        } else {
            Ok(value)
        }
    }

    #[inline]
    fn array_of<const N: usize>(&mut self, start: usize) -> Result<[u8; N], Error> {
        let chunk = self
            .bytes
            .get(self.position..)
            .and_then(|rest| rest.first_chunk::<N>());
        let chunk = chunk.ok_or(Error {
            offset: start,
            kind: ErrorKind::End,
        })?;
        self.position += N;
        Ok(*chunk)
    }

    #[inline]
    fn take(&mut self, length: u64, start: usize) -> Result<&'a [u8], Error> {
        let end = Error {
            offset: start,
            kind: ErrorKind::End,
        };
        let length = usize::try_from(length).map_err(|_| end)?;
        let stop = self.position.checked_add(length).ok_or(end)?;
        let bytes = self.bytes.get(self.position..stop).ok_or(end)?;
        self.position = stop;
        Ok(bytes)
    }

    /// A container's length, which can be trusted for allocating: each item takes a byte or more.
    #[inline]
    fn length(&self, length: u64, bytes_each: usize, start: usize) -> Result<usize, Error> {
        let room = (self.bytes.len() - self.position) / bytes_each;
        match usize::try_from(length) {
            Ok(length) if length <= room => Ok(length),
            _ => Err(Error {
                offset: start,
                kind: ErrorKind::ContainerTooLong,
            }),
        }
    }

    fn simple(&mut self, info: u8, start: usize) -> Result<Item<'a>, Error> {
        let fail = |kind| Error {
            offset: start,
            kind,
        };
        match info {
            20 => Ok(Item::Boolean(false)),
            21 => Ok(Item::Boolean(true)),
            22 => Ok(Item::Null),
            27 => {
                let float = f64::from_be_bytes(self.array_of(start)?);
                let negative_zero = float == 0.0 && float.is_sign_negative();
                if float.is_finite() && !negative_zero {
                    Ok(Item::Float(float))
                } else {
                    Err(fail(ErrorKind::Float))
                }
            }
            25 | 26 => Err(fail(ErrorKind::Float)),
            28..=30 => Err(fail(ErrorKind::Reserved)),
            31 => Err(fail(ErrorKind::Indefinite)),
            _ => Err(fail(ErrorKind::Simple)),
        }
    }

    fn tagged_link(&mut self, start: usize) -> Result<Link<'a>, Error> {
        let fail = |kind| Error {
            offset: start,
            kind,
        };
        // The head is read here and not as an item: tags in tags would nest as deep as they are
        // many.
        let inner = self.position;
        let initial = *self.bytes.get(inner).ok_or(Error {
            offset: inner,
            kind: ErrorKind::End,
        })?;
        if initial >> 5 != BYTE_STRING {
            return Err(fail(ErrorKind::Link));
        }
        self.position = inner + 1;
        let length = self.argument(initial & 0x1f, inner)?;
        let bytes = self.take(length, inner)?;
        let (0, cid) = bytes.split_first().ok_or_else(|| fail(ErrorKind::Link))? else {
            return Err(fail(ErrorKind::Link));
        };
        Link::from_bytes(cid).map_err(|_| fail(ErrorKind::Link))
    }
}

const BYTE_STRING: u8 = 2;
