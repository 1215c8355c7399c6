//! The storage engine's open database, and what it needs beyond its documentation.

use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace};

use super::buffer::{Buffer, ENTRY_BYTES};
use super::folder::{self, KEYSPACES};
use super::keyspaces::{LETTERS, STATE, bucket_name, keyspace_options, open_error, state_options};
use super::manifest::Manifest;
use super::prepare::prepare;
use super::{Batch, BucketName, state};
use crate::error::{BackendError, OpenError};

/// The open database.
pub(super) struct Engine {
    pub(super) database: Database,
    pub(super) state: Keyspace,
    /// The dead letters, apart from the state because that is read whole on opening.
    pub(super) letters: Keyspace,
    state_buffer: Buffer,
    letters_buffer: Buffer,
}

impl Engine {
    /// Opens the database. Gives its buckets, how many bytes of commits may have been lost to damage,
    /// and the manifest.
    pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<EngineParts, OpenError> {
        let (cut, manifest) = prepare(path)?;
        let error = |error| open_error(path, error);
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .worker_threads(WORKERS)
            .max_journaling_size(LEAST_JOURNAL)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(error)?;
        // A folder with anything else in it is not ours, and is left alone.
        let names = database.list_keyspace_names();
        if let Some(other) = names
            .iter()
            .find(|name| ![STATE, LETTERS].contains(&&***name) && bucket_name(name).is_none())
        {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found: format!("of something else, with the keyspace {other:?}"),
                supported: state::MIRROR_FORMAT,
            });
        }
        let state = database.keyspace(STATE, state_options).map_err(error)?;
        let letters = database.keyspace(LETTERS, state_options).map_err(error)?;
        let keyspaces = folder::sync(&path.join(KEYSPACES));
        keyspaces.map_err(|source| error(source.into()))?;
        let mut buckets = Vec::new();
        for name in &names {
            if let Some(bucket_name) = bucket_name(name) {
                let bucket = database.keyspace(name, || keyspace_options(name));
                buckets.push((bucket_name, bucket.map_err(error)?));
            }
        }
        let engine = Self {
            database,
            state,
            letters,
            state_buffer: Buffer::default(),
            letters_buffer: Buffer::default(),
        };
        Ok((engine, buckets, cut, manifest))
    }

    /// Writes the format's version, again and again.
    ///
    /// fjall 3.1 numbers its writes, and that includes changes to its list of keyspaces. On opening
    /// it continues after the last number in the journal, and does not look at the list: a change
    /// made there last could get the number of the next one, or a greater one, and so hide it. A
    /// bucket whose identifier was used before would then be gone after the next opening. So the
    /// journal is synced before each change to the list, and on opening more numbers are used up
    /// than one change, and what the engine does at the same time, can have taken.
    pub(super) fn begin(&self, version: u32) -> Result<(), BackendError> {
        for _ in 0..USED_UP {
            let mut batch = self.database.batch();
            batch.insert(&self.state, state::VERSION, version.to_le_bytes());
            batch.commit()?;
        }
        Ok(())
    }

    /// Notes that a batch has been written.
    pub(super) fn write_out(&self, batch: &Batch, full: u64) -> fjall::Result<()> {
        let bytes = |pairs: &[(Vec<u8>, Option<Bytes>)]| -> u64 {
            let values = pairs.iter().map(|(_, value)| value.as_ref());
            values
                .map(|value| ENTRY_BYTES + value.map_or(0, Bytes::len) as u64)
                .sum()
        };
        self.state_buffer
            .add(&self.state, bytes(&batch.state), full)?;
        self.letters_buffer
            .add(&self.letters, bytes(&batch.letters), full)
    }
}

const USED_UP: usize = 64;
pub(super) type EngineParts = (Engine, Keyspaces, u64, Option<Manifest>);

/// Keyspaces of buckets with their names.
pub(super) type Keyspaces = Vec<(BucketName, Keyspace)>;

/// Trees of keys need next to no merging, so one thread has time for it beside the flushing.
const WORKERS: usize = 1;
/// The least that fjall takes.
const LEAST_JOURNAL: u64 = 64 << 20;
const OPEN_FILES: usize = 128;
