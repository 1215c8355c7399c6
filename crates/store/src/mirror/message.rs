use bytes::Bytes;
use jetwash_event::Micros;

use super::events::LogEvents;
use super::message_error::LogMessageError;
use crate::backend::state;
use crate::gap::{Gap, GapCause, Noted};
use crate::identity::LogId;
use crate::seq::Seq;

/// A message from a log to its mirrors. `docs/wire.md` of the repository has the bytes.
///
/// # Examples
///
/// ```
/// use jetwash_store::{LogMessage, Seq};
///
/// let tip = LogMessage::tip(Seq::FIRST, Seq::new(40));
/// let bytes = tip.encode();
/// assert_eq!((bytes.len(), bytes[0]), (17, 5));
/// assert_eq!(LogMessage::decode(bytes)?, tip);
/// # Ok::<(), jetwash_store::LogMessageError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogMessage {
    /// The log that follows: the first message, and only that.
    Hello {
        /// The version of all messages: [`LogMessage::VERSION`].
        version: u32,
        /// The log's identity.
        log: LogId,
        /// The position of the oldest event that it has.
        oldest_seq: Seq,
        /// The position of the next event that it will have.
        next_seq: Seq,
        /// The time of its newest event.
        last_time_us: Micros,
    },
    /// A dictionary that events after it are compressed with.
    Dictionary {
        /// Its number.
        id: u32,
        /// The dictionary in zstd's format.
        bytes: Bytes,
    },
    /// Events.
    Events(LogEvents),
    /// Positions that the log has no events at, so that a mirror skips to [`Gap::next_seq`]; or what an
    /// upstream did not give before the event at [`Gap::first_seq`], which is the same position then.
    Gap(Gap),
    /// Nothing came for a while, and nothing is missing.
    Tip {
        /// The position of the oldest event that the log has.
        oldest_seq: Seq,
        /// The position of the next event.
        next_seq: Seq,
    },
}

impl LogMessage {
    /// The version of the messages.
    pub const VERSION: u32 = 1;

    /// The limit of a message in bytes: twice the largest event.
    pub const MAX_LENGTH: usize = 32 << 20;

    /// A message that says that a mirror has everything, and lacks nothing before `next_seq`.
    #[must_use]
    pub const fn tip(oldest_seq: Seq, next_seq: Seq) -> Self {
        Self::Tip {
            oldest_seq,
            next_seq,
        }
    }

    /// Writes the message as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Hello {
                version,
                log,
                oldest_seq,
                next_seq,
                last_time_us,
            } => {
                out.push(HELLO);
                out.extend(version.to_le_bytes());
                let numbers = [log.get(), oldest_seq.get(), next_seq.get()];
                let numbers = numbers.into_iter().chain([last_time_us.get()]);
                numbers.for_each(|number| out.extend(number.to_le_bytes()));
            }
            Self::Dictionary { id, bytes } => {
                out.push(DICTIONARY);
                out.extend(id.to_le_bytes());
                out.extend(bytes);
            }
            Self::Events(events) => {
                out.push(EVENTS);
                events.write(&mut out);
            }
            Self::Gap(gap) => {
                out.push(GAP);
                out.extend(gap.next_seq.get().to_le_bytes());
                let (number, gap) = (0, gap.clone());
                out.extend(Noted { number, gap }.encode());
            }
            Self::Tip {
                oldest_seq,
                next_seq,
            } => {
                out.push(TIP);
                out.extend(oldest_seq.get().to_le_bytes());
                out.extend(next_seq.get().to_le_bytes());
            }
        }
        out.into()
    }

    /// Reads a message, which may come from anyone: it takes about as much memory as the bytes do, and
    /// shares that of the events with them.
    ///
    /// # Errors
    ///
    /// When the bytes are not a message of version [`LogMessage::VERSION`], or are too many. A later
    /// version may append to [`LogMessage::Hello`], which is read all the same.
    pub fn decode(bytes: Bytes) -> Result<Self, LogMessageError> {
        within("all", bytes.len(), Self::MAX_LENGTH)?;
        let Some(&byte) = bytes.first() else {
            return Err(LogMessageError::Length { message: "any" });
        };
        let body = bytes.slice(1..);
        match byte {
            HELLO => hello(&body),
            DICTIONARY => {
                let cut = LogMessageError::Length {
                    message: "a dictionary",
                };
                let (id, dictionary) = body.split_first_chunk().ok_or(cut)?;
                within("a dictionary", dictionary.len(), MAX_DICTIONARY)?;
                Ok(Self::Dictionary {
                    id: u32::from_le_bytes(*id),
                    bytes: body.slice(4..),
                })
            }
            EVENTS => LogEvents::read(&body).map(Self::Events),
            GAP => gap(&body),
            TIP => {
                let cut = LogMessageError::Length { message: "a tip" };
                let [oldest_seq, next_seq] = state::decode_numbers(&body).ok_or(cut)?;
                Ok(Self::tip(Seq::new(oldest_seq), Seq::new(next_seq)))
            }
            byte => Err(LogMessageError::Type { byte }),
        }
    }
}

