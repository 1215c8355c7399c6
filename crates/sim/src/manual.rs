use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jetwash_event::Micros;
use jetwash_mst::MAX_KEY_BYTES;
use thiserror::Error;

use crate::account::{self, Account};
use crate::change::{Action, SimChange, SimWrite, What};
use crate::clock::{datetime, tid};
use crate::config::NetworkConfig;
use crate::frames::{self, Stamp};
use crate::json::{self, RecordJsonError};
use crate::repo::{Repo, Write};
use crate::truth::{SimEvent, SimFrame};

/// A network in which every change comes from the test.
///
/// Each [`SimChange`] becomes the frame that a relay would send for it: commits are signed, trees
/// and proofs are true, revisions and roots chain, so that a consumer that verifies everything
/// accepts them. An account comes to be when it is first mentioned, with an empty repository.
///
/// No clock is read. Each frame is a millisecond after the last, from 2026-01-01 on or from where
/// [`set_time`](Self::set_time) puts it.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{SimChange, ManualNetwork, SimEvent, did};
/// use serde_json::json;
///
/// let mut network = ManualNetwork::new();
/// let post = json!({"$type": "app.example.post", "text": "Hej"});
/// let frame = network.apply(&SimChange::create(did(0), "app.example.post", "1", post))?;
/// let SimEvent::Commit(commit) = &frame.event else { unreachable!() };
/// assert_eq!(commit.ops[0].rkey, "1");
/// assert!(network.did_document(&frame.did).is_some());
///
/// let again = network.apply(&SimChange::delete(did(0), "app.example.post", "2"));
/// assert_eq!(again.unwrap_err().to_string(), "app.example.post/2 cannot be deleted: it is not there");
/// # Ok::<(), jetwash_sim::ChangeError>(())
/// ```
#[derive(Debug)]
pub struct ManualNetwork {
    config: NetworkConfig,
    now: u64,
    next_seq: u64,
    accounts: Vec<Account>,
    by_did: HashMap<Arc<str>, usize>,
}

impl ManualNetwork {
    /// A network without accounts, whose first frame has the sequence number 1.
    #[must_use]
    pub fn new() -> Self {
        let config = NetworkConfig::default();
        Self {
            now: config.start.get(),
            next_seq: config.first_seq,
            config,
            accounts: Vec::new(),
            by_did: HashMap::new(),
        }
    }

    /// The frame of a change.
    ///
    /// # Errors
    ///
    /// When the change cannot happen: a record that is created twice, or changed without being
    /// there, or that the data model does not allow. Nothing has happened then.
    pub fn apply(&mut self, change: &SimChange) -> Result<SimFrame, ChangeError> {
        let number = self.account(&change.did);
        let writes = match &change.what {
            What::Commit(writes) => self.check(number, writes)?,
            _ => Vec::new(),
        };
        // From here on nothing fails: a refused change takes neither time nor a number.
        self.now += STEP;
        let (seed, seq) = (self.config.seed, self.next_seq);
        self.next_seq += 1;
        let time = datetime(self.now);
        let account = &mut self.accounts[number];
        let did = Arc::clone(&account.did);
        let stamp = Stamp {
            seq,
            did: &did,
            time: &time,
        };
        let (bytes, event) = match &change.what {
            What::Account { active, status } => {
                (account.active, account.status) = (*active, *status);
                let event = SimEvent::Account {
                    active: *active,
                    status: *status,
                };
                (frames::account(stamp, *active, *status), event)
            }
            What::Identity(handle) => {
                if let Some(handle) = handle {
                    account.handle.clone_from(handle);
                }
                let bytes = frames::identity(stamp, handle.as_deref());
                let handle = handle.clone();
                (bytes, SimEvent::Identity { handle })
            }
            What::Sync => {
                if account.repo.as_ref().is_none_or(Repo::is_new) {
                    let rev = tid(self.now, account.number);
                    account.write(seed, Vec::new(), rev, 0);
                }
                let (rev, commit, blocks) = account.sync(seed);
                let bytes = frames::sync(stamp, &rev, &blocks);
                (bytes, SimEvent::Sync { rev, commit })
            }
            What::Commit(_) => {
                let rev = tid(self.now, account.number);
                let committed = account.write(seed, writes, rev, 0);
                let bytes = frames::commit(stamp, &committed);
                (bytes, SimEvent::Commit(committed.into()))
            }
        };
        Ok(SimFrame {
            seq,
            did,
            time,
            bytes,
            event,
        })
    }

