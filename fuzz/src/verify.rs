//! The target for frames that somebody made up to be believed, and for hostile trees.

use std::collections::BTreeMap;

use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_event::Micros;
use jetwash_frame::{Action, Car, Frame, RepoOp};
use jetwash_mst::{BlockIndex, Node, Tree, Walk};
use jetwash_verify::{Known, KnownKey, Need, Outcome, Proof, Reason, Verdict, Verifier};

/// A frame, verified; and of anything else, a tree and operations that are undone on it.
pub fn verify(data: &[u8]) {
    match Frame::decode(data) {
        Ok(frame) => judge(&frame),
        Err(_) => tree(data),
    }
}

/// Trees for [`verify`], with operations on them.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let keys: Vec<String> = (0..60).map(|number| format!("a/{}", number * 37)).collect();
    [1, 3, 12, 60]
        .into_iter()
        .map(|count| {
            let mut seed = vec![3];
            for (action, key) in [(0, &keys[0]), (1, &keys[count / 2]), (2, &keys[59])] {
                seed.extend([action, key.len() as u8]);
                seed.extend(key.as_bytes());
            }
            let mut tree = Tree::new();
            for key in &keys[..count] {
                let record = Cid::of(Codec::DagCbor, b"\xa0");
                tree.insert(key.as_bytes(), record)
                    .expect("a seed is a key");
            }
            // Parents come first, so that in the other order every link leads back.
            let mut nodes = tree.nodes();
            nodes.reverse();
            for node in &nodes {
                let mut block = node.bytes.to_vec();
                for (number, child) in nodes.iter().enumerate() {
                    let link = child.cid.as_bytes();
                    let place = block.windows(Cid::LENGTH).position(|bytes| bytes == link);
                    if let Some(at) = place {
                        block[at..at + Cid::LENGTH].copy_from_slice(&placeholder(number as u8));
                    }
                }
                seed.extend((block.len() as u16).to_le_bytes());
                seed.extend(block);
            }
            seed
        })
        .collect()
}

/// Without a key nothing is verified, and the steps together are the whole.
fn judge(frame: &Frame<'_>) {
    let mut verifier = Verifier::new();
    let whole = verifier.verify(frame, &Known::default(), NOW);
    let claim = match frame {
        Frame::Commit(commit) => verifier.commit(commit, NOW),
        Frame::Sync(sync) => verifier.sync(sync, NOW),
        _ => {
            assert!(matches!(whole, Outcome::Skipped(_)));
            return;
        }
    };
    match claim {
        Ok(claim) => {
            assert_eq!(whole, Outcome::Needs(Need::Key));
            let check = claim.check_signature(KnownKey::Missing);
            assert_eq!(claim.judge(check, None), whole);
            if let Frame::Commit(commit) = frame {
                undo(commit.blocks, claim.data(), commit.ops());
            }
        }
        Err(reason) => assert_eq!(whole.verdict(), Some(Verdict::Invalid(reason))),
    }
}

/// Reads operations and the blocks of a tree, children first, and undoes the operations.
///
/// No fuzzer finds hashes, so a link to a block is written with the number of the block for a
/// digest, and becomes the right one here.
fn tree(data: &[u8]) {
    let mut rest = data;
    let Some(paths) = paths(&mut rest) else {
        return;
    };
    let mut blocks: Vec<(Cid, Vec<u8>)> = Vec::new();
    while let Some(block) = block(&mut rest) {
        let mut block = block.to_vec();
        for at in 0..block.len().saturating_sub(Cid::LENGTH - 1) {
            let link = &mut block[at..at + Cid::LENGTH];
            let number = link[Cid::LENGTH - 1];
            if let Some((cid, _)) = blocks.get(usize::from(number))
                && *link == placeholder(number)
            {
                link.copy_from_slice(cid.as_bytes());
            }
        }
        blocks.push((Cid::of(Codec::DagCbor, &block), block));
    }
    let Some((root, last)) = blocks.last() else {
        return;
    };
    accepted_alike(root, last);
    let slice = car(root, &blocks);
    let records = records(&slice, root).unwrap_or_default();
    let ops: Vec<_> = paths
        .iter()
        .map(|&(action, path)| {
            let record = records.get(path.as_bytes()).unwrap_or(root);
            let (action, cid, prev) = match action {
                0 => (Action::Create, Some(record), None),
                1 => (Action::Update, Some(record), Some(&blocks[0].0)),
                _ => (Action::Delete, None, Some(root)),
            };
            RepoOp {
                action,
                path,
                cid: cid.map(Cid::as_link),
                prev: prev.map(Cid::as_link),
            }
        })
        .collect();
    undo(&slice, root, &ops);
}

