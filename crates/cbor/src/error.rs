use thiserror::Error;

/// Why bytes are not DAG-CBOR, and where.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("byte {offset}: {kind}")]
pub struct Error {
    /// The position of the item at fault, in bytes from the start of the reader's input.
    pub offset: usize,
    /// The fault.
    pub kind: ErrorKind,
}

/// The fault of an item.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{CborReader, ErrorKind};
///
/// let error = CborReader::new(&[0x9f]).array().unwrap_err();
/// assert_eq!(error.kind, ErrorKind::Indefinite);
/// let error = CborReader::new(&[0x01]).text().unwrap_err();
/// assert_eq!(error.to_string(), "byte 0: expected text");
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A container holds more items than there are bytes left.
    #[error("the container claims more items than there are bytes")]
    ContainerTooLong,
    /// Nesting beyond [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("nested too deeply")]
    Depth,
    /// A map names a key twice.
    #[error("a map key occurs twice")]
    DuplicateKey,
    /// The bytes end inside an item.
    #[error("the bytes end inside an item")]
    End,
    /// A float of 16 or 32 bits, not a number, an infinity, or negative zero.
    #[error("a float that is not a finite 64-bit one")]
    Float,
    /// An item of indefinite length.
    #[error("an item of indefinite length")]
    Indefinite,
    /// An integer outside the signed 64-bit range.
    #[error("an integer outside the signed 64-bit range")]
    IntegerRange,
    /// A map key that is not text.
    #[error("a map key that is not text")]
    KeyType,
    /// Map keys that are not in canonical order: shorter first, then by their bytes.
    #[error("map keys out of canonical order")]
    KeyOrder,
    /// A link that does not hold a CID.
    #[error("a link without a valid CID")]
    Link,
    /// A number or length in more bytes than it needs.
    #[error("a number in more bytes than it needs")]
    Overlong,
    /// A reserved or unassigned initial byte.
    #[error("a reserved initial byte")]
    Reserved,
    /// A simple value other than `false`, `true` and `null`.
    #[error("a simple value other than false, true and null")]
    Simple,
    /// A tag other than 42.
    #[error("a tag other than 42")]
    Tag,
    /// Bytes after the item that should be the last.
    #[error("bytes after the last item")]
    Trailing,
    /// An item of another type than the caller asked for.
    #[error("expected {0}")]
    Type(&'static str),
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
}
