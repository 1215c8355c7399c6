//! How node keys are shortened.

use jetwash_cbor::CborReader;
use jetwash_corpus::corpus;
use jetwash_mst::write_node;

use crate::record;

#[test]
fn keys_share_the_prefixes_of_the_interop_vectors() {
    let Some(corpus) = corpus("keys_share_the_prefixes_of_the_interop_vectors") else {
        return;
    };
    let vectors = corpus.json("atproto-interop-tests/mst/common_prefix.json");
    let vectors = vectors.as_array().unwrap();
    assert!(vectors.len() >= 10);
    for vector in vectors {
        let [left, right] = ["left", "right"].map(|side| vector[side].as_str().unwrap());
        let entries = [left, right].map(|key| (key.as_bytes(), record(0), None));
        assert_eq!(
            second_prefix(&write_node(None, entries)),
            vector["len"],
            "{vector}"
        );
    }
}

fn second_prefix(node: &[u8]) -> u64 {
    let mut reader = CborReader::new(node);
    let mut map = reader.map().unwrap();
    assert_eq!(map.next_key(&mut reader), Ok(Some("e")));
    assert_eq!(reader.array(), Ok(2));
    reader.skip().unwrap();
    let mut entry = reader.map().unwrap();
    assert_eq!(entry.next_key(&mut reader), Ok(Some("k")));
    reader.skip().unwrap();
    assert_eq!(entry.next_key(&mut reader), Ok(Some("p")));
    reader.unsigned().unwrap()
}