/// The verifier reads nodes in its own way, and accepts those that the general reader accepts.
fn accepted_alike(root: &Cid, node: &[u8]) {
    let decoded = Node::decode(node);
    let is_root = decoded.is_ok_and(|node| node.height().is_some() || node.left().is_none());
    let update = RepoOp {
        action: Action::Update,
        path: "\u{7f}",
        cid: Some(root.as_link()),
        prev: None,
    };
    let slice = car(root, &[(*root, node.to_vec())]);
    let inverted = Verifier::new().invert(&slice, root, &[update], None);
    assert_eq!(inverted != Err(Reason::Tree), is_root);
}

/// Undoes operations, in two orders. Where the whole tree is there, a plain map is the oracle.
fn undo(slice: &[u8], root: &Cid, ops: &[RepoOp<'_>]) {
    let mut verifier = Verifier::new();
    let mut invert =
        |ops: &[RepoOp<'_>], before: Option<&Cid>| verifier.invert(slice, root, ops, before);
    let before = expected(slice, root, ops);
    let inverted = invert(ops, before.as_ref());
    let reversed: Vec<_> = ops.iter().rev().copied().collect();
    assert_eq!(invert(&reversed, before.as_ref()), inverted);
    // What the general walk accepts may still break a rule that only this one knows.
    if let (Some(before), Ok(proof)) = (before, inverted) {
        assert_eq!(proof, Proof::Complete);
        let other = Cid::of(Codec::DagCbor, before.as_bytes());
        assert_eq!(invert(ops, Some(&other)), Err(Reason::RootMismatch));
    }
}

/// The root before the operations; `None` where something is missing or contradicts them.
fn expected(slice: &[u8], root: &Cid, ops: &[RepoOp<'_>]) -> Option<Cid> {
    let mut records = records(slice, root)?;
    for op in ops {
        let key = op.path.as_bytes();
        let cid = op.cid.map(Cid::try_from).transpose().ok()?;
        let prev = op.prev.map(Cid::try_from).transpose().ok()?;
        if records.get(key).copied() != cid {
            return None;
        }
        match (op.action, prev) {
            (Action::Create, None) => drop(records.remove(key)),
            (Action::Update | Action::Delete, Some(prev)) => {
                records.insert(key.to_vec(), prev);
            }
            _ => return None,
        }
    }
    let mut before = Tree::new();
    for (key, record) in records {
        before.insert(&key, record).ok()?;
    }
    Some(before.root())
}

/// The records of a tree, if all of it is there.
fn records(slice: &[u8], root: &Cid) -> Option<BTreeMap<Vec<u8>, Cid>> {
    let index = BlockIndex::from_car(&Car::parse(slice).ok()?).ok()?;
    let mut records = BTreeMap::new();
    for entry in Walk::new(&index, *root).take(4_000) {
        let entry = entry.ok()?;
        records.insert(entry.key.to_vec(), Cid::try_from(entry.cid).ok()?);
    }
    (records.len() < 4_000).then_some(records)
}

fn paths<'a>(rest: &mut &'a [u8]) -> Option<Vec<(u8, &'a str)>> {
    let count = take(rest, 1)?[0] % 16;
    let path = |_| {
        let &[action, length] = take(rest, 2)? else {
            return None;
        };
        let path = std::str::from_utf8(take(rest, length.into())?).ok()?;
        Some((action % 3, path))
    };
    (0..count).map(path).collect()
}

fn block<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let &[low, high] = take(rest, 2)? else {
        return None;
    };
    take(rest, u16::from_le_bytes([low, high]).into())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn placeholder(number: u8) -> [u8; Cid::LENGTH] {
    let mut link = [0; Cid::LENGTH];
    link[..4].copy_from_slice(&[1, 0x71, 0x12, 32]);
    link[Cid::LENGTH - 1] = number;
    link
}

fn car(root: &Cid, blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let mut header = CborWriter::new();
    header.map(2).text("roots").array(1).link(root);
    header.text("version").unsigned(1);
    let header = header.into_bytes();
    let mut file = crate::seeds::varint(header.len());
    file.extend(header);
    for (cid, block) in blocks {
        file.extend(crate::seeds::varint(Cid::LENGTH + block.len()));
        file.extend(cid.as_bytes());
        file.extend(block);
    }
    file
}

/// The first of January 2027, in microseconds since 1970.
const NOW: Micros = Micros::new(1_798_761_600_000_000);
