//! Bytes that nobody meant as a frame: an error at most, never a panic.

use jetwash_cbor::{CborReader, Cid, Codec};
use jetwash_frame::{Car, Frame, peek};
use proptest::prelude::*;

use crate::{commit_frame, varint};

fn read_all(bytes: &[u8]) {
    let _ = peek(bytes);
    if let Ok(Frame::Commit(commit)) = Frame::decode(bytes)
        && let Ok(car) = Car::parse(commit.blocks)
    {
        for block in car.blocks().flatten() {
            let _ = block.verify();
        }
    }
}

fn paths_by_reader<'a>(reader: &mut CborReader<'a>) -> Vec<&'a str> {
    let mut paths = Vec::new();
    let Ok(count) = reader.array() else {
        return vec![""];
    };
    for _ in 0..count {
        match path_by_reader(reader) {
            Some(path) => paths.push(path),
            None => {
                paths.push("");
                break;
            }
        }
    }
    paths
}

fn path_by_reader<'a>(reader: &mut CborReader<'a>) -> Option<&'a str> {
    let mut path = None;
    let mut map = reader.map().ok()?;
    while let Some(key) = map.next_key(reader).ok()? {
        let start = reader.position();
        reader.pass_over().ok()?;
        if key == "path" {
            path = CborReader::new(reader.since(start)).text().ok();
        }
    }
    path
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
        let _ = Car::parse(&bytes).map(|car| car.blocks().count());
    }

    #[test]
    fn changed_bytes_never_panic(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut frame = commit_frame(|_| {});
        let at = at.index(frame.len());
        frame[at] = to;
        read_all(&frame);
    }

    /// A frame that ends early is always an error, wherever it ends.
    #[test]
    fn a_cut_frame_is_refused(at in any::<prop::sample::Index>()) {
        let frame = commit_frame(|_| {});
        prop_assert!(Frame::decode(&frame[..at.index(frame.len())]).is_err());
    }

    /// Peeking at a frame that decodes agrees with decoding it.
    #[test]
    fn peek_agrees_with_decode(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut frame = commit_frame(|_| {});
        let at = at.index(frame.len());
        frame[at] = to;
        if let Ok(Frame::Commit(commit)) = Frame::decode(&frame) {
            let peeked = peek(&frame).unwrap();
            prop_assert_eq!((peeked.seq, peeked.did), (Some(commit.seq), Some(commit.repo)));
            let paths = commit.ops().iter().map(|op| op.path);
            prop_assert!(peeked.paths().eq(paths));
        }
    }

    /// Whatever is wrong with the operations, the paths are those that their DAG-CBOR has, read key
    /// by key, up to the first that cannot be read.
    #[test]
    fn paths_of_changed_operations_are_those_of_the_reader(
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let cid = Cid::of(Codec::DagCbor, b"");
        let mut frame = commit_frame(|commit| {
            let path = "com.example.note/1";
            commit.ops = vec![("delete", path, None, Some(cid)), ("create", path, Some(cid), None)];
        });
        let start = frame.windows(4).position(|window| window == b"\x63ops").unwrap() + 4;
        let end = frame.windows(4).position(|window| window == b"\x63rev").unwrap();
        let at = start + at.index(end - start);
        frame[at] = to;
        if let Ok(peeked) = peek(&frame)
            && peeked.seq.is_some()
            && peeked.did.is_some()
        {
            let expected = paths_by_reader(&mut CborReader::starting_at(&frame, start));
            prop_assert_eq!(peeked.paths().collect::<Vec<_>>(), expected);
        }
    }

    /// The paths are those that a decode gives, however many operations there are.
    #[test]
    fn paths_are_those_of_the_operations(
        ops in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..4_usize), 0..40),
    ) {
        let cid = Cid::of(Codec::DagCbor, b"");
        let paths = ["", "com.example.note/1", "a/b", "com.example.a.rather.long.name/3l3qo2vutsw2b"];
        let frame = commit_frame(|commit| {
            let op = |&(has_cid, has_prev, path): &(bool, bool, usize)| {
                ("update", paths[path], has_cid.then_some(cid), has_prev.then_some(cid))
            };
            commit.ops = ops.iter().map(op).collect();
        });
        let peeked = peek(&frame).unwrap();
        prop_assert_eq!((peeked.seq, peeked.did), (Some(7), Some("did:web:a.example")));
        let expected: Vec<&str> = ops.iter().map(|op| paths[op.2]).collect();
        prop_assert_eq!(peeked.paths().collect::<Vec<_>>(), expected);
    }
}

