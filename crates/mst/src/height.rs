use sha2::{Digest, Sha256};

/// The height of a key in the tree: the leading zero bits of its SHA-256, counted in pairs.
///
/// So a quarter of all keys is above each height, and a node has four entries in the mean.
///
/// Source: the repository specification.
///
/// # Examples
///
/// ```
/// use jetwash_mst::key_height;
///
/// assert_eq!(key_height(b"2653ae71"), 0);
/// assert_eq!(key_height(b"blue"), 1);
/// assert_eq!(key_height(b"app.bsky.feed.post/9adeb165882c"), 8);
/// ```
#[must_use]
pub fn key_height(key: &[u8]) -> u8 {
    let digest = Sha256::digest(key);
    let mut zeros = 0;
    for &byte in &digest[..] {
        // At most 256 bits, so half of them fit.
        zeros += byte.leading_zeros() as u16;
        if byte != 0 {
            break;
        }
    }
    (zeros / 2) as u8
}
