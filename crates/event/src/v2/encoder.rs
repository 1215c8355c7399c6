use memchr::memrchr;

use super::error::V2Error;
use super::record::RecordPass;
use super::text::copy_envelope;
use super::time::TimeText;
use crate::line_head::LineHead;
use crate::micros::Micros;

/// Writes events as the messages of Jetstream version 2, from the lines of version 1.
///
/// A line has all that a message has but the position: `seq` is the event's in its log. The bytes
/// are those of the official server for every record of the data model; records that version 1
/// does not have, such as one with a fraction, are in no line.
///
/// Keep one per worker: it holds the scratch space.
///
/// # Examples
///
/// ```
/// use jetwash_event::V2Encoder;
///
/// let line = concat!(
///     r#"{"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","time_us":1725911162329308,"kind":"commit","#,
///     r#""commit":{"rev":"3l3qo2vutsw2b","operation":"delete","#,
///     r#""collection":"app.bsky.feed.like","rkey":"3l3qo2vuowo2b"}}"#,
/// );
/// let mut message = Vec::new();
/// V2Encoder::new().encode(line.as_bytes(), 42, &mut message)?;
/// assert_eq!(
///     String::from_utf8_lossy(&message),
///     concat!(
///         r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#commit","#,
///         r#""collection":"app.bsky.feed.like","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","#,
///         r#""operation":"delete","rev":"3l3qo2vutsw2b","rkey":"3l3qo2vuowo2b","seq":42,"#,
///         r#""time":"2024-09-09T19:46:02.329308Z"}}"#,
///     ),
/// );
/// # Ok::<(), jetwash_event::V2Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct V2Encoder {
    record: RecordPass,
    time: TimeText,
}

