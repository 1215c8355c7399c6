use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fjall::PersistMode;

use super::disk_bucket::{CLOSED, DiskBucket, Touched, write_out_recovered};
use super::engine::Engine;
use super::folder::{self, KEYSPACES, newest_journal};
use super::keyspaces::{
    CURSORS, INDEX, PAYLOAD, bucket_name, encode_key, frame_key, keyspace_name, keyspace_options,
    open_error,
};
use super::manifest::{self, Manifest};
use super::mark::{Mark, Reserved};
use super::{Backend, Batch, Bucket, BucketName, Opened, state};
use crate::crash::crash_point;
use crate::error::{BackendError, OpenError};
use crate::options::Options;
use crate::seq::Seq;

/// Keeps the ring in a fjall database: the state in one keyspace, each bucket in one of its own.
///
/// Buckets separate keys from values: their trees hold keys alone, which list the blocks without
/// touching them, and merging trees never rewrites a block. Dropping a bucket removes its files.
pub(crate) struct DiskBackend {
    path: PathBuf,
    memtable_bytes: u64,
    engine_cache_bytes: u64,
    mark: Mutex<Mark>,
    /// The state as it is in the engine, without the tail: for the manifest.
    state: Mutex<BTreeMap<Vec<u8>, Bytes>>,
    /// As it is on the disk.
    manifest: Mutex<Option<Manifest>>,
    /// `None` from when it is closed to be opened anew until that succeeds.
    engine: Mutex<Option<Engine>>,
    buckets: Mutex<HashMap<BucketName, Arc<DiskBucket>>>,
    /// Dropped buckets that readers still held. They are kept here until no reader does, so that the
    /// appender removes their files: a reader may have no time for it.
    dropped: Mutex<Vec<Arc<DiskBucket>>>,
}

impl DiskBackend {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened, OpenError> {
        let engine_cache_bytes = options.engine_cache_bytes();
        let (engine, keyspaces, cut, manifest) = Engine::open(path, engine_cache_bytes)?;
        crash_point!("open.engine");
        let (mark, mut reserved) = Mark::open(path).map_err(|source| OpenError::Folder {
            path: path.to_owned(),
            source,
        })?;
        let pairs = engine.state.iter().map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok((Bytes::from(key), Bytes::from(value)))
        });
        let pairs: Vec<(Bytes, Bytes)> = pairs
            .collect::<Result<_, fjall::Error>>()
            .map_err(|error| open_error(path, error))?;
        let state: BTreeMap<Vec<u8>, Bytes> = pairs
            .iter()
            .filter(|(key, _)| !state::is_tail(key))
            .map(|(key, value)| (key.to_vec(), value.clone()))
            .collect();
        let next_seq = manifest::next_seq(&state);
        let known = manifest.as_ref().map_or(Seq::FIRST, Manifest::next_seq);
        let mut marked = mark.stored();
        if marked.seq < next_seq.max(known) {
            // The mark is not kept where every commit is synced. No event takes less than a byte.
            marked.seq = next_seq.max(known).plus(cut);
        }
        // If the state is older than the manifest, the journal that held the rest was emptied.
        if cut > 0 || known > next_seq {
            reserved = Some(marked);
        }
        let buckets: HashMap<_, _> = keyspaces
            .into_iter()
            .map(|(name, keyspace)| (name, DiskBucket::new(keyspace)))
            .collect();
        let mut opened: Vec<_> = buckets
            .iter()
            .map(|(name, bucket)| (*name, Arc::clone(bucket) as Arc<dyn Bucket>))
            .collect();
        opened.sort_by_key(|(name, _)| *name);
        write_out_recovered(&buckets).map_err(|error| open_error(path, error))?;
        let backend = Self {
            path: path.to_owned(),
            memtable_bytes: options.memtable_bytes,
            engine_cache_bytes,
            mark: Mutex::new(mark),
            state: Mutex::new(state),
            manifest: Mutex::new(manifest),
            engine: Mutex::new(Some(engine)),
            buckets: Mutex::new(buckets),
            dropped: Mutex::default(),
        };
        Ok(Opened {
            backend: Arc::new(backend),
            state: pairs,
            buckets: opened,
            reserved,
            mark: marked,
        })
    }

    /// Used by the appender, and by consumers that keep a named cursor or a dead letter.
    fn with_engine<T>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let done = work(lock(&self.engine).as_ref().ok_or(CLOSED)?);
        done.map_err(|error| self.reason(error))
    }

    /// Finds out what is wrong with the disk where the engine only says that it has given up: one of
    /// its own threads has met it first.
    fn reason(&self, error: BackendError) -> BackendError {
        match error.downcast_ref() {
            Some(fjall::Error::Poisoned) => {
                folder::probe(&self.path).err().map_or(error, Into::into)
            }
            _ => error,
        }
    }

    /// Notes what there is now. What the engine holds has been synced.
    fn write_manifest(&self) -> Result<(), BackendError> {
        let keyspaces = self.with_engine(|engine| {
            let mut keyspaces = BTreeMap::new();
            // A bucket that is being dropped is still in the engine's list, and no longer in ours.
            let buckets = lock(&self.buckets);
            for name in engine.database.list_keyspace_names() {
                let bucket = bucket_name(&name);
                if bucket.is_some_and(|name| !buckets.contains_key(&name)) {
                    continue;
                }
                let keyspace = engine
                    .database
                    .keyspace(&name, || keyspace_options(&name))?;
                let id = keyspace
                    .path()
                    .file_name()
                    .and_then(|id| id.to_str()?.parse().ok());
                keyspaces.insert(id.ok_or("a keyspace has no number")?, name.to_string());
            }
            Ok(keyspaces)
        })?;
        let new = Manifest {
            journal: newest_journal(&self.path)?.unwrap_or(0),
            keyspaces,
            state: lock(&self.state).clone(),
        };
        let mut known = lock(&self.manifest);
        if known.as_ref() != Some(&new) {
            new.write(&self.path)?;
            *known = Some(new);
        }
        Ok(())
    }

    /// Notes what has been written to the state. Returns whether it needs a copy beside the engine's
    /// at once, as blocks cannot be read without it.
    fn note_state(&self, batch: &Batch) -> bool {
        let mut state = lock(&self.state);
        let mut is_vital = false;
        for (key, value) in &batch.state {
            if state::is_tail(key) {
                continue;
            }
            is_vital |= value.is_some() && state::dictionary_id(key).is_some();
            match (state.get_mut(key), value) {
                (Some(known), Some(value)) => *known = value.clone(),
                (None, Some(value)) => drop(state.insert(key.clone(), value.clone())),
                (_, None) => drop(state.remove(key)),
            }
        }
        is_vital
    }

    /// The version that the ring is written in from now on.
    fn version(&self) -> u32 {
        if lock(&self.state).contains_key(state::MIRROR) {
            state::MIRROR_FORMAT
        } else {
            state::FORMAT
        }
    }

    /// Closes the database, once all reads that have begun are over.
    fn close(&self) {
        for bucket in lock(&self.buckets).values() {
            bucket.set(None);
        }
        for bucket in lock(&self.dropped).drain(..) {
            bucket.set(None);
        }
        *lock(&self.engine) = None;
    }
}

