//! What an event says, beyond what the log's index knows: parsed when asked, borrowed where it can
//! be.

use std::fmt;

use jetwash_event::{
    Account, Body, Cid, Commit, Identity, Kind, Operation, ParseRecordError, RecordCborError,
    record_cbor,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::subscription::Event;

impl Event {
    /// What names this event and no other, in this log and in any that reads the same relay: for
    /// databases that must take an event that comes twice for one.
    ///
    /// # Examples
    ///
    /// An operation is named by account, revision, path and what was done; what is no operation by
    /// the relay's time and sequence number.
    ///
    /// ```text
    /// did:plc:ewvi7nxzyoun6zhxrhs64oiz/3l3qo2vutsw2b/app.bsky.feed.like/3l3qo2vuowo2b/delete
    /// did:plc:ewvi7nxzyoun6zhxrhs64oiz/account/2026-07-04T14:38:07.517Z/31527015322
    /// ```
    #[must_use]
    pub fn id(&self) -> EventId {
        let (did, line) = (self.did(), self.line());
        EventId(match (line.commit, line.identity, line.account) {
            (Some(commit), ..) => {
                let operation = self.operation().map_or("", Operation::as_str);
                let collection = self.collection().unwrap_or_default();
                let (rev, rkey) = (commit.rev, commit.rkey);
                format!("{did}/{rev}/{collection}/{rkey}/{operation}")
            }
            (_, Some(message), _) | (_, _, Some(message)) => {
                format!("{did}/{}/{}/{}", self.kind(), message.time, message.seq)
            }
            _ => format!("{did}/{}/{}", self.kind(), self.time_us()),
        })
    }

    /// The revision of the repository that the commit made; `None` if it is no commit.
    #[must_use]
    pub fn rev(&self) -> Option<&str> {
        Some(self.line().commit?.rev)
    }

    /// The key of the record in its collection; `None` if the event is not about one.
    #[must_use]
    pub fn rkey(&self) -> Option<&str> {
        Some(self.line().commit?.rkey)
    }

    /// Where the record is, as an `at://` URI; `None` if the event is not about one.
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        let (did, collection, rkey) = (self.did(), self.collection()?, self.rkey()?);
        Some(format!("at://{did}/{collection}/{rkey}"))
    }

    /// The CID of the record; `None` if the event carries none.
    #[must_use]
    pub fn cid(&self) -> Option<Cid> {
        self.line().commit?.cid?.parse().ok()
    }

    /// Parses the record.
    ///
    /// # Errors
    ///
    /// When the event carries none, or it does not fit the type.
    pub fn record<T: DeserializeOwned>(&self) -> Result<T, ParseRecordError> {
        let json = self.record_json().ok_or(ParseRecordError::Absent)?;
        Ok(serde_json::from_str(json)?)
    }

    /// The record as JSON, as it stands in [`json`](Self::json); `None` if the event carries none.
    #[must_use]
    pub fn record_json(&self) -> Option<&str> {
        Some(self.line().commit?.record?.get())
    }

    /// The record as the DAG-CBOR that its repository holds, to the byte: regenerated from the
    /// JSON, and checked against the CID.
    ///
    /// # Errors
    ///
    /// When the event carries no record, or one of the few whose JSON leaves something out.
    pub fn record_cbor(&self) -> Result<Vec<u8>, RecordCborError> {
        let json = self.record_json().ok_or(RecordCborError::Absent)?;
        record_cbor(json, &self.cid().ok_or(RecordCborError::Absent)?)
    }

    /// What happened, in a form that a `match` has to treat in full: deletions and changes of
    /// accounts too. An update that [no longer matches](Self::no_longer_matches) a filter by content
    /// is a [`Change::Delete`].
    ///
    /// # Errors
    ///
    /// When the log holds a line that is no event, which nothing but a fault can bring about.
    pub fn change(&self) -> Result<Change, serde_json::Error> {
        Ok(match self.parse()?.body {
            Body::Commit(commit) => match commit.operation {
                Operation::Create => Change::Create(commit),
                Operation::Update if self.no_longer_matches() => Change::Delete(commit),
                Operation::Update => Change::Update(commit),
                Operation::Delete => Change::Delete(commit),
            },
            Body::Identity(identity) => Change::Identity(identity),
            Body::Account(account) => Change::Account(account),
        })
    }

    fn line(&self) -> Line<'_> {
        // Our own encoder wrote the line, and wrote nothing in these fields that needs an escape.
        serde_json::from_str(self.json()).unwrap_or_default()
    }
}

/// The name of an event: see [`Event::id`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(String);

impl EventId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.0
    }
}

/// What an event tells.
///
/// There will be no other variants, so that the compiler asks for each: what is deleted has to go,
/// and so has what belongs to an account that is taken down.
#[derive(Clone, Debug)]
pub enum Change {
    /// A record is new.
    Create(Commit),
    /// A record replaces one of the same key.
    Update(Commit),
    /// A record is gone: the commit carries none. Or a filter by content was asked for, and the
    /// record does not match it since this update, which the commit then carries. Either way it is
    /// not to be shown any more.
    Delete(Commit),
    /// The account's handle, keys or host may have changed.
    Identity(Identity),
    /// The account's hosting status has changed: it was deactivated, suspended, taken down or
    /// deleted, or is back.
    Account(Account),
}

impl Change {
    /// The kind of event that it came with.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Create(_) | Self::Update(_) | Self::Delete(_) => Kind::Commit,
            Self::Identity(_) => Kind::Identity,
            Self::Account(_) => Kind::Account,
        }
    }
}

#[derive(Default, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    commit: Option<CommitLine<'a>>,
    #[serde(borrow)]
    identity: Option<Message<'a>>,
    #[serde(borrow)]
    account: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct CommitLine<'a> {
    rev: &'a str,
    rkey: &'a str,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    cid: Option<&'a str>,
}

#[derive(Deserialize)]
struct Message<'a> {
    seq: u64,
    time: &'a str,
}
