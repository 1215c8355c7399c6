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

/// Appends the `did:plc` of 15 bytes.
pub(crate) fn unpack_into(packed: &[u8; 15], text: &mut String) {
    let mut characters = [0_u8; 32];
    characters[..8].copy_from_slice(PREFIX.as_bytes());
    let groups = packed
        .chunks_exact(5)
        .zip(characters[8..].chunks_exact_mut(8));
    for (bytes, characters) in groups {
        let mut bits = bytes
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for character in characters.iter_mut().rev() {
            *character = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
    }
    // The characters are from the alphabet, so this never falls back.
    text.push_str(std::str::from_utf8(&characters).unwrap_or_default());
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
        let mut text = String::new();
        unpack_into(&packed, &mut text);
        assert_eq!(text, did);
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
