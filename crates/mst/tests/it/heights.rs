//! The height of keys.

use jetwash_corpus::corpus;
use jetwash_mst::key_height;

#[test]
fn heights_are_those_of_the_interop_vectors() {
    let Some(corpus) = corpus("heights_are_those_of_the_interop_vectors") else {
        return;
    };
    let vectors = corpus.json("atproto-interop-tests/mst/key_heights.json");
    let vectors = vectors.as_array().unwrap();
    assert!(vectors.len() >= 8);
    for vector in vectors {
        let key = vector["key"].as_str().unwrap();
        let expected = vector["height"].as_u64().unwrap();
        assert_eq!(u64::from(key_height(key.as_bytes())), expected, "{key}");
    }
}

#[test]
fn example_keys_have_the_height_that_their_name_says() {
    let Some(corpus) = corpus("example_keys_have_the_height_that_their_name_says") else {
        return;
    };
    let keys = corpus.syntax_list("atproto-interop-tests/mst/example_keys.txt");
    assert_eq!(keys.len(), 156);
    for key in keys {
        let expected: u8 = key[1..2].parse().unwrap();
        assert_eq!(key_height(key.as_bytes()), expected, "{key}");
    }
}
