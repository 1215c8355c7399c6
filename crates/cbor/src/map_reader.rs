use crate::error::{Error, ErrorKind};
use crate::item::Item;
use crate::reader::CborReader;

/// The keys of a map that is being read, checked for type, order and repeats.
///
/// [`CborReader::map`] makes one. After each key, its value has to be read or skipped.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{CborReader, ErrorKind};
///
/// // {"a": 1, "a": 2}
/// let mut reader = CborReader::new(b"\xa2\x61a\x01\x61a\x02");
/// let mut map = reader.map()?;
/// assert_eq!(map.next_key(&mut reader)?, Some("a"));
/// assert_eq!(reader.unsigned()?, 1);
/// let error = map.next_key(&mut reader).unwrap_err();
/// assert_eq!(error.kind, ErrorKind::DuplicateKey);
/// # Ok::<(), jetwash_cbor::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MapReader<'a> {
    left: usize,
    previous: Option<&'a str>,
}

impl<'a> MapReader<'a> {
    /// Starts on a map whose head, an [`Item::Map`] of `pairs` pairs, has just been read.
    #[must_use]
    pub const fn new(pairs: usize) -> Self {
        Self {
            left: pairs,
            previous: None,
        }
    }

    /// The next key, or `None` after the last.
    ///
    /// # Errors
    ///
    /// When the key is malformed, not text, a repeat, or out of canonical order.
    #[inline]
    pub fn next_key(&mut self, reader: &mut CborReader<'a>) -> Result<Option<&'a str>, Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        let start = reader.position();
        let fail = |kind| Error {
            offset: start,
            kind,
        };
        let Item::Text(key) = reader.item()? else {
            return Err(fail(ErrorKind::KeyType));
        };
        if let Some(previous) = self.previous {
            let order = previous.len().cmp(&key.len());
            match order.then_with(|| previous.as_bytes().cmp(key.as_bytes())) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Err(fail(ErrorKind::DuplicateKey)),
                std::cmp::Ordering::Greater => return Err(fail(ErrorKind::KeyOrder)),
            }
        }
        self.left = left;
        self.previous = Some(key);
        Ok(Some(key))
    }
}
