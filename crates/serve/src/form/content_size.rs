/// Returns the size of the content of a zstd frame, if its header says it, as those made here do.
///
/// Source: RFC 8878, section 3.1.1.1.
pub(crate) fn content_size(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.strip_prefix(&MAGIC)?.first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!is_single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0x3)];
    let size = frame.get(MAGIC.len() + 1 + window + dictionary..)?;
    Some(match descriptor >> 6 {
        0 if is_single_segment => u64::from(*size.first()?),
        0 => return None,
        1 => u64::from(u16::from_le_bytes(*size.first_chunk()?)) + 256,
        2 => u64::from(u32::from_le_bytes(*size.first_chunk()?)),
        _ => u64::from_le_bytes(*size.first_chunk()?),
    })
}

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[cfg(test)]
mod tests {
    use super::*;
    use jetwash::dict::Compressor;

    #[test]
    fn the_size_is_that_of_the_content() {
        for size in [0, 1, 255, 256, 257, 1000, 65_791, 65_792, 200_000] {
            let content: Vec<u8> = (0..size).map(|byte| (byte % 251) as u8).collect();
            let mut frame = Vec::new();
            Compressor::without_dictionary(1)
                .compress(&content, &mut frame)
                .unwrap();
            assert_eq!(content_size(&frame), Some(size as u64));
            for end in 0..6.min(frame.len()) {
                assert_eq!(content_size(&frame[..end]), None);
            }
        }
        assert_eq!(content_size(b"{}"), None);
    }
}
