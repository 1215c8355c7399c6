//! Whose an AT Protocol repository is: DID documents, signing keys, PDS and handles, cached.
//!
//! A [`DidDocument`] is read from JSON that a stranger wrote: its size and its nesting are
//! bounded, and it must be that of the DID that was asked for.

mod cache;
mod clock;
mod directories;
mod document;
mod error;
mod export;
mod flights;
mod handles;
mod hosts;
mod identities;
mod limiter;
mod method;
mod net;
mod options;
mod random;
mod service;
mod stats;

pub use cache::{DiskCache, FileCache, FileCacheError};
pub use clock::{Clock, SystemClock};
pub use document::{DidDocument, DocumentError, KeyType, PdsEndpoint, SigningKey};
pub use error::{ResolveError, ResolveErrorKind};
pub use export::{ExportError, ExportFollower};
pub use handles::{AccountHandle, HandleError};
pub use hosts::Budget;
pub use identities::Identities;
#[cfg(feature = "hickory")]
pub use net::HickoryTxt;
pub use net::{AddressLookup, FetchError, SystemLookup, TxtLookup};
pub use options::{IdentityMistake, IdentityOptions, IdentityOptionsError};
pub use stats::IdentitySnapshot;
