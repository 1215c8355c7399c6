//! The steps that the two versions have in common.

use std::borrow::Cow;
use std::sync::Arc;

use jetwash_event::{Account, Cid, Did, Identity, Nsid, Operation, RecordKey, Tid};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::malformed::Malformed;
use super::sync::ClientSync;

/// A part of a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Finds where `part` lies in `text`. `None` if it is a copy from elsewhere.
    pub(super) fn find(text: &str, part: &str) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        let end = start.checked_add(part.len())?;
        text.get(start..end)?;
        Some(Self {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(end).ok()?,
        })
    }

    pub(super) const fn is_empty(self) -> bool {
        self.start == self.end
    }

    pub(super) fn bytes(self, text: &[u8]) -> &[u8] {
        let part = text.get(self.start as usize..self.end as usize);
        debug_assert!(part.is_some(), "a span is of the text it was found in");
        part.unwrap_or_default()
    }

    pub(super) fn of(self, text: &[u8]) -> &str {
        // The whole text was checked when the span was found.
        std::str::from_utf8(self.bytes(text)).unwrap_or_default()
    }
}

/// The content of an event. What is rare is copied; a commit points into the text.
#[derive(Clone)]
pub(super) enum Parts {
    Commit(CommitSpans),
    Identity(Arc<Identity>),
    Account(Arc<Account>),
    Sync(Arc<ClientSync>),
}

/// A commit; `record` and `cid` are empty where it has neither.
#[derive(Clone, Copy)]
pub(super) struct CommitSpans {
    pub(super) operation: Operation,
    pub(super) rev: Span,
    pub(super) collection: Span,
    pub(super) rkey: Span,
    pub(super) record: Span,
    pub(super) cid: Span,
}

/// Text that is borrowed unless it has escapes.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    /// Finds it in the whole text. `None` if it has escapes.
    pub(super) fn span(&self, text: &str) -> Option<Span> {
        match &self.0 {
            Cow::Borrowed(part) => Span::find(text, part),
            Cow::Owned(_) => None,
        }
    }
}

/// A commit as either version has it: in an object of its own, or among the fields of the event.
pub(super) struct CommitText<'t, 'a> {
    pub(super) rev: Option<&'t Text<'a>>,
    pub(super) operation: Option<&'t Text<'a>>,
    pub(super) collection: Option<&'t Text<'a>>,
    pub(super) rkey: Option<&'t Text<'a>>,
    pub(super) record: Option<&'a RawValue>,
    pub(super) cid: Option<&'t Text<'a>>,
}

impl CommitText<'_, '_> {
    /// Checks all of it. `None` if an identifier has escapes, and so does not lie in the text.
    pub(super) fn spans(&self, text: &str) -> Result<Option<CommitSpans>, Malformed> {
        let (Some(rev), Some(operation), Some(collection), Some(rkey)) =
            (self.rev, self.operation, self.collection, self.rkey)
        else {
            return Err(Malformed::Json);
        };
        Tid::check(&rev.0).map_err(|_| Malformed::Revision)?;
        Nsid::check(&collection.0).map_err(|_| Malformed::Collection)?;
        RecordKey::check(&rkey.0).map_err(|_| Malformed::RecordKey)?;
        let operation = match &*operation.0 {
            "create" => Operation::Create,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return Err(Malformed::Operation),
        };
        if let Some(cid) = self.cid {
            let parsed: Result<Cid, _> = cid.0.parse();
            parsed.map_err(|_| Malformed::Cid)?;
        }
        let record = self.record.map(|record| Span::find(text, record.get()));
        let cid = self.cid.map(|cid| cid.span(text));
        let (Some(rev), Some(collection), Some(rkey), Some(record), Some(cid)) = (
            rev.span(text),
            collection.span(text),
            rkey.span(text),
            record.unwrap_or_else(|| Some(Span::default())),
            cid.unwrap_or_else(|| Some(Span::default())),
        ) else {
            return Ok(None);
        };
        Ok(Some(CommitSpans {
            operation,
            rev,
            collection,
            rkey,
            record,
            cid,
        }))
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct IdentityText<'a> {
    #[serde(borrow)]
    did: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    handle: Option<Text<'a>>,
    #[serde(default)]
    seq: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    time: Option<Text<'a>>,
}

impl IdentityText<'_> {
    pub(super) fn parts(&self, did: &str) -> Result<Parts, Malformed> {
        check_account(did, &self.did.0)?;
        Ok(Parts::Identity(Arc::new(Identity {
            handle: self.handle.as_ref().map(|handle| (*handle.0).into()),
            seq: self.seq,
            time: text_of(self.time.as_ref()).into(),
        })))
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct AccountText<'a> {
    active: bool,
    #[serde(borrow)]
    did: Text<'a>,
    #[serde(default)]
    seq: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    status: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    time: Option<Text<'a>>,
}

impl AccountText<'_> {
    pub(super) fn parts(&self, did: &str) -> Result<Parts, Malformed> {
        check_account(did, &self.did.0)?;
        Ok(Parts::Account(Arc::new(Account {
            active: self.active,
            seq: self.seq,
            status: self.status.as_ref().map(|status| (*status.0).into()),
            time: text_of(self.time.as_ref()).into(),
        })))
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct SyncText<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    blocks: Option<BytesText<'a>>,
    #[serde(borrow)]
    did: Text<'a>,
    #[serde(borrow)]
    rev: Text<'a>,
    #[serde(default)]
    seq: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    time: Option<Text<'a>>,
}

#[derive(Deserialize, Serialize)]
struct BytesText<'a> {
    #[serde(borrow, rename = "$bytes")]
    bytes: Text<'a>,
}

impl SyncText<'_> {
    pub(super) fn parts(&self, did: &str) -> Result<Parts, Malformed> {
        check_account(did, &self.did.0)?;
        Tid::check(&self.rev.0).map_err(|_| Malformed::Revision)?;
        let blocks = self.blocks.as_ref().map(|blocks| &blocks.bytes);
        Ok(Parts::Sync(Arc::new(ClientSync {
            rev: (*self.rev.0).into(),
            seq: self.seq,
            time: text_of(self.time.as_ref()).into(),
            blocks: text_of(blocks).into(),
        })))
    }
}

/// Checks that text is a DID.
pub(super) fn check_did(did: &str) -> Result<(), Malformed> {
    Did::check(did).map_err(|_| Malformed::Did)
}

fn check_account(outer: &str, inner: &str) -> Result<(), Malformed> {
    if outer == inner {
        Ok(())
    } else {
        Err(Malformed::OtherAccount)
    }
}

fn text_of<'t>(text: Option<&'t Text<'_>>) -> &'t str {
    text.map_or("", |text| &text.0)
}
