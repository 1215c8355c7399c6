use jetwash_cbor::{Cid, Codec, Link};
use jetwash_event::{IdentifierError, Nsid, RecordKey};
use jetwash_frame::{Action, Block, Car, CarError, Commit, RepoOp};
use smallvec::SmallVec;
use thiserror::Error;

/// What a commit did to each record: one leaf an operation, in the order of the frame.
///
/// The whole CAR slice is walked once, so that a damaged one is noticed wherever the damage is, but
/// only the blocks that operations name are hashed: hashing all of them would cost more than
/// everything else that is done to a frame. The tree is not looked at.
///
/// What is wrong with one operation costs that operation alone; the iterator gives an error in its
/// place and goes on.
///
/// # Errors
///
/// When the commit as a whole cannot be used: its blocks are no CAR file, or its own block is not
/// the first root or not there.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
/// use jetwash_mst::leaves;
///
/// fn paths(frame: &[u8]) -> Vec<String> {
///     let Ok(Frame::Commit(commit)) = Frame::decode(frame) else { return Vec::new() };
///     let Ok(leaves) = leaves(&commit) else { return Vec::new() };
///     leaves.flatten().map(|leaf| format!("{}/{}", leaf.collection, leaf.rkey)).collect()
/// }
/// # assert!(paths(&[]).is_empty());
/// ```
pub fn leaves<'a>(commit: &'a Commit<'_>) -> Result<Leaves<'a>, CommitError> {
    let car = Car::parse(commit.blocks)?;
    if car.root() != commit.commit {
        return Err(CommitError::Root);
    }
    let ops = commit.ops();
    let mut wanted = Wanted::new(ops);
    let mut has_commit = false;
    for block in car.blocks() {
        let block = block?;
        has_commit |= block.cid == commit.commit;
        wanted.offer(ops, block);
    }
    if !has_commit {
        return Err(CommitError::CommitBlock);
    }
    Ok(Leaves {
        ops,
        found: wanted.found,
        next: 0,
    })
}

/// The leaves of a commit; [`leaves`] makes it.
#[derive(Clone, Debug)]
pub struct Leaves<'a> {
    ops: &'a [RepoOp<'a>],
    found: SmallVec<[Option<Block<'a>>; 4]>,
    next: usize,
}

impl<'a> Iterator for Leaves<'a> {
    type Item = Result<Leaf<'a>, OpError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let op = self.ops.get(self.next)?;
        let block = self.found[self.next];
        self.next += 1;
        Some(Leaf::new(op, block).map_err(|reason| OpError {
            path: op.path,
            reason,
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.ops.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Leaves<'_> {}

/// One operation with the record it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The collection, checked to be an NSID.
    pub collection: &'a str,
    /// The record key, checked.
    pub rkey: &'a str,
    /// What happened to the record.
    pub change: Change<'a>,
}

/// What an operation did, with the record where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The record is new.
    Create(RecordBlock<'a>),
    /// The record is gone.
    Delete,
    /// The record has new content.
    Update(RecordBlock<'a>),
}

/// A record's block, whose hash has been checked. Whether it is a valid record is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBlock<'a> {
    /// The record's CID.
    pub cid: Cid,
    /// The record in DAG-CBOR.
    pub data: &'a [u8],
}

impl<'a> Leaf<'a> {
    fn new(op: &RepoOp<'a>, block: Option<Block<'a>>) -> Result<Self, OpFault> {
        let (collection, rkey) = op.path.split_once('/').ok_or(OpFault::Path)?;
        Nsid::check(collection).map_err(OpFault::Collection)?;
        RecordKey::check(rkey).map_err(OpFault::RecordKey)?;
        let change = match op.action {
            Action::Create => Change::Create(RecordBlock::new(op.cid, block)?),
            Action::Update => Change::Update(RecordBlock::new(op.cid, block)?),
            Action::Delete => Change::Delete,
            Action::Other(_) => return Err(OpFault::Action),
        };
        Ok(Self {
            collection,
            rkey,
            change,
        })
    }
}

impl<'a> RecordBlock<'a> {
    fn new(cid: Option<Link<'_>>, block: Option<Block<'a>>) -> Result<Self, OpFault> {
        let link = cid.ok_or(OpFault::NoCid)?;
        let cid = Cid::try_from(link).map_err(|_| OpFault::CidKind)?;
        if cid.codec() != Codec::DagCbor {
            return Err(OpFault::CidKind);
        }
        let data = block.ok_or(OpFault::BlockMissing)?.data;
        if cid.matches(data) {
            Ok(Self { cid, data })
        } else {
            Err(OpFault::Hash)
        }
    }
}

/// Why no leaf of a commit can be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// The blocks are no CAR file.
    #[error("blocks: {0}")]
    Car(#[from] CarError),
    /// The commit's own block is not among the blocks.
    #[error("blocks: the commit object is missing")]
    CommitBlock,
    /// The first root is not the commit that the frame names.
    #[error("blocks: the first root is not the frame's `commit`")]
    Root,
}

impl CommitError {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Car(_) => "car_invalid",
            Self::CommitBlock => "car_without_commit",
            Self::Root => "car_root_mismatch",
        }
    }
}

/// Why one operation cannot be used. Its siblings can.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("operation on {path:?}: {reason}")]
pub struct OpError<'a> {
    /// The path as the frame has it.
    pub path: &'a str,
    /// What is wrong.
    pub reason: OpFault,
}

