//! The reader against an independent decoder.

use std::collections::BTreeMap;

use ipld_core::ipld::Ipld;
use jetwash_cbor::{CborReader, Error, Item, MapReader};
use proptest::prelude::*;

use crate::check;

/// Builds a tree, as the oracle does.
fn tree(reader: &mut CborReader<'_>) -> Result<Ipld, Error> {
    Ok(match reader.item()? {
        Item::Null => Ipld::Null,
        Item::Boolean(value) => Ipld::Bool(value),
        Item::Unsigned(value) => Ipld::Integer(value.into()),
        Item::Negative(value) => Ipld::Integer(-1 - i128::from(value)),
        Item::Float(value) => Ipld::Float(value),
        Item::Text(text) => Ipld::String(text.to_owned()),
        Item::Bytes(bytes) => Ipld::Bytes(bytes.to_vec()),
        Item::Link(link) => Ipld::Link(link.as_bytes().try_into().unwrap()),
        Item::Array(length) => {
            let items: Result<Vec<Ipld>, Error> = (0..length).map(|_| tree(reader)).collect();
            Ipld::List(items?)
        }
        Item::Map(pairs) => {
            let mut keys = MapReader::new(pairs);
            let mut map = BTreeMap::new();
            while let Some(key) = keys.next_key(reader)? {
                map.insert(key.to_owned(), tree(reader)?);
            }
            Ipld::Map(map)
        }
    })
}

fn value() -> impl Strategy<Value = Ipld> {
    let leaf = prop_oneof![
        Just(Ipld::Null),
        any::<bool>().prop_map(Ipld::Bool),
        (-(1_i128 << 64)..1 << 64).prop_map(Ipld::Integer),
        (-300_i128..300).prop_map(Ipld::Integer),
        any::<f64>()
            .prop_filter("special", |value| value.is_finite())
            .prop_map(|value| Ipld::Float(value + 0.0)),
        ".{0,30}".prop_map(Ipld::String),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Ipld::Bytes),
        any::<[u8; 32]>().prop_map(|digest| {
            let bytes = [&[1, 0x71, 0x12, 32][..], &digest].concat();
            Ipld::Link(bytes[..].try_into().unwrap())
        }),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Ipld::List),
            prop::collection::btree_map("[a-c]{0,4}", inner, 0..8).prop_map(Ipld::Map),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_another_encoder_writes_is_read_as_the_same_values(value in value()) {
        let bytes = serde_ipld_dagcbor::to_vec(&value).unwrap();
        prop_assert_eq!(check(&bytes), Ok(()));
        let mut reader = CborReader::new(&bytes);
        prop_assert_eq!(tree(&mut reader), Ok(value));
        prop_assert!(reader.is_at_end());
    }

    /// The oracle accepts more than the one encoding of a value, so it is asked for that too.
    #[test]
    fn what_is_read_has_exactly_one_encoding(
        value in value(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = serde_ipld_dagcbor::to_vec(&value).unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if check(&bytes) == Ok(()) {
            let value: Ipld = serde_ipld_dagcbor::from_slice(&bytes).unwrap();
            prop_assert_eq!(serde_ipld_dagcbor::to_vec(&value).unwrap(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = check(&bytes);
    }
}