/// A reader that keeps a block keeps a bucket, which must not keep the folder locked.
impl Drop for DiskBackend {
    fn drop(&mut self) {
        self.close();
    }
}

impl Backend for DiskBackend {
    fn begin(&self) -> Result<(), BackendError> {
        self.with_engine(|engine| engine.begin(self.version()))
    }

    fn create_bucket(&self, name: BucketName) -> Result<Arc<dyn Bucket>, BackendError> {
        let text = keyspace_name(name);
        // See `Engine::begin`.
        self.sync()?;
        let keyspace = self.with_engine(|engine| {
            let options = || keyspace_options(&text);
            Ok(engine.database.keyspace(&text, options)?)
        })?;
        // The engine syncs all of the keyspace but its name.
        folder::sync(&self.path.join(KEYSPACES))?;
        let bucket = DiskBucket::new(keyspace);
        lock(&self.buckets).insert(name, Arc::clone(&bucket));
        // Before anything is in it. A crash in between leaves an empty bucket, which is not missed.
        self.write_manifest()?;
        Ok(bucket)
    }

    fn delete_bucket(&self, name: BucketName) -> Result<(), BackendError> {
        let Some(bucket) = lock(&self.buckets).remove(&name) else {
            return Ok(());
        };
        let keyspace = bucket.keyspace().ok_or(CLOSED)?;
        // See `Engine::begin`.
        self.sync()?;
        // Before it goes, or a crash in between would have it missed.
        self.write_manifest()?;
        self.with_engine(|engine| Ok(engine.database.delete_keyspace(keyspace)?))?;
        let mut dropped = lock(&self.dropped);
        dropped.push(bucket);
        dropped.retain(DiskBucket::is_held);
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let mut is_vital = false;
        self.with_engine(|engine| {
            let mut write = engine.database.batch();
            // One batch of the engine for all keyspaces: all of it is there after a crash, or none.
            let mut touched = Touched::default();
            for (key, value) in &batch.state {
                match value {
                    Some(value) => write.insert(&engine.state, key.as_slice(), value.clone()),
                    None => write.remove(&engine.state, key.as_slice()),
                }
            }
            for (key, value) in &batch.letters {
                match value {
                    Some(value) => write.insert(&engine.letters, key.as_slice(), value.clone()),
                    None => write.remove(&engine.letters, key.as_slice()),
                }
            }
            let buckets = lock(&self.buckets);
            for row in &batch.blocks {
                let name = BucketName::Events(row.bucket);
                let bucket = buckets.get(&name).ok_or("the bucket is gone")?;
                let keyspace = bucket.keyspace().ok_or(CLOSED)?;
                touched.add(name, row.key.bytes.into());
                let index = encode_key(&row.key, INDEX);
                write.insert(&keyspace, index, row.index.clone());
                let payload = encode_key(&row.key, PAYLOAD);
                write.insert(&keyspace, payload, row.payload.clone());
                if let Some(cursors) = &row.cursors {
                    let key = encode_key(&row.key, CURSORS);
                    write.insert(&keyspace, key, cursors.clone());
                }
            }
            for row in &batch.frames {
                let name = BucketName::Frames(row.bucket);
                let bucket = buckets.get(&name).ok_or("the bucket is gone")?;
                let keyspace = bucket.keyspace().ok_or(CLOSED)?;
                touched.add(name, row.bytes.len() as u64);
                write.insert(&keyspace, frame_key(row.log, row.seq), row.bytes.clone());
            }
            for row in &batch.accounts {
                let name = BucketName::Accounts(row.bucket);
                let bucket = buckets.get(&name).ok_or("the bucket is gone")?;
                let keyspace = bucket.keyspace().ok_or(CLOSED)?;
                touched.add(name, (row.key.len() + row.value.len()) as u64);
                write.insert(&keyspace, row.key.as_slice(), row.value.clone());
            }
            write.commit()?;
            is_vital = self.note_state(batch);
            engine.write_out(batch, self.memtable_bytes)?;
            touched.write_out(&buckets, self.memtable_bytes)
        })?;
        if is_vital {
            self.take_stock()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), BackendError> {
        self.with_engine(|engine| Ok(engine.database.persist(PersistMode::SyncData)?))
    }

    fn take_stock(&self) -> Result<(), BackendError> {
        self.sync()?;
        self.write_manifest()
    }

    fn reserve(&self, reserved: Reserved) -> Result<(), BackendError> {
        Ok(lock(&self.mark).set(reserved)?)
    }

    fn release(&self, used: Reserved) -> Result<(), BackendError> {
        self.take_stock()?;
        Ok(lock(&self.mark).release(used)?)
    }

    fn reopen(&self) -> Result<(), BackendError> {
        // The database that failed can still be read: it stays until there is hope.
        folder::probe(&self.path)?;
        self.close();
        crash_point!("reopen.closed");
        let (engine, keyspaces, ..) = Engine::open(&self.path, self.engine_cache_bytes)?;
        engine.begin(self.version())?;
        let buckets = lock(&self.buckets);
        for (name, keyspace) in keyspaces {
            match buckets.get(&name) {
                Some(bucket) => bucket.set(Some(keyspace)),
                None => engine.database.delete_keyspace(keyspace)?,
            }
        }
        drop(buckets);
        *lock(&self.engine) = Some(engine);
        Ok(())
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn letters(
        &self,
        prefix: &[u8],
        from: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, BackendError> {
        self.with_engine(|engine| {
            let mut pairs = Vec::new();
            for guard in engine.letters.range(from..).take(max) {
                let (key, value) = guard.into_inner()?;
                if !key.starts_with(prefix) {
                    break;
                }
                pairs.push((Bytes::from(key), Bytes::from(value)));
            }
            Ok(pairs)
        })
    }

    fn overhead_bytes(&self) -> u64 {
        let mut dropped = lock(&self.dropped);
        dropped.retain(DiskBucket::is_held);
        let held = dropped.iter().filter_map(|bucket| bucket.keyspace());
        let held: u64 = held.map(|keyspace| keyspace.disk_space()).sum();
        drop(dropped);
        let buckets = lock(&self.buckets);
        let accounts = buckets
            .iter()
            .filter(|(name, _)| matches!(name, BucketName::Accounts(_)));
        let accounts: u64 = accounts.map(|(_, bucket)| bucket.size().0).sum();
        drop(buckets);
        let beside = self.with_engine(|engine| {
            Ok(engine.state.disk_space() + engine.letters.disk_space() + accounts)
        });
        let journals = folder::journal_bytes(&self.path);
        // A count that fails is left out: the next write tells of the disk.
        held + beside.unwrap_or_default() + journals.unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
