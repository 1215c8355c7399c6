use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jetwash_event::{Cid, Micros, Tid};
use jetwash_frame::{AccountMessage, Action, IdentityMessage, RepoOp};
use jetwash_store::AccountState;
use serde::Deserialize;

/// The newest revisions of the accounts that were active not long ago, in two halves: when the
/// newer is full, the older is forgotten.
///
/// Accounts are known by a hash. Two that share all 64 bits would be taken for one, which with a
/// secret key cannot be arranged and by chance happens once in a hundred million years.
#[derive(Debug)]
pub(crate) struct Revs {
    hasher: RandomState,
    newer: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    older: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    capacity: usize,
}

impl Revs {
    /// Remembers at least the last `capacity` accounts, and at most twice as many.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            newer: HashMap::default(),
            older: HashMap::default(),
            capacity,
        }
    }

    pub(crate) fn key(&self, did: &str) -> u64 {
        self.hasher.hash_one(did)
    }

    pub(crate) fn get(&self, key: u64) -> Option<u64> {
        let found = self.newer.get(&key).or_else(|| self.older.get(&key));
        found.copied()
    }

    pub(crate) fn insert(&mut self, key: u64, rev: u64) {
        self.newer.insert(key, rev);
        if self.newer.len() >= self.capacity {
            self.older = std::mem::take(&mut self.newer);
        }
    }
}

/// Takes a number that is a hash for its own hash.
#[derive(Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Whether a revision is at most an hour ahead of `now`, the time of its event. One that is further
/// ahead must not keep the real events of an account out.
pub(crate) fn is_believable(rev: &Tid, now: Micros) -> bool {
    rev.time() <= now.plus(BELIEVABLE)
}

/// A revision as a number, in the order of time.
pub(crate) fn rev_number(rev: &Tid) -> u64 {
    rev.time().get() << 10 | u64::from(rev.clock())
}

/// Identifies an operation among all of its account's revision.
pub(crate) fn op_digest(op: &RepoOp<'_>) -> u64 {
    let action = match op.action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::Other(name) => name,
    };
    let cid = op.cid.map(Cid::try_from);
    let cid = cid.as_ref().and_then(|cid| cid.as_ref().ok());
    digest_op(action, op.path, cid)
}

/// Identifies an operation by its parts, as [`op_digest`] does.
pub(crate) fn digest_op(action: &str, path: &str, cid: Option<&Cid>) -> u64 {
    let cid = cid.map_or(&[][..], |cid| cid.as_bytes());
    AccountState::digest(&[action.as_bytes(), path.as_bytes(), cid])
}

/// Identifies an identity event among all of its account.
pub(crate) fn identity_digest(identity: &IdentityMessage<'_>) -> u64 {
    digest_identity(identity.handle, identity.time)
}

/// Identifies an identity event by its parts, as [`identity_digest`] does.
pub(crate) fn digest_identity(handle: Option<&str>, time: &str) -> u64 {
    AccountState::digest(&[
        b"identity",
        handle.unwrap_or_default().as_bytes(),
        time.as_bytes(),
    ])
}

/// Identifies a change of the hosting status among all of its account.
pub(crate) fn account_digest(account: &AccountMessage<'_>) -> u64 {
    digest_account(account.active, account.status, account.time)
}

/// Identifies a change of the hosting status by its parts, as [`account_digest`] does.
pub(crate) fn digest_account(active: bool, status: Option<&str>, time: &str) -> u64 {
    let status = status.unwrap_or_default().as_bytes();
    AccountState::digest(&[b"account", &[u8::from(active)], status, time.as_bytes()])
}

/// Identifies a new state of the repository among all of its account.
pub(crate) fn digest_sync(rev: &str, blocks: &[u8], time: &str) -> u64 {
    AccountState::digest(&[b"sync", rev.as_bytes(), blocks, time.as_bytes()])
}

/// An event of the log, as far as it says what is known of its account.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    time_us: u64,
    #[serde(borrow)]
    commit: Option<LineCommit<'a>>,
    #[serde(borrow)]
    identity: Option<LineIdentity<'a>>,
    #[serde(borrow)]
    account: Option<LineAccount<'a>>,
    #[serde(borrow)]
    sync: Option<LineSync<'a>>,
}

#[derive(Debug, Deserialize)]
struct LineCommit<'a> {
    rev: &'a str,
    operation: &'a str,
    collection: &'a str,
    rkey: Cow<'a, str>,
    cid: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct LineIdentity<'a> {
    #[serde(borrow)]
    handle: Option<Cow<'a, str>>,
    time: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct LineAccount<'a> {
    active: bool,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    time: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct LineSync<'a> {
    #[serde(borrow)]
    blocks: LineBytes<'a>,
    rev: &'a str,
    time: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct LineBytes<'a> {
    #[serde(rename = "$bytes")]
    base64: &'a str,
}

impl<'a> Line<'a> {
    pub(crate) fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn did(&self) -> &str {
        &self.did
    }

