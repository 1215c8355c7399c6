use std::sync::Arc;

use jetwash_cbor::Cid;

/// One frame, and its content.
///
/// The content is not decoded from the bytes: it is what the network did, so that tests can compare
/// the result of decoding with it.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ManualNetwork, SimChange, did};
///
/// let frame = ManualNetwork::new().apply(&SimChange::sync(did(0)))?;
/// assert_eq!((frame.seq, &*frame.did), (1, &*did(0)));
/// assert!(frame.bytes.starts_with(b"\xa2\x61t\x65#sync"));
/// # Ok::<(), jetwash_sim::ChangeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimFrame {
    /// The sequence number: one more than that of the frame before.
    pub seq: u64,
    /// The account.
    pub did: Arc<str>,
    /// When the relay saw it, as the frame says.
    pub time: String,
    /// The frame, byte for byte as it goes over the socket.
    pub bytes: Vec<u8>,
    /// The event itself.
    pub event: SimEvent,
}

/// The content of a [`SimFrame`].
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ManualNetwork, SimChange, SimEvent, did};
///
/// let change = SimChange::account(did(0), false, Some("takendown"));
/// let frame = ManualNetwork::new().apply(&change)?;
/// assert_eq!(frame.event, SimEvent::Account { active: false, status: Some("takendown") });
/// # Ok::<(), jetwash_sim::ChangeError>(())
/// ```
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

/// The content of a `#commit` frame.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ManualNetwork, SimChange, SimEvent, did};
/// use serde_json::json;
///
/// let change = SimChange::create(did(0), "app.example.post", "1", json!({}));
/// let frame = ManualNetwork::new().apply(&change)?;
/// let SimEvent::Commit(commit) = frame.event else { unreachable!() };
/// assert_eq!((commit.since, commit.ops.len()), (None, 1));
/// # Ok::<(), jetwash_sim::ChangeError>(())
/// ```
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
///
/// # Examples
///
/// ```
/// use jetwash_sim::{SimAction, SimOp};
///
/// fn deleted(ops: &[SimOp]) -> impl Iterator<Item = &str> {
///     let ops = ops.iter().filter(|op| op.action == SimAction::Delete);
///     ops.map(|op| op.rkey.as_str())
/// }
/// assert_eq!(deleted(&[]).count(), 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimOp {
    /// The operation.
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

/// The effect of a [`SimOp`] on a record.
///
/// # Examples
///
/// ```
/// use jetwash_sim::SimAction;
///
/// assert_eq!(SimAction::Create.as_str(), "create");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimAction {
    /// The record is new.
    Create,
    /// The record is gone.
    Delete,
    /// The record has new content.
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