/// What is wrong with an operation.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpFault {
    /// The action is none of create, update and delete.
    #[error("unknown action")]
    Action,
    /// The record's block is not among the blocks.
    #[error("the record's block is missing")]
    BlockMissing,
    /// The record's CID is not DAG-CBOR under SHA-256, so nothing can be checked against it.
    #[error("the record's CID is of a kind that no record has")]
    CidKind,
    /// The collection is no NSID.
    #[error("collection: {0}")]
    Collection(IdentifierError),
    /// The record's block does not hash to its CID.
    #[error("the record does not match its CID")]
    Hash,
    /// A create or update without a CID.
    #[error("no CID for a record that should exist")]
    NoCid,
    /// The path has no slash.
    #[error("the path is not `collection/rkey`")]
    Path,
    /// The record key is not valid.
    #[error("record key: {0}")]
    RecordKey(IdentifierError),
}

impl OpFault {
    /// A short name of the reason, for a counter's label: one of a fixed few.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Action => "op_action_unknown",
            Self::BlockMissing => "op_block_missing",
            Self::CidKind | Self::NoCid => "op_cid_invalid",
            Self::Collection(_) => "op_collection_invalid",
            Self::Hash => "op_hash_mismatch",
            Self::Path => "op_path_invalid",
            Self::RecordKey(_) => "op_rkey_invalid",
        }
    }
}

/// The blocks that operations ask for, as they are found.
struct Wanted<'a> {
    found: SmallVec<[Option<Block<'a>>; 4]>,
    /// For commits of many operations: their indexes by CID. Empty where a plain scan is faster.
    by_cid: Vec<usize>,
}

/// Up to so many operations each block is compared with all of them.
const SCAN_OPS: usize = 8;

impl<'a> Wanted<'a> {
    fn new(ops: &[RepoOp<'_>]) -> Self {
        let mut by_cid = Vec::new();
        if ops.len() > SCAN_OPS {
            by_cid.extend((0..ops.len()).filter(|&index| ops[index].cid.is_some()));
            by_cid.sort_unstable_by_key(|&index| cid_bytes(&ops[index]));
        }
        Self {
            found: SmallVec::from_elem(None, ops.len()),
            by_cid,
        }
    }

    fn offer(&mut self, ops: &[RepoOp<'_>], block: Block<'a>) {
        let cid = block.cid.as_bytes();
        if self.by_cid.is_empty() {
            for (op, found) in ops.iter().zip(&mut self.found) {
                if found.is_none() && op.cid == Some(block.cid) {
                    *found = Some(block);
                }
            }
            return;
        }
        let start = self
            .by_cid
            .partition_point(|&index| cid_bytes(&ops[index]) < Some(cid));
        for &index in &self.by_cid[start..] {
            if cid_bytes(&ops[index]) != Some(cid) {
                break;
            }
            self.found[index].get_or_insert(block);
        }
    }
}

fn cid_bytes<'a>(op: &RepoOp<'a>) -> Option<&'a [u8]> {
    op.cid.map(|cid| cid.as_bytes())
}
