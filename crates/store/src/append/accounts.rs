//! The states of all accounts: what was set last, and the recent past.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jetwash_event::{Micros, PlcDid};

use super::account_state::AccountState;
use crate::backend::{AccountRow, Backend, Bucket, BucketName};
use crate::crash::crash_point;
use crate::error::BackendError;
use crate::seq::Seq;

/// The accounts of a ring: what was set since the last commit, the recent past in memory, and the
/// rest on disk, if the ring is there.
pub(crate) struct Accounts {
    hasher: RandomState,
    /// The recent past in two halves: when the newer is full, the older is forgotten. Accounts are
    /// known by a hash with a secret key, of which two that collide are not to be expected.
    newer: HashMap<u64, Bytes>,
    older: HashMap<u64, Bytes>,
    /// The bytes of the newer half, and those that make it full.
    newer_bytes: usize,
    capacity: usize,
    /// The rest, on disk, the newest last: up to [`AccountBucket::KEPT`] of them.
    buckets: Vec<AccountBucket>,
    /// Set since the last commit, with the accounts' keys.
    pending: HashMap<u64, (Vec<u8>, Bytes)>,
    /// All events before this position are accounted for.
    covered: Seq,
    /// Whether the events to come will be.
    is_covering: bool,
}

impl Accounts {
    /// `is_stored` tells whether a backend keeps what is forgotten here.
    pub(crate) fn new(is_stored: bool, covered: Seq, buckets: Vec<AccountBucket>) -> Self {
        Self {
            hasher: RandomState::new(),
            newer: HashMap::new(),
            older: HashMap::new(),
            newer_bytes: 0,
            capacity: if is_stored { CACHED } else { KEPT },
            buckets,
            pending: HashMap::new(),
            covered,
            is_covering: false,
        }
    }

    pub(crate) fn get(&mut self, did: &str) -> Result<Option<AccountState>, BackendError> {
        let hash = self.hasher.hash_one(did);
        if let Some(bytes) = self.newer.get(&hash) {
            return Ok(AccountState::decode(bytes));
        }
        let found = match self.older.get(&hash) {
            Some(bytes) => Some(bytes.clone()),
            None => match self.pending.get(&hash) {
                Some((_, bytes)) => Some(bytes.clone()),
                None => self.stored(&key(did))?,
            },
        };
        let Some(bytes) = found else { return Ok(None) };
        let state = AccountState::decode(&bytes);
        self.remember(hash, bytes);
        Ok(state)
    }

    pub(crate) fn set(&mut self, did: &str, state: &AccountState) {
        let bytes = state.encode();
        let hash = self.hasher.hash_one(did);
        self.remember(hash, bytes.clone());
        // Most accounts have several events in a row, and the key is made once for them.
        let (_, pending) = self
            .pending
            .entry(hash)
            .or_insert_with(|| (key(did), Bytes::new()));
        *pending = bytes;
    }

