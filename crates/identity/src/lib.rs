//! Whose an AT Protocol repository is: DID documents, signing keys, PDS and handles, cached.
//!
//! [`IdentityOptions::start`] makes [`Identities`], which a program keeps and copies freely:
//!
//! - [`Identities::resolve`] returns the [`DidDocument`] of a DID: its [`SigningKey`], its
//!   [`PdsEndpoint`], and the handle that it claims. [`Identities::cached`] is the same without
//!   waiting, for a worker that handles thousands of frames a second.
//! - [`Identities::invalidate`] is for `#identity` events, [`Identities::suspect`] for signatures
//!   that do not match.
//! - [`Identities::verified_handle`] and [`Identities::resolve_handle`] check handles in both
//!   directions.
//! - [`Identities::snapshot`] counts what happened.
//!
//! # Where documents come from
//!
//! Memory first, then a [`DiskCache`] such as the [`FileCache`], then the network: `did:plc` from
//! one of several directories, `did:web` from its host. An [`ExportFollower`] fills the disk from
//! the export of a directory, so that no `did:plc` has to be looked up.
//!
//! A program that has documents itself brings a [`DocumentSource`], which is asked before the
//! network. Together with [`without_directories`](IdentityOptions::without_directories), nothing is
//! ever sent for a `did:plc`.
//!
//! A document is fresh for an hour, and is then served for up to a day while it is looked up again.
//! Errors about the DID itself are believed for a minute. All of these are options.
//!
//! # Bounds
//!
//! Every host is one that a stranger may have named, and every answer is one that a stranger may
//! have written:
//!
//! | what | bound |
//! | --- | --- |
//! | memory | [`memory_bytes`](IdentityOptions::memory_bytes); about 500 bytes an account: 130,000 in 64 MiB |
//! | disk | the size that a [`FileCache`] is made with; 256 bytes an account |
//! | document | 64 KiB, 32 levels; headers 16 KiB |
//! | time | 5 s a request, 10 s a look-up |
//! | redirects | three, never from TLS to plain text, each within the budget of its host |
//! | look-ups under way or waiting | 4,096 of did:plc, 512 of did:web, 512 of handles; then [`Busy`](ResolveError::Busy) |
//! | requests under way | 64 to directories, 64 to hosts of did:web, 64 to those of handles |
//! | a [`DocumentSource`] | 64 questions of did:plc and 64 of did:web under way, 5 s each; no budget: it bounds itself |
//! | requests to a directory | 500 at once, 100 a second |
//! | requests to another host | 10 at once, one a second; all together 200 and 20 a second |
//! | look-ups after a bad signature | one in 5 minutes for a DID; all together 100 and 5 a second |
//!
//! A host that fails rests for 0.5 s up to 60 s, and one that sends `Retry-After` for as long as it
//! says, up to an hour. Private and reserved addresses are refused, unless allowed, at the moment of
//! connecting: no name can change between the check and the connection. A directory may be on such
//! an address if it is named by it.
//!
//! Proxies are not used: connections are made directly.
//!
//! # Examples
//!
//! ```no_run
//! use jetwash_identity::{FileCache, IdentityOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let identities = IdentityOptions::new()
//!     .directories(["https://plc.directory"])
//!     .disk(FileCache::open("identities", 1 << 30)?)
//!     .start()?;
//! let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?;
//! let document = identities.resolve(&did).await?;
//! if let Some(key) = document.signing_key() {
//!     println!("{} signs with {}", document.did(), key.multibase());
//! }
//! # Ok(())
//! # }
//! ```

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
mod source;
mod stats;

pub use cache::{DiskCache, FileCache, FileCacheError};
pub use clock::{IdentityClock, SystemClock};
pub use document::{DidDocument, DocumentError, KeyType, PdsEndpoint, SigningKey};
pub use error::{ResolveError, ResolveErrorKind};
pub use export::{ExportError, ExportFollower};
pub use handles::{AccountHandle, HandleError};
pub use hosts::Budget;
pub use identities::Identities;
#[cfg(feature = "hickory")]
pub use net::HickoryTxt;
pub use net::{AddressLookup, FetchError, SystemLookup, TxtLookup, is_private_address};
pub use options::{IdentityMistake, IdentityOptions, IdentityOptionsError};
pub use source::{DocumentAnswer, DocumentSource};
pub use stats::IdentitySnapshot;
