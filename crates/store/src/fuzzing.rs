//! The stored form of a block, for the fuzz targets alone: no part of the API.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use jetwash_dict::Dictionary;

use crate::backend::{BlockKey, Bucket, BucketError};
use crate::block::{Block, Cold, Dictionaries, decode_piece, encode_piece};
use crate::error::{BackendError, StoreError};

/// Reads a block from its index and its payload, with the length of the index before them as four bytes,
/// little-endian. `None` if the index is refused.
#[must_use]
pub fn read_block(bytes: &[u8], dictionary: Option<&Dictionary>) -> Option<Block> {
    let (index, payload) = decode_piece(bytes).ok()?;
    let payload = Bytes::copy_from_slice(bytes.get(payload..)?);
    let key = BlockKey {
        first_seq: index.first_seq,
        first_time: index.first_time(),
        bytes: bytes.len() as u32,
    };
    let cold = Cold {
        bucket: Arc::new(OneBlock(payload)),
        key,
        cache: Weak::new(),
    };
    let dictionaries = Dictionaries::default();
    if let Some(dictionary) = dictionary {
        dictionaries.add(dictionary.clone());
    }
    Some(Block::cold(index, cold, Arc::new(dictionaries)))
}

/// Writes what [`read_block`] reads, from a block whose events are in memory or can be read.
///
/// # Errors
///
/// When its events cannot be read.
pub fn write_block(block: &Block) -> Result<Vec<u8>, StoreError> {
    encode_piece(block)
}

/// Makes lengths and checksums right, so that only the reader's own care is left: of the index, in
/// its last four bytes, and of the payload, in the index. Bytes too short for that stay as they are.
pub fn seal(bytes: &mut [u8]) {
    const PAYLOAD_LENGTH: usize = 28;
    const PAYLOAD_CHECKSUM: usize = 32;
    const LEAST: usize = 44;
    let Some((length, rest)) = bytes.split_first_chunk_mut::<4>() else {
        return;
    };
    let claimed = u32::from_le_bytes(*length) as usize;
    if rest.len() < LEAST {
        return;
    }
    let index_length = claimed.clamp(LEAST, rest.len());
    *length = (index_length as u32).to_le_bytes();
    let (index, payload) = rest.split_at_mut(index_length);
    let (body, checksum) = index.split_at_mut(index_length - 4);
    let payload_length = (payload.len() as u32).to_le_bytes();
    body[PAYLOAD_LENGTH..][..4].copy_from_slice(&payload_length);
    let payload_checksum = crc32fast::hash(payload).to_le_bytes();
    body[PAYLOAD_CHECKSUM..][..4].copy_from_slice(&payload_checksum);
    checksum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// A bucket of one block.
struct OneBlock(Bytes);

impl Bucket for OneBlock {
    fn keys(&self) -> Result<Vec<BlockKey>, BackendError> {
        Ok(Vec::new())
    }

    fn index(&self, _: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(None)
    }

    fn payload(&self, _: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(Some(self.0.clone()))
    }

    fn cursors(&self, _: &BlockKey) -> Result<Option<Bytes>, BucketError> {
        Ok(None)
    }

    fn frames(&self, _: u32, _: u64, _: usize) -> Result<Vec<(u64, Bytes)>, BucketError> {
        Ok(Vec::new())
    }

    fn account(&self, _key: &[u8]) -> Result<Option<Bytes>, BackendError> {
        Ok(None)
    }

    fn size(&self) -> (u64, u64) {
        (0, 0)
    }
}
