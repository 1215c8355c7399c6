//! Whose an AT Protocol repository is: DID documents, signing keys, PDS and handles, cached.
//!
//! A [`DidDocument`] is read from JSON that a stranger wrote: its size and its nesting are
//! bounded, and it must be that of the DID that was asked for.

mod cache;
mod clock;
mod document;
mod error;
mod flights;
mod hosts;
mod limiter;
mod method;
mod net;
mod random;

pub use cache::{DiskCache, FileCache, FileCacheError};
pub use clock::{Clock, SystemClock};
pub use document::{DidDocument, DocumentError, KeyType, PdsEndpoint, SigningKey};
pub use error::{ResolveError, ResolveErrorKind};
pub use hosts::Budget;
pub use net::FetchError;
