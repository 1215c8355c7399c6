//! Frames and CAR slices, one module per source of truth.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod car;
mod edge_frames;
mod frames;
mod hostile;
mod labels;
mod recorded;

use jetwash_cbor::{CborWriter, Cid, Codec};

/// The bytes of a CAR file with these roots and blocks.
fn car_file(roots: &[Cid], blocks: &[(Cid, &[u8])]) -> Vec<u8> {
    let mut header = CborWriter::new();
    header.map(2).text("roots").array(roots.len());
    for root in roots {
        header.link(root);
    }
    header.text("version").unsigned(1);
    let header = header.into_bytes();
    let mut file = varint(header.len());
    file.extend(&header);
    for (cid, data) in blocks {
        file.extend(varint(Cid::LENGTH + data.len()));
        file.extend(cid.as_bytes());
        file.extend(*data);
    }
    file
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A commit frame that is valid but for what `change` does to it.
fn commit_frame(change: impl FnOnce(&mut CommitFrame)) -> Vec<u8> {
    let block = b"\xa0".to_vec();
    let cid = Cid::of(Codec::DagCbor, &block);
    let mut frame = CommitFrame {
        ops: vec![("create", "com.example.note/1", Some(cid), None)],
        blocks: car_file(&[cid], &[(cid, &block)]),
        commit: cid,
        extra: None,
        leave_out: None,
        null: None,
    };
    change(&mut frame);
    frame.encode()
}

type Op = (&'static str, &'static str, Option<Cid>, Option<Cid>);

struct CommitFrame {
    ops: Vec<Op>,
    blocks: Vec<u8>,
    commit: Cid,
    extra: Option<&'static str>,
    leave_out: Option<&'static str>,
    null: Option<&'static str>,
}

impl CommitFrame {
    fn encode(&self) -> Vec<u8> {
        let mut fields: Vec<(&str, Vec<u8>)> = vec![
            ("ops", self.encode_ops()),
            ("rev", encoded(|writer| writer.text("3l3qo2vutsw2b"))),
            ("seq", encoded(|writer| writer.unsigned(7))),
            ("repo", encoded(|writer| writer.text("did:web:a.example"))),
            (
                "time",
                encoded(|writer| writer.text("2026-07-04T14:38:07Z")),
            ),
            ("blobs", encoded(|writer| writer.array(0))),
            ("since", encoded(CborWriter::null)),
            ("blocks", encoded(|writer| writer.bytes(&self.blocks))),
            ("commit", encoded(|writer| writer.link(&self.commit))),
            ("rebase", encoded(|writer| writer.boolean(false))),
            ("tooBig", encoded(|writer| writer.boolean(false))),
        ];
        if let Some(name) = self.extra {
            fields.push((name, encoded(CborWriter::null)));
        }
        fields.retain(|(name, _)| Some(*name) != self.leave_out);
        for (name, value) in &mut fields {
            if Some(*name) == self.null {
                *value = encoded(CborWriter::null);
            }
        }
        fields.sort_by_key(|(name, _)| (name.len(), *name));
        let mut frame = CborWriter::new();
        frame
            .map(2)
            .text("t")
            .text("#commit")
            .text("op")
            .unsigned(1)
            .map(fields.len());
        for (name, value) in fields {
            frame.text(name).raw(&value);
        }
        frame.into_bytes()
    }

    fn encode_ops(&self) -> Vec<u8> {
        let mut writer = CborWriter::new();
        writer.array(self.ops.len());
        for (action, path, cid, prev) in &self.ops {
            writer.map(3 + usize::from(prev.is_some())).text("cid");
            match cid {
                Some(cid) => writer.link(cid),
                None => writer.null(),
            };
            writer.text("path").text(path);
            if let Some(prev) = prev {
                writer.text("prev").link(prev);
            }
            writer.text("action").text(action);
        }
        writer.into_bytes()
    }
}

fn encoded(write: impl FnOnce(&mut CborWriter) -> &mut CborWriter) -> Vec<u8> {
    let mut writer = CborWriter::new();
    write(&mut writer);
    writer.into_bytes()
}
