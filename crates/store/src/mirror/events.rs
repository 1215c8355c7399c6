use std::ops::Range;

use bytes::Bytes;
use jetwash_event::Micros;

use super::message_error::LogMessageError;
use crate::block::{Encoding, Index, check_payload, decode_piece, encode_index};
use crate::seq::Seq;

/// Some events that follow each other, on their way from the origin's log to a mirror's.
///
/// # Examples
///
/// ```
/// # use jetwash_store::{CommitPart, EventKind, Location, Micros, NewEvent, Options, Seq, open};
/// # let (mut appender, store) = open(Location::Memory, Options::default())?;
/// # appender.push(&NewEvent {
/// #     kind: EventKind::Create,
/// #     did: "did:plc:z72i7hdynmk6r22z27h6tvur",
/// #     collection: "app.bsky.feed.post",
/// #     commit: CommitPart::WHOLE,
/// #     source: "wss://relay.example",
/// #     verdict: 0,
/// #     time_us: Micros::new(1_700_000_000_000_000),
/// #     json: b"{}",
/// #     compressed: None,
/// # })?;
/// # appender.commit()?;
/// use jetwash_store::LogMessage;
///
/// let mut stream = store.log_stream(Seq::FIRST);
/// while let Some(bytes) = stream.next()? {
///     if let LogMessage::Events(events) = LogMessage::decode(bytes)? {
///         assert_eq!((events.first_seq(), events.next_seq()), (Seq::FIRST, Seq::new(2)));
///         assert_eq!(events.dictionary_id(), None);
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvents {
    index: Box<Index>,
    payload: Bytes,
}

impl LogEvents {
    /// The position of the first event.
    #[must_use]
    pub fn first_seq(&self) -> Seq {
        self.index.first_seq
    }

    /// The position after the last event.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.index.next_seq()
    }

    /// The number of events, never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.index.times.len()
    }

    /// The time of the last event.
    #[must_use]
    pub fn last_time_us(&self) -> Micros {
        self.index.last_time()
    }

    /// The dictionary that the events are compressed with; `None` if they are not, one by one.
    #[must_use]
    pub fn dictionary_id(&self) -> Option<u32> {
        match self.index.encoding {
            Encoding::Compressed { dictionary } => Some(dictionary),
            Encoding::Json | Encoding::PackedJson => None,
        }
    }

    /// Some events of a block, with the payload that they have by themselves.
    pub(super) fn new(
        index: &Index,
        events: Range<usize>,
        encoding: Encoding,
        payload: Bytes,
    ) -> Self {
        let index = Box::new(index.slice(events, encoding, &payload));
        Self { index, payload }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    pub(super) const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Appends the length of the index, the index and the payload.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let index = encode_index(&self.index);
        out.reserve_exact(4 + index.len() + self.payload.len());
        out.extend((index.len() as u32).to_le_bytes());
        out.extend(index);
        out.extend(&self.payload);
    }

    /// Undoes [`write`](Self::write). The payload shares the memory of the message.
    pub(super) fn read(bytes: &Bytes) -> Result<Self, LogMessageError> {
        let damaged = |what| LogMessageError::Events { what };
        let (index, payload) = decode_piece(bytes).map_err(|damage| damaged(damage.0))?;
        let payload = bytes.slice(payload..);
        check_payload(&index, &payload).map_err(|damage| damaged(damage.0))?;
        // Everything is in order within the columns, apart from the times, which differences of zero
        // would have stand still.
        if !index.times.is_sorted_by(|before, after| before < after) {
            return Err(damaged("the times do not increase"));
        }
        let index = Box::new(index);
        Ok(Self { index, payload })
    }
}
