use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::buffer::{Buffer, ENGINE_LIMIT, ENTRY_BYTES};
use super::folder::{self, KEYSPACES};
use super::manifest::{self, Manifest, newest_journal};
use super::mark::{Mark, Reserved};
use super::{Backend, Batch, BlockKey, Bucket, BucketError, BucketName, Opened};
use crate::crash::crash_point;
use crate::error::{BackendError, OpenError};
use crate::format;
use crate::options::Options;
use crate::state;

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
    /// Dropped buckets that readers still held. They are kept here until nobody else does, so that
    /// their files are removed by the appender and not by a reader, who may have no time for it.
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
        let known = manifest.as_ref().map_or(0, Manifest::next_seq);
        let mut marked = mark.stored();
        if marked.seq < next_seq.max(known) {
            // The mark is not kept where every commit is synced. No event takes less than a byte.
            marked.seq = next_seq.max(known) + cut;
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

    /// The appender comes here, and who keeps a named cursor.
    fn with_engine<T>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let done = work(lock(&self.engine).as_ref().ok_or(CLOSED)?);
        done.map_err(|error| self.reason(error))
    }

    /// What is wrong with the disk, where the engine only says that it has given up: when not who
    /// writes but one of its own threads has met it first.
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

    /// Notes what has been written to the state. Tells whether it needs a copy beside the engine's at
    /// once, as blocks cannot be read without it.
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

    /// Closes the database, waiting for those who are reading.
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

/// Whoever keeps a block keeps a bucket, which must not keep the folder locked.
impl Drop for DiskBackend {
    fn drop(&mut self) {
        self.close();
    }
}

impl Backend for DiskBackend {
    fn begin(&self) -> Result<(), BackendError> {
        self.with_engine(Engine::begin)
    }

