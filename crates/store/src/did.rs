//! `did:plc:` and 24 base32 characters, which are 15 bytes.

const PREFIX: &str = "did:plc:";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let mut index = 0;
    while index < ALPHABET.len() {
        values[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    values
};

/// The 15 bytes of a `did:plc`; `None` if it is something else, down to an upper-case letter.
pub(crate) fn pack(did: &str) -> Option<[u8; 15]> {
    let text: &[u8; 24] = did.strip_prefix(PREFIX)?.as_bytes().try_into().ok()?;
    let mut packed = [0; 15];
    let groups = text.chunks_exact(8).zip(packed.chunks_exact_mut(5));
    for (characters, bytes) in groups {
        let mut bits = 0_u64;
        for character in characters {
            let value = VALUES[*character as usize];
            if value == INVALID {
                return None;
            }
            bits = bits << 5 | u64::from(value);
        }
        bytes.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(packed)
}

/// Appends the `did:plc` of 15 bytes: always [`LENGTH`] ASCII characters.
#[inline]
pub(crate) fn unpack_into(packed: &[u8; 15], text: &mut Vec<u8>) {
    // Words are loaded and stored whole: anything byte by byte costs more than all the rest.
    let (first, rest) = split_word(packed);
    let (second, _) = split_word(rest);
    let third = packed
        .last_chunk()
        .map_or(0, |word| u64::from_be_bytes(*word));
    text.extend_from_slice(PREFIX.as_bytes());
    text.extend_from_slice(&eight_characters(first >> 24));
    text.extend_from_slice(&eight_characters(second >> 24));
    text.extend_from_slice(&eight_characters(third & 0xff_ffff_ffff));
}

/// The first eight bytes as a number, and what follows the first five.
#[inline]
fn split_word(packed: &[u8]) -> (u64, &[u8]) {
    let word = packed
        .first_chunk()
        .map_or(0, |word| u64::from_be_bytes(*word));
    (word, packed.get(5..).unwrap_or_default())
}

/// The length of a `did:plc`.
pub(crate) const LENGTH: usize = 32;

/// The characters of 40 bits, all eight at once: scanning a ring for one account spends much of
/// its time here.
#[inline]
const fn eight_characters(bits: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Five bits to each byte: by halves to 20, 10 and 5.
    let bits = bits & 0xf_ffff | (bits & 0xff_fff0_0000) << 12;
    let bits = bits & 0x0000_03ff_0000_03ff | (bits & 0x000f_fc00_000f_fc00) << 6;
    let bits = bits & 0x001f_001f_001f_001f | (bits & 0x03e0_03e0_03e0_03e0) << 3;
    // The letters come first; from 26 on, which is where 102 more reaches 128, the digits from 2.
    let digits = (bits + 102 * ONES) >> 7 & ONES;
    let characters = bits + b'a' as u64 * ONES - digits * (b'a' + 26 - b'2') as u64;
    characters.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plc_did_comes_back() {
        let did = "did:plc:z72i7hdynmk6r22z27h6tvur";
        let packed = pack(did).unwrap();
        // What Python's base64.b32decode makes of the same 24 characters.
        let expected = [
            207, 244, 143, 156, 120, 107, 21, 232, 235, 89, 215, 207, 233, 214, 145,
        ];
        assert_eq!(packed, expected);
        let mut text = Vec::new();
        unpack_into(&packed, &mut text);
        assert_eq!(text, did.as_bytes());
        assert_eq!(text.len(), LENGTH);
    }

    #[test]
    fn every_character_comes_back() {
        let alphabet = "abcdefghijklmnopqrstuvwxyz234567".repeat(2);
        for start in 0..32 {
            let did = format!("did:plc:{}", &alphabet[start..start + 24]);
            let mut text = Vec::new();
            unpack_into(&pack(&did).unwrap(), &mut text);
            assert_eq!(text, did.as_bytes());
        }
    }

    #[test]
    fn other_dids_are_not_packed() {
        for did in [
            "did:web:example.com",
            "did:plc:z72i7hdynmk6r22z27h6tvu",
            "did:plc:z72i7hdynmk6r22z27h6tvurr",
            "did:plc:Z72i7hdynmk6r22z27h6tvur",
            "did:plc:z72i7hdynmk6r22z27h6tvu1",
            "",
        ] {
            assert_eq!(pack(did), None, "{did}");
        }
    }
}
