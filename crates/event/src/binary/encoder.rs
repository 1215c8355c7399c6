use std::borrow::Cow;

use jetwash_cbor::{Cid, Codec, write_head};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::BinaryError;
use super::usual::UsualCommit;
use crate::base64::decode_base64;
use crate::encoder::{Draft, DraftBody};
use crate::kind::{Kind, Operation};
use crate::micros::Micros;
use crate::to_cbor::ToCbor;

/// Writes events as DAG-CBOR, for readers that want no JSON at all.
///
/// A binary event says what the line says, without what follows from the rest: the kind is that of
/// the part present, and the CID of a record is the SHA-256 of its bytes, which are the same as in
/// the repository. The few records whose line leaves something out have their CID beside them. The
/// shape is in `docs/wire.md`.
///
/// Keep one per worker: it holds the scratch space.
///
/// # Examples
///
/// ```
/// use jetwash_event::{BinaryEncoder, BinaryEvent, Encoder, Micros};
///
/// let line = concat!(
///     r#"{"did":"did:web:a.example","time_us":7,"kind":"commit","commit":{"#,
///     r#""rev":"3l3qo2vutsw2b","operation":"create","collection":"a.example.thing","#,
///     r#""rkey":"3l3qo2vuowo2b","record":{},"#,
///     r#""cid":"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"}}"#,
/// );
/// let mut binary = Vec::new();
/// BinaryEncoder::new().encode(line, &mut binary)?;
/// assert!(binary.len() < line.len() / 2);
///
/// let event = BinaryEvent::parse(&binary)?;
/// assert_eq!((event.did(), event.time_us()), ("did:web:a.example", Micros::new(7)));
/// let mut again = Vec::new();
/// Encoder::new().encode(&event.draft(), event.time_us(), &mut again)?;
/// assert_eq!(again, line.as_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BinaryEncoder {
    to_cbor: ToCbor,
    record: Vec<u8>,
}

impl BinaryEncoder {
    /// Makes an encoder. It has no scratch space yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the binary event of a line.
    ///
    /// # Errors
    ///
    /// When the line is not that of an event, or its record has no counterpart in DAG-CBOR; `out`
    /// is then left as it was.
    pub fn encode(&mut self, line: &str, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        self.encode_line(line, true, out)
    }

