//! The ring in which Jetstream events wait: one ordered log, on disk or in memory.
//!
//! [`open`] returns its two sides. The one [`Appender`] writes: events, and with them the cursors of
//! the upstreams they came from, in commits that are all or nothing. Any number of readers share
//! the [`Store`]. A reader is a position and nothing more: there is no queue for each, which could
//! overflow, and playback and live tail are one loop over one log, its hot end in memory and the
//! rest on disk. The only way to miss an event is to be slower than the ring is long, and then the
//! reader is told: [`Read::Gap`].
//!
//! Every event has a position, `seq`, which counts from 1 without gaps, and a time, `time_us`,
//! which strictly increases. Neither is given out twice, whether the process restarts, the clock
//! goes back, the ring is emptied, or the power fails: only after that there may be a gap, which
//! readers are told of. [`Durability`] says which failures a commit survives, and [`LogId`] which log
//! a position belongs to.
//!
//! Events are kept in [`Block`]s of a few hundred. A block's index, with the DIDs and collections
//! that occur in it, says which of its events a filter wants; the events themselves are read only
//! if there are any, and unpacked once for all readers. An event that was pushed compressed is stored
//! in that form, and its JSON is made from it.
//!
//! Consumers can keep their progress in the ring, with [`Store::advance_named_cursor`], and the events
//! that they could not handle, with [`Store::dead_letters`].
//!
//! The ring forgets by [`Retention`], a bucket at a time, when [`Appender::trim`] is called. The
//! stored form is described in `docs/store-format.md` of the repository.
//!
//! Every call may block on the disk, except [`Store::read_hot`], [`Store::bounds`] and
//! [`Store::tip`]. Times are passed in: the clock is only looked at for [`Durability::Synced`]. The
//! only threads are those of the storage engine, [fjall](https://docs.rs/fjall).
//!
//! # Examples
//!
//! A commit, and a reader that follows the ring:
//!
//! ```
//! use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Read, open};
//!
//! let (mut appender, store) = open(Location::Memory, Options::default())?;
//! let event = NewEvent {
//!     kind: EventKind::Create,
//!     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
//!     collection: "app.bsky.feed.post",
//!     commit: CommitPart::WHOLE,
//!     source: "wss://relay.example",
//!     verdict: 0,
//!     time_us: appender.next_time_us(Micros::new(1_700_000_000_000_000)),
//!     json: br#"{"did":"did:plc:z72i7hdynmk6r22z27h6tvur"}"#,
//!     compressed: None,
//! };
//! let seq = appender.push(&event)?;
//! appender.set_cursor("wss://relay.example", 4_711);
//! appender.commit()?;
//!
//! let Read::Events(run) = store.read(seq)? else { panic!("nothing there") };
//! for index in run.indexes() {
//!     let meta = run.block().meta(index).ok_or("an index of the run")?;
//!     assert_eq!((meta.seq, meta.did), (seq, event.did));
//!     assert_eq!(run.block().json()?.get(index), Some(event.json));
//! }
//! assert!(matches!(store.read(run.next_seq())?, Read::AtTip));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod backend;
mod block;
mod crash;
mod cursor;
mod error;
mod event;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod gap;
mod identity;
mod mirror;
mod open;
mod options;
mod read;
mod ring;
mod seq;
mod skipped;
#[cfg(feature = "crash-points")]
#[doc(hidden)]
pub mod testing;

pub use append::{AccountState, Appender, PackedRepo, Trimmed};
pub use backend::FaultyFile;
pub use block::{Block, Page, StringTable};
pub use cursor::Cursor;
pub use error::{OpenError, StoreError};
pub use event::{CommitPart, EventKind, EventMeta, NewEvent, PushError};
pub use frames::{FrameBounds, FrameReader, FrameStart, Frames, KeptFrame};
pub use gap::{Gap, GapCause, UpstreamGap};
pub use identity::{LogId, ParseLogIdError};
pub use jetwash_event::Micros;
pub use mirror::{Applied, LogEvents, LogMessage, LogMessageError, LogStream, MirrorError};
pub use open::{RepairReport, StoreCopy, open, repair};
pub use options::{Durability, Location, Options, Retention};
pub use read::{
    Bounds, DeadLetterError, DeadLetters, LetterLimits, NewDeadLetter, Remaining, Store,
    StoredLetter, Usage,
};
pub use ring::{CursorError, LetterTotals, Read, Run};
pub use seq::Seq;
