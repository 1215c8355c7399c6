//! Faults of a commit or a sync that can be seen without a key, a proof or history.

use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_frame::{CarError, Frame};
use jetwash_mst::{
    BlockCheck, CommitError, CommitObject, CommitObjectError, LeafChange, Node, OpFault, leaves,
    leaves_of, sync_object,
};

use crate::parts::{self, DID, Parts, REV, commit, frame, item, object, record};

#[test]
fn a_commit_object_of_another_account_or_revision_is_refused() {
    let fault = |change: fn(&mut Parts)| fault(&frame(1, change));
    assert_eq!(
        fault(|parts| parts.repo = "did:web:b.example"),
        CommitError::Did
    );
    assert_eq!(fault(|parts| parts.rev = "3l3qo2vutsw2c"), CommitError::Rev);
    assert_eq!(CommitError::Did.reason(), "commit_did_mismatch");
    assert_eq!(CommitError::Rev.reason(), "commit_rev_mismatch");
}

#[test]
fn a_commit_object_needs_each_field_and_version_3() {
    for field in ["did", "rev", "sig", "data", "prev", "version"] {
        let without = object(|fields| fields.retain(|(name, _)| *name != field));
        let error = CommitObject::decode(&without).unwrap_err();
        assert_eq!(error, CommitObjectError::Missing(field));
        let frame = frame(1, |parts| parts.object = without);
        assert_eq!(fault(&frame).reason(), "commit_malformed");
    }
    let version_2 = object(|fields| {
        // The objects of version 2 have no revision.
        fields.retain(|(name, _)| !["rev", "version"].contains(name));
        fields.push(("version", item(|writer| writer.unsigned(2))));
    });
    let error = CommitObject::decode(&version_2).unwrap_err();
    assert_eq!(error, CommitObjectError::Version(2));
    let frame = frame(1, |parts| parts.object = version_2);
    assert_eq!(fault(&frame).reason(), "commit_version");
}

#[test]
fn fields_of_a_commit_object_have_their_types() {
    let raw = Cid::of(Codec::Raw, b"");
    for (field, value) in [
        ("did", item(|writer| writer.unsigned(1))),
        ("sig", item(|writer| writer.text("x"))),
        ("data", item(CborWriter::null)),
        ("data", item(|writer| writer.link(&raw))),
        ("prev", item(|writer| writer.text("x"))),
        ("prev", item(|writer| writer.link(&raw))),
        ("version", item(|writer| writer.text("3"))),
    ] {
        let object = object(|fields| {
            fields.retain(|(name, _)| *name != field);
            fields.push((field, value));
        });
        assert!(CommitObject::decode(&object).is_err(), "{field}");
    }
    let cid = Cid::of(Codec::DagCbor, b"before");
    let object = object(|fields| {
        fields[4].1 = item(|writer| writer.link(&cid));
        fields.push(("novelty", item(CborWriter::null)));
    });
    let object = CommitObject::decode(&object).unwrap();
    assert_eq!((object.did, object.rev, object.prev), (DID, REV, Some(cid)));
    assert_eq!(object.sig, [7; 64]);
}

#[test]
fn a_commit_object_that_is_not_what_its_cid_says_is_noticed() {
    let other = Cid::of(Codec::DagCbor, b"other");
    let frame = frame(1, |parts| parts.object_cid = Some(other));
    for check in [BlockCheck::All, BlockCheck::Named] {
        let error = leaves_of(&commit(&frame), check).unwrap_err();
        assert!(matches!(error, CommitError::Car(CarError::Hash { .. })));
        assert_eq!(error.reason(), "car_hash_mismatch");
    }
}

#[test]
fn a_damaged_block_of_the_tree_costs_the_commit_where_all_are_checked() {
    let frame = frame(2, |parts| {
        let cid = Cid::of(Codec::DagCbor, b"a node");
        parts.blocks.insert(0, (cid, b"a nope".to_vec()));
    });
    let commit = commit(&frame);
    let error = leaves_of(&commit, BlockCheck::All).unwrap_err();
    assert_eq!(error.reason(), "car_hash_mismatch");
    assert!(leaves(&commit).unwrap().all(|leaf| leaf.is_ok()));
}

#[test]
fn a_damaged_record_costs_its_operation_even_where_all_blocks_are_checked() {
    let frame = frame(3, |parts| parts.blocks[1].1 = b"\x61x".to_vec());
    let commit = commit(&frame);
    let found: Vec<_> = leaves_of(&commit, BlockCheck::All).unwrap().collect();
    assert_eq!(found[1].clone().unwrap_err().reason, OpFault::Hash);
    assert!(found[0].is_ok() && found[2].is_ok());
}

#[test]
fn blocks_that_nobody_asks_for_are_legal() {
    let frame = frame(1, |parts| {
        let unlinked = record(9);
        parts
            .blocks
            .push((Cid::of(Codec::DagCbor, &unlinked), unlinked));
        parts.blocks.push(parts.blocks[0].clone());
        let own = parts.object.clone();
        parts.blocks.push((Cid::of(Codec::DagCbor, &own), own));
    });
    let commit = commit(&frame);
    assert!(
        leaves_of(&commit, BlockCheck::All)
            .unwrap()
            .all(|leaf| leaf.is_ok())
    );
}

