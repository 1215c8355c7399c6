use std::ops::Range;

use jetwash_cbor::Cid;

use crate::base64::write_base64;
use crate::escape::write_string;
use crate::kind::{Kind, Operation};
use crate::micros::Micros;
use crate::record::{RecordError, RecordErrorKind, RecordWriter};

/// Writes events as the JSON lines of Jetstream version 1, byte for byte as production does.
///
/// Version 1 has no line for a sync. Ours has its fields in the order of the alphabet, as version 2
/// has them.
///
/// Keep one per worker: it holds the scratch space, so a line costs no allocation.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Draft, DraftBody, Encoder, Micros, Operation};
///
/// let draft = Draft {
///     did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
///     body: DraftBody::Commit {
///         rev: "3l3qo2vutsw2b",
///         operation: Operation::Delete,
///         collection: "app.bsky.feed.like",
///         rkey: "3l3qo2vuowo2b",
///         record: None,
///     },
/// };
/// let mut line = Vec::new();
/// Encoder::new().encode(&draft, Micros::new(1_725_911_162_329_308), &mut line)?;
/// assert_eq!(
///     String::from_utf8_lossy(&line),
///     concat!(
///         r#"{"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","time_us":1725911162329308,"#,
///         r#""kind":"commit","commit":{"rev":"3l3qo2vutsw2b","operation":"delete","#,
///         r#""collection":"app.bsky.feed.like","rkey":"3l3qo2vuowo2b"}}"#,
///     ),
/// );
/// # Ok::<(), jetwash_event::RecordError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    record: RecordWriter,
}

impl Encoder {
    /// Makes an encoder. It has no scratch space yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the line of one event, without a newline. `time_us` is its position in time:
    /// microseconds since 1970.
    ///
    /// # Errors
    ///
    /// When the record is not one that an event can carry; `out` is then left as it was.
    #[inline]
    pub fn encode(
        &mut self,
        draft: &Draft<'_>,
        time_us: Micros,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        self.encode_within(draft, time_us, usize::MAX, out)
            .map(drop)
    }

    /// Works as [`encode`](Self::encode), with a bound on the line: escapes can make a record six
    /// times as long in JSON as in DAG-CBOR, and one block may be the record of many operations.
    ///
    /// Returns where in `out` the record is, so that [`encode_again`](Self::encode_again) can make
    /// another event of it; the range is empty if the event has no record.
    ///
    /// # Errors
    ///
    /// When the record is not one that an event can carry, or the line would have more than
    /// `max_bytes`, which is found out before it has been written to the end: then the kind is
    /// [`RecordErrorKind::OutputLength`]. `out` is left as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{Draft, DraftBody, Encoder, Micros, RecordErrorKind};
    ///
    /// let draft = Draft {
    ///     did: "did:web:a.example",
    ///     body: DraftBody::Identity { handle: None, seq: 7, time: "2026-07-04T14:38:07Z" },
    /// };
    /// let (mut encoder, mut line) = (Encoder::new(), Vec::new());
    /// let error = encoder.encode_within(&draft, Micros::new(1), 100, &mut line).unwrap_err();
    /// assert_eq!(error.kind, RecordErrorKind::OutputLength);
    /// assert!(line.is_empty());
    /// assert!(encoder.encode_within(&draft, Micros::new(1), 1000, &mut line).is_ok());
    /// ```
    #[inline]
    pub fn encode_within(
        &mut self,
        draft: &Draft<'_>,
        time_us: Micros,
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, RecordError> {
        let start = out.len();
        let limit = start.saturating_add(max_bytes);
        let write = |record: &[u8], out: &mut Vec<u8>| self.record.write(record, limit, out);
        within(limit, start, encode_line(draft, time_us, write, out), out)
    }

    /// Works as [`encode_within`](Self::encode_within), for a record that has been encoded before:
    /// `record_json` is taken as the JSON of the draft's record, which is not read.
    ///
    /// # Errors
    ///
    /// When the line would have more than `max_bytes`; `out` is left as it was.
    pub fn encode_again(
        &mut self,
        draft: &Draft<'_>,
        time_us: Micros,
        record_json: &[u8],
        max_bytes: usize,
        out: &mut Vec<u8>,
    ) -> Result<Range<usize>, RecordError> {
        if record_json.len() > max_bytes {
            return Err(OUTPUT_LENGTH);
        }
        let start = out.len();
        let limit = start.saturating_add(max_bytes);
        let write = |_: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(record_json);
            Ok(())
        };
        within(limit, start, encode_line(draft, time_us, write, out), out)
    }

