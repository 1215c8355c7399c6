use std::sync::OnceLock;

use ipld_core::ipld::Ipld;
use jetwash_cbor::{CborReader, Cid, Item, MAX_DEPTH, MapReader};
use jetwash_dict::{BatchCompressor, BatchDecompressor, Decompressor, Dictionary};
use jetwash_event::{
    AtUri, BinaryEncoder, BinaryEvent, Datetime, Did, Encoder, Facts, Handle, Kind, Nsid,
    ParsedEvent, RecordKey, Tid, ToCbor, V2Encoder, write_v0,
};
use jetwash_frame::{Car, Frame, LabelFrame, MAX_LABELS, MAX_VALUE_BYTES, peek};
use jetwash_mst::{
    BlockCheck, BlockIndex, LeafChange, Node, Walk, leaves, leaves_of, sync_object, write_node,
};

use crate::oracle;

/// A frame as a relay might send it, and the leaves of the commit in it.
///
/// A frame that decodes also peeks, with the same result, and is DAG-CBOR to the oracle.
pub fn frame(data: &[u8]) {
    let peeked = peek(data);
    let Ok(frame) = Frame::decode(data) else {
        return;
    };
    let peeked = peeked.expect("a frame that decodes can be peeked at");
    let (seq, did) = match &frame {
        Frame::Account(account) => (Some(account.seq), Some(account.did)),
        Frame::Commit(commit) => (Some(commit.seq), Some(commit.repo)),
        Frame::Identity(identity) => (Some(identity.seq), Some(identity.did)),
        Frame::Sync(sync) => (Some(sync.seq), Some(sync.did)),
        Frame::Unknown(unknown) => (unknown.seq, peeked.did),
        _ => (None, None),
    };
    assert_eq!((peeked.seq, peeked.did), (seq, did));

    let mut reader = CborReader::new(data);
    if reader.skip().is_ok() {
        assert_oracle_reads(reader.since(0));
    } else {
        // The keys of a header may be in another order, and are DAG-CBOR otherwise.
        reader = CborReader::new(data);
        reader.pass_over().expect("the header has been read");
    }
    assert_oracle_reads(&data[reader.position()..]);

    if let Frame::Sync(sync) = &frame
        && let Ok(object) = sync_object(sync)
    {
        assert_eq!((object.did, object.rev), (sync.did, sync.rev));
    }
    if let Frame::Commit(commit) = &frame
        && let Ok(leaves) = leaves(commit)
    {
        if let Ok(checked) = leaves_of(commit, BlockCheck::All) {
            assert!(checked.eq(leaves.clone()));
        }
        assert_eq!(leaves.len(), commit.ops().len());
        for leaf in leaves.flatten() {
            assert!(Nsid::check(leaf.collection).is_ok());
            assert!(RecordKey::check(leaf.rkey).is_ok());
            if let LeafChange::Create(record) | LeafChange::Update(record) = leaf.change {
                assert!(record.cid.matches(record.data));
            }
        }
    }
}

/// A frame as a labeler might send it: one that decodes peeks with the same number, and its payload
/// is DAG-CBOR to the oracle.
pub fn label_frame(data: &[u8]) {
    let Ok(frame) = LabelFrame::decode(data) else {
        return;
    };
    let mut reader = CborReader::new(data);
    reader.pass_over().expect("the header has been read");
    assert_oracle_reads(&data[reader.position()..]);
    if let LabelFrame::Labels(message) = frame {
        let peeked = peek(data).expect("a frame that decodes can be peeked at");
        assert_eq!(peeked.seq, Some(message.seq));
        assert!(message.labels().len() <= MAX_LABELS);
        for label in message.labels() {
            assert!(label.val.len() <= MAX_VALUE_BYTES);
        }
    }
}

/// A CAR file: its blocks, and the tree that they may hold.
pub fn car(data: &[u8]) {
    let Ok(car) = Car::parse(data) else {
        return;
    };
    let (mut count, mut root) = (0, None);
    for block in car.blocks() {
        let Ok(block) = block else { break };
        count += 1;
        assert!(block.offset + block.data.len() < data.len());
        let found = car.find(block.cid).expect("the blocks before it are whole");
        assert!(found.is_some_and(|found| found.offset <= block.offset));
        if let Ok(cid) = block.verify() {
            assert_eq!(cid.as_bytes(), block.cid.as_bytes());
            root = root.or_else(|| Node::decode(block.data).is_ok().then_some(cid));
        }
        if count > 100 {
            break;
        }
    }
    let Ok(index) = BlockIndex::from_car(&car) else {
        return;
    };
    assert!(index.len() + index.rejected() <= car.blocks().count());
    if let Some(root) = root {
        let entries: Vec<_> = Walk::new(&index, root).take(10_000).flatten().collect();
        assert!(
            entries.is_sorted_by(|a, b| a.key < b.key),
            "a walk goes up in the keys"
        );
    }
}