#[test]
fn the_shape_of_each_operation_fits_its_action() {
    let old = Cid::of(Codec::DagCbor, b"old");
    for count in [2, 20] {
        let fault = |change: &dyn Fn(&mut parts::Op)| {
            let frame = frame(count, |parts| change(&mut parts.ops[0]));
            let commit = commit(&frame);
            let mut found = leaves(&commit).unwrap();
            let first = found.next().unwrap();
            assert!(found.all(|leaf| leaf.is_ok()), "the others are well");
            first.err().map(|error| error.reason)
        };
        assert_eq!(
            fault(&|op| op.prev = Some(old)),
            Some(OpFault::PrevOfCreated)
        );
        assert_eq!(fault(&|op| op.cid = None), Some(OpFault::NoCid));
        assert_eq!(fault(&|op| op.action = "rename"), Some(OpFault::Action));
        assert_eq!(
            fault(&|op| op.action = "delete"),
            Some(OpFault::CidOfDeleted)
        );
        let update = |op: &mut parts::Op, prev| (op.action, op.prev) = ("update", prev);
        assert_eq!(fault(&|op| update(op, op.cid)), Some(OpFault::PrevIsCid));
        assert_eq!(fault(&|op| update(op, Some(old))), None);
        // As hosts older than Sync 1.1 send them.
        assert_eq!(fault(&|op| update(op, None)), None);
        assert_eq!(fault(&|op| (op.action, op.cid) = ("delete", None)), None);
    }
}

#[test]
fn operations_on_one_path_are_all_refused_and_the_others_not() {
    for count in [3, 20] {
        let frame = frame(count, |parts| {
            parts.ops[2].path = parts.ops[0].path.clone();
            (parts.ops[2].action, parts.ops[2].cid) = ("delete", None);
        });
        let commit = commit(&frame);
        let found: Vec<_> = leaves(&commit).unwrap().collect();
        assert_eq!(found.len(), count);
        for (index, leaf) in found.iter().enumerate() {
            let fault = leaf.clone().err().map(|error| error.reason);
            let expected = [0, 2].contains(&index).then_some(OpFault::PathRepeated);
            assert_eq!(fault, expected, "{index}");
        }
    }
}

#[test]
fn operations_that_share_a_record_all_have_it() {
    for count in [2, 20] {
        let frame = frame(count, |parts| {
            let cid = parts.ops[0].cid;
            parts.ops.iter_mut().for_each(|op| op.cid = cid);
        });
        let commit = commit(&frame);
        for leaf in leaves(&commit).unwrap() {
            let LeafChange::Create(found) = leaf.unwrap().change else {
                panic!()
            };
            assert_eq!(found.data, record(0));
        }
    }
}

#[test]
fn a_sync_is_checked_as_a_commit_is() {
    let own = object(|_| {});
    let cid = Cid::of(Codec::DagCbor, &own);
    let blocks = parts::car(&cid, &[(cid, own)]);
    let check = |did: &str, rev: &str, blocks: &[u8]| {
        let frame = sync(did, rev, blocks);
        let Ok(Frame::Sync(sync)) = Frame::decode(&frame) else {
            panic!()
        };
        sync_object(&sync).map(drop)
    };
    assert_eq!(check(DID, REV, &blocks), Ok(()));
    assert_eq!(
        check("did:web:b.example", REV, &blocks),
        Err(CommitError::Did)
    );
    assert_eq!(check(DID, "3l3qo2vutsw2c", &blocks), Err(CommitError::Rev));
    let empty = parts::car(&cid, &[]);
    assert_eq!(check(DID, REV, &empty), Err(CommitError::CommitBlock));
    let damaged = parts::car(&cid, &[(cid, record(0))]);
    let error = check(DID, REV, &damaged).unwrap_err();
    assert_eq!(error.reason(), "car_hash_mismatch");
    assert_eq!(check(DID, REV, b"").unwrap_err().reason(), "car_invalid");
}

#[test]
fn deep_nesting_in_a_node_or_a_commit_object_is_refused_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    let check = || {
        let ways: [&[u8]; 4] = [b"\x81", b"\xa1\x61e", b"\xd8\x2a", b"\x81\xd8\x2a"];
        for way in ways {
            for levels in [129, 200_000] {
                let deep = [&way.repeat(levels)[..], b"\x00"].concat();
                for before in [&b""[..], b"\xa2\x61e", b"\xa2\x61e\x80\x61l", b"\xa1\x61x"] {
                    let block = [before, &deep].concat();
                    assert!(Node::decode(&block).is_err());
                    assert!(CommitObject::decode(&block).is_err());
                }
                let object = object(|fields| fields[4].1 = deep);
                assert!(CommitObject::decode(&object).is_err());
            }
        }
    };
    thread.spawn(check).unwrap().join().unwrap();
}

fn fault(frame: &[u8]) -> CommitError {
    leaves(&commit(frame)).unwrap_err()
}

fn sync(did: &str, rev: &str, blocks: &[u8]) -> Vec<u8> {
    let mut frame = CborWriter::new();
    frame.map(2).text("t").text("#sync").text("op").unsigned(1);
    frame.map(5).text("did").text(did).text("rev").text(rev);
    frame.text("seq").unsigned(7);
    frame.text("time").text("2026-07-04T14:38:07Z");
    frame.text("blocks").bytes(blocks);
    frame.into_bytes()
}
