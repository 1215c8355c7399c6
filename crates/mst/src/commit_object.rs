use jetwash_cbor::{CborReader, Cid, CidError, Codec};
use thiserror::Error;

/// The commit object of a repository, version 3: what its owner signs.
///
/// Who signed it is not checked here, and neither is the syntax of the identifiers.
///
/// Source: the repository specification, "Commit objects".
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec, CborWriter};
/// use jetwash_mst::CommitObject;
///
/// let root = Cid::of(Codec::DagCbor, &[0xa0]);
/// let mut writer = CborWriter::new();
/// writer.map(6).text("did").text("did:web:a.example").text("rev").text("3l3qo2vutsw2b");
/// writer.text("sig").bytes(&[7; 64]).text("data").link(&root);
/// writer.text("prev").null().text("version").unsigned(3);
///
/// let block = writer.into_bytes();
/// let object = CommitObject::decode(&block)?;
/// assert_eq!((object.did, object.data, object.prev), ("did:web:a.example", root, None));
/// # Ok::<(), jetwash_mst::CommitObjectError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitObject<'a> {
    /// The DID of the account.
    pub did: &'a str,
    /// The revision, a TID.
    pub rev: &'a str,
    /// The root of the tree.
    pub data: Cid,
    /// The commit before, where there is one to be known; in practice always `None`.
    pub prev: Option<Cid>,
    /// The signature over the object without it, 64 bytes if it is a valid one.
    pub sig: &'a [u8],
}

impl<'a> CommitObject<'a> {
    /// Whether a block is, byte for byte, what nearly every host writes for this account and
    /// revision: then it need not be decoded to be compared with them.
    pub(crate) fn is_plain(block: &[u8], did: &str, rev: &str) -> bool {
        let sig = text(block.strip_prefix(b"\xa6\x63did"), did)
            .and_then(|rest| text(rest.strip_prefix(b"\x63rev"), rev))
            .and_then(|rest| rest.strip_prefix(b"\x63sig\x58\x40"));
        sig.and_then(|rest| rest.get(64..))
            .and_then(|rest| rest.strip_prefix(b"\x64data\xd8\x2a\x58\x25\x00\x01\x71\x12\x20"))
            .and_then(|rest| rest.get(32..))
            .is_some_and(|rest| rest == b"\x64prev\xf6\x67version\x03")
    }

    /// Reads a commit object from its block. Fields that the specification does not name are passed
    /// over.
    ///
    /// # Errors
    ///
    /// When the block is not a strict DAG-CBOR map, is of another version, or lacks a field: `prev`
    /// too has to be there, if only as `null`.
    pub fn decode(block: &'a [u8]) -> Result<Self, CommitObjectError> {
        let mut reader = CborReader::new(block);
        let (mut did, mut rev, mut sig) = (None, None, None);
        let (mut data, mut prev, mut version) = (None, None, None);
        let mut map = reader.map()?;
        while let Some(key) = map.next_key(&mut reader)? {
            match key {
                "did" => did = Some(reader.text()?),
                "rev" => rev = Some(reader.text()?),
                "sig" => sig = Some(reader.bytes()?),
                "data" => data = Some(read_cid(&mut reader, "data")?),
                "prev" if reader.null() => prev = Some(None),
                "prev" => prev = Some(Some(read_cid(&mut reader, "prev")?)),
                "version" => version = Some(reader.unsigned()?),
                _ => reader.skip()?,
            }
        }
        reader.finish()?;
        // Other versions have other fields, so this comes first.
        match version {
            Some(VERSION) => {}
            Some(other) => return Err(CommitObjectError::Version(other)),
            None => return Err(CommitObjectError::Missing("version")),
        }
        Ok(Self {
            did: did.ok_or(CommitObjectError::Missing("did"))?,
            rev: rev.ok_or(CommitObjectError::Missing("rev"))?,
            data: data.ok_or(CommitObjectError::Missing("data"))?,
            prev: prev.ok_or(CommitObjectError::Missing("prev"))?,
            sig: sig.ok_or(CommitObjectError::Missing("sig"))?,
        })
    }
}

/// Why a block is not a usable commit object.
///
/// # Examples
///
/// ```
/// use jetwash_mst::{CommitObject, CommitObjectError};
///
/// let error = CommitObject::decode(b"\xa1\x67version\x02").unwrap_err();
/// assert_eq!(error, CommitObjectError::Version(2));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitObjectError {
    /// Not the strict DAG-CBOR that a commit object is made of.
    #[error(transparent)]
    Cbor(#[from] jetwash_cbor::Error),
    /// A link of a kind that no repository makes.
    #[error("`{field}`: {source}")]
    Link {
        /// The field.
        field: &'static str,
        /// The fault.
        source: CidError,
    },
    /// A field is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Another version than 3.
    #[error("version {0}, where 3 is the one supported")]
    Version(u64),
}

fn read_cid(reader: &mut CborReader<'_>, field: &'static str) -> Result<Cid, CommitObjectError> {
    let fail = |source| CommitObjectError::Link { field, source };
    let cid = Cid::try_from(reader.link()?).map_err(fail)?;
    match cid.codec() {
        Codec::DagCbor => Ok(cid),
        Codec::Raw => Err(fail(CidError::Profile)),
    }
}

/// Returns the bytes after a text in DAG-CBOR if the text is `expected`.
fn text<'a>(bytes: Option<&'a [u8]>, expected: &str) -> Option<&'a [u8]> {
    let bytes = match u8::try_from(expected.len()).ok()? {
        length @ ..24 => bytes?.strip_prefix(&[0x60 | length])?,
        length => bytes?.strip_prefix(&[0x78, length])?,
    };
    bytes.strip_prefix(expected.as_bytes())
}

const VERSION: u64 = 3;

#[cfg(test)]
mod tests {
    use jetwash_cbor::CborWriter;

    use super::*;

    #[test]
    fn what_is_plain_is_what_decoding_gives() {
        let rev = "3l3qo2vutsw2b";
        for did in ["did:web:a.example", "did:plc:z72i7hdynmk6r22z27h6tvur"] {
            let root = Cid::of(Codec::DagCbor, &[0xa0]);
            let mut writer = CborWriter::new();
            writer.map(6).text("did").text(did).text("rev").text(rev);
            writer.text("sig").bytes(&[7; 64]).text("data").link(&root);
            writer.text("prev").null().text("version").unsigned(3);
            let block = writer.into_bytes();
            assert!(CommitObject::is_plain(&block, did, rev));
            let mut plain = 0;
            for bit in 0..block.len() * 8 {
                let mut block = block.clone();
                block[bit / 8] ^= 1 << (bit % 8);
                if CommitObject::is_plain(&block, did, rev) {
                    let object = CommitObject::decode(&block).expect("a commit object");
                    assert_eq!((object.did, object.rev, object.prev), (did, rev, None));
                    plain += 1;
                }
            }
            assert_eq!(
                plain,
                (64 + 32) * 8,
                "the signature and the root may be any"
            );
            assert!(!CommitObject::is_plain(&block[..block.len() - 1], did, rev));
            assert!(!CommitObject::is_plain(&block, "did:web:b.example", rev));
            assert!(!CommitObject::is_plain(&block, did, "3l3qo2vutsw2c"));
        }
    }
}
