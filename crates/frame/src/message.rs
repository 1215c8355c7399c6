use jetwash_cbor::{CborReader, Error, Link};
use smallvec::SmallVec;

use crate::error::{FrameError, Part};
use crate::fields::{flag, nullable, read_map, required, within};

/// The largest `blocks` of a `#commit`, in bytes (sync specification).
pub const MAX_BLOCKS_BYTES: usize = 2_000_000;
/// The largest `blocks` of a `#sync`, in bytes (lexicon).
pub const MAX_SYNC_BLOCKS_BYTES: usize = 10_000;
/// The most operations in a commit (sync specification).
pub const MAX_OPS: usize = 200;

/// `#commit`: a change to a repository, with the blocks that prove it.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{Car, CarError, CommitMessage};
///
/// /// The size of the largest block that a commit carries.
/// fn largest_block(commit: &CommitMessage<'_>) -> Result<usize, CarError> {
///     let mut largest = 0;
///     for block in Car::parse(commit.blocks)?.blocks() {
///         largest = largest.max(block?.data.len());
///     }
///     Ok(largest)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CommitMessage<'a> {
    /// The relay's sequence number.
    pub seq: u64,
    /// Deprecated. Producers send `false`, or nothing, which means the same.
    pub rebase: bool,
    /// Deprecated. Producers send `false`, or nothing, which means the same. Once, `true` said that
    /// blocks and operations are incomplete; now only they show that.
    pub too_big: bool,
    /// The DID of the account.
    pub repo: &'a str,
    /// The CID of the commit object, the CAR's first root.
    pub commit: Link<'a>,
    /// The revision after the commit, a TID.
    pub rev: &'a str,
    /// The revision before the commit; `None` for the first.
    pub since: Option<&'a str>,
    /// A CAR slice: new tree nodes, new records, the commit, and the nodes that prove the rest.
    pub blocks: &'a [u8],
    /// The root of the tree before the commit. Absent from hosts older than Sync 1.1.
    pub prev_data: Option<Link<'a>>,
    /// When the host or relay saw the commit, for information only.
    pub time: &'a str,
    ops: SmallVec<[RepoOp<'a>; 1]>,
}

impl<'a> CommitMessage<'a> {
    /// The operations, at most [`MAX_OPS`]; empty if only the revision changed.
    #[must_use]
    pub fn ops(&self) -> &[RepoOp<'a>] {
        &self.ops
    }

    pub(crate) fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut seq, mut repo, mut commit, mut rev) = (None, None, None, None);
        let (mut since, mut blocks, mut time) = (None, None, None);
        let (mut rebase, mut too_big, mut prev_data) = (false, false, None);
        let mut ops: Option<SmallVec<[RepoOp<'a>; 1]>> = None;
        let mut ops_count = 0;
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "ops" => {
                    ops_count = reader.array()?;
                    let mut list = SmallVec::new();
                    for index in 0..ops_count {
                        // Beyond the limit the frame is refused, so nothing is kept of it.
                        if index < MAX_OPS {
                            list.push(RepoOp::read(reader)?);
                        } else {
                            reader.skip()?;
                        }
                    }
                    ops = Some(list);
                }
                "rev" => rev = Some(reader.text()?),
                "seq" => seq = Some(reader.unsigned()?),
                "repo" => repo = Some(reader.text()?),
                "time" => time = Some(reader.text()?),
                "since" => since = Some(nullable(reader, CborReader::text)?),
                "blocks" => blocks = Some(reader.bytes()?),
                "commit" => commit = Some(reader.link()?),
                "rebase" => rebase = flag(reader)?,
                "tooBig" => too_big = flag(reader)?,
                "prevData" => prev_data = nullable(reader, CborReader::link)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let blocks = required(blocks, Part::Payload, "blocks")?;
        within("ops", "operations", ops_count, MAX_OPS)?;
        within("blocks", "bytes", blocks.len(), MAX_BLOCKS_BYTES)?;
        Ok(Self {
            seq: required(seq, Part::Payload, "seq")?,
            rebase,
            too_big,
            repo: required(repo, Part::Payload, "repo")?,
            commit: required(commit, Part::Payload, "commit")?,
            rev: required(rev, Part::Payload, "rev")?,
            since: required(since, Part::Payload, "since")?,
            blocks,
            prev_data,
            time: required(time, Part::Payload, "time")?,
            ops: required(ops, Part::Payload, "ops")?,
        })
    }
}

