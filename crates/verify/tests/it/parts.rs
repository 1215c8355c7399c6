//! Operations and slices put together part by part.

use jetwash_cbor::{CborWriter, Cid};
use jetwash_frame::{Action, RepoOp};

/// An operation that owns its parts.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) action: Action<'static>,
    pub(crate) path: String,
    pub(crate) cid: Option<Cid>,
    pub(crate) prev: Option<Cid>,
}

pub(crate) fn ops_of(ops: &[Op]) -> Vec<RepoOp<'_>> {
    ops.iter()
        .map(|op| RepoOp {
            action: op.action,
            path: &op.path,
            cid: op.cid.as_ref().map(Cid::as_link),
            prev: op.prev.as_ref().map(Cid::as_link),
        })
        .collect()
}

/// The same in another order: for 0 as they are, for 1 the other way round.
pub(crate) fn shuffled<T: Clone>(list: &[T], seed: u64) -> Vec<T> {
    let mut list = list.to_vec();
    match seed {
        0 => {}
        1 => list.reverse(),
        _ => {
            let mut random = seed;
            for index in (1..list.len()).rev() {
                // The constants are those of Knuth's MMIX.
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                list.swap(index, (random >> 33) as usize % (index + 1));
            }
        }
    }
    list
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