    fn create_bucket(&self, name: BucketName) -> Result<Arc<dyn Bucket>, BackendError> {
        let text = keyspace_name(name);
        // See `Engine::begin`.
        self.sync()?;
        let keyspace =
            self.with_engine(|engine| Ok(engine.database.keyspace(&text, bucket_options)?))?;
        // The engine syncs all of the keyspace but its name.
        folder::sync(&self.path.join(KEYSPACES))?;
        let bucket = DiskBucket::new(keyspace);
        lock(&self.buckets).insert(name, Arc::clone(&bucket));
        // Before anything is in it. A crash in between leaves an empty bucket that nobody misses.
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
            if !batch.accounts.is_empty() {
                let accounts = engine.accounts(&self.path)?;
                for (key, value) in &batch.accounts {
                    write.insert(accounts, key.as_slice(), value.clone());
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
        engine.begin()?;
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

    fn account(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        self.with_engine(|engine| match engine.accounts.get() {
            Some(accounts) => Ok(accounts.get(key)?.map(Bytes::from)),
            None => Ok(None),
        })
    }

    fn overhead_bytes(&self) -> u64 {
        let mut dropped = lock(&self.dropped);
        dropped.retain(DiskBucket::is_held);
        let held = dropped.iter().filter_map(|bucket| bucket.keyspace());
        let held: u64 = held.map(|keyspace| keyspace.disk_space()).sum();
        drop(dropped);
        let beside = self.with_engine(|engine| {
            let accounts = engine.accounts.get().map_or(0, Keyspace::disk_space);
            Ok(engine.state.disk_space() + engine.letters.disk_space() + accounts)
        });
        let journals = folder::journal_bytes(&self.path);
        held + beside.unwrap_or_default() + journals.unwrap_or_default()
    }
}

/// The open database.
struct Engine {
    database: Database,
    state: Keyspace,
    /// The dead letters, apart from the state because that is read whole on opening.
    letters: Keyspace,
    /// What is remembered of accounts; made when there is something.
    accounts: OnceLock<Keyspace>,
    state_buffer: Buffer,
    letters_buffer: Buffer,
    accounts_buffer: Buffer,
}

impl Engine {
    /// Opens the database: it, its buckets, how many bytes of commits may have been lost to damage,
    /// and what there should be.
    fn open(path: &Path, cache_bytes: u64) -> Result<EngineParts, OpenError> {
        let (cut, manifest) = folder::prepare(path)?;
        let error = |error| open_error(path, error);
        let database = Database::builder(path)
            .cache_size(cache_bytes)
            .worker_threads(WORKERS)
            .max_journaling_size(LEAST_JOURNAL)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(error)?;
        let names = database.list_keyspace_names();
        if let Some(other) = names.iter().find(|name| {
            ![STATE, LETTERS, ACCOUNTS].contains(&&***name) && bucket_name(name).is_none()
        }) {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found: format!("of something else, with the keyspace {other:?}"),
                supported: format::VERSION,
            });
        }
        let state = database.keyspace(STATE, state_options).map_err(error)?;
        let letters = database.keyspace(LETTERS, state_options).map_err(error)?;
        let accounts = OnceLock::new();
        if names.iter().any(|name| &**name == ACCOUNTS) {
            let keyspace = database.keyspace(ACCOUNTS, account_options);
            let _ = accounts.set(keyspace.map_err(error)?);
        }
        let keyspaces = folder::sync(&path.join(KEYSPACES));
        keyspaces.map_err(|source| error(source.into()))?;
        let mut buckets = Vec::new();
        for name in &names {
            if let Some(bucket_name) = bucket_name(name) {
                let bucket = database.keyspace(name, bucket_options);
                buckets.push((bucket_name, bucket.map_err(error)?));
            }
        }
        let engine = Self {
            database,
            state,
            letters,
            accounts,
            state_buffer: Buffer::default(),
            letters_buffer: Buffer::default(),
            accounts_buffer: Buffer::default(),
        };
        Ok((engine, buckets, cut, manifest))
    }

    /// Writes the format's version, again and again.
    ///
    /// fjall 3.1 numbers its writes, and that includes changes to its list of keyspaces. On opening
    /// it goes on after the last number in the journal, and does not look at the list: a change
    /// made there last could get the number of the next one, or a greater one, and so hide it. A
    /// bucket whose identifier was used before would then be gone after the next opening. So the
    /// journal is synced before each change to the list, and on opening more numbers are used up
    /// than one change, and what the engine does at the same time, can have taken.
    fn begin(&self) -> Result<(), BackendError> {
        for _ in 0..USED_UP {
            let mut batch = self.database.batch();
            batch.insert(&self.state, state::VERSION, format::VERSION.to_le_bytes());
            batch.commit()?;
        }
        Ok(())
    }

    /// The keyspace of accounts, which is made if it is not there.
    fn accounts(&self, path: &Path) -> Result<&Keyspace, BackendError> {
        if let Some(accounts) = self.accounts.get() {
            return Ok(accounts);
        }
        // See `begin`.
        self.database.persist(PersistMode::SyncData)?;
        let keyspace = self.database.keyspace(ACCOUNTS, account_options)?;
        folder::sync(&path.join(KEYSPACES))?;
        Ok(self.accounts.get_or_init(|| keyspace))
    }

    /// Notes that a batch has been written.
    fn write_out(&self, batch: &Batch, full: u64) -> fjall::Result<()> {
        let bytes = |pairs: &[(Vec<u8>, Option<Bytes>)]| -> u64 {
            let values = pairs.iter().map(|(_, value)| value.as_ref());
            values
                .map(|value| ENTRY_BYTES + value.map_or(0, Bytes::len) as u64)
                .sum()
        };
        self.state_buffer
            .add(&self.state, bytes(&batch.state), full)?;
        self.letters_buffer
            .add(&self.letters, bytes(&batch.letters), full)?;
        let Some(accounts) = self.accounts.get() else {
            return Ok(());
        };
        let written = batch.accounts.iter();
        let written: u64 = written
            .map(|(key, value)| ENTRY_BYTES + (key.len() + value.len()) as u64)
            .sum();
        self.accounts_buffer.add(accounts, written, full)
    }
}

const USED_UP: usize = 64;
/// A bucket with no more tables than these is left as it is.
const FEW_TABLES: usize = 4;

type EngineParts = (Engine, Keyspaces, u64, Option<Manifest>);

/// Keyspaces of buckets with their names.
type Keyspaces = Vec<(BucketName, Keyspace)>;

/// A bucket as its readers hold it, while the database behind it may be closed and opened anew.
struct DiskBucket {
    keyspace: RwLock<Option<Keyspace>>,
    buffer: Buffer,
    is_finished: AtomicBool,
}

impl DiskBucket {
    fn new(keyspace: Keyspace) -> Arc<Self> {
        Arc::new(Self {
            keyspace: RwLock::new(Some(keyspace)),
            buffer: Buffer::default(),
            is_finished: AtomicBool::new(false),
        })
    }