    /// The frames of several changes, in their order.
    ///
    /// # Errors
    ///
    /// When one of the changes cannot happen; the ones before it have happened.
    pub fn apply_all<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a SimChange>,
    ) -> Result<Vec<SimFrame>, ChangeError> {
        changes
            .into_iter()
            .map(|change| self.apply(change))
            .collect()
    }

    /// The time of the last frame.
    #[must_use]
    pub const fn time(&self) -> Micros {
        Micros::new(self.now)
    }

    /// Lets the next frame be a millisecond after this time. Time does not go back: an earlier one
    /// changes nothing.
    pub fn set_time(&mut self, time: Micros) {
        self.now = self.now.max(time.get());
    }

    /// The sequence number of the next frame.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Sets the sequence number of the next frame, for a relay that counts anew or leaves some out.
    pub const fn set_next_seq(&mut self, seq: u64) {
        self.next_seq = seq;
    }

    /// The DID document as it is now, as JSON; `None` if there is no such account.
    #[must_use]
    pub fn did_document(&self, did: &str) -> Option<String> {
        let account = &self.accounts[*self.by_did.get(did)?];
        Some(account.document(self.config.seed, &self.config.pds))
    }

    fn account(&mut self, name: &Arc<str>) -> usize {
        if let Some(number) = self.by_did.get(name) {
            return *number;
        }
        let number = self.accounts.len();
        let mut account = Account::new(self.config.seed, number as u64, None);
        account.did = Arc::clone(name);
        account.repo = Some(Repo::new(Arc::clone(name)));
        self.accounts.push(account);
        self.by_did.insert(Arc::clone(name), number);
        number
    }

    fn check(&self, number: usize, writes: &[SimWrite]) -> Result<Vec<Write>, ChangeError> {
        let repo = self.accounts[number].repo.as_ref();
        let mut written = HashSet::new();
        let check = |SimWrite { path, action }: &SimWrite| {
            let failed = |reason| ChangeError {
                path: path.clone(),
                reason,
            };
            if path.len() > MAX_KEY_BYTES {
                return Err(failed(ChangeFault::Path));
            }
            if !written.insert(path.clone()) {
                return Err(failed(ChangeFault::Twice));
            }
            let is_there = repo.is_some_and(|repo| repo.contains(path));
            // Checked before anything is written, so that a commit happens whole or not at all.
            let record = match action {
                Action::Create(_) if is_there => return Err(failed(ChangeFault::Create)),
                Action::Update(_) if !is_there => return Err(failed(ChangeFault::Update)),
                Action::Delete if !is_there => return Err(failed(ChangeFault::Delete)),
                Action::Delete => None,
                Action::Create(record) | Action::Update(record) => {
                    let record = json::encode(record);
                    Some(record.map_err(|error| failed(ChangeFault::Record(error)))?)
                }
            };
            Ok(Write {
                path: path.clone(),
                record: record.map(Arc::from),
            })
        };
        writes.iter().map(check).collect()
    }
}

impl Default for ManualNetwork {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`SimChange`] that cannot happen.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ChangeFault, ManualNetwork, SimChange, did};
///
/// let change = SimChange::delete(did(0), "app.example.post", "1");
/// let error = ManualNetwork::new().apply(&change).unwrap_err();
/// assert_eq!((&*error.path, error.reason), ("app.example.post/1", ChangeFault::Delete));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{path} {reason}")]
pub struct ChangeError {
    /// The record: its collection and key.
    pub path: String,
    /// The fault.
    pub reason: ChangeFault,
}

/// Why a [`SimChange`] cannot happen.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{ChangeFault, ManualNetwork, SimChange, did};
/// use serde_json::json;
///
/// let mut network = ManualNetwork::new();
/// let change = SimChange::create(did(0), "app.example.post", "1", json!({}));
/// network.apply(&change)?;
/// assert_eq!(network.apply(&change).unwrap_err().reason, ChangeFault::Create);
/// # Ok::<(), jetwash_sim::ChangeError>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeFault {
    /// It would be created twice.
    #[error("cannot be created: it is there already")]
    Create,
    /// There is nothing to delete.
    #[error("cannot be deleted: it is not there")]
    Delete,
    /// No repository can hold it.
    #[error("is longer than {MAX_KEY_BYTES} bytes, the most that a repository takes")]
    Path,
    /// The content does not fit the data model.
    #[error("cannot be written: {0}")]
    Record(RecordJsonError),
    /// A commit changes a record once at most.
    #[error("is written twice in one commit")]
    Twice,
    /// There is nothing to update.
    #[error("cannot be updated: it is not there")]
    Update,
}

/// Returns the DID of an account, any number of which exist: `did:plc:` and digits that look
/// random.
///
/// # Examples
///
/// ```
/// assert!(jetwash_sim::did(0).starts_with("did:plc:"));
/// assert_ne!(jetwash_sim::did(0), jetwash_sim::did(1));
/// ```
#[must_use]
pub fn did(number: u64) -> String {
    account::did(NetworkConfig::default().seed, number)
}

const STEP: u64 = 1000;