/// A malformed operation ends the paths with an empty one, so that nobody takes the commit for
/// one that has been read in full.
#[test]
fn an_operation_that_cannot_be_read_has_an_empty_path() {
    let mut frame = b"\xa2\x61t\x67#commit\x62op\x01\xa3\x63ops\x83".to_vec();
    frame.extend(b"\xa1\x64path\x63a/b\x07\xa1\x64path\x63c/d");
    frame.extend(b"\x63seq\x07\x64repo\x71did:web:a.example");
    let peeked = peek(&frame).unwrap();
    assert_eq!(peeked.paths().collect::<Vec<_>>(), ["a/b", ""]);
}

/// A length has one form, the shortest. A frame with another is refused by all who read it, or some
/// would take it for one and some for another.
#[test]
fn a_length_that_is_written_longer_than_it_must_be_is_refused_by_peek_and_decode() {
    let frame = commit_frame(|_| {});
    for (short, long) in [
        (&b"\x63rev\x6d"[..], &b"\x63rev\x78\x0d"[..]),
        (b"\x64repo\x71", b"\x64repo\x78\x11"),
    ] {
        let at = frame
            .windows(short.len())
            .position(|window| window == short);
        let (before, rest) = frame.split_at(at.unwrap());
        let changed = [before, long, &rest[short.len()..]].concat();
        assert!(Frame::decode(&changed).is_err());
        assert!(peek(&changed).is_err());
    }
}

/// Every way to put an item into another: the bytes that come before it.
const WAYS: [&[&[u8]]; 6] = [
    &[b"\x81"],
    &[b"\xa1\x61a"],
    &[b"\xd8\x2a"],
    &[b"\xc1"],
    &[b"\x81", b"\xd8\x2a"],
    &[b"\xa1\x61a", b"\x81", b"\xd8\x2a"],
];

fn nested(way: &[&[u8]], levels: usize) -> Vec<u8> {
    let levels = (0..levels).flat_map(|level| way[level % way.len()]);
    levels.copied().chain([0]).collect()
}

/// Runs on a thread with the stack that small systems give: 512 KB.
fn on_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    thread.spawn(check).unwrap().join().unwrap();
}

#[test]
fn deep_nesting_anywhere_in_a_frame_is_refused_on_a_small_stack() {
    on_small_stack(|| {
        for way in WAYS {
            for deep in [129, 20_000, 500_000].map(|levels| nested(way, levels)) {
                let header = [b"\xa3\x61t\x67#commit\x61x", &deep[..]].concat();
                assert!(Frame::decode(&header).is_err() && peek(&header).is_err());
                for kind in ["commit", "sync", "identity", "account", "info", "novelty"] {
                    for key in [
                        "x", "ops", "seq", "did", "repo", "commit", "prevData", "name",
                    ] {
                        let mut frame = b"\xa2\x61t".to_vec();
                        frame.push(0x61 + kind.len() as u8);
                        frame.extend(format!("#{kind}\x62op\x01").bytes());
                        frame.extend([0xa1, 0x60 + key.len() as u8]);
                        frame.extend(key.bytes());
                        frame.extend(&deep);
                        assert!(Frame::decode(&frame).is_err(), "{kind} {key}");
                        if let Ok(peeked) = peek(&frame) {
                            peeked.paths().for_each(drop);
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn deep_nesting_in_an_operation_ends_its_paths_on_a_small_stack() {
    on_small_stack(|| {
        for way in WAYS {
            let mut frame = b"\xa2\x61t\x67#commit\x62op\x01\xa3\x63ops\x81\xa1\x64path".to_vec();
            frame.extend(nested(way, 20_000));
            frame.extend(b"\x63seq\x07\x64repo\x71did:web:a.example");
            let peeked = peek(&frame).unwrap();
            assert_eq!(peeked.paths().collect::<Vec<_>>(), [""]);
        }
    });
}

#[test]
fn deep_nesting_in_the_header_of_a_car_is_refused_on_a_small_stack() {
    on_small_stack(|| {
        for way in WAYS {
            for key in ["x", "roots", "version"] {
                let mut header = vec![0xa1, 0x60 + key.len() as u8];
                header.extend(key.bytes());
                header.extend(nested(way, 100_000));
                let mut car = varint(header.len());
                car.extend(header);
                assert!(Car::parse(&car).is_err());
            }
        }
    });
}
