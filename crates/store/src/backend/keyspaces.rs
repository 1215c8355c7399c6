//! The engine's keyspaces: their names, how they are made, the keys in them, and their errors.

use std::error::Error;
use std::io;
use std::path::Path;

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{KeyspaceCreateOptions, KvSeparationOptions};
use jetwash_event::Micros;

use super::buffer::ENGINE_LIMIT;
use super::{BlockKey, BucketError, BucketName, state};
use crate::error::OpenError;
use crate::seq::Seq;

pub(super) const STATE: &str = state::KEYSPACE;
pub(super) const LETTERS: &str = "letters";
const BUCKET: &str = "bucket-";
const FRAMES: &str = "frames-";
const ACCOUNTS: &str = "account-states-";
/// The name of the one keyspace of accounts in rings that forgot none.
const ALL_ACCOUNTS: &str = "account-states";
pub(super) const INDEX: u8 = 0;
pub(super) const PAYLOAD: u8 = 1;
pub(super) const CURSORS: u8 = 2;
const KEY: usize = 21;
const FRAME_KEY: usize = 12;

fn bucket_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(ENGINE_LIMIT)
        .data_block_size_policy(BlockSizePolicy::all(16 << 10))
        // No key is looked up that is not there.
        .filter_policy(FilterPolicy::disabled())
        .with_kv_separation(Some(KvSeparationOptions::default().separation_threshold(1)))
}

pub(super) fn state_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(ENGINE_LIMIT)
}

/// The options with which a keyspace of that name is made.
pub(super) fn keyspace_options(name: &str) -> KeyspaceCreateOptions {
    match bucket_name(name) {
        Some(BucketName::Accounts(_)) => account_options(),
        Some(_) => bucket_options(),
        None => state_options(),
    }
}

fn account_options() -> KeyspaceCreateOptions {
    // Filters for all accounts of the network would take more memory than the rest of the ring, and
    // most accounts that are asked for are there.
    KeyspaceCreateOptions::default()
        .max_memtable_size(ENGINE_LIMIT)
        .filter_policy(FilterPolicy::disabled())
}

pub(super) fn keyspace_name(name: BucketName) -> String {
    match name {
        BucketName::Events(first_seq) => format!("{BUCKET}{first_seq:020}"),
        BucketName::Frames(number) => format!("{FRAMES}{number:020}"),
        BucketName::Accounts(0) => ALL_ACCOUNTS.to_owned(),
        BucketName::Accounts(begun) => format!("{ACCOUNTS}{begun:020}"),
    }
}

pub(super) fn bucket_name(keyspace: &str) -> Option<BucketName> {
    if keyspace == ALL_ACCOUNTS {
        return Some(BucketName::Accounts(0));
    }
    let number = |prefix| keyspace.strip_prefix(prefix)?.parse::<u64>().ok();
    number(BUCKET)
        .map(|first_seq| BucketName::Events(Seq::new(first_seq)))
        .or_else(|| number(FRAMES).map(BucketName::Frames))
        .or_else(|| number(ACCOUNTS).map(BucketName::Accounts))
}

pub(super) fn frame_key(log: u32, seq: u64) -> [u8; FRAME_KEY] {
    let mut bytes = [0; FRAME_KEY];
    bytes[..4].copy_from_slice(&log.to_be_bytes());
    bytes[4..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

pub(super) fn encode_key(key: &BlockKey, part: u8) -> [u8; KEY] {
    let mut bytes = [0; KEY];
    bytes[..8].copy_from_slice(&key.first_seq.get().to_be_bytes());
    bytes[8..16].copy_from_slice(&key.first_time.get().to_be_bytes());
    bytes[16..20].copy_from_slice(&key.bytes.to_be_bytes());
    bytes[20] = part;
    bytes
}

pub(super) fn decode_key(bytes: &[u8]) -> Option<(BlockKey, u8)> {
    let (first_seq, rest) = bytes.split_first_chunk()?;
    let (first_time, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_first_chunk()?;
    let key = BlockKey {
        first_seq: Seq::new(u64::from_be_bytes(*first_seq)),
        first_time: Micros::new(u64::from_be_bytes(*first_time)),
        bytes: u32::from_be_bytes(*bytes),
    };
    match rest {
        [part] => Some((key, *part)),
        _ => None,
    }
}

pub(super) fn open_error(path: &Path, error: fjall::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        fjall::Error::Locked => OpenError::InUse { path },
        fjall::Error::Io(source) => OpenError::Folder { path, source },
        fjall::Error::InvalidVersion(version) => OpenError::Format {
            path,
            found: format!("of another storage engine ({version:?})"),
            supported: state::MIRROR_FORMAT,
        },
        other => OpenError::Storage {
            path,
            source: other.into(),
        },
    }
}

/// Distinguishes damaged bytes from a failing disk: the engine checks what it reads.
pub(super) fn bucket_error(error: fjall::Error) -> BucketError {
    let io = error.source().and_then(|inner| io_error(inner));
    let damaged = match (&error, io) {
        (_, Some(io)) => io.kind() == io::ErrorKind::UnexpectedEof,
        (fjall::Error::Storage(_), None) => true,
        _ => false,
    };
    if damaged {
        BucketError::Damaged
    } else {
        BucketError::Failed(error.into())
    }
}

fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    match error.downcast_ref() {
        Some(io) => Some(io),
        None => error.source().and_then(io_error),
    }
}