    /// Has the bucket written out, as nothing more comes to it.
    ///
    /// It has a table for each time that its buffer was written out, which all stay open and have
    /// to be asked for each block. They hold keys alone, so one is made of them within
    /// milliseconds. The engine would not, as they do not overlap.
    fn finish(&self) -> fjall::Result<()> {
        let Some(keyspace) = self.keyspace() else {
            return Ok(());
        };
        self.buffer.write_out(&keyspace)?;
        if !self.is_finished.swap(true, Ordering::Relaxed) && keyspace.table_count() > FEW_TABLES {
            // Not in the engine's documentation, but in its public interface. If it fails, the
            // bucket is as good as before; whoever writes next hears of a disk that is not.
            let _ = keyspace.major_compact();
        }
        Ok(())
    }

    /// Whether somebody else holds the bucket.
    fn is_held(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    fn keyspace(&self) -> Option<Keyspace> {
        self.keyspace
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, keyspace: Option<Keyspace>) {
        *self
            .keyspace
            .write()
            .unwrap_or_else(PoisonError::into_inner) = keyspace;
    }

    fn get(&self, key: &BlockKey, part: u8) -> Result<Option<Bytes>, BucketError> {
        // Held while reading, so that the database is not closed meanwhile.
        let keyspace = self.keyspace.read().unwrap_or_else(PoisonError::into_inner);
        let keyspace = keyspace
            .as_ref()
            .ok_or(BucketError::Failed(CLOSED.into()))?;
        let value = keyspace.get(encode_key(key, part)).map_err(bucket_error)?;
        Ok(value.map(Bytes::from))
    }
}

/// The buckets that a batch was written to, and how much.
#[derive(Default)]
struct Touched(Vec<(BucketName, u64)>);

impl Touched {
    fn add(&mut self, name: BucketName, bytes: u64) {
        let bytes = bytes + ENTRY_BYTES;
        match self.0.last_mut() {
            Some((last, sum)) if *last == name => *sum += bytes,
            _ => self.0.push((name, bytes)),
        }
    }

    /// Notes that the batch has been written. A bucket that another has followed is finished.
    fn write_out(
        &self,
        buckets: &HashMap<BucketName, Arc<DiskBucket>>,
        full: u64,
    ) -> Result<(), BackendError> {
        for (name, bytes) in &self.0 {
            let Some((bucket, keyspace)) = buckets
                .get(name)
                .and_then(|bucket| Some((bucket, bucket.keyspace()?)))
            else {
                continue;
            };
            bucket.buffer.add(&keyspace, *bytes, full)?;
            for (_, bucket) in buckets
                .iter()
                .filter(|(other, _)| other.is_followed_by(*name))
            {
                bucket.finish()?;
            }
        }
        Ok(())
    }
}

/// Has the buffers written out that were found in the journals, but for the newest.
fn write_out_recovered(buckets: &HashMap<BucketName, Arc<DiskBucket>>) -> fjall::Result<()> {
    for (name, bucket) in buckets {
        let is_old = buckets.keys().any(|other| name.is_followed_by(*other));
        if let Some(keyspace) = bucket.keyspace().filter(|_| is_old) {
            bucket.buffer.recovered();
            bucket.buffer.write_out(&keyspace)?;
        }
    }
    Ok(())
}

impl Bucket for DiskBucket {
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError> {
        let keyspace = self.keyspace().ok_or(CLOSED)?;
        let mut keys = Vec::new();
        for guard in keyspace.iter() {
            let key = guard.key()?;
            match decode_key(&key) {
                Some((key, INDEX)) => keys.push(key),
                Some(_) => {}
                None => return Err(format!("the block key {}", key.escape_ascii()).into()),
            }
        }
        Ok(keys)
    }

    fn index(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        self.get(key, INDEX)
    }

    fn payload(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        self.get(key, PAYLOAD)
    }

