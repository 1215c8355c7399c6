use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::varint::read_varint;

/// A content identifier in the one form that AT Protocol makes: version 1, DAG-CBOR or raw,
/// SHA-256 of 32 bytes.
///
/// Source: the repository and blob specifications, and the DASL CID profile.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
///
/// let cid = Cid::of(Codec::DagCbor, &[0xa0]);
/// assert!(cid.matches(&[0xa0]));
/// assert!(!cid.matches(&[0x80]));
/// assert_eq!(cid.to_string().parse(), Ok(cid));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid([u8; Self::LENGTH]);

impl Cid {
    /// The length of the binary form in bytes.
    pub const LENGTH: usize = 36;

    /// The identifier of `content`.
    #[must_use]
    pub fn of(codec: Codec, content: &[u8]) -> Self {
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&[VERSION_1, codec as u8, SHA_256, DIGEST_LENGTH]);
        bytes[4..].copy_from_slice(&Sha256::digest(content));
        Self(bytes)
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// When the bytes are not a CID, or are one of another version, codec or hash.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        Link::from_bytes(bytes)?.try_into()
    }

    /// Whether `content` hashes to this identifier.
    #[must_use]
    pub fn matches(&self, content: &[u8]) -> bool {
        Sha256::digest(content)[..] == self.0[4..]
    }

    /// The kind of content that it names.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        if self.0[1] == Codec::Raw as u8 {
            Codec::Raw
        } else {
            Codec::DagCbor
        }
    }

    /// The SHA-256 of the content.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.0[4..]
    }

    /// The binary form.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The same identifier as a [`Link`].
    #[must_use]
    pub const fn as_link(&self) -> Link<'_> {
        Link(&self.0)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({self})")
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_link().fmt(f)
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        Link::from_text(text, &mut Vec::new())?.try_into()
    }
}

impl TryFrom<Link<'_>> for Cid {
    type Error = CidError;

    fn try_from(link: Link<'_>) -> Result<Self, CidError> {
        let bytes: [u8; Self::LENGTH] = link.0.try_into().map_err(|_| CidError::Profile)?;
        match bytes {
            [VERSION_1, DAG_CBOR | RAW, SHA_256, DIGEST_LENGTH, ..] => Ok(Self(bytes)),
            _ => Err(CidError::Profile),
        }
    }
}

/// The kind of content that a [`Cid`] names.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
///
/// let record = Cid::of(Codec::DagCbor, &[0xa0]);
/// assert_eq!(record.codec(), Codec::DagCbor);
/// // The same bytes as a blob have another CID.
/// assert_ne!(record, Cid::of(Codec::Raw, &[0xa0]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// A record, tree node or commit.
    DagCbor = DAG_CBOR,
    /// A blob.
    Raw = RAW,
}

/// Any CID of version 1, borrowed. Records may link to content that no repository holds, so the
/// bytes are kept as they are, with any codec and hash.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Link};
///
/// // dag-pb under SHA-256: legal in a record, never the CID of one.
/// let mut bytes = [0; 36];
/// bytes[..4].copy_from_slice(&[1, 0x70, 0x12, 32]);
/// let link = Link::from_bytes(&bytes)?;
/// assert!(link.to_string().starts_with("bafybei"));
/// assert!(Cid::try_from(link).is_err());
/// # Ok::<(), jetwash_cbor::CidError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link<'a>(&'a [u8]);

impl<'a> Link<'a> {
    /// The longest CID that is accepted, in bytes (data validation guide).
    pub const MAX_LENGTH: usize = 100;

