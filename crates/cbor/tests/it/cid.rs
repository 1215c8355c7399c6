//! Content identifiers, in bytes and in text.

use ipld_core::cid;
use jetwash_cbor::{Cid, CidError, Codec, Link, read_varint};
use proptest::prelude::*;

#[test]
fn the_cid_of_content_is_the_known_one() {
    // SHA-256 of the empty string, as FIPS 180-4 documents give it.
    let empty = Cid::of(Codec::Raw, b"");
    assert_eq!(empty.digest()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    assert_eq!(
        empty.to_string(),
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    );
    assert_eq!(
        (empty.codec(), Cid::of(Codec::DagCbor, b"").codec()),
        (Codec::Raw, Codec::DagCbor)
    );
}

#[test]
fn other_codecs_and_hashes_are_links_but_not_cids() {
    for (codec, hash, length) in [
        (0x70, 0x12, 32),
        (0x71, 0x13, 64),
        (0x55, 0x1e, 32),
        (0x71, 0x11, 20),
    ] {
        let bytes = [&[1, codec, hash, length][..], &vec![7; usize::from(length)]].concat();
        let link = Link::from_bytes(&bytes).unwrap();
        assert_eq!(link.as_bytes(), bytes);
        assert_eq!(Cid::try_from(link), Err(CidError::Profile));
        assert_eq!(Cid::from_bytes(&bytes), Err(CidError::Profile));
    }
}

#[test]
fn what_is_no_cid_is_refused_for_its_reason() {
    let link = |head: &[u8], length: usize| {
        let bytes = [head, &vec![7; length]].concat();
        Link::from_bytes(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(link(&[], 0), CidError::Varint);
    assert_eq!(link(&[0x12, 32], 32), CidError::Version);
    assert_eq!(link(&[1, 0x71, 0x12, 32], 31), CidError::Length);
    assert_eq!(link(&[1, 0x71, 0x12, 32], 33), CidError::Length);
    assert_eq!(link(&[1, 0x71, 0x12, 31], 31), CidError::Length);
    assert_eq!(link(&[1, 0x71, 0x00, 0], 0), CidError::Length);
    assert_eq!(link(&[1, 0x71, 0x00, 97], 97), CidError::Length);
    assert_eq!(link(&[1, 0xf1, 0x00, 0x12, 32], 32), CidError::Varint);
}

#[test]
fn a_cid_has_one_text() {
    let text = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
    assert_eq!(text.parse::<Cid>().unwrap().to_string(), text);
    for wrong in [
        "",
        "b",
        "afyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a",
        "BAFYREIDFAYVFUWQA7QLNOPDJIQRXZS6BLMOEU4RUJCJTNCI5BELUDIRZ2A",
        "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2b",
        "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a=",
        "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2aa",
        "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz1a",
    ] {
        assert!(wrong.parse::<Cid>().is_err(), "{wrong}");
    }
}

#[test]
fn a_text_is_read_over_what_the_buffer_holds() {
    let mut buffer = vec![1; 200];
    let text = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
    assert_eq!(
        Link::from_text(text, &mut buffer).unwrap().to_string(),
        text
    );
    assert_eq!(Link::from_text("z", &mut buffer), Err(CidError::Base));
}

#[test]
fn a_variable_length_integer_has_one_encoding() {
    assert_eq!(read_varint(&[0]), Some((0, &[][..])));
    assert_eq!(read_varint(&[0xff, 0x01, 5]), Some((255, &[5][..])));
    assert_eq!(read_varint(&[0x80, 0x00]), None);
    assert_eq!(read_varint(&[]), None);
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(read_varint(&most), Some((u64::MAX >> 1, &[][..])));
    assert_eq!(read_varint(&[0xff; 10]), None);
}

proptest! {
    #[test]
    fn links_agree_with_another_implementation(
        codec in prop_oneof![Just(0x55_u64), Just(0x71), any::<u64>().prop_map(|n| n >> 1)],
        hash in prop_oneof![Just(0x13_u64), Just(0x1e), any::<u64>().prop_map(|n| n >> 1)],
        digest in prop::collection::vec(any::<u8>(), 1..60),
    ) {
        prop_assume!(hash != 0x12);
        let hash = cid::multihash::Multihash::<64>::wrap(hash, &digest).unwrap();
        let expected = cid::Cid::new_v1(codec, hash);
        let bytes = expected.to_bytes();
        let link = Link::from_bytes(&bytes).unwrap();
        prop_assert_eq!(link.to_string(), expected.to_string());
        let mut buffer = Vec::new();
        prop_assert_eq!(Link::from_text(&expected.to_string(), &mut buffer).unwrap(), link);
        let long = [&bytes[..], b"rest"].concat();
        prop_assert_eq!(Link::split_from(&long).unwrap(), (link, &b"rest"[..]));
    }
}
