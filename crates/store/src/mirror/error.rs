use jetwash_dict::DictionaryError;
use jetwash_event::Micros;
use thiserror::Error;

use crate::error::StoreError;
use crate::identity::LogId;
use crate::seq::Seq;

/// Why a ring does not become a mirror, or does not take over a message. The ring is unchanged.
///
/// # Examples
///
/// ```
/// use jetwash_store::{Location, LogId, MirrorError, Options, open};
///
/// let (mut appender, store) = open(Location::Memory, Options::default())?;
/// appender.become_mirror(LogId::from_number(1))?;
/// match appender.become_mirror(LogId::from_number(2)) {
///     Err(MirrorError::OtherLog { own, .. }) => assert_eq!(own, store.log_id()),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MirrorError {
    /// The ring has given out positions, or kept something else, and is no mirror.
    #[error(
        "the ring has a log of its own, up to position {next_seq}: a mirror begins with an empty one"
    )]
    NotEmpty {
        /// The position of its next event.
        next_seq: Seq,
    },
    /// The ring is not a mirror yet: see [`Appender::become_mirror`](crate::Appender::become_mirror).
    #[error("the ring is not a mirror, so it takes over no events of another log")]
    NotMirror,
    /// The other side has another log than the one that is mirrored.
    #[error("the other side has the log {found}; this is a mirror of the log {own}")]
    OtherLog {
        /// The log that this ring mirrors.
        own: LogId,
        /// The log of the other side.
        found: LogId,
    },
    /// The other side sends messages of a version that is not known here.
    #[error(
        "the other side sends version {found} of the log's messages; version {supported} is known"
    )]
    Version {
        /// The version of the other side.
        found: u32,
        /// The version that is known.
        supported: u32,
    },
    /// The other side's log ends before this one: it was put back to an earlier state, or is a mirror
    /// that is behind.
    #[error("the other side's log ends at position {found}, before this one at {own}")]
    Behind {
        /// The position of the next event here.
        own: Seq,
        /// The position of the next event there.
        found: Seq,
    },
    /// The message begins behind the next position: what lies in between has not come.
    #[error("the message begins at position {found}, and {expected} is the next one")]
    Order {
        /// The next position.
        expected: Seq,
        /// The position at which the message begins.
        found: Seq,
    },
    /// An event's time is not above that of the event before it.
    #[error(
        "event {seq} has the time {time_us} µs, which is not above {last_time_us} µs before it"
    )]
    TimeOrder {
        /// The position of the event.
        seq: Seq,
        /// Its time.
        time_us: Micros,
        /// The time of the event before it.
        last_time_us: Micros,
    },
    /// The newest event here has another time there: the two have gone on differently from a copy.
    #[error("event {seq} has the time {own} µs here and {found} µs there: the logs have parted")]
    Parted {
        /// The position of the event.
        seq: Seq,
        /// Its time here.
        own: Micros,
        /// Its time there.
        found: Micros,
    },
    /// A part of the message is larger than anything that a log sends.
    #[error("the message has {part} of {size}, more than {limit}")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its size: a number of events, or bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// An event cannot be taken over.
    #[error("event {seq}: {what}")]
    Event {
        /// The position of the event.
        seq: Seq,
        /// The fault.
        what: &'static str,
    },
    /// The events are compressed with a dictionary that was not sent before them.
    #[error("the events are compressed with the dictionary {id}, which was not sent")]
    NoDictionary {
        /// Its number.
        id: u32,
    },
    /// The ring has another dictionary of that number.
    #[error("the ring has another dictionary of the number {id}")]
    OtherDictionary {
        /// The number.
        id: u32,
    },
    /// The bytes are not the dictionary that they are said to be.
    #[error("the dictionary {id} cannot be used: {source}")]
    Dictionary {
        /// The number it was sent under.
        id: u32,
        /// The fault.
        source: DictionaryError,
    },
    /// There are more dictionaries than a mirror keeps, or they change too often.
    #[error("the dictionaries would take {bytes} bytes in {uses} uses, more than a mirror keeps")]
    TooManyDictionaries {
        /// Their bytes with this one.
        bytes: usize,
        /// How often they would have changed, among the events in the ring.
        uses: usize,
    },
    /// The disk fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}
