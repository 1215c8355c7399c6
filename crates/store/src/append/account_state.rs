//! The state of one account. Its stored form is in `docs/store-format.md`.

use std::fmt;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// The state of an account, which outlives its events: enough to tell a new event from one that comes
/// again, or too late, and to verify the next one.
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
    /// The repository by which the next commit is verified; `None` if none was verified.
    pub repo: Option<PackedRepo>,
    /// Whether the account is active at its host; `None` if the host has not said it.
    pub is_active: Option<bool>,
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

    pub(super) fn encode(&self) -> Bytes {
        let ops = &self.ops[self.ops.len().saturating_sub(Self::MAX_OPS)..];
        let notices = &self.notices[self.notices.len().saturating_sub(Self::MAX_NOTICES)..];
        let repo = self.repo.as_ref().map_or(&[][..], PackedRepo::as_bytes);
        // Without them the entry is of the first version: it takes no byte more, and a program that
        // knows no other can read it.
        let is_verified = self.repo.is_some() || self.is_active.is_some();
        let version = if is_verified { VERIFIED } else { PLAIN };
        let verified = if is_verified {
            VERIFIED_HEAD + repo.len()
        } else {
            0
        };
        let length = HEAD + verified + 8 * (ops.len() + notices.len());
        // Exactly as long: an allocation that shrinks would be made twice, for each event.
        let mut bytes = Vec::with_capacity(length);
        bytes.extend([version, notices.len() as u8]);
        bytes.extend((ops.len() as u16).to_le_bytes());
        bytes.extend(self.rev.to_le_bytes());
        if is_verified {
            let hosting = match self.is_active {
                None => UNKNOWN,
                Some(true) => ACTIVE,
                Some(false) => INACTIVE,
            };
            bytes.extend([hosting, repo.len() as u8]);
            bytes.extend(repo);
        }
        for digest in ops.iter().chain(notices) {
            bytes.extend(digest.to_le_bytes());
        }
        debug_assert_eq!(bytes.len(), length, "the length is known beforehand");
        bytes.into()
    }

    /// `None` if it is damaged, or of a later version: then nothing is known of the account.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let [version, notices, few, many, rev @ ..] = *head;
        let (is_active, repo, digests) = match version {
            PLAIN => (None, None, rest),
            VERIFIED => decode_verified(rest)?,
            _ => return None,
        };
        let (digests, []) = digests.as_chunks::<8>() else {
            return None;
        };
        let ops = usize::from(u16::from_le_bytes([few, many]));
        let notices = usize::from(notices);
        // The entry comes from the disk: more than the limits was not written here.
        let is_bounded = ops <= Self::MAX_OPS && notices <= Self::MAX_NOTICES;
        if !is_bounded || digests.len() != ops + notices {
            return None;
        }
        let mut digests = digests.iter().map(|digest| u64::from_le_bytes(*digest));
        Some(Self {
            rev: u64::from_le_bytes(rev),
            ops: digests.by_ref().take(ops).collect(),
            notices: digests.collect(),
            repo,
            is_active,
        })
    }
}

/// The state of a repository as the verifier packs it, up to [`MAX_LENGTH`](Self::MAX_LENGTH) bytes,
/// which mean nothing to the ring.
///
/// # Examples
///
/// ```
/// use jetwash_store::{AccountState, PackedRepo};
///
/// let mut state = AccountState::default();
/// state.repo = PackedRepo::new(&[1; 42]);
/// assert_eq!(state.repo.as_ref().map(PackedRepo::as_bytes), Some(&[1; 42][..]));
/// assert_eq!(PackedRepo::new(&[1; PackedRepo::MAX_LENGTH + 1]), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PackedRepo(Box<[u8]>);

impl PackedRepo {
    /// The limit of its length in bytes.
    pub const MAX_LENGTH: usize = 64;

    /// Takes the bytes; `None` if they are empty, or more than [`MAX_LENGTH`](Self::MAX_LENGTH).
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::MAX_LENGTH)
            .contains(&bytes.len())
            .then(|| Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PackedRepo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PackedRepo({})", self.0.escape_ascii())
    }
}

type Verified<'a> = (Option<bool>, Option<PackedRepo>, &'a [u8]);

