use std::sync::Arc;

use serde_json::Value;

/// One thing that happens to an account of a [`ManualNetwork`](crate::ManualNetwork): it makes one
/// frame.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{SimChange, SimWrite, did};
/// use serde_json::json;
///
/// let alice = did(0);
/// let like = json!({"$type": "app.example.like", "subject": "at://did:web:a.example/app.example.post/1"});
/// let changes = [
///     SimChange::create(&alice, "app.example.like", "1", like.clone()),
///     SimChange::commit(&alice, [
///         SimWrite::delete("app.example.like", "1"),
///         SimWrite::create("app.example.like", "2", like),
///     ]),
///     SimChange::account(&alice, false, Some("takendown")),
/// ];
/// assert_eq!(changes[2].did(), alice);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SimChange {
    pub(crate) did: Arc<str>,
    pub(crate) what: What,
}

impl SimChange {
    /// `#commit` with one record that was not there before.
    pub fn create(did: impl AsRef<str>, collection: &str, rkey: &str, record: Value) -> Self {
        Self::commit(did, [SimWrite::create(collection, rkey, record)])
    }

    /// `#commit` with another content for a record.
    pub fn update(did: impl AsRef<str>, collection: &str, rkey: &str, record: Value) -> Self {
        Self::commit(did, [SimWrite::update(collection, rkey, record)])
    }

    /// `#commit` that removes a record.
    pub fn delete(did: impl AsRef<str>, collection: &str, rkey: &str) -> Self {
        Self::commit(did, [SimWrite::delete(collection, rkey)])
    }

    /// `#commit` with several operations, or with none.
    pub fn commit(did: impl AsRef<str>, writes: impl IntoIterator<Item = SimWrite>) -> Self {
        Self::of(did, What::Commit(writes.into_iter().collect()))
    }

    /// `#account`: whether the account is to be shown, and if not, why: `takendown`, `suspended`,
    /// `deleted`, `deactivated`.
    pub fn account(did: impl AsRef<str>, active: bool, status: Option<&'static str>) -> Self {
        Self::of(did, What::Account { active, status })
    }

    /// `#identity`: the DID document or the handle may have changed.
    pub fn identity(did: impl AsRef<str>, handle: Option<&str>) -> Self {
        Self::of(did, What::Identity(handle.map(str::to_owned)))
    }

    /// `#sync`: the state that the repository has, empty if nothing was written.
    pub fn sync(did: impl AsRef<str>) -> Self {
        Self::of(did, What::Sync)
    }

    /// The account.
    #[must_use]
    pub fn did(&self) -> &str {
        &self.did
    }

    fn of(did: impl AsRef<str>, what: What) -> Self {
        Self {
            did: did.as_ref().into(),
            what,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Account {
        active: bool,
        status: Option<&'static str>,
    },
    Commit(Vec<SimWrite>),
    Identity(Option<String>),
    Sync,
}

/// One operation of a [`SimChange::commit`].
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ManualNetwork, SimChange, SimEvent, SimWrite, did};
/// use serde_json::json;
///
/// let writes = ["1", "2"].map(|rkey| SimWrite::create("app.example.post", rkey, json!({})));
/// let frame = ManualNetwork::new().apply(&SimChange::commit(did(0), writes))?;
/// assert!(matches!(frame.event, SimEvent::Commit(commit) if commit.ops.len() == 2));
/// # Ok::<(), jetwash_sim::ChangeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SimWrite {
    pub(crate) path: String,
    pub(crate) action: Action,
}

impl SimWrite {
    /// A record that is not there yet, in the JSON form of the data model: `$link` for a CID,
    /// `$bytes` for bytes, and integers only.
    #[must_use]
    pub fn create(collection: &str, rkey: &str, record: Value) -> Self {
        Self::of(collection, rkey, Action::Create(record))
    }

    /// Another content for a record that is there.
    #[must_use]
    pub fn update(collection: &str, rkey: &str, record: Value) -> Self {
        Self::of(collection, rkey, Action::Update(record))
    }

    /// The end of a record that is there.
    #[must_use]
    pub fn delete(collection: &str, rkey: &str) -> Self {
        Self::of(collection, rkey, Action::Delete)
    }

    fn of(collection: &str, rkey: &str, action: Action) -> Self {
        Self {
            path: format!("{collection}/{rkey}"),
            action,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Create(Value),
    Delete,
    Update(Value),
}
