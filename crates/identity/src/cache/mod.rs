//! Where documents are kept.

mod disk;
mod file;

pub use disk::DiskCache;
pub use file::{FileCache, FileCacheError};
