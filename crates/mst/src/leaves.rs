use jetwash_cbor::{Cid, Codec, Link};
use jetwash_event::{Nsid, RecordKey};
use jetwash_frame::{Action, Car, CarBlock, CarError, CommitMessage, RepoOp, SyncMessage};
use smallvec::SmallVec;

use crate::commit_error::CommitError;
use crate::commit_object::CommitObject;
use crate::op_error::{OpError, OpFault};

/// Returns the changes of a commit: one leaf an operation, in the order of the frame.
///
/// The commit as a whole is checked as far as that needs no key, no history and no proof: its
/// blocks are walked once, its own block is hashed, decoded and compared with the frame. Of the
/// other blocks, only the ones named by operations are hashed; [`leaves_of`] can hash all. The tree
/// is not looked at.
///
/// A fault in one operation costs that operation alone: the iterator yields an error in its place
/// and continues.
///
/// # Errors
///
/// When the commit as a whole cannot be used: see [`CommitError`].
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
pub fn leaves<'a>(commit: &'a CommitMessage<'_>) -> Result<Leaves<'a>, CommitError> {
    leaves_of(commit, BlockCheck::Named)
}

/// Works as [`leaves`]; `check` decides which blocks are hashed.
///
/// # Errors
///
/// As [`leaves`], and when a block that has to match its CID does not.
pub fn leaves_of<'a>(
    commit: &'a CommitMessage<'_>,
    check: BlockCheck,
) -> Result<Leaves<'a>, CommitError> {
    let car = Car::parse(commit.blocks)?;
    if car.root() != commit.commit {
        return Err(CommitError::Root);
    }
    let ops = commit.ops();
    let mut wanted = Wanted::new(ops);
    let mut own = None;
    for block in car.blocks() {
        let block = block?;
        let is_own = own.is_none() && block.cid == commit.commit;
        if is_own {
            own = Some(block);
        }
        // A record that does not match its CID costs its operation; any other block, the commit.
        let is_record = wanted.offer(ops, block);
        if check == BlockCheck::All && !is_own && !is_record {
            verify_unless_foreign(&block)?;
        }
    }
    let own = own.ok_or(CommitError::CommitBlock)?;
    own.verify()?;
    if !CommitObject::is_plain(own.data, commit.repo, commit.rev) {
        read_own(own, commit.repo, commit.rev)?;
    }
    Ok(Leaves {
        ops,
        found: wanted.found,
        repeated: repeated_paths(ops),
        next: 0,
    })
}

/// The commit object that a `#sync` carries, checked as that of a commit is.
///
/// # Errors
///
/// When the frame cannot be used: see [`CommitError`].
pub fn sync_object<'a>(sync: &SyncMessage<'a>) -> Result<CommitObject<'a>, CommitError> {
    let car = Car::parse(sync.blocks)?;
    let mut own = None;
    for block in car.blocks() {
        let block = block?;
        if own.is_none() && block.cid == car.root() {
            own = Some(block);
        }
    }
    let own = own.ok_or(CommitError::CommitBlock)?;
    own.verify()?;
    read_own(own, sync.did, sync.rev)
}

/// Which blocks of a commit must match their CIDs.
///
/// An average commit has ten blocks of 500 bytes. Hashing them takes as long as everything else
/// that is done to it, which at the rate of the whole network is a few milliseconds a second.
///
/// # Examples
///
/// ```
/// use jetwash_frame::CommitMessage;
/// use jetwash_mst::{BlockCheck, CommitError, leaves_of};
///
/// fn count(commit: &CommitMessage<'_>) -> Result<usize, CommitError> {
///     Ok(leaves_of(commit, BlockCheck::All)?.len())
/// }
/// assert_eq!(BlockCheck::default(), BlockCheck::All);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlockCheck {
    /// All of them, the tree's too. One that does not match costs the commit.
    #[default]
    All,
    /// The commit's own, and the records that operations name: the least that any reader needs. Use
    /// it when the relay checks the rest, or when you read the tree yourself.
    Named,
}