    /// Works as [`encode`](Self::encode), but never writes a CID: for lines whose records were
    /// changed after they were made, such as the scrubbed samples of a dictionary.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_changed(&mut self, line: &str, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        self.encode_line(line, false, out)
    }

    /// Appends the binary event of a draft, without JSON in between.
    pub fn encode_draft(&mut self, draft: &Draft<'_>, time_us: Micros, out: &mut Vec<u8>) {
        write(draft, time_us, out);
    }

    fn encode_line(
        &mut self,
        line: &str,
        is_original: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BinaryError> {
        if is_original && self.encode_usual(line, out).is_some() {
            return Ok(());
        }
        self.encode_any(line, is_original, out)
    }

    /// Appends the event of a commit's line with its fields in the usual order and no escapes outside
    /// of its record, in one pass; `None` for any other line.
    fn encode_usual(&mut self, line: &str, out: &mut Vec<u8>) -> Option<()> {
        let commit = UsualCommit::read(line)?;
        let cid: Cid;
        let record = match commit.rest.strip_prefix(r#","record":"#) {
            Some(rest) => {
                self.record.clear();
                let end = self.to_cbor.encode_first(rest, &mut self.record).ok()?;
                let text = rest.get(end..)?.strip_prefix(r#","cid":""#)?;
                cid = text.strip_suffix(r#""}}"#)?.parse().ok()?;
                Some((self.record.as_slice(), &cid))
            }
            None if commit.rest == "}}" => None,
            None => return None,
        };
        let body = DraftBody::Commit {
            rev: commit.rev,
            operation: commit.operation,
            collection: commit.collection,
            rkey: commit.rkey,
            record,
        };
        let did = commit.did;
        write(&Draft { did, body }, commit.time_us, out);
        Some(())
    }

    fn encode_any(
        &mut self,
        line: &str,
        is_original: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BinaryError> {
        let line: Line<'_> = serde_json::from_str(line)
            .map_err(|error| BinaryError::Line(error.to_string().into()))?;
        // A draft borrows, so texts are copied only where JSON escapes them.
        let missing = || BinaryError::Line(format!("there is no `{}`", line.kind).into());
        let (did, time_us) = (&*line.did, line.time_us);
        let (cid, blocks): (Cid, Vec<u8>);
        let body = match line.kind {
            Kind::Commit => {
                let commit = line.commit.as_ref().ok_or_else(missing)?;
                let record = match (commit.record, commit.cid) {
                    (Some(json), Some(text)) => {
                        self.record.clear();
                        self.to_cbor.encode(json.get(), &mut self.record)?;
                        cid = if is_original {
                            text.parse().map_err(BinaryError::Cid)?
                        } else {
                            Cid::of(Codec::DagCbor, &self.record)
                        };
                        Some((self.record.as_slice(), &cid))
                    }
                    (None, None) => None,
                    _ => return Err(BinaryError::Line(NO_PAIR.into())),
                };
                DraftBody::Commit {
                    rev: &commit.rev,
                    operation: commit.operation,
                    collection: &commit.collection,
                    rkey: &commit.rkey,
                    record,
                }
            }
            Kind::Identity => {
                let identity = line.identity.as_ref().ok_or_else(missing)?;
                DraftBody::Identity {
                    handle: identity.handle.as_deref(),
                    seq: identity.seq,
                    time: &identity.time,
                }
            }
            Kind::Account => {
                let account = line.account.as_ref().ok_or_else(missing)?;
                DraftBody::Account {
                    active: account.active,
                    seq: account.seq,
                    status: account.status.as_deref(),
                    time: &account.time,
                }
            }
            Kind::Label => return Err(BinaryError::Line("labels have no binary form".into())),
            Kind::Sync => {
                let sync = line.sync.as_ref().ok_or_else(missing)?;
                blocks = decode_base64(&sync.blocks.base64)
                    .ok_or_else(|| BinaryError::Line("`blocks` is not base64".into()))?;
                DraftBody::Sync {
                    blocks: &blocks,
                    rev: &sync.rev,
                    seq: sync.seq,
                    time: &sync.time,
                }
            }
        };
        write(&Draft { did, body }, time_us, out);
        Ok(())
    }
}

/// Writes a binary event. Its fields come in DAG-CBOR's order of keys: shorter first.
fn write(draft: &Draft<'_>, time_us: Micros, out: &mut Vec<u8>) {
    // A map's head says how many pairs follow, so each optional one is counted beforehand.
    write_head(out, MAP, 3);
    write_pair("did", draft.did, out);
    write_sync(&draft.body, out);
    write_text("time", out);
    write_head(out, UNSIGNED, time_us.get());
    match draft.body {
        DraftBody::Commit {
            rev,
            operation,
            collection,
            rkey,
            record,
        } => {
            write_text("commit", out);
            let named = record.filter(|(record, cid)| !cid.matches(record));
            let texts = [("col", collection), ("rev", rev), ("rkey", rkey)];
            let texts = texts.map(|(key, text)| Some((key, text)).filter(|_| !text.is_empty()));
            let [collection, rev, rkey] = texts;
            let pairs = 1 + texts.iter().flatten().count();
            let pairs = pairs + usize::from(record.is_some()) + usize::from(named.is_some());
            write_head(out, MAP, pairs as u64);
            write_pair("op", operation.as_str(), out);
            if let Some((_, cid)) = named {
                write_text("cid", out);
                out.extend_from_slice(&[0xd8, 0x2a, 0x58, 1 + Cid::LENGTH as u8, 0]);
                out.extend_from_slice(cid.as_bytes());
            }
            write_optional(collection, out);
            if let Some((record, _)) = record {
                write_text("rec", out);
                out.extend_from_slice(record);
            }
            write_optional(rev, out);
            write_optional(rkey, out);
        }
        DraftBody::Identity { handle, seq, time } => {
            write_text("identity", out);
            write_head(out, MAP, 2 + u64::from(handle.is_some()));
            write_text("seq", out);
            write_head(out, UNSIGNED, seq);
            write_pair("time", time, out);
            write_optional(handle.map(|handle| ("handle", handle)), out);
        }
        DraftBody::Account {
            active,
            seq,
            status,
            time,
        } => {
            write_text("account", out);
            write_head(out, MAP, 3 + u64::from(status.is_some()));
            write_text("seq", out);
            write_head(out, UNSIGNED, seq);
            write_pair("time", time, out);
            write_text("active", out);
            out.push(if active { 0xf5 } else { 0xf4 });
            write_optional(status.map(|status| ("status", status)), out);
        }
        // It came before the time.
        DraftBody::Sync { .. } => {}
    }
}

/// Writes the part of a sync, whose key comes before that of the time.
fn write_sync(body: &DraftBody<'_>, out: &mut Vec<u8>) {
    let DraftBody::Sync {
        blocks,
        rev,
        seq,
        time,
    } = *body
    else {
        return;
    };
    write_text("sync", out);
    write_head(out, MAP, 4);
    write_pair("rev", rev, out);
    write_text("seq", out);
    write_head(out, UNSIGNED, seq);
    write_pair("time", time, out);
    write_text("blocks", out);
    write_head(out, BYTES, blocks.len() as u64);
    out.extend_from_slice(blocks);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn write_pair(key: &str, text: &str, out: &mut Vec<u8>) {
    write_text(key, out);
    write_text(text, out);
}

fn write_optional(pair: Option<(&str, &str)>, out: &mut Vec<u8>) {
    if let Some((key, text)) = pair {
        write_pair(key, text, out);
    }
}

/// A line, borrowed but for texts with escapes in them.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    time_us: Micros,
    kind: Kind,
    #[serde(borrow)]
    commit: Option<LineCommit<'a>>,
    #[serde(borrow)]
    identity: Option<LineIdentity<'a>>,
    #[serde(borrow)]
    account: Option<LineAccount<'a>>,
    #[serde(borrow)]
    sync: Option<LineSync<'a>>,
}

#[derive(Deserialize)]
struct LineCommit<'a> {
    #[serde(borrow, default)]
    rev: Cow<'a, str>,
    operation: Operation,
    #[serde(borrow, default)]
    collection: Cow<'a, str>,
    #[serde(borrow, default)]
    rkey: Cow<'a, str>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    /// No CID needs an escape.
    cid: Option<&'a str>,
}

#[derive(Deserialize)]
struct LineIdentity<'a> {
    #[serde(borrow)]
    handle: Option<Cow<'a, str>>,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LineAccount<'a> {
    active: bool,
    seq: u64,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LineSync<'a> {
    #[serde(borrow)]
    blocks: LineBytes<'a>,
    #[serde(borrow)]
    rev: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LineBytes<'a> {
    #[serde(borrow, rename = "$bytes")]
    base64: Cow<'a, str>,
}

const NO_PAIR: &str = "`record` and `cid` belong together";

// Major types of CBOR.
const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const MAP: u8 = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = concat!(
        r#"{"did":"did:web:a.example","time_us":7,"kind":"commit","commit":{"#,
        r#""rev":"3l3qo2vutsw2b","operation":"create","collection":"a.example.thing","#,
        r#""rkey":"3l3qo2vuowo2b","record":{"a":"\n","b":[1,{}]},"#,
        r#""cid":"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"}}"#,
    );

    fn usual(line: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        BinaryEncoder::new().encode_usual(line, &mut out)?;
        Some(out)
    }

    fn any(line: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let written = BinaryEncoder::new().encode_any(line, true, &mut out);
        written.ok().map(|()| out)
    }

    #[test]
    fn a_commit_is_encoded_in_one_pass() {
        assert!(usual(LINE).is_some());
        assert_eq!(usual(LINE), any(LINE));
        let (before, _) = LINE.split_once(r#","record""#).unwrap();
        let deleted = format!("{before}}}}}").replace("create", "delete");
        assert!(usual(&deleted).is_some());
        assert_eq!(usual(&deleted), any(&deleted));
    }

    proptest! {
        #[test]
        fn one_pass_takes_only_lines_of_events(
            place in 0..LINE.len(),
            length in 0..3usize,
            text in "[\"\\\\{}\\[\\]:,0-9a-z\u{0}-\u{1f} ]{0,3}",
        ) {
            let end = (place + length).min(LINE.len());
            let line = [&LINE[..place], &text, &LINE[end..]].concat();
            if let Some(event) = usual(&line) {
                prop_assert_eq!(Some(event), any(&line));
            }
        }
    }
}
