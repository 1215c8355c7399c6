//! Loads the content of blocks, on a thread that may block unless it is in memory.

use std::sync::Arc;

use jetwash_store::{Block, Page, StoreError};

use crate::executor::run_blocking;
use crate::read::ReadError;

/// A block's events as JSON, loaded where that may block unless they are in memory.
///
/// # Errors
///
/// When they cannot be read or are damaged.
pub async fn json_of(block: &Arc<Block>) -> Result<Page, ReadError> {
    if block.has_json() {
        return Ok(block.json()?.clone());
    }
    load(block, |block| block.json().cloned()).await
}

/// Some of a block's events as JSON, loaded where that may block unless they are in memory: see
/// [`Block::json_of`].
///
/// # Errors
///
/// When they cannot be read or are damaged.
pub async fn some_json_of(block: &Arc<Block>, indexes: &[usize]) -> Result<Page, ReadError> {
    if block.has_json_of(indexes.len()) {
        return Ok(block.json_of(indexes)?);
    }
    let indexes = indexes.to_vec();
    load(block, move |block| block.json_of(&indexes)).await
}

/// A block's events as compressed events, loaded where that may block unless they are in memory;
/// `None` if the log holds them without.
///
/// # Errors
///
/// When they cannot be read or are damaged.
pub async fn compressed_of(block: &Arc<Block>) -> Result<Option<Page>, ReadError> {
    if block.has_compressed() {
        return Ok(block.compressed()?.cloned());
    }
    load(block, |block| block.compressed().map(|page| page.cloned())).await
}

async fn load<T: Send + 'static>(
    block: &Arc<Block>,
    work: impl FnOnce(&Block) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ReadError> {
    let block = Arc::clone(block);
    Ok(run_blocking(block.may_block(), move || work(&block)).await??)
}