/// The leaves of a commit; [`leaves`] makes it.
///
/// # Examples
///
/// ```
/// use jetwash_mst::Leaves;
///
/// /// Skips the operations that cannot be used, and says why.
/// fn collections<'a>(leaves: Leaves<'a>) -> Vec<&'a str> {
///     let told = leaves.inspect(|leaf| {
///         if let Err(error) = leaf {
///             eprintln!("{error}");
///         }
///     });
///     told.flatten().map(|leaf| leaf.collection).collect()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Leaves<'a> {
    ops: &'a [RepoOp<'a>],
    found: SmallVec<[Option<Found<'a>>; 4]>,
    /// The operations whose paths occur more than once, by their indexes, in order.
    repeated: Vec<usize>,
    next: usize,
}

impl<'a> Iterator for Leaves<'a> {
    type Item = Result<Leaf<'a>, OpError<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let op = self.ops.get(self.next)?;
        let block = self.found[self.next];
        let leaf = if self.repeated.binary_search(&self.next).is_ok() {
            Err(OpFault::PathRepeated)
        } else {
            Leaf::new(op, block)
        };
        self.next += 1;
        Some(leaf.map_err(|reason| OpError {
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
///
/// # Examples
///
/// ```
/// use jetwash_mst::{Leaf, LeafChange};
///
/// let leaf = Leaf { collection: "app.bsky.feed.like", rkey: "3l3qo2vuowo2b", change: LeafChange::Delete };
/// assert_eq!(format!("{}/{}", leaf.collection, leaf.rkey), "app.bsky.feed.like/3l3qo2vuowo2b");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The collection, checked to be an NSID.
    pub collection: &'a str,
    /// The record key, checked.
    pub rkey: &'a str,
    /// The change of the record.
    pub change: LeafChange<'a>,
}

/// The change that an operation made, with the record unless it was deleted.
///
/// # Examples
///
/// ```
/// use jetwash_mst::LeafChange;
///
/// fn record<'a>(change: LeafChange<'a>) -> Option<&'a [u8]> {
///     match change {
///         LeafChange::Create(block) | LeafChange::Update(block) => Some(block.data),
///         LeafChange::Delete => None,
///     }
/// }
/// assert_eq!(record(LeafChange::Delete), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafChange<'a> {
    /// The record is new.
    Create(RecordBlock<'a>),
    /// The record is gone.
    Delete,
    /// The record has new content.
    Update(RecordBlock<'a>),
}

/// A record's block, whose hash has been checked. Whether it is a valid record is not known yet.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_mst::RecordBlock;
///
/// let block = RecordBlock { cid: Cid::of(Codec::DagCbor, &[0xa0]), data: &[0xa0] };
/// assert!(block.cid.matches(block.data));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBlock<'a> {
    /// The record's CID.
    pub cid: Cid,
    /// The record in DAG-CBOR.
    pub data: &'a [u8],
}

impl<'a> Leaf<'a> {
    fn new(op: &RepoOp<'a>, block: Option<Found<'a>>) -> Result<Self, OpFault> {
        let (collection, rkey) = op.path.split_once('/').ok_or(OpFault::Path)?;
        Nsid::check(collection).map_err(OpFault::Collection)?;
        RecordKey::check(rkey).map_err(OpFault::RecordKey)?;
        let change = match op.action {
            Action::Create if op.prev.is_some() => return Err(OpFault::PrevOfCreated),
            Action::Create => LeafChange::Create(RecordBlock::new(op.cid, block)?),
            // Hosts older than Sync 1.1 send no `prev`.
            Action::Update if op.prev.is_some() && op.prev == op.cid => {
                return Err(OpFault::PrevIsCid);
            }
            Action::Update => LeafChange::Update(RecordBlock::new(op.cid, block)?),
            Action::Delete if op.cid.is_some() => return Err(OpFault::CidOfDeleted),
            Action::Delete => LeafChange::Delete,
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
    fn new(cid: Option<Link<'_>>, found: Option<Found<'a>>) -> Result<Self, OpFault> {
        let link = cid.ok_or(OpFault::NoCid)?;
        let cid = Cid::try_from(link).map_err(|_| OpFault::CidKind)?;
        if cid.codec() != Codec::DagCbor {
            return Err(OpFault::CidKind);
        }
        let Found { data, is_good } = found.ok_or(OpFault::BlockMissing)?;
        if is_good {
            Ok(Self { cid, data })
        } else {
            Err(OpFault::Hash)
        }
    }
}

/// A record's block, hashed once however many operations name it.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    data: &'a [u8],
    is_good: bool,
}

impl<'a> Found<'a> {
    fn new(block: CarBlock<'a>) -> Self {
        Self {
            data: block.data,
            is_good: block.verify().is_ok(),
        }
    }
}

/// The blocks that operations ask for, as they are found.
struct Wanted<'a> {
    found: SmallVec<[Option<Found<'a>>; 4]>,
    /// For commits of many operations: their indexes by CID. Empty where a plain scan is faster.
    by_cid: Vec<usize>,
}

/// Up to this many operations, each block is compared with all of them.
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

    /// Keeps the block if it is the first of a CID that operations ask for, and says whether it is.
    fn offer(&mut self, ops: &[RepoOp<'_>], block: CarBlock<'a>) -> bool {
        let cid = block.cid.as_bytes();
        let mut taken = None;
        if self.by_cid.is_empty() {
            for (op, found) in ops.iter().zip(&mut self.found) {
                if found.is_none() && op.cid == Some(block.cid) {
                    *found = Some(*taken.get_or_insert_with(|| Found::new(block)));
                }
            }
            return taken.is_some();
        }
        let start = self
            .by_cid
            .partition_point(|&index| cid_bytes(&ops[index]) < Some(cid));
        for &index in &self.by_cid[start..] {
            if cid_bytes(&ops[index]) != Some(cid) {
                break;
            }
            let found = &mut self.found[index];
            if found.is_none() {
                *found = Some(*taken.get_or_insert_with(|| Found::new(block)));
            }
        }
        taken.is_some()
    }
}

fn cid_bytes<'a>(op: &RepoOp<'a>) -> Option<&'a [u8]> {
    op.cid.map(|cid| cid.as_bytes())
}

/// The indexes of the operations whose paths occur more than once, in order.
fn repeated_paths(ops: &[RepoOp<'_>]) -> Vec<usize> {
    let mut repeated = Vec::new();
    if ops.len() <= SCAN_OPS {
        let is_repeated = |&index: &usize| {
            let mut others = ops.iter().enumerate();
            others.any(|(other, op)| other != index && op.path == ops[index].path)
        };
        repeated.extend((0..ops.len()).filter(is_repeated));
        return repeated;
    }
    let mut by_path: Vec<usize> = (0..ops.len()).collect();
    by_path.sort_unstable_by_key(|&index| ops[index].path);
    for pair in by_path.windows(2) {
        if ops[pair[0]].path == ops[pair[1]].path {
            repeated.extend_from_slice(pair);
        }
    }
    repeated.sort_unstable();
    repeated
}

/// Makes sure that a block is what its CID says. A CID of a kind that cannot be checked names
/// neither a node nor a record nor a commit, so its block means nothing here.
fn verify_unless_foreign(block: &CarBlock<'_>) -> Result<(), CarError> {
    match block.verify() {
        Ok(_) | Err(CarError::Cid { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Decodes the block of the commit object, and compares it with what the frame says.
fn read_own<'a>(
    block: CarBlock<'a>,
    did: &str,
    rev: &str,
) -> Result<CommitObject<'a>, CommitError> {
    let object = CommitObject::decode(block.data)?;
    if object.did != did {
        return Err(CommitError::Did);
    }
    if object.rev != rev {
        return Err(CommitError::Rev);
    }
    Ok(object)
}
