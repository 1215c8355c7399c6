//! Events of a [`Jetstream`](jetwash::Jetstream) in files that another program can load exactly
//! once.
//!
//! A database that is down, slow or being moved should neither lose events nor hold up the readers
//! of the stream. So the program that follows the network writes the events it wants to files, and
//! another program loads them, now or tomorrow. [`FileSpool`] is the one side and
//! [`SpoolReader`] the other; the example `did-spool` has both, with SQLite.
//!
//! ```no_run
//! use jetwash::{Filter, Jetstream};
//! use jetwash_spool::{Compression, FileSpool};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (jetstream, ingest) = Jetstream::builder()
//!     .relay("relay1.us-east.bsky.network")
//!     .folder("/var/lib/jetwash")
//!     .build()?;
//! let spool = FileSpool::builder("/var/spool/posts")
//!     .filter(Filter::new().collections(["app.bsky.feed.post"])?)
//!     .compression(Compression::Zstd(3))
//!     .build()?;
//! let spooling = spool.run(&jetstream, std::future::pending());
//! let running = ingest.run(std::future::pending());
//! let (ran, spooled) = tokio::join!(running, spooling);
//! # ran?;
//! # spooled?;
//! # Ok(())
//! # }
//! ```
//!
//! # The folder
//!
//! | name | content |
//! | --- | --- |
//! | `00000000000000000001.ndjson` or `….ndjson.zst` | a complete file: Jetstream's lines, in the order of the log |
//! | `….part` | a file that is being written; nobody else should touch it |
//! | `manifest.ndjson` | a line of JSON with a checksum for each file and each gap |
//! | `removed` | the number of the last file that the loader no longer needs |
//! | `lock` | held by the spool, so that there is only one |
//!
//! The lines tell of more than new records: of updates and deletions, and of accounts that were
//! deleted, taken down, or came back. The loader of `did-spool` shows what to do about each.
//!
//! A line of the manifest tells of a file its number, name, the positions of the log that it covers
//! (`first`, `last`), how many events and bytes it has, and the CRC-32 of its bytes.
//!
//! # Promises
//!
//! - A file gets its name when it is whole and on the disk: written as `….part`, synced, entered in
//!   the manifest, renamed, the folder synced. It never changes after that, and its number is never
//!   given to another.
//! - The manifest is the spool's cursor. After a crash an unfinished file is thrown away and read
//!   again from the log, so an event is in exactly one file. This needs a log that outlasts the
//!   process: [`store`](jetwash::JetstreamBuilder::folder).
//! - The disk never stands in the way of reading. The spool has its own thread and follows the
//!   log at its own pace; nothing is queued for it.
//! - When the disk is full, the folder is gone or something else fails, the spool says so in its
//!   [status](FileSpool::status), to `tracing` and to `metrics`, stands still at its cursor, and
//!   tries again, less and less often. It never makes a folder again that has vanished, as its disk
//!   may just not be mounted: it waits for a folder that has the same manifest.
//! - If the log moves past the spool meanwhile, the missing positions are entered in the manifest
//!   as a [`SpoolGap`] and counted. The log's retention is how long a spool may stand still.
//! - If the log is another one than before, or lost its newest events in a power failure, the spool
//!   notices by the times of the events and continues from an earlier position. Then events can come
//!   again, in order and to the end; they are recognised by DID, revision and path, those on
//!   accounts by DID and `account.seq`.
//!
//! # Metrics
//!
//! `jetwash_spool_files_total`, `jetwash_spool_events_total`, `jetwash_spool_bytes_total`,
//! `jetwash_spool_cursor`, `jetwash_spool_waiting` (1 while it stands still),
//! `jetwash_spool_failures_total` by `reason` ([`WaitReason::as_str`]), and
//! `jetwash_spool_gap_events_total` by `reason` (`lost`, `damaged`).

mod builder;
mod folder;
mod manifest;
mod part;
mod reader;
mod run_error;
mod settings;
mod spool;
mod status;
mod worker;

pub use builder::FileSpoolBuilder;
pub use folder::FolderError;
pub use manifest::{ManifestError, SpoolGap};
pub use part::Compression;
pub use reader::{Lines, SpoolFile, SpoolReadError, SpoolReader};
pub use run_error::SpoolRunError;
pub use settings::SpoolBuildError;
pub use spool::FileSpool;
pub use status::{SpoolState, SpoolStatus, Trouble, WaitReason};