impl V2Encoder {
    /// Makes an encoder. It has no scratch space yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the message of an event, given as its line and its position.
    ///
    /// # Errors
    ///
    /// When `line` is not that of an event; `out` is then left as it was. A record in which nothing
    /// differs is copied unread.
    pub fn encode(&mut self, line: &[u8], seq: u64, out: &mut Vec<u8>) -> Result<(), V2Error> {
        let start = out.len();
        let written = self.write(line, seq, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write(&mut self, line: &[u8], seq: u64, out: &mut Vec<u8>) -> Result<(), V2Error> {
        let mut head = LineHead::new(line);
        head.literal(br#"{"did":"#)?;
        let did = head.string()?;
        head.literal(br#","time_us":"#)?;
        let time_us = number(head.digits()?).ok_or_else(|| head.error())?;
        head.literal(br#","kind":"#)?;
        let kind = head.string()?;
        // The fields of the event itself are in the order of the alphabet, so what stands for the
        // kind comes before or after them.
        match kind {
            br#""commit""# => {
                head.literal(br#","commit":{"#)?;
                let commit = Commit::read(&mut head)?;
                // The message is longer than the line by little more than the names of its types.
                out.reserve(line.len() + MORE);
                out.extend_from_slice(HEAD);
                out.extend_from_slice(br#"commit","#);
                self.write_commit(&commit, did, out)
                    .ok_or_else(|| head.error())?;
            }
            br#""account""# => {
                let account = object(&mut head, br#","account":"#)?;
                write_field(b"account\",\"account\":", account, out);
                write_field_after(br#","did":"#, did, out);
            }
            br#""identity""# => {
                let identity = object(&mut head, br#","identity":"#)?;
                write_field(b"identity\",\"did\":", did, out);
                write_field_after(br#","identity":"#, identity, out);
            }
            br#""sync""# => {
                let sync = object(&mut head, br#","sync":"#)?;
                write_field(b"sync\",\"did\":", did, out);
                write_seq(seq, out);
                write_field_after(br#","sync":"#, sync, out);
                self.write_end(time_us, out);
                return Ok(());
            }
            _ => return Err(head.error().into()),
        }
        write_seq(seq, out);
        self.write_end(time_us, out);
        Ok(())
    }

    fn write_end(&mut self, time_us: Micros, out: &mut Vec<u8>) {
        out.extend_from_slice(br#","time":""#);
        self.time.write(time_us, out);
        out.extend_from_slice(b"\"}}");
    }

    /// Appends the fields of a commit before its position. Returns `None` if its record is not JSON.
    fn write_commit(&mut self, commit: &Commit<'_>, did: &[u8], out: &mut Vec<u8>) -> Option<()> {
        if let Some((_, cid)) = commit.record {
            out.extend_from_slice(br#""cid":"#);
            out.extend_from_slice(cid);
            out.push(b',');
        }
        out.extend_from_slice(br#""collection":"#);
        copy_envelope(commit.collection, out);
        write_field_after(br#","did":"#, did, out);
        out.extend_from_slice(br#","operation":"#);
        out.extend_from_slice(commit.operation);
        if let Some((record, _)) = commit.record {
            out.extend_from_slice(br#","record":"#);
            if self.record.may_differ(record) {
                self.record.write(record, out)?;
            } else {
                out.extend_from_slice(record);
            }
        }
        write_field_after(br#","rev":"#, commit.rev, out);
        write_field_after(br#","rkey":"#, commit.rkey, out);
        Some(())
    }
}

/// The parts of a commit in a line. Strings have their quotes.
struct Commit<'a> {
    rev: &'a [u8],
    operation: &'a [u8],
    collection: &'a [u8],
    rkey: &'a [u8],
    /// The record and its CID.
    record: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> Commit<'a> {
    /// Reads the rest of a line after `"commit":{`. Fields that are empty are left out of lines.
    fn read(head: &mut LineHead<'a>) -> Result<Self, V2Error> {
        let mut rev = EMPTY;
        if head.literal(br#""rev":"#).is_ok() {
            rev = head.string()?;
            head.literal(b",")?;
        }
        head.literal(br#""operation":"#)?;
        let operation = head.string()?;
        let mut field = |name: &[u8]| match head.literal(name) {
            Ok(()) => head.string(),
            Err(_) => Ok(EMPTY),
        };
        let collection = field(br#","collection":"#)?;
        let rkey = field(br#","rkey":"#)?;
        let record = if head.literal(br#","record":"#).is_ok() {
            let (record, cid) = split_cid(head.bytes()).ok_or_else(|| head.error())?;
            Some((record, cid))
        } else if head.bytes() == b"}}" {
            None
        } else {
            return Err(head.error().into());
        };
        Ok(Self {
            rev,
            operation,
            collection,
            rkey,
            record,
        })
    }
}

/// Divides the end of a line into the record and its CID. A CID has no escapes, so it begins at the
/// last quote but one.
fn split_cid(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = rest.strip_suffix(b"\"}}")?;
    let quote = memrchr(b'"', body)?;
    let cid = rest.get(quote..=body.len())?;
    let record = body.get(..quote)?.strip_suffix(br#","cid":"#)?;
    Some((record, cid))
}

/// Reads an object that ends with the line, after its name.
fn object<'a>(head: &mut LineHead<'a>, name: &[u8]) -> Result<&'a [u8], V2Error> {
    head.literal(name)?;
    let object = head.bytes().strip_suffix(b"}");
    let object = object.filter(|object| object.starts_with(b"{") && object.ends_with(b"}"));
    Ok(object.ok_or_else(|| head.error())?)
}

/// Appends the head of a message with its first field.
fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(HEAD);
    write_field_after(name, value, out);
}

fn write_field_after(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    copy_envelope(value, out);
}

fn write_seq(seq: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","seq":"#);
    out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
}

fn number(digits: &[u8]) -> Option<Micros> {
    Some(Micros::new(str::from_utf8(digits).ok()?.parse().ok()?))
}

const HEAD: &[u8] =
    br#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#"#;
const EMPTY: &[u8] = br#""""#;
/// More than a message has besides what is in its line.
const MORE: usize = 160;