    fn cursors(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        self.get(key, CURSORS)
    }

    fn frames(&self, log: u32, from: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, BucketError> {
        let keyspace = self.keyspace.read().unwrap_or_else(PoisonError::into_inner);
        let keyspace = keyspace
            .as_ref()
            .ok_or(BucketError::Failed(CLOSED.into()))?;
        let (mut rows, mut taken) = (Vec::new(), 0);
        for guard in keyspace.range(frame_key(log, from)..=frame_key(log, u64::MAX)) {
            let (key, frame) = guard.into_inner().map_err(bucket_error)?;
            taken += frame.len();
            if taken > bytes && !rows.is_empty() {
                break;
            }
            let seq = key.last_chunk().map_or(0, |seq| u64::from_be_bytes(*seq));
            rows.push((seq, Bytes::from(frame)));
        }
        Ok(rows)
    }
}

const STATE: &str = state::KEYSPACE;
pub(super) const LETTERS: &str = "letters";
pub(super) const ACCOUNTS: &str = "account-states";
const BUCKET: &str = "bucket-";
const FRAMES: &str = "frames-";
const INDEX: u8 = 0;
const PAYLOAD: u8 = 1;
const CURSORS: u8 = 2;
const KEY: usize = 21;
const FRAME_KEY: usize = 12;

/// Trees of keys need next to no merging, so one thread has time for it beside the flushing.
const WORKERS: usize = 1;
/// The least that fjall takes.
const LEAST_JOURNAL: u64 = 64 << 20;
const OPEN_FILES: usize = 128;

const CLOSED: &str = "the store is closed, or could not be opened again yet after a failed write";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bucket_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(ENGINE_LIMIT)
        .data_block_size_policy(BlockSizePolicy::all(16 << 10))
        // Nobody asks for a key that is not there.
        .filter_policy(FilterPolicy::disabled())
        .with_kv_separation(Some(KvSeparationOptions::default().separation_threshold(1)))
}

fn state_options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(ENGINE_LIMIT)
}

/// With which a keyspace of that name is made.
pub(super) fn keyspace_options(name: &str) -> KeyspaceCreateOptions {
    match bucket_name(name) {
        Some(_) => bucket_options(),
        None if name == ACCOUNTS => account_options(),
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

fn keyspace_name(name: BucketName) -> String {
    match name {
        BucketName::Events(first_seq) => format!("{BUCKET}{first_seq:020}"),
        BucketName::Frames(number) => format!("{FRAMES}{number:020}"),
    }
}

pub(super) fn bucket_name(keyspace: &str) -> Option<BucketName> {
    let number = |text: &str| text.parse().ok();
    match keyspace.strip_prefix(BUCKET) {
        Some(text) => number(text).map(BucketName::Events),
        None => number(keyspace.strip_prefix(FRAMES)?).map(BucketName::Frames),
    }
}

fn frame_key(log: u32, seq: u64) -> [u8; FRAME_KEY] {
    let mut bytes = [0; FRAME_KEY];
    bytes[..4].copy_from_slice(&log.to_be_bytes());
    bytes[4..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

fn encode_key(key: &BlockKey, part: u8) -> [u8; KEY] {
    let mut bytes = [0; KEY];
    bytes[..8].copy_from_slice(&key.first_seq.to_be_bytes());
    bytes[8..16].copy_from_slice(&key.first_time.to_be_bytes());
    bytes[16..20].copy_from_slice(&key.bytes.to_be_bytes());
    bytes[20] = part;
    bytes
}

fn decode_key(bytes: &[u8]) -> Option<(BlockKey, u8)> {
    let (first_seq, rest) = bytes.split_first_chunk()?;
    let (first_time, rest) = rest.split_first_chunk()?;
    let (bytes, rest) = rest.split_first_chunk()?;
    let key = BlockKey {
        first_seq: u64::from_be_bytes(*first_seq),
        first_time: u64::from_be_bytes(*first_time),
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
            supported: format::VERSION,
        },
        other => OpenError::Storage {
            path,
            source: other.into(),
        },
    }
}

/// Tells bytes that are damaged from a disk that fails: the engine checks what it reads.
fn bucket_error(error: fjall::Error) -> BucketError {
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