    /// Reads the binary form, which must fill `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes are not a CID of version 1.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, CidError> {
        // Nearly every CID seen has this shape; the general one is checked part by part.
        if let [VERSION_1, DAG_CBOR | RAW, SHA_256, DIGEST_LENGTH, ..] = bytes
            && bytes.len() == Cid::LENGTH
        {
            return Ok(Self(bytes));
        }
        let (link, rest) = Self::split_from(bytes)?;
        if rest.is_empty() {
            Ok(link)
        } else {
            Err(CidError::Length)
        }
    }

    /// Reads the text form that AT Protocol uses: `b` and base32 in lower case, not padded. The
    /// bytes go into `buffer`, over what it holds.
    ///
    /// # Errors
    ///
    /// When the text is not a CID of version 1 in that form.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_cbor::Link;
    ///
    /// let text = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
    /// let mut buffer = Vec::new();
    /// assert_eq!(Link::from_text(text, &mut buffer)?.to_string(), text);
    /// # Ok::<(), jetwash_cbor::CidError>(())
    /// ```
    pub fn from_text(text: &str, buffer: &'a mut Vec<u8>) -> Result<Self, CidError> {
        let digits = text.strip_prefix(BASE32_PREFIX).ok_or(CidError::Base)?;
        base32_decode(digits, buffer).ok_or(CidError::Base)?;
        Self::from_bytes(buffer)
    }

    /// Reads the binary form at the start of `bytes` and returns the rest.
    ///
    /// # Errors
    ///
    /// When the bytes do not start with a CID of version 1.
    pub fn split_from(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), CidError> {
        let (version, rest) = read_varint(bytes).ok_or(CidError::Varint)?;
        if version != u64::from(VERSION_1) {
            return Err(CidError::Version);
        }
        let (_codec, rest) = read_varint(rest).ok_or(CidError::Varint)?;
        let (hash, rest) = read_varint(rest).ok_or(CidError::Varint)?;
        let (digest_length, rest) = read_varint(rest).ok_or(CidError::Varint)?;
        if hash == u64::from(SHA_256) && digest_length != u64::from(DIGEST_LENGTH) {
            return Err(CidError::Length);
        }
        let digest_length = usize::try_from(digest_length).map_err(|_| CidError::Length)?;
        if digest_length == 0 || digest_length > rest.len() {
            return Err(CidError::Length);
        }
        let length = bytes.len() - rest.len() + digest_length;
        if length > Self::MAX_LENGTH {
            return Err(CidError::Length);
        }
        let (cid, rest) = bytes.split_at(length);
        Ok((Self(cid), rest))
    }

    /// The binary form.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Appends the text form: `b` and the bytes in base32, lower case, not padded.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        out.reserve(1 + self.0.len().div_ceil(5) * 8);
        out.push(BASE32_PREFIX as u8);
        let (chunks, rest) = self.0.as_chunks::<5>();
        for chunk in chunks {
            out.extend_from_slice(&base32_digits(chunk));
        }
        if !rest.is_empty() {
            let mut last = [0; 5];
            last[..rest.len()].copy_from_slice(rest);
            let digits = (rest.len() * 8).div_ceil(5);
            out.extend_from_slice(&base32_digits(&last)[..digits]);
        }
    }
}

impl fmt::Debug for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write_text(&mut text);
        text.iter()
            .try_for_each(|&digit| fmt::Write::write_char(f, char::from(digit)))
    }
}

/// Why something is not a CID that can be used here.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, CidError};
///
/// // Version 0, which no repository uses.
/// let text = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n";
/// assert_eq!(text.parse::<Cid>(), Err(CidError::Base));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CidError {
    /// The text form is not `b` followed by base32 in lower case.
    #[error("not base32 in lower case with the prefix `b`")]
    Base,
    /// The bytes are fewer or more than the CID announces, or more than 100.
    #[error("the length does not fit the hash")]
    Length,
    /// A CID, but not one of DAG-CBOR or raw content under SHA-256.
    #[error("neither DAG-CBOR nor raw under SHA-256")]
    Profile,
    /// A number in the CID is cut short, overlong, or above 63 bits.
    #[error("a malformed variable-length integer")]
    Varint,
    /// A version other than 1.
    #[error("not a CID of version 1")]
    Version,
}

const VERSION_1: u8 = 1;
const DAG_CBOR: u8 = 0x71;
const RAW: u8 = 0x55;
const SHA_256: u8 = 0x12;
const DIGEST_LENGTH: u8 = 32;
const BASE32_PREFIX: char = 'b';
const BASE32_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[inline]
fn base32_digits(chunk: &[u8; 5]) -> [u8; 8] {
    let [a, b, c, d, e] = *chunk;
    let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    std::array::from_fn(|digit| BASE32_ALPHABET[(bits >> (35 - 5 * digit)) as usize & 31])
}

fn base32_decode(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    bytes.reserve(text.len() * 5 / 8);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in text.bytes() {
        let value = match digit {
            b'a'..=b'z' => digit - b'a',
            b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // The bits left over are fewer than a digit and all zero: every CID has one text form only.
    (count < 5 && bits == 0).then_some(())
}
