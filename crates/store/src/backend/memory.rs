use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::{Backend, Batch, BlockKey, Bucket, BucketError, BucketName, Opened, Reserved};
use crate::error::BackendError;
use crate::seq::Seq;

/// Keeps blocks in their stored form in memory. The state lives in the appender alone, as nothing
/// here outlives it.
#[derive(Default)]
pub(crate) struct MemoryBackend {
    buckets: Mutex<HashMap<BucketName, Arc<MemoryBucket>>>,
    letters: Mutex<BTreeMap<Bytes, Bytes>>,
}

impl MemoryBackend {
    pub(crate) fn open() -> Opened {
        Opened {
            backend: Arc::new(Self::default()),
            state: Vec::new(),
            buckets: Vec::new(),
            reserved: None,
            mark: Reserved::default(),
        }
    }
}

impl Backend for MemoryBackend {
    fn begin(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn create_bucket(&self, name: BucketName) -> Result<Arc<dyn Bucket>, BackendError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = Arc::clone(buckets.entry(name).or_default());
        Ok(bucket)
    }

    fn delete_bucket(&self, name: BucketName) -> Result<(), BackendError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.remove(&name);
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), BackendError> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in &batch.letters {
            match value {
                Some(value) => letters.insert(key.clone().into(), value.clone()),
                None => letters.remove(key.as_slice()),
            };
        }
        drop(letters);
        // Not all at once, as on disk, but nothing is published before all of it is there.
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for row in &batch.blocks {
            let name = BucketName::Events(row.bucket);
            let bucket = buckets.get(&name).ok_or("the bucket is gone")?;
            let mut blocks = bucket
                .blocks
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let parts = (row.key, row.index.clone(), row.payload.clone());
            blocks.insert(row.key.first_seq, parts);
        }
        for row in &batch.frames {
            let name = BucketName::Frames(row.bucket);
            let bucket = buckets.get(&name).ok_or("the bucket is gone")?;
            let mut frames = bucket
                .frames
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            frames.insert((row.log, row.seq), row.bytes.clone());
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn take_stock(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn reserve(&self, _reserved: Reserved) -> Result<(), BackendError> {
        Ok(())
    }

    fn release(&self, _used: Reserved) -> Result<(), BackendError> {
        Ok(())
    }

    fn reopen(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn keeps_state(&self) -> bool {
        false
    }

    fn letters(
        &self,
        prefix: &[u8],
        from: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, BackendError> {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = letters.range(Bytes::copy_from_slice(from)..);
        let own = pairs.take_while(|(key, _)| key.starts_with(prefix));
        Ok(own
            .take(max)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn overhead_bytes(&self) -> u64 {
        0
    }
}

#[derive(Default)]
struct MemoryBucket {
    blocks: RwLock<BTreeMap<Seq, (BlockKey, Bytes, Bytes)>>,
    frames: RwLock<BTreeMap<(u32, u64), Bytes>>,
}

impl Bucket for MemoryBucket {
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        Ok(blocks.values().map(|(key, ..)| *key).collect())
    }

    fn index(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        Ok(blocks
            .get(&key.first_seq)
            .map(|(_, index, _)| index.clone()))
    }

    fn payload(&self, key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        Ok(blocks
            .get(&key.first_seq)
            .map(|(.., payload)| payload.clone()))
    }

    fn cursors(&self, _key: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(None)
    }

    fn frames(&self, log: u32, from: u64, bytes: usize) -> Result<Vec<(u64, Bytes)>, BucketError> {
        let frames = self.frames.read().unwrap_or_else(PoisonError::into_inner);
        let (mut rows, mut taken) = (Vec::new(), 0);
        for ((_, seq), frame) in frames.range((log, from)..=(log, u64::MAX)) {
            taken += frame.len();
            if taken > bytes && !rows.is_empty() {
                break;
            }
            rows.push((*seq, frame.clone()));
        }
        Ok(rows)
    }

    /// Nothing outlives the process here, so what the appender has in memory is all there is.
    fn account(&self, _key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        Ok(None)
    }

    fn size(&self) -> (u64, u64) {
        (0, 0)
    }
}
