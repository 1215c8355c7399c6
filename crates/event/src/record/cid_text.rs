//! The text of a CID, in the forms that records have it.

use jetwash_cbor::Link;

/// Appends the canonical text of the CID in `text`.
///
/// Version 1 in base32 is what AT Protocol allows. Base58 and version 0 are taken too, because
/// the common CID libraries read them without being asked to, and production passes them on.
pub(super) fn write_cid(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut buffer = Vec::new();
    if text.len() == CID_0_LENGTH && text.starts_with("Qm") {
        // Version 0 is a bare SHA-256 multihash, and this is its only text form.
        bs58::decode(text).onto(&mut buffer).ok()?;
        let [0x12, 32, digest @ ..] = &buffer[..] else {
            return None;
        };
        (digest.len() == 32).then_some(())?;
        out.extend_from_slice(text.as_bytes());
    } else if let Some(digits) = text.strip_prefix('z') {
        // Decoding takes time in the square of the length, so that is bounded first.
        (digits.len() <= 2 * Link::MAX_LENGTH).then_some(())?;
        bs58::decode(digits).onto(&mut buffer).ok()?;
        Link::from_bytes(&buffer).ok()?.write_text(out);
    } else {
        Link::from_text(text, &mut buffer).ok()?.write_text(out);
    }
    Some(())
}

const CID_0_LENGTH: usize = 46;
