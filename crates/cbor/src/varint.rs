/// Reads an unsigned variable-length integer (LEB128), as CIDs and CAR files use them, and returns
/// it with the rest.
///
/// Returns `None` when it is cut short, in more bytes than it needs, or above 63 bits.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::read_varint;
///
/// assert_eq!(read_varint(&[0xac, 0x02, 9]), Some((300, &[9][..])));
/// assert_eq!(read_varint(&[0x80]), None);
/// ```
#[inline]
#[must_use]
pub fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let overlong = byte == 0 && index > 0;
            return if overlong {
                None
            } else {
                Some((value, &bytes[index + 1..]))
            };
        }
    }
    None
}
