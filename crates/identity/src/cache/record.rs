//! A document as it is kept on disk: a version, the time of the look-up (milliseconds since 1970,
//! little-endian), and the key, its type, the PDS and the handle, each text behind its length in
//! two bytes, with length 0 for what is missing.

use jetwash_event::Did;

use crate::document::{DidDocument, KeyType, PdsEndpoint, SigningKey};

pub(crate) fn encode(document: &DidDocument, looked_up_ms: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend(looked_up_ms.to_le_bytes());
    let key = document.signing_key();
    let kind = key.map_or(0, |key| number_of(key.key_type()));
    bytes.push(kind);
    let texts = [
        key.map(SigningKey::multibase),
        document.pds().map(PdsEndpoint::as_str),
        document.claimed_handle().map(AsRef::as_ref),
    ];
    for text in texts {
        let text = text.unwrap_or_default();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// `None` if the bytes are not what [`encode`] writes.
pub(crate) fn decode(did: &Did, bytes: &[u8]) -> Option<(DidDocument, u64)> {
    let (&version, rest) = bytes.split_first()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (&kind, mut rest) = rest.split_first()?;
    let key = text(&mut rest)?;
    let pds = text(&mut rest)?;
    let handle = text(&mut rest)?;
    if version != VERSION || !rest.is_empty() {
        return None;
    }
    let key = match kind {
        0 => None,
        _ => {
            let mut kinds = KeyType::ALL.into_iter();
            let kind = kinds.find(|other| number_of(*other) == kind)?;
            Some(SigningKey::new(kind, key)?)
        }
    };
    let pds = match pds {
        "" => None,
        text => Some(PdsEndpoint::parse(text)?),
    };
    let handle = match handle {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    let document = DidDocument::from_parts(did.clone(), key, pds, handle);
    Some((document, u64::from_le_bytes(*time)))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// Numbers are part of the form on disk and are not used again for another type.
const fn number_of(kind: KeyType) -> u8 {
    match kind {
        KeyType::Multikey => 1,
        KeyType::EcdsaSecp256k1VerificationKey2019 => 2,
        KeyType::EcdsaSecp256r1VerificationKey2019 => 3,
    }
}

const VERSION: u8 = 1;
