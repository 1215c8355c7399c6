use crate::cid::Link;

/// One item. Of a container it is only the head: the items inside come next.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{CborReader, Item};
///
/// let mut reader = CborReader::new(b"\x82\x01\x61a");
/// assert_eq!(reader.item()?, Item::Array(2));
/// assert_eq!(reader.item()?, Item::Unsigned(1));
/// assert_eq!(reader.item()?, Item::Text("a"));
/// # Ok::<(), jetwash_cbor::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// An array of that many items.
    Array(usize),
    /// `true` or `false`.
    Boolean(bool),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A finite 64-bit float.
    Float(f64),
    /// A link: tag 42 directly around a byte string that holds a CID.
    Link(Link<'a>),
    /// A map of that many pairs of key and value.
    Map(usize),
    /// A negative integer `-1 - n`, as `n`.
    Negative(u64),
    /// `null`.
    Null,
    /// A text string.
    Text(&'a str),
    /// An integer from zero up.
    Unsigned(u64),
}
