//! Conformance vectors of CBOR and of its stricter profiles.

use jetwash_cbor::{CborReader, Cid, ErrorKind};
use jetwash_corpus::corpus;

use crate::{check, from_hex};

#[expect(clippy::too_many_lines, reason = "a table of cases")]
#[test]
fn what_is_invalid_in_dag_cbor_is_refused_and_what_is_valid_is_read() {
    let Some(corpus) = corpus("the DRISL conformance vectors") else {
        return;
    };
    // Not of our profile, by name: the profile of their tags is another one's.
    let other_profiles = [
        "float reduction",
        "short NaN",
        "zero float16",
        "NaN with payload",
        "smallest unsigned bigint",
        "highest negative bigint",
        "map with equal int and float keys",
        "too small for int reduction, <-(2^63)",
        "text not in Unicode Normalization Form C",
    ];
    // The strict form of CID is `Cid`, for what is in a repository. Within records, `Link` takes
    // any CID of version 1, because relays may not refuse those.
    let only_links = [
        "CIDv1 that isn't raw or cbor",
        "disallowed hash type (SHA-1)",
    ];
    // 3,000 levels: the bound on nesting is there to refuse that.
    let too_deep = ["deeply nested object"];

    let mut used = 0;
    for file in [
        "cid",
        "concat",
        "floats",
        "indefinite",
        "integer_range",
        "map_keys",
        "numeric_reduction",
        "recursion",
        "short_form",
        "simple",
        "tags",
        "utf8",
    ] {
        for vector in corpus
            .json(&format!("dasl-testing/{file}.json"))
            .as_array()
            .unwrap()
        {
            let name = vector["name"].as_str().unwrap();
            let bytes = from_hex(vector["data"].as_str().unwrap());
            let tags: Vec<&str> = vector["tags"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tag| tag.as_str().unwrap())
                .collect();
            let is_ours = tags
                .iter()
                .any(|tag| ["basic", "dag-cbor", "dasl-cid"].contains(tag));
            match vector["type"].as_str().unwrap() {
                // About encoders: what they must not write is what we must not read.
                "invalid_out" | "invalid_in" if is_ours => {
                    if only_links.contains(&name) {
                        assert_eq!(check(&bytes), Ok(()), "{file}: {name}");
                        let link = CborReader::new(&bytes).link().unwrap();
                        assert!(Cid::try_from(link).is_err(), "{file}: {name}");
                        used += 1;
                    } else {
                        assert!(check(&bytes).is_err(), "{file}: {name}");
                    }
                }
                "roundtrip" if too_deep.contains(&name) => {
                    assert_eq!(check(&bytes), Err(ErrorKind::Depth), "{file}: {name}");
                    used += 1;
                }
                "roundtrip" if is_ours => assert_eq!(check(&bytes), Ok(()), "{file}: {name}"),
                _ => assert!(
                    other_profiles.contains(&name)
                        || name.ends_with("could be reduced")
                        || name.starts_with("bigint with"),
                    "{file}: {name}"
                ),
            }
        }
    }
    assert_eq!(
        used,
        only_links.len() + too_deep.len(),
        "an unused exception"
    );
}

#[test]
fn malformed_cbor_is_refused() {
    let Some(corpus) = corpus("the RFC 8949 vectors of malformed CBOR") else {
        return;
    };
    let vectors = corpus.json("cbor/cbor_rfc8949_vectors.json");
    let invalid = vectors
        .as_array()
        .unwrap()
        .iter()
        .filter(|vector| has_flag(vector, "invalid"));
    let mut count = 0;
    for vector in invalid {
        let hex = vector["hex"].as_str().unwrap();
        assert!(check(&from_hex(hex)).is_err(), "{hex}");
        count += 1;
    }
    assert_eq!(count, 693);
}

#[test]
fn well_formed_cbor_is_read_if_dag_cbor_has_it() {
    let Some(corpus) = corpus("the RFC 8949 vectors of well-formed CBOR") else {
        return;
    };
    let refused = [
        ("9f018202039f0405ffff", ErrorKind::Indefinite),
        ("83018202039f0405ff", ErrorKind::Indefinite),
        ("83019f0203ff820405", ErrorKind::Indefinite),
        ("826161bf61626163ff", ErrorKind::Indefinite),
        ("a201020304", ErrorKind::KeyType),
    ];
    // The other kinds show in the first byte, but for the special floats of 64 bits.
    let by_start = [
        ("c", ErrorKind::Tag),
        ("d", ErrorKind::Tag),
        ("f9", ErrorKind::Float),
        ("fa", ErrorKind::Float),
        ("fb7ff", ErrorKind::Float),
        ("fbfff", ErrorKind::Float),
        ("f7", ErrorKind::Simple),
        ("f0", ErrorKind::Simple),
        ("f8", ErrorKind::Simple),
        ("5f", ErrorKind::Indefinite),
        ("7f", ErrorKind::Indefinite),
        ("9f", ErrorKind::Indefinite),
        ("bf", ErrorKind::Indefinite),
    ];
    let vectors = corpus.json("cbor/cbor_rfc8949_vectors.json");
    let valid = vectors
        .as_array()
        .unwrap()
        .iter()
        .filter(|vector| has_flag(vector, "valid"));
    let mut read = 0;
    for vector in valid {
        let hex = vector["hex"].as_str().unwrap().to_lowercase();
        let whole = refused.iter().find(|(refused, _)| *refused == hex);
        let start = by_start.iter().find(|(start, _)| hex.starts_with(start));
        let expected = whole.or(start).map_or(Ok(()), |(_, kind)| Err(*kind));
        assert_eq!(check(&from_hex(&hex)), expected, "{hex}");
        read += usize::from(expected.is_ok());
    }
    assert_eq!(read, 40);
}

fn has_flag(vector: &serde_json::Value, flag: &str) -> bool {
    vector["flags"]
        .as_array()
        .unwrap()
        .iter()
        .any(|given| given == flag)
}