    fn remember(&mut self, hash: u64, bytes: Bytes) {
        self.newer_bytes += ENTRY + bytes.len();
        if let Some(replaced) = self.newer.insert(hash, bytes) {
            self.newer_bytes -= ENTRY + replaced.len();
        }
        if self.newer_bytes >= self.capacity {
            self.older = std::mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Looks from the newest bucket to the oldest, so that what was set last counts.
    fn stored(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        for AccountBucket { bucket, .. } in self.buckets.iter().rev() {
            if let Some(bytes) = bucket.account(key)? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The states that the next commit writes, all of them to the newest bucket, which is begun
    /// if it is not there.
    pub(crate) fn plan(
        &mut self,
        now: Micros,
        backend: &dyn Backend,
    ) -> Result<Vec<AccountRow>, BackendError> {
        if self.pending.is_empty() {
            return Ok(Vec::new());
        }
        let begun = match self.buckets.last() {
            Some(newest) => newest.begun,
            None => self.begin(now.get(), backend)?,
        };
        let rows = self.pending.values().map(|(key, value)| AccountRow {
            bucket: begun,
            key: key.clone(),
            value: value.clone(),
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(rows)
    }

    fn begin(&mut self, begun: u64, backend: &dyn Backend) -> Result<u64, BackendError> {
        let bucket = backend.create_bucket(BucketName::Accounts(begun))?;
        self.buckets.push(AccountBucket { begun, bucket });
        Ok(begun)
    }

    /// Begins a bucket if the newest is full or old, and drops the oldest if they are too many then.
    /// Returns the number of entries in it.
    ///
    /// An opening drops what is beyond the newest buckets as well, so a crash in between only leaves
    /// it the rest to do. As they go in order, no state comes back that a later one has replaced.
    pub(crate) fn rotate(
        &mut self,
        now: Micros,
        age: Duration,
        max_bytes: u64,
        backend: &dyn Backend,
    ) -> Result<u64, BackendError> {
        let Some(newest) = self.buckets.last() else {
            return Ok(0);
        };
        let (bytes, entries) = newest.bucket.size();
        let is_old = now >= Micros::new(newest.begun).plus(age);
        let is_full = bytes >= max_bytes / AccountBucket::KEPT as u64;
        if entries == 0 || !is_old && !is_full {
            return Ok(0);
        }
        // Numbers increase even where the time stands still.
        let begun = now.get().max(newest.begun + 1);
        self.begin(begun, backend)?;
        crash_point!("trim.accounts_begun");
        let mut dropped = 0;
        while self.buckets.len() > AccountBucket::KEPT {
            let AccountBucket { begun, bucket } = self.buckets.remove(0);
            dropped += bucket.size().1;
            drop(bucket);
            backend.delete_bucket(BucketName::Accounts(begun))?;
            crash_point!("trim.accounts_deleted");
        }
        Ok(dropped)
    }

    /// The bytes and the entries on disk.
    pub(crate) fn size(&self) -> (u64, u64) {
        let sizes = self.buckets.iter().map(|bucket| bucket.bucket.size());
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
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

/// The states of accounts that were set in a span of time.
pub(crate) struct AccountBucket {
    /// When it was begun, in microseconds; 0 if that is not known.
    pub(crate) begun: u64,
    pub(crate) bucket: Arc<dyn Bucket>,
}

impl AccountBucket {
    /// How many are kept: one that is filled, and one that is full.
    pub(crate) const KEPT: usize = 2;
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
/// The bytes that an account takes in memory beside its entry.
const ENTRY: usize = 64;
/// The bytes of a half of the memory: some 14,000 accounts, or 9,000 that are verified.
const CACHED: usize = 1_300_000;
/// The same in a ring in memory, where nothing else keeps them.
const KEPT: usize = 10_700_000;

#[cfg(test)]
mod tests {
    use super::super::account_state::tests::state;
    use super::*;

    #[test]
    fn what_is_pending_is_found_even_when_memory_has_forgotten_it() {
        let mut accounts = Accounts::new(true, Seq::new(0), Vec::new());
        accounts.set("did:web:a.example", &state(1, &[], &[]));
        accounts.newer.clear();
        let found = accounts.get("did:web:a.example");
        assert_eq!(found.unwrap().map(|state| state.rev), Some(1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut accounts = Accounts::new(true, Seq::new(0), Vec::new());
        let ops: Vec<u64> = (0..200).collect();
        for number in 0..100_000 {
            // Far larger than usual, now and then.
            let ops = if number % 100 < 2 { &ops[..] } else { &[] };
            accounts.set(&format!("did:web:{number}.example"), &state(1, ops, &[]));
            accounts.committed(Seq::FIRST);
            let halves = accounts.newer.values().chain(accounts.older.values());
            if number % 1_000 == 0 {
                let bytes: usize = halves.map(|bytes| ENTRY + bytes.len()).sum();
                assert!(bytes <= 2 * CACHED + 2_000, "{bytes} bytes");
            }
        }
        let mut found = |number: u32| {
            let did = format!("did:web:{number}.example");
            accounts.get(&did).unwrap().is_some()
        };
        assert!(found(99_999) && !found(0));
    }
}
