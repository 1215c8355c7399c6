use jetwash_cbor::{CborReader, Cid, Codec};

use super::error::ParseBinaryError;
use crate::encoder::{Draft, DraftBody};
use crate::kind::Operation;
use crate::micros::Micros;

/// A binary event, borrowed from its bytes.
///
/// # Examples
///
/// ```
/// use jetwash_event::{BinaryEncoder, BinaryEvent, Draft, DraftBody, Kind, Micros};
///
/// let body = DraftBody::Identity { handle: None, seq: 7, time: "2026-07-04T14:38:07Z" };
/// let draft = Draft { did: "did:web:a.example", body };
/// let mut binary = Vec::new();
/// BinaryEncoder::new().encode_draft(&draft, Micros::new(1), &mut binary);
///
/// let event = BinaryEvent::parse(&binary)?;
/// assert_eq!((event.draft().kind(), event.record()), (Kind::Identity, None));
/// # Ok::<(), jetwash_event::ParseBinaryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BinaryEvent<'a> {
    time_us: Micros,
    /// The CID that goes with the record of `draft`, given or worked out.
    cid: Option<Cid>,
    record: Option<&'a [u8]>,
    draft: Draft<'a>,
}

impl<'a> BinaryEvent<'a> {
    /// Reads one binary event, which must fill `bytes`.
    ///
    /// DAG-CBOR is read strictly, and no tree is built. Texts are not checked: the reader
    /// has to check that a DID is valid. Unknown fields are passed over.
    ///
    /// # Errors
    ///
    /// When the bytes are not DAG-CBOR, or not that of an event.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseBinaryError> {
        // The record is kept beside the draft: its CID lives in the event itself, and a draft
        // cannot borrow from the struct that holds it.
        let mut reader = CborReader::new(bytes);
        let (mut did, mut time_us, mut body) = (None, None, None);
        let (mut cid, mut record) = (None, None);
        let mut map = reader.map()?;
        while let Some(key) = map.next_key(&mut reader)? {
            match key {
                "did" => did = Some(reader.text()?),
                "time" => time_us = Some(Micros::new(reader.unsigned()?)),
                "commit" | "identity" | "account" | "sync" if body.is_some() => {
                    return Err(ParseBinaryError::Body);
                }
                "commit" => {
                    let commit = Commit::read(&mut reader)?;
                    (cid, record) = (commit.cid, commit.record);
                    body = Some(commit.body()?);
                }
                "identity" => body = Some(read_identity(&mut reader)?),
                "account" => body = Some(read_account(&mut reader)?),
                "sync" => body = Some(read_sync(&mut reader)?),
                _ => reader.skip()?,
            }
        }
        reader.finish()?;
        Ok(Self {
            time_us: time_us.ok_or(ParseBinaryError::Missing("time"))?,
            cid: cid.or_else(|| record.map(|record| Cid::of(Codec::DagCbor, record))),
            record,
            draft: Draft {
                did: did.ok_or(ParseBinaryError::Missing("did"))?,
                body: body.ok_or(ParseBinaryError::Body)?,
            },
        })
    }

    /// The account.
    #[must_use]
    pub const fn did(&self) -> &'a str {
        self.draft.did
    }

    /// Its position in time: microseconds since 1970.
    #[must_use]
    pub const fn time_us(&self) -> Micros {
        self.time_us
    }

    /// Returns the draft from which [`Encoder::encode`](crate::Encoder::encode) makes the line.
    #[must_use]
    pub fn draft(&self) -> Draft<'_> {
        let mut draft = self.draft;
        if let DraftBody::Commit { record, .. } = &mut draft.body {
            *record = self.record.zip(self.cid.as_ref());
        }
        draft
    }

    /// The record as DAG-CBOR, if the event carries one.
    #[must_use]
    pub const fn record(&self) -> Option<&'a [u8]> {
        self.record
    }

    /// The record's CID in the repository, if the event carries one. Nearly always it is that of
    /// [`record`](Self::record).
    #[must_use]
    pub const fn cid(&self) -> Option<&Cid> {
        self.cid.as_ref()
    }
}

/// The fields of a commit, as far as they have been read.
#[derive(Default)]
struct Commit<'a> {
    operation: Option<Operation>,
    cid: Option<Cid>,
    collection: &'a str,
    record: Option<&'a [u8]>,
    rev: &'a str,
    rkey: &'a str,
}

