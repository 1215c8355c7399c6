//! Nesting that nobody meant well: refused at a bound, and within the stack of a small thread.

use jetwash_cbor::{CborReader, ErrorKind, MAX_DEPTH, MapReader};

/// Every way to put an item into another: the bytes that come before it.
const WAYS: [(&str, &[&[u8]]); 7] = [
    ("arrays", &[b"\x81"]),
    ("maps", &[b"\xa1\x61a"]),
    ("links", &[b"\xd8\x2a"]),
    ("other tags", &[b"\xc1"]),
    ("arrays and maps", &[b"\x81", b"\xa1\x61a"]),
    ("arrays and links", &[b"\x81", b"\xd8\x2a"]),
    (
        "all of them",
        &[b"\x81", b"\xd8\x2a", b"\xa1\x61a", b"\xc1"],
    ),
];

#[test]
fn every_way_of_nesting_is_refused_on_a_small_stack() {
    on_small_stack(|| {
        for (name, way) in WAYS {
            for levels in [MAX_DEPTH + 1, 20_000, 500_000] {
                let bytes = nested(way, levels);
                assert!(CborReader::new(&bytes).skip().is_err(), "{name}");
                assert!(CborReader::new(&bytes).link().is_err(), "{name}");
                let mut reader = CborReader::new(&bytes);
                while let Ok(item) = reader.item() {
                    if let jetwash_cbor::Item::Map(pairs) = item {
                        MapReader::new(pairs).next_key(&mut reader).unwrap();
                    }
                }
            }
        }
    });
}

#[test]
fn passing_over_nested_items_costs_no_stack() {
    on_small_stack(|| {
        for (name, way) in WAYS {
            let bytes = nested(way, 500_000);
            let mut reader = CborReader::new(&bytes);
            assert_eq!(reader.pass_over(), Ok(()), "{name}");
            assert!(reader.is_at_end(), "{name}");
        }
    });
}

#[test]
fn the_deepest_nesting_that_is_allowed_fits_on_a_small_stack() {
    on_small_stack(|| {
        for way in [
            &[&b"\x81"[..]][..],
            &[b"\xa1\x61a"],
            &[b"\x81", b"\xa1\x61a"],
        ] {
            assert_eq!(CborReader::new(&nested(way, MAX_DEPTH)).skip(), Ok(()));
            let error = CborReader::new(&nested(way, MAX_DEPTH + 1)).skip();
            assert_eq!(error.unwrap_err().kind, ErrorKind::Depth);
        }
    });
}

#[test]
fn a_link_holds_a_byte_string_directly() {
    // A byte string in a link in a link, and other malformed links.
    for content in [
        &b"\xd8\x2a\x41\x00"[..],
        b"\x61a",
        b"\x81\x41\x00",
        b"\xf6",
        b"\x00",
    ] {
        let bytes = [b"\xd8\x2a", content].concat();
        let error = CborReader::new(&bytes).item().unwrap_err();
        assert_eq!(
            (error.offset, error.kind),
            (0, ErrorKind::Link),
            "{content:x?}"
        );
    }
    let error = CborReader::new(b"\xd8\x2a").item().unwrap_err();
    assert_eq!((error.offset, error.kind), (2, ErrorKind::End));
    let error = CborReader::new(b"\xd8\x2a\x5f").item().unwrap_err();
    assert_eq!((error.offset, error.kind), (2, ErrorKind::Indefinite));
}

#[test]
fn a_head_that_announces_more_than_there_is_ends_at_the_last_byte() {
    // Each array says that all bytes after it are its items.
    let bytes: Vec<u8> = (0..20_000_u32)
        .rev()
        .flat_map(|left| [&[0x9a][..], &(left * 5).max(1 << 16).to_be_bytes()].concat())
        .collect();
    assert!(CborReader::new(&bytes).pass_over().is_err());
}

fn nested(way: &[&[u8]], levels: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..levels)
        .flat_map(|level| way[level % way.len()])
        .copied()
        .collect();
    bytes.push(0);
    bytes
}

/// Runs on a thread with the stack that small systems give: 512 KB.
fn on_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(check).unwrap().join().unwrap();
}
