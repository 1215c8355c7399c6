use jetwash_cbor::Cid;
use jetwash_frame::{Car, RepoOp};

use crate::reason::Reason;

/// The blocks of a CAR slice by CID, each one hashed.
///
/// They are kept as positions in the slice, so that the room can be used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    list: Vec<Block>,
    /// The start of each CID's digest with its codec, and the block, in order.
    order: Vec<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) cid: u32,
    pub(super) data: u32,
    pub(super) end: u32,
    /// Whether the tree has come by here.
    is_visited: bool,
}

impl Blocks {
    /// Reads and hashes the blocks of a slice.
    ///
    /// A record that does not match its CID is left out as if it were missing: it costs its
    /// operation. So is a block whose CID is of a kind that cannot be checked.
    pub(super) fn read(
        &mut self,
        slice: &[u8],
        car: &Car<'_>,
        ops: &[RepoOp<'_>],
    ) -> Result<(), Reason> {
        self.list.clear();
        self.order.clear();
        // Positions are kept in 32 bits.
        u32::try_from(slice.len()).map_err(|_| Reason::FrameOverLimit)?;
        for block in car.blocks() {
            let block = block.map_err(|_| Reason::CarMalformed)?;
            let Ok(cid) = Cid::try_from(block.cid) else {
                continue;
            };
            if !cid.matches(block.data) {
                if ops.iter().any(|op| op.cid == Some(block.cid)) {
                    continue;
                }
                return Err(Reason::CarHash);
            }
            let section = Cid::LENGTH + block.data.len();
            let start = block.offset + varint_length(section);
            let order = order_of(cid.as_bytes()).ok_or(Reason::CarMalformed)?;
            self.order.push((order, self.list.len() as u32));
            self.list.push(Block {
                cid: start as u32,
                data: (start + Cid::LENGTH) as u32,
                end: (start + section) as u32,
                is_visited: false,
            });
        }
        self.order.sort_unstable();
        Ok(())
    }

    /// Finds the block of a CID, given as bytes. Those of kinds that cannot be checked have none.
    pub(super) fn find(&self, slice: &[u8], cid: &[u8]) -> Option<usize> {
        let order = order_of(cid)?;
        let start = self.order.partition_point(|&(other, _)| other < order);
        let same = self.order.get(start..)?.iter();
        same.take_while(|&&(other, _)| other == order)
            .map(|&(_, index)| index as usize)
            .find(|&index| self.cid_is(slice, index, cid))
    }

    pub(super) fn get(&self, index: usize) -> Option<&Block> {
        self.list.get(index)
    }

    /// Marks a block as visited, and says whether this is the first time.
    pub(super) fn visit(&mut self, index: usize) -> bool {
        let visited = self.list.get_mut(index).map(|block| &mut block.is_visited);
        visited.is_some_and(|visited| !std::mem::replace(visited, true))
    }

    pub(super) fn shrink(&mut self, most: usize) {
        self.list.clear();
        self.order.clear();
        self.list.shrink_to(most);
        self.order.shrink_to(most);
    }

    fn cid_is(&self, slice: &[u8], index: usize, cid: &[u8]) -> bool {
        let block = self.list.get(index);
        block.is_some_and(|block| bytes_of(slice, block.cid, block.data) == cid)
    }
}

impl Block {
    pub(super) fn content<'a>(&self, slice: &'a [u8]) -> &'a [u8] {
        bytes_of(slice, self.data, self.end)
    }
}

/// The bytes between two positions, which lie in the slice.
pub(super) fn bytes_of(slice: &[u8], start: u32, end: u32) -> &[u8] {
    let bytes = slice.get(start as usize..end as usize);
    debug_assert!(bytes.is_some(), "a position beyond the slice");
    bytes.unwrap_or_default()
}

/// CIDs of one digest and two codecs differ, so that a block repeated under the other codec is
/// not in the way.
fn order_of(cid: &[u8]) -> Option<u64> {
    let (&[_, codec, _, _], digest) = cid.split_first_chunk::<4>()?;
    let start = u64::from_be_bytes(*digest.first_chunk::<8>()?);
    Some(start & !0xff | u64::from(codec))
}

/// The length of a variable-length integer in the one form that is accepted.
const fn varint_length(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    if bits == 0 {
        1
    } else {
        bits.div_ceil(7) as usize
    }
}