    /// Returns the revision of a commit, if it may be remembered.
    pub(crate) fn rev(&self) -> Option<u64> {
        let rev: Tid = self.commit.as_ref()?.rev.parse().ok()?;
        is_believable(&rev, Micros::new(self.time_us)).then(|| rev_number(&rev))
    }

    /// Adds what follows from the event to what is known of its account; `false` if nothing does.
    pub(crate) fn add_to(&self, state: &mut AccountState) -> bool {
        if let Some(commit) = &self.commit {
            let Some(rev) = self.rev() else {
                return false;
            };
            if rev < state.rev {
                return false;
            }
            if rev > state.rev {
                state.rev = rev;
                state.ops.clear();
            }
            let path = format!("{}/{}", commit.collection, commit.rkey);
            let cid = commit.cid.and_then(|cid| cid.parse::<Cid>().ok());
            let digest = digest_op(commit.operation, &path, cid.as_ref());
            add_op(state, digest);
        } else if let Some(identity) = &self.identity {
            state.add_notice(digest_identity(identity.handle.as_deref(), &identity.time));
        } else if let Some(account) = &self.account {
            let status = account.status.as_deref();
            state.add_notice(digest_account(account.active, status, &account.time));
        } else if let Some(sync) = &self.sync {
            let Ok(blocks) = STANDARD_NO_PAD.decode(sync.blocks.base64) else {
                return false;
            };
            state.add_notice(digest_sync(sync.rev, &blocks, &sync.time));
        }
        true
    }
}

/// Remembers an operation of the newest revision.
pub(crate) fn add_op(state: &mut AccountState, digest: u64) {
    if state.ops.len() < AccountState::MAX_OPS && !state.ops.contains(&digest) {
        state.ops.push(digest);
    }
}

/// How far the revisions of an account may be ahead of the clock here.
const BELIEVABLE: Duration = Duration::from_secs(3_600);

/// Seconds since 1970 of a time in UTC, as relays write them; `None` for any other.
pub(crate) fn utc_seconds(time: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    if !time.ends_with('Z') && !time.ends_with("+00:00") {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Years begin in March here, so that a leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recent_is_known_and_what_is_old_is_forgotten() {
        let mut revs = Revs::new(100);
        let key = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..150 {
            revs.insert(key(number), number);
        }
        assert_eq!(revs.get(key(0)), Some(0));
        revs.insert(key(0), 7);
        assert_eq!(revs.get(key(0)), Some(7));
        for number in 150..400 {
            revs.insert(key(number), number);
        }
        assert_eq!(revs.get(key(0)), None);
        assert_eq!(revs.get(key(399)), Some(399));
        assert!(revs.newer.len() + revs.older.len() <= 200);
    }

    /// Everything that makes two events of an account different, one at a time.
    #[test]
    fn a_digest_depends_on_every_part_of_its_event() {
        let cid = |text: &str| text.parse::<Cid>().unwrap();
        let one = cid("bafyreibvjvcv745gig4mvqs4hctx4zfkono4rjejm2ta6gtyzkqxfjeily");
        let two = cid("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");
        let status = |active, status| digest_account(active, status, "2026-07-04T14:38:07Z");
        let digests = [
            digest_op("create", "a/b", Some(&one)),
            digest_op("update", "a/b", Some(&one)),
            digest_op("create", "a/c", Some(&one)),
            digest_op("create", "a/b", Some(&two)),
            digest_op("create", "a/b", None),
            digest_op("delete", "a/b", None),
            status(true, None),
            status(false, None),
            status(false, Some("deactivated")),
            status(false, Some("takendown")),
            digest_account(false, Some("takendown"), "2026-07-04T14:38:08Z"),
            digest_identity(None, "2026-07-04T14:38:07Z"),
            digest_identity(Some("a.example"), "2026-07-04T14:38:07Z"),
            digest_identity(None, "2026-07-04T14:38:08Z"),
            digest_sync("3l3qo2vutsw2b", b"car", "2026-07-04T14:38:07Z"),
            digest_sync("3l3qo2vutsw2c", b"car", "2026-07-04T14:38:07Z"),
            digest_sync("3l3qo2vutsw2b", b"cat", "2026-07-04T14:38:07Z"),
            digest_sync("3l3qo2vutsw2b", b"car", "2026-07-04T14:38:08Z"),
        ];
        for (index, digest) in digests.iter().enumerate() {
            let same = digests.iter().position(|other| other == digest);
            assert_eq!(same, Some(index));
        }
    }

    #[test]
    fn times_are_read_as_relays_write_them() {
        let seconds = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T23:59:59.999Z", Some(951_868_799)),
            ("2026-07-04T14:38:08.085Z", Some(1_783_175_888)),
            ("2026-03-01T00:00:00+00:00", Some(1_772_323_200)),
            ("2026-07-04T14:38:08+02:00", None),
            ("Z", None),
            ("2026-07-04T14:3é:08Z", None),
        ];
        for (text, expected) in seconds {
            assert_eq!(utc_seconds(text), expected, "{text}");
        }
    }
}