/// A tree node: what is accepted is exactly what a writer makes of the same entries.
pub fn tree_node(data: &[u8]) {
    let Ok(node) = Node::decode(data) else {
        return;
    };
    let mut key = Vec::new();
    let mut entries: Vec<(Vec<u8>, Cid, Option<Cid>)> = Vec::new();
    for entry in node.entries() {
        entry.apply(&mut key);
        // A record may be linked to by a CID that no writer of ours makes.
        let Ok(value) = entry.value.try_into() else {
            return;
        };
        entries.push((key.clone(), value, entry.right));
    }
    assert!(entries.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(key, node.last_key());
    let entries = entries
        .iter()
        .map(|(key, cid, right)| (&key[..], *cid, *right));
    assert_eq!(write_node(node.left().copied(), entries), data);
    assert_oracle_reads(data);
}

/// A record from DAG-CBOR to JSON.
///
/// The oracle reads it into a tree and writes that out. It must agree on what is refused and on
/// every byte of the rest, but for what only it accepts:
///
/// - keys in pieces, of indefinite length,
/// - links without a hash, or with a SHA-256 of another length than that has,
/// - nesting beyond [`MAX_DEPTH`], and the sizes that no input of this length reaches.
///
/// And it refuses links with a hash of more than 64 bytes, and nesting some levels earlier.
pub fn record_json(data: &[u8]) {
    let mut json = Vec::new();
    let ours = Encoder::new()
        .record_to_json(data, &mut json)
        .map(|()| String::from_utf8(json).expect("JSON is UTF-8"));
    // Beyond this length there are limits that the oracle does not have.
    if data.len() > 8_000 {
        return;
    }
    let tree: Result<Ipld, _> = serde_ipld_dagcbor::from_slice(data);
    let Ok(tree) = tree else {
        assert!(
            ours.is_err() || is_beyond_oracle(data),
            "only the oracle refuses: {ours:?}"
        );
        return;
    };
    let canonical = serde_ipld_dagcbor::to_vec(&tree).expect("what was read can be written");
    match (&ours, oracle::record_json(&tree)) {
        (Ok(ours), Some(expected)) => {
            assert_eq!(*ours, expected);
            assert_eq!(canonical, data, "another encoding of the same was accepted");
        }
        (Ok(ours), None) => panic!("only the oracle drops it: {ours}"),
        (Err(error), Some(expected)) => assert!(
            canonical != data || has_implausible_link(&tree) || depth(&tree) > MAX_DEPTH,
            "{error}: {expected}"
        ),
        (Err(_), None) => {}
    }
}

/// An event's line: parsed, written, and written in the first shape; and identifiers by the way.
pub fn event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for check in [
        AtUri::check,
        Datetime::check,
        Datetime::check_rfc3339,
        Did::check,
        Handle::check,
        Nsid::check,
        RecordKey::check,
        Tid::check,
    ] {
        let _ = check(text);
    }
    if Datetime::check(text).is_ok() {
        assert!(Datetime::check_rfc3339(text).is_ok());
    }
    let mut cbor = Vec::new();
    if ToCbor::new().encode(text, &mut cbor).is_ok() {
        assert_oracle_reads(&cbor);
        let depth = CborReader::new(&cbor).skip();
        depth.expect("what is written can be read");
    }
    let mut message = Vec::new();
    let is_json = serde_json::from_str::<serde_json::Value>(text).is_ok();
    if V2Encoder::new().encode(data, 7, &mut message).is_ok() && is_json {
        let read = serde_json::from_slice::<serde_json::Value>(&message);
        read.expect("a message of a line of JSON is JSON");
    }
    let _ = Facts::of(text);
    let mut old = Vec::new();
    let _ = write_v0(data, &mut old);

    let Ok(event) = serde_json::from_str::<ParsedEvent>(text) else {
        return;
    };
    let line = serde_json::to_string(&event).expect("an event can be written");
    let again: ParsedEvent = serde_json::from_str(&line).expect("what was written can be read");
    let same = serde_json::to_string(&again).expect("an event can be written");
    assert_eq!(line, same);
    old.clear();
    let written = write_v0(line.as_bytes(), &mut old);
    // The oldest shape has no syncs.
    if event.kind() == Kind::Sync {
        written.expect_err("a sync cannot be written");
        return;
    }
    written.expect("what we write has the shape of version 1");
    // The record is not looked at here, so it may be JSON in form only.
    let is_json = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).is_ok();
    assert_eq!(is_json(&old), is_json(line.as_bytes()));
}

