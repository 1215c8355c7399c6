use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::{Backend, Batch, Bucket, BucketError, Opened};
use crate::block::BlockKey;
use crate::error::{BackendError, OpenError};
use crate::format;
use crate::options::Options;

/// Keeps the ring in a fjall database: the state in one keyspace, each bucket in one of its own.
///
/// Buckets separate keys from values: their trees hold keys alone, which list the blocks without
/// touching them, and merging trees never rewrites a block. Dropping a bucket removes its files.
pub(crate) struct DiskBackend {
    database: Database,
    state: Keyspace,
    buckets: Mutex<HashMap<u64, Keyspace>>,
    memtable_bytes: u64,
}

impl DiskBackend {
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened, OpenError> {
        let database = Database::builder(path)
            .cache_size(TREE_CACHE)
            .worker_threads(WORKERS)
            .max_journaling_size(LEAST_JOURNAL)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(|error| open_error(path, error))?;
        let names = database.list_keyspace_names();
        if let Some(other) = names
            .iter()
            .find(|name| &***name != STATE && first_seq(name).is_none())
        {
            return Err(OpenError::Format {
                path: path.to_owned(),
                found: format!("of something else, with the keyspace {other:?}"),
                supported: format::VERSION,
            });
        }
        let storage = |error: fjall::Error| OpenError::Storage {
            path: path.to_owned(),
            source: error.into(),
        };
        let memtable_bytes = options.memtable_bytes;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
        let state = database.keyspace(STATE, create).map_err(storage)?;
        let mut buckets = HashMap::new();
        for name in &names {
            if let Some(first_seq) = first_seq(name) {
                let bucket = database.keyspace(name, || bucket_options(memtable_bytes));
                buckets.insert(first_seq, bucket.map_err(storage)?);
            }
        }
        let pairs = state.iter().map(|guard| {
            let (key, value) = guard.into_inner()?;
            Ok((Bytes::from(key), Bytes::from(value)))
        });
        let pairs = pairs.collect::<Result<_, _>>().map_err(storage)?;
        let mut opened: Vec<_> = buckets
            .iter()
            .map(|(first_seq, keyspace)| (*first_seq, DiskBucket::share(keyspace)))
            .collect();
        opened.sort_by_key(|(first_seq, _)| *first_seq);
        let backend = Self {
            database,
            state,
            buckets: Mutex::new(buckets),
            memtable_bytes,
        };
        Ok(Opened {
            backend: Arc::new(backend),
            state: pairs,
            buckets: opened,
        })
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<u64, Keyspace>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for DiskBackend {
    fn create_bucket(&self, first_seq: u64) -> Result<Arc<dyn Bucket>, BackendError> {
        let name = format!("{BUCKET}{first_seq:020}");
        let options = || bucket_options(self.memtable_bytes);
        let keyspace = self.database.keyspace(&name, options)?;
        let bucket = DiskBucket::share(&keyspace);
        self.buckets().insert(first_seq, keyspace);
        Ok(bucket)
    }

    fn delete_bucket(&self, first_seq: u64) -> Result<(), BackendError> {
        if let Some(keyspace) = self.buckets().remove(&first_seq) {
            self.database.delete_keyspace(keyspace)?;
        }
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let mut write = self.database.batch();
        for (key, value) in &batch.state {
            match value {
                Some(value) => write.insert(&self.state, key.as_slice(), value.clone()),
                None => write.remove(&self.state, key.as_slice()),
            }
        }
        let buckets = self.buckets();
        for (bucket, block) in &batch.blocks {
            let keyspace = buckets.get(bucket).ok_or("the bucket is gone")?;
            write.insert(keyspace, encode_key(&block.key, INDEX), block.index.clone());
            write.insert(
                keyspace,
                encode_key(&block.key, PAYLOAD),
                block.payload.clone(),
            );
        }
        drop(buckets);
        Ok(write.commit()?)
    }

    fn sync(&self) -> Result<(), BackendError> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn keeps_state(&self) -> bool {
        true
    }

    fn overhead_bytes(&self) -> u64 {
        let buckets: u64 = self.buckets().values().map(Keyspace::disk_space).sum();
        self.database
            .disk_space()
            .unwrap_or_default()
            .saturating_sub(buckets)
    }
}

struct DiskBucket(Keyspace);

impl DiskBucket {
    fn share(keyspace: &Keyspace) -> Arc<dyn Bucket> {
        Arc::new(Self(keyspace.clone()))
    }

    fn get(&self, key: &BlockKey, part: u8) -> Result<Option<Bytes>, BucketError> {
        let value = self.0.get(encode_key(key, part)).map_err(bucket_error)?;
        Ok(value.map(Bytes::from))
    }
}

impl Bucket for DiskBucket {
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError> {
        let mut keys = Vec::new();
        for guard in self.0.iter() {
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
}

const STATE: &str = "state";
const BUCKET: &str = "bucket-";
const INDEX: u8 = 0;
const PAYLOAD: u8 = 1;
const KEY: usize = 21;

/// For the blocks of trees, which hold keys alone: the ring caches blocks itself.
const TREE_CACHE: u64 = 1 << 20;
/// Trees of keys need next to no merging, so one thread has time for it beside the flushing.
const WORKERS: usize = 1;
/// The least that fjall takes.
const LEAST_JOURNAL: u64 = 64 << 20;
const OPEN_FILES: usize = 128;

fn bucket_options(memtable_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes)
        .data_block_size_policy(BlockSizePolicy::all(16 << 10))
        // Nobody asks for a key that is not there.
        .filter_policy(FilterPolicy::disabled())
        .with_kv_separation(Some(KvSeparationOptions::default().separation_threshold(1)))
}

fn first_seq(name: &str) -> Option<u64> {
    name.strip_prefix(BUCKET)?.parse().ok()
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

fn open_error(path: &Path, error: fjall::Error) -> OpenError {
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
