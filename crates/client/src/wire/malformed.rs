use std::fmt;

/// Why a message could not be read. It is lost, and the next is read.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientItem, Malformed};
///
/// fn is_damaged(item: &ClientItem) -> bool {
///     matches!(item, ClientItem::Malformed(Malformed::Compression))
/// }
/// assert_eq!(Malformed::RecordKey.as_str(), "record_key");
/// # let _ = is_damaged;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// It is longer than the limit, as it came or decompressed.
    TooLarge,
    /// It is not a zstd frame, or is damaged.
    Compression,
    /// It is not UTF-8.
    Utf8,
    /// It is not JSON, or lacks a field, or has one of a wrong type.
    Json,
    /// The account is not a DID.
    Did,
    /// The time is not a timestamp.
    Time,
    /// The revision is not a TID.
    Revision,
    /// The collection is not an NSID.
    Collection,
    /// The key of the record has a wrong form.
    RecordKey,
    /// The CID has a wrong form.
    Cid,
    /// The operation is not known.
    Operation,
    /// The body is of another account than the event.
    OtherAccount,
}

impl Malformed {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::TooLarge,
        Self::Compression,
        Self::Utf8,
        Self::Json,
        Self::Did,
        Self::Time,
        Self::Revision,
        Self::Collection,
        Self::RecordKey,
        Self::Cid,
        Self::Operation,
        Self::OtherAccount,
    ];

    /// Returns a short name, for the label of a counter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Compression => "compression",
            Self::Utf8 => "utf8",
            Self::Json => "json",
            Self::Did => "did",
            Self::Time => "time",
            Self::Revision => "revision",
            Self::Collection => "collection",
            Self::RecordKey => "record_key",
            Self::Cid => "cid",
            Self::Operation => "operation",
            Self::OtherAccount => "other_account",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