/// One operation of a commit, on one record.
///
/// # Examples
///
/// ```
/// use jetwash_frame::{Action, CommitMessage};
///
/// fn deleted<'a>(commit: &'a CommitMessage<'_>) -> Vec<&'a str> {
///     let ops = commit.ops().iter();
///     ops.filter(|op| op.action == Action::Delete).map(|op| op.path).collect()
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepoOp<'a> {
    /// The operation.
    pub action: Action<'a>,
    /// The record's path, `collection/rkey` if it is valid.
    pub path: &'a str,
    /// The record after the operation; absent on delete.
    pub cid: Option<Link<'a>>,
    /// The record before the operation; absent on create and from hosts older than Sync 1.1.
    pub prev: Option<Link<'a>>,
}

impl<'a> RepoOp<'a> {
    fn read(reader: &mut CborReader<'a>) -> Result<Self, Error> {
        let start = reader.position();
        let (mut action, mut path, mut cid, mut prev) = (None, None, None, None);
        let mut map = reader.map()?;
        while let Some(key) = map.next_key(reader)? {
            match key {
                "cid" => cid = nullable(reader, CborReader::link)?,
                "path" => path = Some(reader.text()?),
                "prev" => prev = nullable(reader, CborReader::link)?,
                "action" => action = Some(Action::new(reader.text()?)),
                _ => reader.skip()?,
            }
        }
        let (Some(action), Some(path)) = (action, path) else {
            // Such a frame cannot be used in part: which record changed is not known.
            let kind = jetwash_cbor::ErrorKind::Type("an operation with `action` and `path`");
            return Err(Error {
                offset: start,
                kind,
            });
        };
        Ok(Self {
            action,
            path,
            cid,
            prev,
        })
    }
}

/// The kind of an operation on a record.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Action;
///
/// fn leaves_a_record(action: Action<'_>) -> bool {
///     matches!(action, Action::Create | Action::Update)
/// }
/// assert!(!leaves_a_record(Action::Delete));
/// assert!(!leaves_a_record(Action::Other("archive")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// The record is new.
    Create,
    /// The record is gone.
    Delete,
    /// Something the lexicon does not name.
    Other(&'a str),
    /// The record has new content.
    Update,
}

impl<'a> Action<'a> {
    fn new(text: &'a str) -> Self {
        match text {
            "create" => Self::Create,
            "delete" => Self::Delete,
            "update" => Self::Update,
            _ => Self::Other(text),
        }
    }
}

/// `#sync`: the current state of a repository, without its records.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// let mut bytes = b"\xa2\x61t\x65#sync\x62op\x01\xa5\x63did\x71did:web:a.example".to_vec();
/// bytes.extend(b"\x63rev\x6d3l3qo2vutsw2b\x63seq\x07\x64time\x60\x66blocks\x40");
/// let Frame::Sync(sync) = Frame::decode(&bytes)? else { panic!("another frame") };
/// assert_eq!((sync.seq, sync.rev), (7, "3l3qo2vutsw2b"));
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncMessage<'a> {
    /// The relay's sequence number.
    pub seq: u64,
    /// The DID of the account.
    pub did: &'a str,
    /// A CAR slice that holds the commit object alone.
    pub blocks: &'a [u8],
    /// The current revision, a TID.
    pub rev: &'a str,
    /// When the host or relay sent it, for information only.
    pub time: &'a str,
}

impl<'a> SyncMessage<'a> {
    pub(crate) fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut seq, mut did, mut blocks, mut rev, mut time) = (None, None, None, None, None);
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "did" => did = Some(reader.text()?),
                "rev" => rev = Some(reader.text()?),
                "seq" => seq = Some(reader.unsigned()?),
                "time" => time = Some(reader.text()?),
                "blocks" => blocks = Some(reader.bytes()?),
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let blocks = required(blocks, Part::Payload, "blocks")?;
        within("blocks", "bytes", blocks.len(), MAX_SYNC_BLOCKS_BYTES)?;
        Ok(Self {
            seq: required(seq, Part::Payload, "seq")?,
            did: required(did, Part::Payload, "did")?,
            blocks,
            rev: required(rev, Part::Payload, "rev")?,
            time: required(time, Part::Payload, "time")?,
        })
    }
}

