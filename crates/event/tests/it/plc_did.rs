//! The 15 bytes of a `did:plc`.

use jetwash_event::PlcDid;

#[test]
fn the_bytes_are_those_of_base32() {
    let did = PlcDid::parse("did:plc:z72i7hdynmk6r22z27h6tvur").unwrap();
    // What Python's base64.b32decode makes of the same 24 characters.
    let expected = [
        207, 244, 143, 156, 120, 107, 21, 232, 235, 89, 215, 207, 233, 214, 145,
    ];
    assert_eq!(did.to_bytes(), expected);
    assert_eq!(PlcDid::from_bytes(&expected), did);
    assert_eq!(did.to_string(), "did:plc:z72i7hdynmk6r22z27h6tvur");
}

#[test]
fn every_character_comes_back_at_every_place() {
    let alphabet = "abcdefghijklmnopqrstuvwxyz234567".repeat(2);
    for start in 0..32 {
        let did = format!("did:plc:{}", &alphabet[start..start + 24]);
        let mut text = Vec::new();
        PlcDid::parse(&did).unwrap().write_to(&mut text);
        assert_eq!(text, did.as_bytes());
    }
}

#[test]
fn no_other_character_is_taken_at_any_place() {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    for place in 0..24 {
        for byte in 0..0x80_u8 {
            let mut characters = *b"z72i7hdynmk6r22z27h6tvur";
            characters[place] = byte;
            let did = format!("did:plc:{}", std::str::from_utf8(&characters).unwrap());
            assert_eq!(
                PlcDid::parse(&did).is_some(),
                alphabet.contains(&byte),
                "{did:?}"
            );
        }
    }
}

#[test]
fn other_dids_are_none() {
    for did in [
        "did:web:example.com",
        "did:plc:z72i7hdynmk6r22z27h6tvu",
        "did:plc:z72i7hdynmk6r22z27h6tvurr",
        "did:plc:Z72i7hdynmk6r22z27h6tvur",
        "did:plc:z72i7hdynmk6r22z27h6tvé",
        "",
    ] {
        assert_eq!(PlcDid::parse(did), None, "{did}");
    }
}