impl<'a> Commit<'a> {
    fn read(reader: &mut CborReader<'a>) -> Result<Self, ParseBinaryError> {
        // Texts may be absent, as in the line, and are empty then; `op` may not.
        let mut commit = Self::default();
        let mut map = reader.map()?;
        while let Some(key) = map.next_key(reader)? {
            match key {
                "op" => {
                    let word = reader.text()?;
                    let known = [Operation::Create, Operation::Update, Operation::Delete];
                    let known = known.into_iter().find(|known| known.as_str() == word);
                    commit.operation = Some(known.ok_or(ParseBinaryError::Operation)?);
                }
                "cid" => commit.cid = Some(reader.link()?.try_into()?),
                "col" => commit.collection = reader.text()?,
                "rec" => {
                    let start = reader.position();
                    reader.skip()?;
                    commit.record = Some(reader.since(start));
                }
                "rev" => commit.rev = reader.text()?,
                "rkey" => commit.rkey = reader.text()?,
                _ => reader.skip()?,
            }
        }
        if commit.record.is_none() && commit.cid.is_some() {
            return Err(ParseBinaryError::Missing("rec"));
        }
        Ok(commit)
    }

    /// Returns the body without its record, which `BinaryEvent` adds when it is asked for a draft.
    fn body(&self) -> Result<DraftBody<'a>, ParseBinaryError> {
        Ok(DraftBody::Commit {
            rev: self.rev,
            operation: self.operation.ok_or(ParseBinaryError::Missing("op"))?,
            collection: self.collection,
            rkey: self.rkey,
            record: None,
        })
    }
}

fn read_identity<'a>(reader: &mut CborReader<'a>) -> Result<DraftBody<'a>, ParseBinaryError> {
    let (mut handle, mut seq, mut time) = (None, None, None);
    let mut map = reader.map()?;
    while let Some(key) = map.next_key(reader)? {
        match key {
            "seq" => seq = Some(reader.unsigned()?),
            "time" => time = Some(reader.text()?),
            "handle" => handle = Some(reader.text()?),
            _ => reader.skip()?,
        }
    }
    Ok(DraftBody::Identity {
        handle,
        seq: seq.ok_or(ParseBinaryError::Missing("seq"))?,
        time: time.ok_or(ParseBinaryError::Missing("time"))?,
    })
}

fn read_account<'a>(reader: &mut CborReader<'a>) -> Result<DraftBody<'a>, ParseBinaryError> {
    let (mut active, mut seq, mut status, mut time) = (None, None, None, None);
    let mut map = reader.map()?;
    while let Some(key) = map.next_key(reader)? {
        match key {
            "seq" => seq = Some(reader.unsigned()?),
            "time" => time = Some(reader.text()?),
            "active" => active = Some(reader.boolean()?),
            "status" => status = Some(reader.text()?),
            _ => reader.skip()?,
        }
    }
    Ok(DraftBody::Account {
        active: active.ok_or(ParseBinaryError::Missing("active"))?,
        seq: seq.ok_or(ParseBinaryError::Missing("seq"))?,
        status,
        time: time.ok_or(ParseBinaryError::Missing("time"))?,
    })
}

fn read_sync<'a>(reader: &mut CborReader<'a>) -> Result<DraftBody<'a>, ParseBinaryError> {
    let (mut rev, mut seq, mut time, mut blocks) = (None, None, None, None);
    let mut map = reader.map()?;
    while let Some(key) = map.next_key(reader)? {
        match key {
            "rev" => rev = Some(reader.text()?),
            "seq" => seq = Some(reader.unsigned()?),
            "time" => time = Some(reader.text()?),
            "blocks" => blocks = Some(reader.bytes()?),
            _ => reader.skip()?,
        }
    }
    Ok(DraftBody::Sync {
        blocks: blocks.ok_or(ParseBinaryError::Missing("blocks"))?,
        rev: rev.ok_or(ParseBinaryError::Missing("rev"))?,
        seq: seq.ok_or(ParseBinaryError::Missing("seq"))?,
        time: time.ok_or(ParseBinaryError::Missing("time"))?,
    })
}
