//! The writer against an independent decoder.

use ipld_core::ipld::Ipld;
use jetwash_cbor::{CborWriter, Cid, Codec};
use proptest::prelude::*;

use crate::check;

proptest! {
    #[test]
    fn numbers_are_written_in_their_shortest_form(
        signed in any::<i64>(),
        unsigned in any::<u64>(),
        shift in 0_u32..64,
    ) {
        let (signed, unsigned) = (signed >> shift, unsigned >> shift);
        let mut writer = CborWriter::new();
        writer.array(2).integer(signed).unsigned(unsigned);
        let bytes = writer.into_bytes();
        prop_assert_eq!(check(&bytes), Ok(()));
        let expected = vec![Ipld::Integer(signed.into()), Ipld::Integer(unsigned.into())];
        prop_assert_eq!(serde_ipld_dagcbor::to_vec(&Ipld::List(expected)).unwrap(), bytes);
    }

    #[test]
    fn strings_of_any_length_are_written(length in 0_usize..70_000, byte in any::<u8>()) {
        let (text, bytes) = ("x".repeat(length), vec![byte; length]);
        let mut writer = CborWriter::new();
        writer.array(2).text(&text).bytes(&bytes);
        let expected = Ipld::List(vec![Ipld::String(text), Ipld::Bytes(bytes)]);
        prop_assert_eq!(serde_ipld_dagcbor::to_vec(&expected).unwrap(), writer.into_bytes());
    }
}

#[test]
fn every_sort_of_item_is_written() {
    let cid = Cid::of(Codec::Raw, b"content");
    let mut writer = CborWriter::new();
    writer.map(4);
    writer.text("a").boolean(true);
    writer.text("b").null();
    writer.text("c").link(&cid);
    writer.text("d").raw(&[0x81, 0xf4]);
    let expected = Ipld::Map(
        [
            ("a".to_owned(), Ipld::Bool(true)),
            ("b".to_owned(), Ipld::Null),
            ("c".to_owned(), Ipld::Link(cid.to_string().parse().unwrap())),
            ("d".to_owned(), Ipld::List(vec![Ipld::Bool(false)])),
        ]
        .into(),
    );
    assert_eq!(
        writer.into_bytes(),
        serde_ipld_dagcbor::to_vec(&expected).unwrap()
    );
}
