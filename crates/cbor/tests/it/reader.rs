//! The reader, item by item.

use jetwash_cbor::{CborReader, Error, ErrorKind, Item, MAX_DEPTH};

use crate::check;

#[test]
fn an_item_of_another_type_is_named_with_its_position() {
    let bytes = [0x00, 0x61, b'a'];
    let mut reader = CborReader::new(&bytes);
    reader.unsigned().unwrap();
    let error = reader.unsigned().unwrap_err();
    assert_eq!(
        error,
        Error {
            offset: 1,
            kind: ErrorKind::Type("an unsigned integer")
        }
    );
    assert_eq!(error.to_string(), "byte 1: expected an unsigned integer");
}

#[test]
fn integers_are_signed_and_have_64_bits() {
    let integer = |bytes: &[u8]| CborReader::new(bytes).integer().map_err(|error| error.kind);
    assert_eq!(
        integer(b"\x1b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        Ok(i64::MAX)
    );
    assert_eq!(
        integer(b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff"),
        Ok(i64::MIN)
    );
    assert_eq!(integer(b"\x20"), Ok(-1));
    assert_eq!(
        integer(b"\x1b\x80\0\0\0\0\0\0\0"),
        Err(ErrorKind::IntegerRange)
    );
    assert_eq!(
        integer(b"\x3b\x80\0\0\0\0\0\0\0"),
        Err(ErrorKind::IntegerRange)
    );
}

#[test]
fn null_is_read_only_if_it_comes_next() {
    let mut reader = CborReader::new(b"\xf6\x07");
    assert!(reader.null());
    assert!(!reader.null());
    assert_eq!(reader.unsigned(), Ok(7));
    assert!(!reader.null());
}

#[test]
fn map_keys_are_text_in_canonical_order_without_repeats() {
    assert_eq!(check(b"\xa3\x61b\0\x62aa\0\x62ab\0"), Ok(()));
    assert_eq!(check(b"\xa2\x61b\0\x61a\0"), Err(ErrorKind::KeyOrder));
    assert_eq!(check(b"\xa2\x62aa\0\x61b\0"), Err(ErrorKind::KeyOrder));
    assert_eq!(check(b"\xa2\x61a\0\x61a\0"), Err(ErrorKind::DuplicateKey));
    assert_eq!(check(b"\xa1\x41a\0"), Err(ErrorKind::KeyType));
}

#[test]
fn a_length_beyond_the_bytes_is_refused_before_anything_is_read() {
    let item = |bytes: &'static [u8]| CborReader::new(bytes).item().map_err(|error| error.kind);
    assert_eq!(item(b"\x82\x01\x02"), Ok(Item::Array(2)));
    assert_eq!(item(b"\x83\x01\x02"), Err(ErrorKind::ContainerTooLong));
    assert_eq!(item(b"\xa1\x60"), Err(ErrorKind::ContainerTooLong));
    assert_eq!(
        item(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
        Err(ErrorKind::ContainerTooLong)
    );
    assert_eq!(
        item(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),
        Err(ErrorKind::ContainerTooLong)
    );
    assert_eq!(
        item(b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff"),
        Err(ErrorKind::End)
    );
    assert_eq!(
        item(b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff"),
        Err(ErrorKind::End)
    );
}

#[test]
fn a_link_is_tag_42_around_a_zero_byte_and_a_cid() {
    let cid = [&[1, 0x71, 0x12, 32][..], &[9; 32]].concat();
    let link = |head: &[u8]| check(&[head, &cid].concat());
    assert_eq!(link(b"\xd8\x2a\x58\x25\x00"), Ok(()));
    assert_eq!(link(b"\xd8\x2a\x58\x25\x01"), Err(ErrorKind::Link));
    assert_eq!(link(b"\xd8\x2a\x78\x25\x00"), Err(ErrorKind::Link));
    assert_eq!(link(b"\xd8\x2b\x58\x25\x00"), Err(ErrorKind::Tag));
    assert_eq!(link(b"\xd9\x00\x2a\x58\x25\x00"), Err(ErrorKind::Overlong));
    assert_eq!(check(b"\xd8\x2a\x40"), Err(ErrorKind::Link));
    assert_eq!(check(b"\xd8\x2a"), Err(ErrorKind::End));
}

#[test]
fn nesting_is_followed_to_its_bound() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x80]].concat();
    assert_eq!(check(&nested(MAX_DEPTH - 1)), Ok(()));
    assert_eq!(check(&nested(MAX_DEPTH)), Err(ErrorKind::Depth));
    assert_eq!(check(&nested(1 << 20)), Err(ErrorKind::Depth));
}

#[test]
fn every_beginning_of_an_item_is_incomplete() {
    let item = b"\xa2\x61a\x82\x19\x01\x00\xfb\x3f\xf0\0\0\0\0\0\0\x62bb\xd8\x2a\x58\x25\0\x01\x71\x12\x20";
    let item = [&item[..], &[7; 32]].concat();
    assert_eq!(check(&item), Ok(()));
    for length in 0..item.len() {
        let error = check(&item[..length]).unwrap_err();
        assert!(
            matches!(error, ErrorKind::End | ErrorKind::ContainerTooLong),
            "{length}: {error}"
        );
    }
}

#[test]
fn bytes_after_the_item_are_left_and_can_be_refused() {
    let mut reader = CborReader::new(b"\x01\x02");
    reader.skip().unwrap();
    assert_eq!(
        (reader.position(), reader.since(0), reader.is_at_end()),
        (1, &b"\x01"[..], false)
    );
    assert_eq!(
        reader.finish(),
        Err(Error {
            offset: 1,
            kind: ErrorKind::Trailing
        })
    );
}