/// Reads the part of an entry that the verifier needs, and returns the rest as well.
fn decode_verified(bytes: &[u8]) -> Option<Verified<'_>> {
    let (&[hosting, length], rest) = bytes.split_first_chunk::<VERIFIED_HEAD>()?;
    let is_active = match hosting {
        UNKNOWN => None,
        ACTIVE => Some(true),
        INACTIVE => Some(false),
        _ => return None,
    };
    let (repo, rest) = rest.split_at_checked(length.into())?;
    let repo = match repo {
        [] => None,
        repo => Some(PackedRepo::new(repo)?),
    };
    Some((is_active, repo, rest))
}

/// The versions of an entry: without what the verifier needs, and with it.
const PLAIN: u8 = 1;
const VERIFIED: u8 = 2;
/// The bytes of an entry before its digests.
const HEAD: usize = 12;
/// Those that follow in an entry with what the verifier needs, before the repository.
const VERIFIED_HEAD: usize = 2;
const UNKNOWN: u8 = 0;
const ACTIVE: u8 = 1;
const INACTIVE: u8 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::append) fn state(rev: u64, ops: &[u64], notices: &[u64]) -> AccountState {
        AccountState {
            rev,
            ops: ops.to_vec(),
            notices: notices.to_vec(),
            ..AccountState::default()
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
            for (repo, is_active) in [
                (None, None),
                (PackedRepo::new(&[7; 42]), None),
                (PackedRepo::new(&[7; 64]), Some(true)),
                (None, Some(false)),
            ] {
                let state = AccountState {
                    repo,
                    is_active,
                    ..state.clone()
                };
                let bytes = state.encode();
                assert_eq!(AccountState::decode(&bytes), Some(state));
                for length in 0..bytes.len() {
                    assert_eq!(AccountState::decode(&bytes[..length]), None);
                }
            }
        }
        let mut later = state(5, &[1], &[]).encode().to_vec();
        later[0] = 3;
        assert_eq!(AccountState::decode(&later), None);
    }

    #[test]
    fn an_entry_has_the_form_that_is_written_down() {
        let mut state = state(0x0102, &[3], &[4, 5]);
        let numbers = [[3, 0, 0, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]];
        let digests = [&numbers.concat()[..], &[5, 0, 0, 0, 0, 0, 0, 0]].concat();
        let plain = [&[1, 2, 1, 0, 2, 1, 0, 0, 0, 0, 0, 0], &digests[..]].concat();
        assert_eq!(state.encode(), plain);
        assert_eq!(AccountState::decode(&plain), Some(state.clone()));

        state.repo = PackedRepo::new(b"abc");
        state.is_active = Some(false);
        let head = [2, 2, 1, 0, 2, 1, 0, 0, 0, 0, 0, 0, 2, 3];
        let verified = [&head[..], b"abc", &digests].concat();
        assert_eq!(state.encode(), verified);
        assert_eq!(AccountState::decode(&verified), Some(state));
    }

    #[test]
    fn more_than_the_limits_is_not_taken() {
        let entry = |notices: u8, ops: u16, hosting: u8, repo: u8| {
            let [few, many] = ops.to_le_bytes();
            let mut bytes = vec![2, notices, few, many, 0, 0, 0, 0, 0, 0, 0, 0, hosting, repo];
            let digests = usize::from(ops) + usize::from(notices);
            bytes.resize(bytes.len() + usize::from(repo) + 8 * digests, 0);
            AccountState::decode(&bytes)
        };
        assert!(entry(8, 200, 2, 64).is_some());
        assert_eq!(entry(9, 0, 0, 0), None);
        assert_eq!(entry(0, 201, 0, 0), None);
        assert_eq!(entry(0, 0, 3, 0), None);
        assert_eq!(entry(0, 0, 0, 65), None);
    }

    #[test]
    fn only_the_latest_notices_are_remembered() {
        let mut state = AccountState::default();
        (0..20).for_each(|digest| state.add_notice(digest));
        assert_eq!(state.notices, (12..20).collect::<Vec<_>>());
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let digest = AccountState::digest;
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"a"]), digest(&[b"a", b""]));
    }
}
