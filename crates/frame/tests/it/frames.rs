//! Frames written by hand, field by field.

use jetwash_cbor::{Cid, Codec, ErrorKind};
use jetwash_frame::{Action, Frame, FrameError, FrameKind, MAX_FRAME_BYTES, Part, peek};

use crate::commit_frame;

#[test]
fn a_commit_gives_all_its_fields() {
    let frame = commit_frame(|_| {});
    let Frame::Commit(commit) = Frame::decode(&frame).unwrap() else {
        panic!()
    };
    assert_eq!((commit.seq, commit.repo), (7, "did:web:a.example"));
    assert_eq!((commit.rev, commit.since), ("3l3qo2vutsw2b", None));
    assert_eq!(commit.time, "2026-07-04T14:38:07Z");
    assert!(!commit.rebase && !commit.too_big && commit.prev_data.is_none());
    let [op] = commit.ops() else { panic!() };
    assert_eq!((op.action, op.path), (Action::Create, "com.example.note/1"));
    assert_eq!(
        op.cid.unwrap().as_bytes(),
        Cid::of(Codec::DagCbor, b"\xa0").as_bytes()
    );
}

#[test]
fn fields_that_the_lexicon_does_not_name_are_passed_over() {
    let frame = commit_frame(|commit| commit.extra = Some("novelty"));
    assert!(matches!(Frame::decode(&frame), Ok(Frame::Commit(_))));
}

#[test]
fn each_missing_required_field_is_named() {
    let required = [
        "ops", "rev", "seq", "repo", "time", "since", "blocks", "commit",
    ];
    for field in required {
        let frame = commit_frame(|commit| commit.leave_out = Some(field));
        let error = Frame::decode(&frame).unwrap_err();
        assert_eq!(
            error,
            FrameError::Missing {
                part: Part::Payload,
                field
            }
        );
        assert_eq!(error.to_string(), format!("payload: `{field}` is missing"));
    }
}

#[test]
fn a_commit_without_the_deprecated_flags_is_taken_and_they_are_false() {
    for flag in ["rebase", "tooBig"] {
        let without = commit_frame(|commit| commit.leave_out = Some(flag));
        let null = commit_frame(|commit| commit.null = Some(flag));
        for frame in [without, null] {
            let Frame::Commit(commit) = Frame::decode(&frame).unwrap() else {
                panic!()
            };
            assert!(!commit.rebase && !commit.too_big);
            assert_eq!(peek(&frame).unwrap().seq, Some(7));
        }
    }
}

#[test]
fn the_keys_of_a_header_come_in_any_order() {
    let canonical = commit_frame(|_| {});
    let payload = canonical
        .strip_prefix(b"\xa2\x61t\x67#commit\x62op\x01")
        .unwrap();
    let headers: [&[u8]; 3] = [
        b"\xa2\x62op\x01\x61t\x67#commit",
        b"\xa3\x61x\xf6\x62op\x01\x61t\x67#commit",
        b"\xa3\x62op\x01\x61x\xf6\x61t\x67#commit",
    ];
    for header in headers {
        let frame = [header, payload].concat();
        let Frame::Commit(commit) = Frame::decode(&frame).unwrap() else {
            panic!()
        };
        assert_eq!((commit.seq, commit.ops().len()), (7, 1));
        let peeked = peek(&frame).unwrap();
        assert_eq!(peeked.kind, FrameKind::Commit);
        assert_eq!(
            (peeked.seq, peeked.did),
            (Some(7), Some("did:web:a.example"))
        );
        assert!(peeked.paths().eq(["com.example.note/1"]));
    }
    let error = b"\xa2\x62op\x20\x61t\x63abc\xa1\x65error\x61x";
    assert!(matches!(Frame::decode(error), Ok(Frame::Error(_))));
}

