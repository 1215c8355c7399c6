//! Commits put together part by part, each of which can be changed.

use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_frame::{CommitMessage, Frame};

/// A commit of `count` creates, but for what `change` does to it.
pub(crate) fn frame(count: usize, change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let records = (0..count).map(record);
    let blocks: Vec<_> = records
        .map(|data| (Cid::of(Codec::DagCbor, &data), data))
        .collect();
    let ops = blocks.iter().enumerate().map(|(index, (cid, _))| Op {
        action: "create",
        path: format!("com.example.note/{index}"),
        cid: Some(*cid),
        prev: None,
    });
    let mut parts = Parts {
        repo: DID,
        rev: REV,
        root: None,
        ops: ops.collect(),
        blocks,
        object: object(|_| {}),
        object_cid: None,
        has_object: true,
    };
    change(&mut parts);
    parts.encode()
}

pub(crate) fn commit(frame: &[u8]) -> CommitMessage<'_> {
    match Frame::decode(frame) {
        Ok(Frame::Commit(commit)) => commit,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn record(index: usize) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.text(&format!("record {index}"));
    writer.into_bytes()
}

/// A commit object of version 3, but for what `change` does to its fields.
pub(crate) fn object(change: impl FnOnce(&mut Vec<(&'static str, Vec<u8>)>)) -> Vec<u8> {
    let data = Cid::of(Codec::DagCbor, b"the tree");
    let mut fields = vec![
        ("did", item(|writer| writer.text(DID))),
        ("rev", item(|writer| writer.text(REV))),
        ("sig", item(|writer| writer.bytes(&[7; 64]))),
        ("data", item(|writer| writer.link(&data))),
        ("prev", item(CborWriter::null)),
        ("version", item(|writer| writer.unsigned(3))),
    ];
    change(&mut fields);
    fields.sort_by_key(|(name, _)| (name.len(), *name));
    let mut writer = CborWriter::new();
    writer.map(fields.len());
    for (name, value) in &fields {
        writer.text(name).raw(value);
    }
    writer.into_bytes()
}

pub(crate) fn item(write: impl FnOnce(&mut CborWriter) -> &mut CborWriter) -> Vec<u8> {
    let mut writer = CborWriter::new();
    write(&mut writer);
    writer.into_bytes()
}

pub(crate) struct Op {
    pub(crate) action: &'static str,
    pub(crate) path: String,
    pub(crate) cid: Option<Cid>,
    pub(crate) prev: Option<Cid>,
}

pub(crate) struct Parts {
    pub(crate) repo: &'static str,
    pub(crate) rev: &'static str,
    /// The CAR's root, if it is not the commit object.
    pub(crate) root: Option<Cid>,
    pub(crate) ops: Vec<Op>,
    /// All blocks but the commit object.
    pub(crate) blocks: Vec<(Cid, Vec<u8>)>,
    pub(crate) object: Vec<u8>,
    /// The CID of the commit object, if it is not the right one.
    pub(crate) object_cid: Option<Cid>,
    pub(crate) has_object: bool,
}

impl Parts {
    fn encode(&self) -> Vec<u8> {
        let object = Cid::of(Codec::DagCbor, &self.object);
        let object = self.object_cid.unwrap_or(object);
        let mut frame = CborWriter::new();
        frame.map(2).text("t").text("#commit");
        frame.text("op").unsigned(1).map(10);
        frame.text("ops").array(self.ops.len());
        for op in &self.ops {
            frame.map(3 + usize::from(op.prev.is_some())).text("cid");
            match &op.cid {
                Some(cid) => frame.link(cid),
                None => frame.null(),
            };
            frame.text("path").text(&op.path);
            if let Some(prev) = &op.prev {
                frame.text("prev").link(prev);
            }
            frame.text("action").text(op.action);
        }
        frame.text("rev").text(self.rev).text("seq").unsigned(7);
        frame.text("repo").text(self.repo);
        frame.text("time").text("2026-07-04T14:38:07Z");
        frame.text("since").null();
        frame.text("blocks").bytes(&self.car(&object));
        frame.text("commit").link(&object);
        frame.text("rebase").boolean(false);
        frame.text("tooBig").boolean(false);
        frame.into_bytes()
    }

    fn car(&self, object: &Cid) -> Vec<u8> {
        let own = self.has_object.then(|| (*object, self.object.clone()));
        let blocks: Vec<_> = self.blocks.iter().cloned().chain(own).collect();
        car(&self.root.unwrap_or(*object), &blocks)
    }
}

/// A CAR file of one root.
pub(crate) fn car(root: &Cid, blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let mut header = CborWriter::new();
    header.map(2).text("roots").array(1).link(root);
    header.text("version").unsigned(1);
    let header = header.into_bytes();
    let mut file = varint(header.len());
    file.extend(&header);
    for (cid, data) in blocks {
        file.extend(varint(Cid::LENGTH + data.len()));
        file.extend(cid.as_bytes());
        file.extend(data);
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

pub(crate) const DID: &str = "did:web:a.example";
pub(crate) const REV: &str = "3l3qo2vutsw2b";