fn hello(body: &[u8]) -> Result<LogMessage, LogMessageError> {
    let cut = LogMessageError::Length { message: "a hello" };
    let (version, rest) = body.split_first_chunk().ok_or(cut)?;
    let version = u32::from_le_bytes(*version);
    let (known, more) = rest.split_first_chunk::<32>().ok_or(cut)?;
    if version == LogMessage::VERSION && !more.is_empty() {
        return Err(cut);
    }
    let [log, oldest_seq, next_seq, last_time_us] = state::decode_numbers(known).ok_or(cut)?;
    Ok(LogMessage::Hello {
        version,
        log: LogId::from_number(log),
        oldest_seq: Seq::new(oldest_seq),
        next_seq: Seq::new(next_seq),
        last_time_us: Micros::new(last_time_us),
    })
}

/// Reads a gap: of the log, with positions, or of an upstream, without.
fn gap(body: &[u8]) -> Result<LogMessage, LogMessageError> {
    let cut = LogMessageError::Length { message: "a gap" };
    within("a gap", body.len(), MAX_GAP)?;
    let (next_seq, rest) = body.split_first_chunk().ok_or(cut)?;
    let next_seq = Seq::new(u64::from_le_bytes(*next_seq));
    let Noted { mut gap, .. } = Noted::decode(0, rest).ok_or(cut)?;
    let is_in_order = match gap.cause {
        GapCause::OtherLog | GapCause::CursorAhead => {
            let what = "its cause is a reader's own";
            return Err(LogMessageError::Gap { what });
        }
        GapCause::Trimmed | GapCause::Damaged | GapCause::Skipped => gap.first_seq < next_seq,
        _ => gap.first_seq == next_seq,
    };
    if !is_in_order {
        let what = "its positions do not fit its cause";
        return Err(LogMessageError::Gap { what });
    }
    gap.next_seq = next_seq;
    Ok(LogMessage::Gap(gap))
}

fn within(part: &'static str, length: usize, limit: usize) -> Result<(), LogMessageError> {
    if length <= limit {
        return Ok(());
    }
    Err(LogMessageError::TooLong {
        part,
        length,
        limit,
    })
}

const HELLO: u8 = 1;
const DICTIONARY: u8 = 2;
const EVENTS: u8 = 3;
const GAP: u8 = 4;
const TIP: u8 = 5;

/// Far above any dictionary for events: they gain nothing from more than 100 KB or so.
const MAX_DICTIONARY: usize = 2 << 20;
/// Two texts of [`MAX_TEXT`], and the numbers.
const MAX_GAP: usize = 2 * MAX_TEXT + 64;
/// The longest source and account that a gap is sent with. Mirrors keep up to 1,024 of them.
pub(super) const MAX_TEXT: usize = 4 << 10;
