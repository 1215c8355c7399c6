//! The state of each account. How it is stored is in `docs/store-format.md`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use jetwash_event::PlcDid;
use xxhash_rust::xxh3::Xxh3;

use crate::backend::Backend;
use crate::error::BackendError;
use crate::seq::Seq;

/// The state of an account, which outlives its events: enough to tell a new event from one that comes
/// again, or too late.
///
/// It is set with the events that it follows from, and becomes durable with them: see
/// [`Appender::set_account`](crate::Appender::set_account).
///
/// # Examples
///
/// ```
/// use jetwash_store::{AccountState, Location, Options, open};
///
/// let did = "did:plc:z72i7hdynmk6r22z27h6tvur";
/// let (mut appender, _store) = open(Location::Memory, Options::default())?;
/// assert_eq!(appender.account(did)?, None);
/// let mut state = AccountState::default();
/// state.rev = 7;
/// state.ops.push(AccountState::digest(&[b"create", b"app.example.post/1"]));
/// appender.set_account(did, &state);
/// appender.commit()?;
/// assert_eq!(appender.account(did)?, Some(state));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountState {
    /// The newest revision of which an operation is in the ring, as the 64 bits of its TID; 0 if
    /// there is no such operation.
    pub rev: u64,
    /// [Digests](Self::digest) of the operations of that revision that are in the ring, at most
    /// [`MAX_OPS`](Self::MAX_OPS).
    pub ops: Vec<u64>,
    /// Digests of the latest other events of the account that are in the ring, the newest last, at
    /// most [`MAX_NOTICES`](Self::MAX_NOTICES).
    pub notices: Vec<u64>,
}

impl AccountState {
    /// The limit of [`ops`](Self::ops): as many as the largest commit has.
    pub const MAX_OPS: usize = 200;
    /// The limit of [`notices`](Self::notices).
    pub const MAX_NOTICES: usize = 8;

    /// A number that stands for some content, the same in each run: the first 64 bits of XXH3 over
    /// the parts, each preceded by its length.
    #[must_use]
    pub fn digest(parts: &[&[u8]]) -> u64 {
        let mut hasher = Xxh3::new();
        for part in parts {
            hasher.update(&(part.len() as u32).to_le_bytes());
            hasher.update(part);
        }
        hasher.digest()
    }

    /// Remembers one of the other events, and forgets the oldest if they are too many.
    pub fn add_notice(&mut self, digest: u64) {
        let excess = (self.notices.len() + 1).saturating_sub(Self::MAX_NOTICES);
        self.notices.drain(..excess);
        self.notices.push(digest);
    }

    fn encode(&self) -> Bytes {
        let ops = &self.ops[self.ops.len().saturating_sub(Self::MAX_OPS)..];
        let notices = &self.notices[self.notices.len().saturating_sub(Self::MAX_NOTICES)..];
        let mut bytes = Vec::with_capacity(HEAD + 8 * (ops.len() + notices.len()));
        bytes.extend([VERSION, notices.len() as u8]);
        bytes.extend((ops.len() as u16).to_le_bytes());
        bytes.extend(self.rev.to_le_bytes());
        for digest in ops.iter().chain(notices) {
            bytes.extend(digest.to_le_bytes());
        }
        bytes.into()
    }

    /// `None` if it is damaged, or of a later version: then nothing is known of the account.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, digests) = bytes.split_first_chunk::<HEAD>()?;
        let [VERSION, notices, few, many, rev @ ..] = *head else {
            return None;
        };
        let (digests, []) = digests.as_chunks::<8>() else {
            return None;
        };
        let ops = usize::from(u16::from_le_bytes([few, many]));
        if digests.len() != ops + usize::from(notices) {
            return None;
        }
        let mut digests = digests.iter().map(|digest| u64::from_le_bytes(*digest));
        Some(Self {
            rev: u64::from_le_bytes(rev),
            ops: digests.by_ref().take(ops).collect(),
            notices: digests.collect(),
        })
    }
}

/// The accounts of a ring: what was set since the last commit, the recent past in memory, and the
/// rest on disk, if the ring is there.
pub(crate) struct Accounts {
    hasher: RandomState,
    /// The recent past in two halves: when the newer is full, the older is forgotten. Accounts are
    /// known by a hash with a secret key, of which two that collide are not to be expected.
    newer: HashMap<u64, Bytes>,
    older: HashMap<u64, Bytes>,
    capacity: usize,
    /// Set since the last commit.
    pending: BTreeMap<Vec<u8>, Bytes>,
    /// All events before this position are accounted for.
    covered: Seq,
    /// Whether the events to come will be.
    is_covering: bool,
}

impl Accounts {
    /// `is_stored` tells whether a backend keeps what is forgotten here.
    pub(crate) fn new(is_stored: bool, covered: Seq) -> Self {
        Self {
            hasher: RandomState::new(),
            newer: HashMap::new(),
            older: HashMap::new(),
            capacity: if is_stored { CACHED } else { KEPT },
            pending: BTreeMap::new(),
            covered,
            is_covering: false,
        }
    }