    /// Appends a record, given as DAG-CBOR, as JSON.
    ///
    /// Each value is decoded once, and no tree is built: a map is written in the order it has in
    /// DAG-CBOR, and its entries are then brought into the order that the JSON has.
    ///
    /// # Errors
    ///
    /// When the record is not one that an event can carry; `out` is then left as it was.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::Encoder;
    ///
    /// // {"$type": "a.b.c", "text": "<3"}
    /// let record = b"\xa2\x64text\x62<3\x65$type\x65a.b.c";
    /// let mut json = Vec::new();
    /// Encoder::new().record_to_json(record, &mut json)?;
    /// assert_eq!(json, br#"{"$type":"a.b.c","text":"\u003c3"}"#);
    /// # Ok::<(), jetwash_event::RecordError>(())
    /// ```
    pub fn record_to_json(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let start = out.len();
        let result = self.record.write(record, usize::MAX, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

/// An event as it comes from the firehose, borrowed from its frame, without a position yet.
///
/// Texts are written as they are: the caller checks them.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Draft, DraftBody, Kind};
///
/// let body = DraftBody::Identity { handle: None, seq: 7, time: "2026-07-04T14:38:07Z" };
/// let draft = Draft { did: "did:web:a.example", body };
/// assert_eq!((draft.kind(), draft.collection()), (Kind::Identity, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The account.
    pub did: &'a str,
    /// The event itself.
    pub body: DraftBody<'a>,
}

impl<'a> Draft<'a> {
    /// The kind of event.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.body {
            DraftBody::Commit { .. } => Kind::Commit,
            DraftBody::Identity { .. } => Kind::Identity,
            DraftBody::Account { .. } => Kind::Account,
            DraftBody::Sync { .. } => Kind::Sync,
        }
    }

    /// The collection, if it is a commit.
    #[must_use]
    pub const fn collection(&self) -> Option<&'a str> {
        match self.body {
            DraftBody::Commit { collection, .. } => Some(collection),
            _ => None,
        }
    }
}

/// The event of a [`Draft`].
///
/// # Examples
///
/// ```
/// use jetwash_event::{DraftBody, Operation};
///
/// fn is_deletion(body: &DraftBody<'_>) -> bool {
///     matches!(body, DraftBody::Commit { operation: Operation::Delete, .. })
/// }
/// let body = DraftBody::Account { active: true, seq: 7, status: None, time: "2026-07-04T14:38:07Z" };
/// assert!(!is_deletion(&body));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftBody<'a> {
    /// One operation of a commit.
    Commit {
        /// The revision that the commit made, a TID. Left out of the line if empty.
        rev: &'a str,
        /// The operation.
        operation: Operation,
        /// The first part of the path: an NSID. Left out of the line if empty.
        collection: &'a str,
        /// The second part of the path. Left out of the line if empty.
        rkey: &'a str,
        /// The record as DAG-CBOR, and its CID; `None` for a deletion.
        record: Option<(&'a [u8], &'a Cid)>,
    },
    /// The account's identity may have changed.
    Identity {
        /// Its handle, if the upstream says it.
        handle: Option<&'a str>,
        /// The number of the message in the upstream's sequence.
        seq: u64,
        /// When the upstream sent it.
        time: &'a str,
    },
    /// The account's hosting status.
    Account {
        /// Whether its content may be shown.
        active: bool,
        /// The number of the message in the upstream's sequence.
        seq: u64,
        /// Why it is not active, or another status.
        status: Option<&'a str>,
        /// When the upstream sent it.
        time: &'a str,
    },
    /// The repository is in a new state, which does not follow from its commits.
    Sync {
        /// The signed commit, in a CAR slice.
        blocks: &'a [u8],
        /// The revision of that state, a TID.
        rev: &'a str,
        /// The number of the message in the upstream's sequence.
        seq: u64,
        /// When the upstream sent it.
        time: &'a str,
    },
}

