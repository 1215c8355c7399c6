use std::sync::Arc;

use jetwash_cbor::Cid;

/// One frame, and what it says.
///
/// The second half does not come from the first: it is what the network did, so that tests can
/// hold the result of decoding against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimFrame {
    /// The sequence number: one more than that of the frame before.
    pub seq: u64,
    /// The account it is about.
    pub did: Arc<str>,
    /// When the relay saw it, as the frame says.
    pub time: String,
    /// The frame, byte for byte as it goes over the socket.
    pub bytes: Vec<u8>,
    /// What happened.
    pub event: SimEvent,
}

/// What a [`SimFrame`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SimEvent {
    /// `#account`: whether the account is there.
    Account {
        /// Whether it is to be shown.
        active: bool,
        /// Why, if the frame says so.
        status: Option<&'static str>,
    },
    /// `#commit`: records were written.
    Commit(SimCommit),
    /// `#identity`: the DID document or the handle may have changed.
    Identity {
        /// The handle, if the frame names it.
        handle: Option<String>,
    },
    /// `#sync`: the current state of the repository.
    Sync {
        /// The revision, which is always the one of the last commit.
        rev: String,
        /// The commit object.
        commit: Cid,
    },
}

/// What a `#commit` frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimCommit {
    /// The revision.
    pub rev: String,
    /// The revision before; `None` for the first.
    pub since: Option<String>,
    /// The commit object.
    pub commit: Cid,
    /// The root of the tree.
    pub data: Cid,
    /// The root of the tree before; `None` for the first commit.
    pub previous_data: Option<Cid>,
    /// The operations in the order of the frame.
    pub ops: Vec<SimOp>,
}

/// One operation of a [`SimCommit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOp {
    /// What was done.
    pub action: SimAction,
    /// The collection, an NSID.
    pub collection: String,
    /// The record key.
    pub rkey: String,
    /// The record; `None` if it was deleted.
    pub cid: Option<Cid>,
    /// The record before; `None` if it was created.
    pub previous: Option<Cid>,
    /// The record as DAG-CBOR; `None` if it was deleted.
    pub record: Option<Arc<[u8]>>,
}

/// What a [`SimOp`] does to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimAction {
    /// There was none before.
    Create,
    /// There is none now.
    Delete,
    /// There was another before.
    Update,
}

impl SimAction {
    /// As the frame says it: `create`, `delete` or `update`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Update => "update",
        }
    }
}