    pub(crate) fn get(
        &mut self,
        did: &str,
        backend: &dyn Backend,
    ) -> Result<Option<AccountState>, BackendError> {
        let hash = self.hasher.hash_one(did);
        if let Some(bytes) = self.newer.get(&hash) {
            return Ok(AccountState::decode(bytes));
        }
        let found = match self.older.get(&hash) {
            Some(bytes) => Some(bytes.clone()),
            None => {
                let key = key(did);
                match self.pending.get(&key) {
                    Some(bytes) => Some(bytes.clone()),
                    None => backend.account(&key)?,
                }
            }
        };
        let Some(bytes) = found else { return Ok(None) };
        let state = AccountState::decode(&bytes);
        self.remember(hash, bytes);
        Ok(state)
    }

    pub(crate) fn set(&mut self, did: &str, state: &AccountState) {
        let bytes = state.encode();
        self.remember(self.hasher.hash_one(did), bytes.clone());
        self.pending.insert(key(did), bytes);
    }

    fn remember(&mut self, hash: u64, bytes: Bytes) {
        self.newer.insert(hash, bytes);
        if self.newer.len() >= self.capacity {
            self.older = std::mem::take(&mut self.newer);
        }
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The states that the next commit writes.
    pub(crate) fn pending(&self) -> Vec<(Vec<u8>, Bytes)> {
        let pairs = self.pending.iter();
        pairs
            .map(|(key, bytes)| (key.clone(), bytes.clone()))
            .collect()
    }

    /// The position that the next commit notes as covered, if that is another than before.
    pub(crate) fn cover(&self, next_seq: Seq) -> Option<Seq> {
        (self.is_covering && next_seq != self.covered).then_some(next_seq)
    }

    pub(crate) fn committed(&mut self, next_seq: Seq) {
        self.pending.clear();
        if self.is_covering {
            self.covered = next_seq;
        }
    }

    pub(crate) const fn covered(&self) -> Seq {
        self.covered
    }

    pub(crate) const fn start_covering(&mut self) {
        self.is_covering = true;
    }
}

/// The key of an account: what stands behind `did:plc:` as 120 bits, and any other DID as text.
fn key(did: &str) -> Vec<u8> {
    match PlcDid::parse(did) {
        Some(did) => [&[PLC], &did.to_bytes()[..]].concat(),
        None => [&[TEXT], did.as_bytes()].concat(),
    }
}

const PLC: u8 = 0;
const TEXT: u8 = 1;
const VERSION: u8 = 1;
/// The bytes of a state before its digests.
const HEAD: usize = 12;
/// How many accounts a half of the memory holds: some 90 bytes each.
const CACHED: usize = 14_000;
/// The same in a ring in memory, where nothing else keeps them.
const KEPT: usize = 114_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;

    fn state(rev: u64, ops: &[u64], notices: &[u64]) -> AccountState {
        AccountState {
            rev,
            ops: ops.to_vec(),
            notices: notices.to_vec(),
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written_and_damage_is_nothing_known() {
        let ops: Vec<u64> = (0..200).collect();
        for state in [
            state(0, &[], &[]),
            state(u64::MAX, &[1], &[]),
            state(1 << 60, &ops, &[1, 2, 3]),
        ] {
            let bytes = state.encode();
            assert_eq!(AccountState::decode(&bytes), Some(state));
            for length in 0..bytes.len() {
                assert_eq!(AccountState::decode(&bytes[..length]), None);
            }
        }
        let mut later = state(5, &[1], &[]).encode().to_vec();
        later[0] = 2;
        assert_eq!(AccountState::decode(&later), None);
    }

    #[test]
    fn only_the_latest_notices_are_remembered() {
        let mut state = AccountState::default();
        (0..20).for_each(|digest| state.add_notice(digest));
        assert_eq!(state.notices, (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_pending_is_found_even_when_memory_has_forgotten_it() {
        let opened = MemoryBackend::open();
        let mut accounts = Accounts::new(true, Seq::new(0));
        accounts.set("did:web:a.example", &state(1, &[], &[]));
        accounts.newer.clear();
        let found = accounts.get("did:web:a.example", &*opened.backend);
        assert_eq!(found.unwrap().map(|state| state.rev), Some(1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut accounts = Accounts::new(true, Seq::new(0));
        for number in 0..100_000 {
            accounts.set(&format!("did:web:{number}.example"), &state(1, &[], &[]));
            accounts.committed(Seq::FIRST);
        }
        assert!(accounts.newer.len() + accounts.older.len() <= 2 * CACHED);
        let opened = MemoryBackend::open();
        let mut found = |number: u32| {
            let did = format!("did:web:{number}.example");
            accounts.get(&did, &*opened.backend).unwrap().is_some()
        };
        assert!(found(99_999) && !found(0));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let digest = AccountState::digest;
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"a"]), digest(&[b"a", b""]));
    }
}