/// `#identity`: the DID document or handle of an account may have changed.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// let mut bytes = b"\xa2\x61t\x69#identity\x62op\x01\xa4\x63did\x71did:web:a.example".to_vec();
/// bytes.extend(b"\x63seq\x07\x64time\x60\x66handle\x69a.example");
/// let Frame::Identity(identity) = Frame::decode(&bytes)? else { panic!("another frame") };
/// assert_eq!(identity.handle, Some("a.example"));
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentityMessage<'a> {
    /// The relay's sequence number.
    pub seq: u64,
    /// The DID of the account.
    pub did: &'a str,
    /// The handle, if the relay passes it on; possibly `handle.invalid`.
    pub handle: Option<&'a str>,
    /// When the host or relay sent it, for information only.
    pub time: &'a str,
}

impl<'a> IdentityMessage<'a> {
    pub(crate) fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut seq, mut did, mut handle, mut time) = (None, None, None, None);
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "did" => did = Some(reader.text()?),
                "seq" => seq = Some(reader.unsigned()?),
                "time" => time = Some(reader.text()?),
                "handle" => handle = nullable(reader, CborReader::text)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self {
            seq: required(seq, Part::Payload, "seq")?,
            did: required(did, Part::Payload, "did")?,
            handle,
            time: required(time, Part::Payload, "time")?,
        })
    }
}

/// `#account`: the hosting status of an account at the host that sent it.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// let mut bytes = b"\xa2\x61t\x68#account\x62op\x01\xa5\x63did\x71did:web:a.example".to_vec();
/// bytes.extend(b"\x63seq\x07\x64time\x60\x66active\xf4\x66status\x69takendown");
/// let Frame::Account(account) = Frame::decode(&bytes)? else { panic!("another frame") };
/// assert_eq!((account.active, account.status), (false, Some("takendown")));
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountMessage<'a> {
    /// The relay's sequence number.
    pub seq: u64,
    /// The DID of the account.
    pub did: &'a str,
    /// Whether the account's content may be shown. Decide by this, not by `status`.
    pub active: bool,
    /// Why; an open list, so any text is kept.
    pub status: Option<&'a str>,
    /// When the host or relay sent it, for information only.
    pub time: &'a str,
}

impl<'a> AccountMessage<'a> {
    pub(crate) fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut seq, mut did, mut active, mut status, mut time) = (None, None, None, None, None);
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "did" => did = Some(reader.text()?),
                "seq" => seq = Some(reader.unsigned()?),
                "time" => time = Some(reader.text()?),
                "active" => active = Some(reader.boolean()?),
                "status" => status = nullable(reader, CborReader::text)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self {
            seq: required(seq, Part::Payload, "seq")?,
            did: required(did, Part::Payload, "did")?,
            active: required(active, Part::Payload, "active")?,
            status,
            time: required(time, Part::Payload, "time")?,
        })
    }
}

/// `#info`: a notice from the relay. It has no sequence number.
///
/// # Examples
///
/// ```
/// use jetwash_frame::Frame;
///
/// let bytes = b"\xa2\x61t\x65#info\x62op\x01\xa1\x64name\x6eOutdatedCursor";
/// let Frame::Info(info) = Frame::decode(bytes)? else { panic!("another frame") };
/// assert_eq!(info.name, "OutdatedCursor");
/// # Ok::<(), jetwash_frame::FrameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoMessage<'a> {
    /// The name; `OutdatedCursor` is the one known.
    pub name: &'a str,
    /// An explanation for people.
    pub message: Option<&'a str>,
}

impl<'a> InfoMessage<'a> {
    pub(crate) fn read(reader: &mut CborReader<'a>) -> Result<Self, FrameError> {
        let (mut name, mut message) = (None, None);
        read_map(reader, Part::Payload, |key, reader| {
            match key {
                "name" => name = Some(reader.text()?),
                "message" => message = nullable(reader, CborReader::text)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(Self {
            name: required(name, Part::Payload, "name")?,
            message,
        })
    }
}
