use std::time::SystemTime;

use jetwash_store::{Cursor, LogId};

/// Where a subscription starts.
///
/// # Examples
///
/// ```
/// use jetwash::StartFrom;
///
/// // What the last run got as far as, kept in a file of its own.
/// let saved = "17".parse()?;
/// let start = StartFrom::Cursor(saved);
/// # let _ = start;
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// After the event with this cursor: nothing again, nothing left out.
    Cursor(Cursor),
    /// The same, for a cursor that was kept with the [identity](crate::Jetstream::log_id) of its
    /// log. In another log it says nothing: reading starts with the oldest event, and
    /// [`GapCause::OtherLog`](crate::GapCause::OtherLog) is reported.
    CursorOf {
        /// The log that the cursor belongs to.
        log: LogId,
        /// The cursor.
        cursor: Cursor,
    },
    /// With the next event to arrive.
    #[default]
    Live,
    /// With the oldest event there is.
    Oldest,
    /// After what the [consumer](crate::Jetstream::consumer) of this name has last stored as done.
    /// Only a consumer has a name to store something under.
    Stored,
    /// With the first event of this time or later.
    Time(SystemTime),
}
