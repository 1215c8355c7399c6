use jetwash_cbor::Cid;
use jetwash_event::Tid;
use jetwash_frame::AccountMessage;
use thiserror::Error;

/// The last known state of a repository, by which the next frame of the account is judged: its
/// revision, the root of its tree, and whether commits are missing before it.
///
/// It takes 50 bytes in memory, and 42 as [bytes](Self::to_bytes) for a store.
///
/// # Examples
///
/// ```
/// use jetwash_cbor::{Cid, Codec};
/// use jetwash_verify::RepoState;
///
/// let root = Cid::of(Codec::DagCbor, &[0xa0]);
/// let state = RepoState::new("3l3qo2vutsw2b".parse()?, root);
/// assert_eq!(RepoState::from_bytes(&state.to_bytes())?, state);
/// assert!(!state.is_desynchronised());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepoState {
    pub(crate) rev: Tid,
    pub(crate) data: Cid,
    pub(crate) is_desynchronised: bool,
}

impl RepoState {
    /// The length of [`to_bytes`](Self::to_bytes).
    pub const LENGTH: usize = 42;

    /// The state of a repository that is known in full, such as one that was just fetched: its
    /// revision and the root of its tree.
    #[must_use]
    pub const fn new(rev: Tid, data: Cid) -> Self {
        Self {
            rev,
            data,
            is_desynchronised: false,
        }
    }

    /// The revision.
    #[must_use]
    pub const fn rev(&self) -> Tid {
        self.rev
    }

    /// The root of the tree.
    #[must_use]
    pub const fn data(&self) -> &Cid {
        &self.data
    }

    /// Whether commits before this state are missing, so that the repository has to be fetched to
    /// be known in full. The frames that follow are judged by this state all the same.
    #[must_use]
    pub const fn is_desynchronised(&self) -> bool {
        self.is_desynchronised
    }

    /// Packs the state: the version of the format, flags, the revision as a big-endian integer, and
    /// the SHA-256 that the root is.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[0] = FORMAT;
        bytes[1] = if self.is_desynchronised {
            DESYNCHRONISED
        } else {
            0
        };
        bytes[2..10].copy_from_slice(&to_integer(self.rev).to_be_bytes());
        bytes[10..].copy_from_slice(self.data.digest());
        bytes
    }

    /// Reads the form of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    ///
    /// When the bytes are of another format, or are damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let &format = bytes.first().ok_or(StateError::Length(0))?;
        if format != FORMAT {
            return Err(StateError::Format(format));
        }
        let bytes: &[u8; Self::LENGTH] = bytes
            .try_into()
            .map_err(|_| StateError::Length(bytes.len()))?;
        let [_, flags, rest @ ..] = bytes;
        if flags & !DESYNCHRONISED != 0 {
            return Err(StateError::Damaged);
        }
        let (rev, digest) = rest.split_first_chunk::<8>().ok_or(StateError::Damaged)?;
        let rev = to_tid(u64::from_be_bytes(*rev)).ok_or(StateError::Damaged)?;
        let mut data = [0; Cid::LENGTH];
        data[..4].copy_from_slice(&DAG_CBOR_SHA_256);
        data[4..].copy_from_slice(digest);
        Ok(Self {
            rev,
            data: Cid::from_bytes(&data).map_err(|_| StateError::Damaged)?,
            is_desynchronised: flags & DESYNCHRONISED != 0,
        })
    }
}

/// Why bytes are not a [`RepoState`].
///
/// # Examples
///
/// ```
/// use jetwash_verify::{RepoState, StateError};
///
/// assert_eq!(RepoState::from_bytes(&[9; 42]), Err(StateError::Format(9)));
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// A field has a value that no state has.
    #[error("a repository's state with a value that no state has")]
    Damaged,
    /// A version of the format that this crate does not know.
    #[error("a repository's state in the unknown format {0}")]
    Format(u8),
    /// The bytes are this many, which is not [`RepoState::LENGTH`].
    #[error("a repository's state of {0} bytes")]
    Length(usize),
}

/// Whether an account is hosted at its host. Frames of one that is not are not delivered.
///
/// Hosts say it in `#account`; the caller keeps the newest, by the sequence number of its source.
///
/// # Examples
///
/// ```
/// use jetwash_verify::HostingState;
///
/// // No `#account` was seen, which is how most accounts start.
/// assert_eq!(HostingState::default(), HostingState::Active);
/// assert_eq!(HostingState::from_byte(HostingState::Inactive.to_byte()), HostingState::Inactive);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostingState {
    /// Hosted, or nothing is known that says otherwise.
    #[default]
    Active,
    /// Taken down, suspended, deactivated, deleted, or not there for another reason.
    Inactive,
}

impl HostingState {
    /// One byte for a store.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Inactive => 1,
        }
    }

    /// Reads the byte of [`to_byte`](Self::to_byte). An unknown byte counts as active, because then
    /// frames are verified and not lost.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Inactive,
            _ => Self::Active,
        }
    }
}

impl From<&AccountMessage<'_>> for HostingState {
    /// Reads `active` alone: `status` says why, and is an open list.
    fn from(account: &AccountMessage<'_>) -> Self {
        if account.active {
            Self::Active
        } else {
            Self::Inactive
        }
    }
}

const FORMAT: u8 = 1;
const DESYNCHRONISED: u8 = 1;
/// The start of the CID of every root.
const DAG_CBOR_SHA_256: [u8; 4] = [1, 0x71, 0x12, 32];

/// The 64 bits of a TID.
fn to_integer(tid: Tid) -> u64 {
    tid.time().get() << CLOCK_BITS | u64::from(tid.clock())
}

fn to_tid(bits: u64) -> Option<Tid> {
    let digit = |place: usize| ALPHABET[(bits >> (60 - 5 * place)) as usize & 31];
    let digits: [u8; Tid::LENGTH] = std::array::from_fn(digit);
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

const CLOCK_BITS: u32 = 10;
const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
