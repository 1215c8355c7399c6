//! The frames of `com.atproto.sync.subscribeRepos`, in the key order of the real ones.
//!
//! Source: the event stream and sync specifications.

use jetwash_cbor::{CborWriter, Cid};

use crate::repo::{Committed, Op};

/// The fields that every message has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) seq: u64,
    pub(crate) did: &'a str,
    pub(crate) time: &'a str,
}

pub(crate) fn commit(stamp: Stamp<'_>, commit: &Committed) -> Vec<u8> {
    // A map's head says how many pairs follow: `prevData` is absent from a first commit.
    let mut writer = header("#commit");
    writer.map(if commit.previous_data.is_some() {
        12
    } else {
        11
    });
    writer.text("ops").array(commit.ops.len());
    for op in &commit.ops {
        write_op(&mut writer, op);
    }
    writer.text("rev").text(&commit.rev);
    writer.text("seq").unsigned(stamp.seq);
    writer.text("repo").text(stamp.did);
    writer.text("time").text(stamp.time);
    writer.text("blobs").array(0);
    match &commit.since {
        Some(since) => writer.text("since").text(since),
        None => writer.text("since").null(),
    };
    writer.text("blocks").bytes(&commit.blocks);
    writer.text("commit").link(&commit.commit);
    writer.text("rebase").boolean(false);
    writer.text("tooBig").boolean(false);
    if let Some(data) = &commit.previous_data {
        writer.text("prevData").link(data);
    }
    writer.into_bytes()
}

pub(crate) fn sync(stamp: Stamp<'_>, rev: &str, blocks: &[u8]) -> Vec<u8> {
    let mut writer = header("#sync");
    writer.map(5);
    writer.text("did").text(stamp.did);
    writer.text("rev").text(rev);
    writer.text("seq").unsigned(stamp.seq);
    writer.text("time").text(stamp.time);
    writer.text("blocks").bytes(blocks);
    writer.into_bytes()
}

pub(crate) fn identity(stamp: Stamp<'_>, handle: Option<&str>) -> Vec<u8> {
    let mut writer = header("#identity");
    writer.map(3 + usize::from(handle.is_some()));
    writer.text("did").text(stamp.did);
    writer.text("seq").unsigned(stamp.seq);
    writer.text("time").text(stamp.time);
    if let Some(handle) = handle {
        writer.text("handle").text(handle);
    }
    writer.into_bytes()
}

pub(crate) fn account(stamp: Stamp<'_>, active: bool, status: Option<&str>) -> Vec<u8> {
    let mut writer = header("#account");
    writer.map(4 + usize::from(status.is_some()));
    writer.text("did").text(stamp.did);
    writer.text("seq").unsigned(stamp.seq);
    writer.text("time").text(stamp.time);
    writer.text("active").boolean(active);
    if let Some(status) = status {
        writer.text("status").text(status);
    }
    writer.into_bytes()
}

/// `#info`, which has no sequence number.
#[cfg(feature = "relay")]
pub(crate) fn info(name: &str, message: &str) -> Vec<u8> {
    let mut writer = header("#info");
    writer.map(2).text("name").text(name);
    writer.text("message").text(message);
    writer.into_bytes()
}

/// The frame after which the stream closes.
#[cfg(feature = "relay")]
pub(crate) fn error(error: &str, message: &str) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(1).text("op").integer(-1);
    writer.map(2).text("error").text(error);
    writer.text("message").text(message);
    writer.into_bytes()
}

fn header(kind: &str) -> CborWriter {
    let mut writer = CborWriter::new();
    writer.map(2).text("t").text(kind).text("op").unsigned(1);
    writer
}

fn write_op(writer: &mut CborWriter, op: &Op) {
    writer.map(3 + usize::from(op.previous.is_some()));
    write_optional_link(writer.text("cid"), op.cid.as_ref());
    writer.text("path").text(&op.path);
    if let Some(previous) = &op.previous {
        writer.text("prev").link(previous);
    }
    let action = match (&op.cid, &op.previous) {
        (None, _) => "delete",
        (Some(_), None) => "create",
        (Some(_), Some(_)) => "update",
    };
    writer.text("action").text(action);
}

fn write_optional_link(writer: &mut CborWriter, cid: Option<&Cid>) {
    match cid {
        Some(cid) => writer.link(cid),
        None => writer.null(),
    };
}