/// A zstd frame, with and without a dictionary, then a dictionary, then any event to compress.
pub fn dict(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let dictionary = dictionary();
    for (mut decoder, bytes) in [
        (Decompressor::without_dictionary(), &[][..]),
        (dictionary.decompressor(), dictionary.bytes()),
    ] {
        let mut out = b"before".to_vec();
        let result = decoder.decompress(data, LIMIT, &mut out);
        assert!(out.starts_with(b"before") && out.len() <= 6 + LIMIT);
        assert!(out.capacity() <= 4 * LIMIT, "{} bytes", out.capacity());
        if result.is_ok() {
            let mut plain = zstd::bulk::Decompressor::with_dictionary(bytes).expect("a dictionary");
            let expected = plain.decompress(data, LIMIT);
            assert_eq!(expected.expect("zstd takes what we take"), out[6..]);
        }
    }
    let _ = Dictionary::from_bytes(data);

    let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
    let encoded = dictionary.compressor().compress(data, &mut packed);
    encoded.expect("anything can be compressed");
    let decoded = dictionary
        .decompressor()
        .decompress(&packed, data.len(), &mut unpacked);
    decoded.expect("what was compressed can be decompressed");
    assert_eq!(unpacked, data);
}

/// A zstd frame of several lines, with and without a dictionary; then the lines of any text.
pub fn batch(data: &[u8]) {
    const LIMIT: usize = 1 << 16;
    for decoder in [
        Decompressor::without_dictionary(),
        dictionary().decompressor(),
    ] {
        let mut decoder = BatchDecompressor::new(decoder);
        if let Ok(events) = decoder.decompress(data, LIMIT) {
            let mut length = 0;
            for event in events {
                assert!(!event.is_empty() && !event.contains(&b'\n'));
                length += event.len();
            }
            assert!(length <= LIMIT);
        }
    }

    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let mut frame = Vec::new();
    let encoded =
        BatchCompressor::new(dictionary().compressor()).compress(lines.clone(), &mut frame);
    let is_made = lines.iter().all(|line| !line.is_empty());
    assert_eq!(encoded.is_ok(), is_made);
    if is_made {
        let mut decoder = BatchDecompressor::new(dictionary().decompressor());
        let found = decoder.decompress(&frame, data.len());
        let found: Vec<_> = found.expect("a packed batch can be unpacked").collect();
        assert_eq!(found, lines);
    }
}

/// A binary event: what is read is DAG-CBOR to the oracle, and written again reads the same.
pub fn binary(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let mut out = Vec::new();
        if BinaryEncoder::new().encode(text, &mut out).is_ok() {
            BinaryEvent::parse(&out).expect("what was written can be read");
        }
    }
    let Ok(event) = BinaryEvent::parse(data) else {
        return;
    };
    assert_oracle_reads(data);
    let mut again = Vec::new();
    BinaryEncoder::new().encode_draft(&event.draft(), event.time_us(), &mut again);
    assert_eq!(BinaryEvent::parse(&again).as_ref(), Ok(&event));
    let mut line = Vec::new();
    let written = Encoder::new().encode(&event.draft(), event.time_us(), &mut line);
    assert_eq!(written.is_err(), line.is_empty());
}

/// A small dictionary, the same in every run.
pub(crate) fn dictionary() -> &'static Dictionary {
    static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
    DICTIONARY.get_or_init(|| {
        let samples = (0..1_000_u64).map(|number| {
            let key = number.wrapping_mul(2_654_435_761) % 1_000_003;
            format!(r#"{{"did":"did:plc:{key:024}","time_us":{number},"kind":"commit"}}"#)
        });
        Dictionary::train(samples, 1024, 7).expect("a thousand samples are enough")
    })
}

fn assert_oracle_reads(item: &[u8]) {
    let tree: Result<Ipld, _> = serde_ipld_dagcbor::from_slice(item);
    match tree {
        Ok(tree) => assert_eq!(
            serde_ipld_dagcbor::to_vec(&tree).ok().as_deref(),
            Some(item)
        ),
        Err(error) => assert!(is_beyond_oracle(item), "{error}"),
    }
}

/// Whether there is something in it that the oracle has no room for.
fn is_beyond_oracle(data: &[u8]) -> bool {
    const LEVELS: usize = 120;
    const LINK_LENGTH: usize = 64;

    fn visit(reader: &mut CborReader<'_>, depth: usize) -> Option<bool> {
        if depth > LEVELS {
            return Some(true);
        }
        match reader.item().ok()? {
            Item::Link(link) => return Some(link.as_bytes().len() > LINK_LENGTH),
            Item::Array(length) => {
                for _ in 0..length {
                    if visit(reader, depth + 1)? {
                        return Some(true);
                    }
                }
            }
            Item::Map(pairs) => {
                let mut keys = MapReader::new(pairs);
                while keys.next_key(reader).ok()?.is_some() {
                    if visit(reader, depth + 1)? {
                        return Some(true);
                    }
                }
            }
            _ => {}
        }
        Some(false)
    }
    visit(&mut CborReader::new(data), 0).unwrap_or(false)
}

fn has_implausible_link(tree: &Ipld) -> bool {
    tree.iter()
        .any(|node| matches!(node, Ipld::Link(cid) if !oracle::is_plausible(cid)))
}

fn depth(tree: &Ipld) -> usize {
    match tree {
        Ipld::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Ipld::Map(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
