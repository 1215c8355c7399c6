//! Writes the parts of an index that [`input`](super::input) reads.

use jetwash_event::PlcDid;

use super::commit_parts::CommitParts;
use super::input::{PLAIN, PLC};

pub(super) fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn write_commit_parts(out: &mut Vec<u8>, parts: &CommitParts) {
    write_varint(out, parts.runs().len() as u64);
    let mut end = 0;
    for run in parts.runs() {
        for number in [run.first - end, run.count, run.part.index, run.part.len] {
            write_varint(out, number.into());
        }
        end = run.end();
    }
}

pub(super) fn write_did(out: &mut Vec<u8>, did: &str) {
    match PlcDid::parse(did) {
        Some(did) => {
            out.push(PLC);
            out.extend_from_slice(&did.to_bytes());
        }
        None => {
            out.push(PLAIN);
            write_text(out, did);
        }
    }
}

pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
