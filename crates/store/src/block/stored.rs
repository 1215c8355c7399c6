//! The two stored forms of a whole block: full, in a bucket, and as a piece of the tail.

use jetwash_dict::Compressor;

use super::block::Block;
use super::damage::Damage;
use super::format::{check_payload, decode_index, encode_index};
use super::index::{Encoding, Index};
use super::input::Input;
use crate::backend::BlockKey;
use crate::error::StoreError;

/// A full block as it is stored: its index and its payload.
pub(crate) struct Stored {
    pub(crate) key: BlockKey,
    pub(crate) index: bytes::Bytes,
    pub(crate) payload: bytes::Bytes,
}

/// The stored form of a full block, whose payload is in memory. JSON is compressed here.
pub(crate) fn encode_block(block: &Block, packer: &mut Compressor) -> Result<Stored, StoreError> {
    let mut index = block.index().clone();
    let payload = match (index.encoding, block.compressed()?) {
        (Encoding::Compressed { .. }, Some(compressed)) => compressed.bytes().clone(),
        _ => {
            // Events without a dictionary compress well only together.
            let json = block.json()?.bytes();
            let mut packed = Vec::new();
            let result = packer.compress(json, &mut packed);
            result.map_err(|error| StoreError::storage("compress a block")(error.into()))?;
            packed.shrink_to_fit();
            index.encoding = Encoding::PackedJson;
            index.payload_len = packed.len() as u32;
            index.payload_crc = crc32fast::hash(&packed);
            packed.into()
        }
    };
    debug_assert_eq!(
        check_payload(&index, &payload),
        Ok(()),
        "sealed as it will be read"
    );
    let encoded = encode_index(&index);
    Ok(Stored {
        key: BlockKey {
            first_seq: index.first_seq,
            first_time: index.first_time(),
            bytes: (encoded.len() + payload.len()) as u32,
        },
        index: encoded.into(),
        payload,
    })
}

/// A piece of the tail in one value: the length of the index, the index, the payload.
pub(crate) fn encode_piece(block: &Block) -> Result<Vec<u8>, StoreError> {
    let index = encode_index(block.index());
    let payload = match block.compressed()? {
        Some(compressed) => compressed.bytes(),
        None => block.json()?.bytes(),
    };
    let mut out = Vec::with_capacity(4 + index.len() + payload.len());
    out.extend_from_slice(&(index.len() as u32).to_le_bytes());
    out.extend_from_slice(&index);
    out.extend_from_slice(payload);
    Ok(out)
}

/// The index of a piece, and the offset of its payload.
pub(crate) fn decode_piece(bytes: &[u8]) -> Result<(Index, usize), Damage> {
    let mut input = Input(bytes);
    let length = input.u32()? as usize;
    let index = decode_index(input.take(length)?)?;
    Ok((index, 4 + length))
}