#[test]
fn a_header_that_can_be_read_in_two_ways_is_refused() {
    let payload = b"\xa1\x64name\x61x";
    let fault = |header: &[u8]| match Frame::decode(&[header, payload].concat()) {
        Err(FrameError::Cbor {
            part: Part::Header,
            source,
        }) => source.kind,
        other => panic!("{other:?}"),
    };
    let twice = b"\xa3\x62op\x01\x61t\x65#info\x62op\x20";
    assert_eq!(fault(twice), ErrorKind::DuplicateKey);
    assert_eq!(fault(b"\xa2\x41t\x65#info\x62op\x01"), ErrorKind::KeyType);
    // With this number of keys, comparing each with all would take long: they have to be in order.
    let many = |keys: &mut dyn Iterator<Item = u32>| {
        let mut header = b"\xb8\x66\x61t\x65#info\x62op\x01".to_vec();
        for key in keys {
            header.extend(format!("\x64{key:04}\0").bytes());
        }
        header
    };
    assert_eq!(fault(&many(&mut (0..100).rev())), ErrorKind::KeyOrder);
    assert!(Frame::decode(&[&many(&mut (0..100))[..], payload].concat()).is_ok());
}

#[test]
fn an_op_with_another_action_is_kept_for_the_caller_to_judge() {
    let frame = commit_frame(|commit| commit.ops[0].0 = "rename");
    let Frame::Commit(commit) = Frame::decode(&frame).unwrap() else {
        panic!()
    };
    assert_eq!(commit.ops()[0].action, Action::Other("rename"));
}

#[test]
fn two_hundred_ops_pass_and_one_more_does_not() {
    let with_ops = |count| {
        commit_frame(|commit| {
            commit.ops = vec![("delete", "com.example.note/1", None, None); count];
        })
    };
    let frame = with_ops(200);
    let Frame::Commit(commit) = Frame::decode(&frame).unwrap() else {
        panic!()
    };
    assert_eq!(commit.ops().len(), 200);
    let error = Frame::decode(&with_ops(201)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`ops` has 201 operations, more than the 200 allowed"
    );
}

#[test]
fn blocks_and_frames_have_their_limits() {
    let frame = commit_frame(|commit| commit.blocks = vec![0; 2_000_000]);
    assert!(Frame::decode(&frame).is_ok());
    let frame = commit_frame(|commit| commit.blocks = vec![0; 2_000_001]);
    let error = Frame::decode(&frame).unwrap_err();
    assert!(matches!(
        error,
        FrameError::Limit {
            field: "blocks",
            limit: 2_000_000,
            ..
        }
    ));
    let error = Frame::decode(&vec![0; MAX_FRAME_BYTES + 1]).unwrap_err();
    assert!(matches!(error, FrameError::Limit { field: "frame", .. }));
}

#[test]
fn the_error_says_which_item_and_which_byte() {
    let mut frame = b"\xa1\x62op\x20\xa1\x65error\x18\x07".to_vec();
    let error = Frame::decode(&frame).unwrap_err();
    let FrameError::Cbor {
        part: Part::Payload,
        source,
    } = error
    else {
        panic!()
    };
    assert_eq!((source.offset, source.kind), (12, ErrorKind::Overlong));
    frame[0] = 0xbf;
    let error = Frame::decode(&frame).unwrap_err();
    assert_eq!(
        error.to_string(),
        "header: byte 0: an item of indefinite length"
    );
}

#[test]
fn peek_stops_before_the_blocks() {
    // Everything after `repo` is cut off, so a peek that read on would fail.
    let frame = commit_frame(|_| {});
    let end = frame
        .windows(9)
        .position(|window| window == b"a.example")
        .unwrap()
        + 9;
    let peeked = peek(&frame[..end]).unwrap();
    assert_eq!(peeked.kind, FrameKind::Commit);
    assert_eq!(
        (peeked.seq, peeked.did),
        (Some(7), Some("did:web:a.example"))
    );
    assert!(peek(&frame[..end - 1]).is_err());
}

#[test]
fn unknown_types_keep_their_seq() {
    let frame = b"\xa2\x61t\x67#handle\x62op\x01\xa2\x63did\x69did:web:a\x63seq\x19\x01\x00";
    let Frame::Unknown(unknown) = Frame::decode(frame).unwrap() else {
        panic!()
    };
    assert_eq!(
        (unknown.op, unknown.name, unknown.seq),
        (1, Some("#handle"), Some(256))
    );
    assert_eq!(peek(frame).unwrap().seq, Some(256));
}
