//! Where documents are kept.

mod disk;
mod file;
mod kept;
mod memory;
mod record;

pub use disk::DiskCache;
pub use file::{FileCache, FileCacheError};
pub(crate) use kept::{Change, Kept};
pub(crate) use memory::{Found, Memory, Missing};
