//! A bucket on disk: a keyspace of the engine that can be closed and opened anew behind its readers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use fjall::Keyspace;

use super::buffer::{Buffer, ENTRY_BYTES};
use super::keyspaces::{CURSORS, INDEX, PAYLOAD, bucket_error, decode_key, encode_key, frame_key};
use super::{BlockKey, Bucket, BucketError, BucketName};
use crate::error::BackendError;

/// A bucket as its readers hold it, while the database behind it may be closed and opened anew.
pub(super) struct DiskBucket {
    keyspace: RwLock<Option<Keyspace>>,
    buffer: Buffer,
    is_finished: AtomicBool,
}

impl DiskBucket {
    pub(super) fn new(keyspace: Keyspace) -> Arc<Self> {
        Arc::new(Self {
            keyspace: RwLock::new(Some(keyspace)),
            buffer: Buffer::default(),
            is_finished: AtomicBool::new(false),
        })
    }

    /// Writes the bucket out, as nothing more comes to it.
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
            // bucket is as good as before, and the next write fails if the disk does.
            let _ = keyspace.major_compact();
        }
        Ok(())
    }

    fn write_out(&self) -> fjall::Result<()> {
        match self.keyspace() {
            Some(keyspace) => self.buffer.write_out(&keyspace),
            None => Ok(()),
        }
    }

    /// Whether a reader holds the bucket as well.
    pub(super) fn is_held(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    pub(super) fn keyspace(&self) -> Option<Keyspace> {
        self.keyspace
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set(&self, keyspace: Option<Keyspace>) {
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
pub(super) struct Touched(Vec<(BucketName, u64)>);

impl Touched {
    pub(super) fn add(&mut self, name: BucketName, bytes: u64) {
        let bytes = bytes + ENTRY_BYTES;
        match self.0.last_mut() {
            Some((last, sum)) if *last == name => *sum += bytes,
            _ => self.0.push((name, bytes)),
        }
    }

    /// Notes that the batch has been written. A bucket that another has followed is finished.
    pub(super) fn write_out(
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
            for (other, bucket) in buckets
                .iter()
                .filter(|(other, _)| other.is_followed_by(*name))
            {
                match other {
                    // The engine merges these by itself, and all at once would take minutes.
                    BucketName::Accounts(_) => bucket.write_out()?,
                    _ => bucket.finish()?,
                }
            }
        }
        Ok(())
    }
}

/// Writes out the buffers that were found in the journals, but for the newest.
pub(super) fn write_out_recovered(
    buckets: &HashMap<BucketName, Arc<DiskBucket>>,
) -> fjall::Result<()> {
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
            let seq = key.last_chunk().ok_or(BucketError::Damaged)?;
            rows.push((u64::from_be_bytes(*seq), Bytes::from(frame)));
        }
        Ok(rows)
    }

    fn account(&self, key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        let keyspace = self.keyspace.read().unwrap_or_else(PoisonError::into_inner);
        let keyspace = keyspace.as_ref().ok_or(CLOSED)?;
        Ok(keyspace.get(key)?.map(Bytes::from))
    }

    fn size(&self) -> (u64, u64) {
        let keyspace = self.keyspace.read().unwrap_or_else(PoisonError::into_inner);
        let size = keyspace
            .as_ref()
            .map(|keyspace| (keyspace.disk_space(), keyspace.approximate_len() as u64));
        // While it is closed, there is nothing to decide by it.
        size.unwrap_or_default()
    }
}

/// A bucket with no more tables than these is left as it is.
const FEW_TABLES: usize = 4;

pub(super) const CLOSED: &str =
    "the store is closed, or could not be opened again yet after a failed write";