/// Appends a line, whose record `write_record` writes, and returns where the record is in `out`.
///
/// The fields stand in production's order, because lines are compared byte for byte.
#[inline]
fn encode_line(
    draft: &Draft<'_>,
    time_us: Micros,
    write_record: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), RecordError>,
    out: &mut Vec<u8>,
) -> Result<Range<usize>, RecordError> {
    out.extend_from_slice(br#"{"did":"#);
    write_string(draft.did, out);
    out.extend_from_slice(br#","time_us":"#);
    write_integer(time_us.get(), out);
    // Empty unless there is a record, so the caller can tell the two apart.
    let mut place = 0..0;
    match draft.body {
        DraftBody::Commit {
            rev,
            operation,
            collection,
            rkey,
            record,
        } => {
            out.extend_from_slice(br#","kind":"commit","commit":{"#);
            write_operation(rev, operation, collection, rkey, out);
            if let Some((record, cid)) = record {
                out.extend_from_slice(br#","record":"#);
                let start = out.len();
                write_record(record, out)?;
                place = start..out.len();
                out.extend_from_slice(br#","cid":""#);
                cid.as_link().write_text(out);
                out.push(b'"');
            }
        }
        DraftBody::Identity { handle, seq, time } => {
            write_identity(draft.did, handle, seq, time, out);
        }
        DraftBody::Account {
            active,
            seq,
            status,
            time,
        } => write_account(draft.did, active, seq, status, time, out),
        DraftBody::Sync {
            blocks,
            rev,
            seq,
            time,
        } => write_sync(draft.did, blocks, rev, seq, time, out),
    }
    out.extend_from_slice(b"}}");
    Ok(place)
}

#[inline]
fn write_operation(
    rev: &str,
    operation: Operation,
    collection: &str,
    rkey: &str,
    out: &mut Vec<u8>,
) {
    if !rev.is_empty() {
        out.extend_from_slice(br#""rev":"#);
        write_string(rev, out);
        out.push(b',');
    }
    out.extend_from_slice(match operation {
        Operation::Create => br#""operation":"create""#,
        Operation::Update => br#""operation":"update""#,
        Operation::Delete => br#""operation":"delete""#,
    });
    write_unless_empty(br#","collection":"#, collection, out);
    write_unless_empty(br#","rkey":"#, rkey, out);
}

#[inline]
fn write_identity(did: &str, handle: Option<&str>, seq: u64, time: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","kind":"identity","identity":{"did":"#);
    write_string(did, out);
    if let Some(handle) = handle {
        out.extend_from_slice(br#","handle":"#);
        write_string(handle, out);
    }
    out.extend_from_slice(br#","seq":"#);
    write_integer(seq, out);
    out.extend_from_slice(br#","time":"#);
    write_string(time, out);
}

#[inline]
fn write_account(
    did: &str,
    active: bool,
    seq: u64,
    status: Option<&str>,
    time: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(br#","kind":"account","account":{"active":"#);
    out.extend_from_slice(if active { b"true" } else { b"false" });
    out.extend_from_slice(br#","did":"#);
    write_string(did, out);
    out.extend_from_slice(br#","seq":"#);
    write_integer(seq, out);
    if let Some(status) = status {
        out.extend_from_slice(br#","status":"#);
        write_string(status, out);
    }
    out.extend_from_slice(br#","time":"#);
    write_string(time, out);
}

fn write_sync(did: &str, blocks: &[u8], rev: &str, seq: u64, time: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","kind":"sync","sync":{"blocks":{"$bytes":""#);
    write_base64(blocks, out);
    out.extend_from_slice(br#""},"did":"#);
    write_string(did, out);
    out.extend_from_slice(br#","rev":"#);
    write_string(rev, out);
    out.extend_from_slice(br#","seq":"#);
    write_integer(seq, out);
    out.extend_from_slice(br#","time":"#);
    write_string(time, out);
}

/// Takes back the line if it failed or is too long.
#[inline]
fn within(
    limit: usize,
    start: usize,
    result: Result<Range<usize>, RecordError>,
    out: &mut Vec<u8>,
) -> Result<Range<usize>, RecordError> {
    let result = match result {
        Ok(_) if out.len() > limit => Err(OUTPUT_LENGTH),
        result => result,
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

const OUTPUT_LENGTH: RecordError = RecordError {
    offset: 0,
    kind: RecordErrorKind::OutputLength,
};

fn write_integer(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_unless_empty(key: &[u8], text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        out.extend_from_slice(key);
        write_string(text, out);
    }
}
