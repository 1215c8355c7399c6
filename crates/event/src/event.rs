use std::sync::Arc;

use jetwash_cbor::Cid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::escape;
use crate::kind::{Kind, Operation};
use crate::micros::Micros;
use crate::optional_cid;
use crate::record_cbor::{RecordCborError, record_cbor};
use crate::repo_sync::{JsonBytes, RepoSync};
use crate::syntax::{Did, Nsid, RecordKey, Tid};

/// An event as a reader gets it.
///
/// It is parsed from the line that a Jetstream sends, ours or another, and serialises to the
/// same bytes. Unknown fields are passed over, and so is the `cursor` that version 2 adds. A
/// clone copies no text.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Body, ParsedEvent, Kind};
///
/// let line = concat!(
///     r#"{"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","time_us":1725911162329308,"#,
///     r#""kind":"commit","commit":{"rev":"3l3qo2vutsw2b","operation":"delete","#,
///     r#""collection":"app.bsky.feed.like","rkey":"3l3qo2vuowo2b"}}"#,
/// );
/// let event: ParsedEvent = serde_json::from_str(line)?;
/// assert_eq!(event.kind(), Kind::Commit);
/// if let Body::Commit(commit) = &event.body {
///     assert_eq!(commit.collection, "app.bsky.feed.like");
/// }
/// assert_eq!(serde_json::to_string(&event)?, line);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParsedEvent {
    /// The account.
    pub did: Did,
    /// Its position in time, set by the Jetstream that made it: microseconds since 1970, higher
    /// for every event.
    pub time_us: Micros,
    /// The event itself.
    pub body: Body,
}

impl ParsedEvent {
    /// The kind of event.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.body {
            Body::Commit(_) => Kind::Commit,
            Body::Identity(_) => Kind::Identity,
            Body::Account(_) => Kind::Account,
            Body::Sync(_) => Kind::Sync,
        }
    }

    /// The commit, if it is one.
    #[must_use]
    pub const fn commit(&self) -> Option<&Commit> {
        match &self.body {
            Body::Commit(commit) => Some(commit),
            _ => None,
        }
    }

    /// The collection, if it is a commit.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        self.commit().map(|commit| commit.collection.as_str())
    }
}

impl<'de> Deserialize<'de> for ParsedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = LineIn::deserialize(deserializer)?;
        line.into_event().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ParsedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LineOut::from(self).serialize(serializer)
    }
}

/// The event of a [`ParsedEvent`].
///
/// # Examples
///
/// ```
/// use jetwash_event::Body;
///
/// fn describe(body: &Body) -> String {
///     match body {
///         Body::Commit(commit) => format!("{} in {}", commit.operation, commit.collection),
///         Body::Identity(_) => "identity".to_owned(),
///         Body::Account(account) => format!("active: {}", account.active),
///         Body::Sync(sync) => format!("at {}", sync.rev),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub enum Body {
    /// A record was created, updated or deleted.
    Commit(Commit),
    /// The account's identity may have changed.
    Identity(Identity),
    /// The account's hosting status has changed.
    Account(Account),
    /// The account's repository is in a new state, and has to be fetched anew.
    Sync(RepoSync),
}

/// One operation on a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The revision of the repository that the commit made.
    pub rev: Tid,
    /// The operation.
    pub operation: Operation,
    /// The collection that the record is in.
    pub collection: Nsid,
    /// The key of the record in its collection.
    pub rkey: RecordKey,
    /// The record as JSON, unparsed; `None` for a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Arc<RawValue>>,
    /// The CID of the record as it is in the repository; `None` for a deletion.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_cid"
    )]
    pub cid: Option<Cid>,
}

impl Commit {
    /// Parses the record.
    ///
    /// # Errors
    ///
    /// When there is no record, or when it does not fit the type.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::{ParsedEvent, ParseRecordError};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Follow {
    ///     subject: String,
    /// }
    ///
    /// let line = concat!(
    ///     r#"{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{"#,
    ///     r#""rev":"3l3qo2vutsw2b","operation":"create","collection":"app.bsky.graph.follow","#,
    ///     r#""rkey":"3l3qo2vuowo2b","record":{"subject":"did:web:b.example"},"#,
    ///     r#""cid":"bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di"}}"#,
    /// );
    /// let event: ParsedEvent = serde_json::from_str(line)?;
    /// let follow: Result<Follow, ParseRecordError> = event.commit().unwrap().record();
    /// assert_eq!(follow.unwrap().subject, "did:web:b.example");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn record<T: DeserializeOwned>(&self) -> Result<T, ParseRecordError> {
        let record = self.record.as_ref().ok_or(ParseRecordError::Absent)?;
        Ok(serde_json::from_str(record.get())?)
    }

    /// The record as the DAG-CBOR that the repository holds, to the byte.
    ///
    /// # Errors
    ///
    /// When there is no record, or when its JSON leaves something out: see [`RecordCborError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash_event::ParsedEvent;
    ///
    /// let line = concat!(
    ///     r#"{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{"#,
    ///     r#""rev":"3l3qo2vutsw2b","operation":"create","collection":"a.example.thing","#,
    ///     r#""rkey":"3l3qo2vuowo2b","record":{},"#,
    ///     r#""cid":"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"}}"#,
    /// );
    /// let event: ParsedEvent = serde_json::from_str(line)?;
    /// assert_eq!(event.commit().unwrap().record_cbor().unwrap(), b"\xa0");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn record_cbor(&self) -> Result<Vec<u8>, RecordCborError> {
        let (Some(record), Some(cid)) = (&self.record, &self.cid) else {
            return Err(RecordCborError::Absent);
        };
        record_cbor(record.get(), cid)
    }
}

/// Why a commit has no record of the wanted type.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Commit, ParseRecordError};
///
/// fn text(commit: &Commit) -> Option<String> {
///     match commit.record::<serde_json::Value>() {
///         Ok(record) => Some(record["text"].as_str()?.to_owned()),
///         Err(ParseRecordError::Absent) => None, // a deletion
///         Err(error) => {
///             eprintln!("{error}");
///             None
///         }
///     }
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParseRecordError {
    /// The commit carries no record: it is a deletion.
    #[error("the commit carries no record")]
    Absent,
    /// The record has another shape.
    #[error("the record does not fit the type: {0}")]
    Type(#[from] serde_json::Error),
}

/// A sign that an account's handle, keys or host may have changed.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Body, ParsedEvent};
///
/// let line = concat!(
///     r#"{"did":"did:web:a.example","time_us":1,"kind":"identity","identity":{"#,
///     r#""did":"did:web:a.example","handle":"a.example","seq":7,"time":"2026-07-04T14:38:07Z"}}"#,
/// );
/// let event: ParsedEvent = serde_json::from_str(line)?;
/// if let Body::Identity(identity) = &event.body {
///     assert_eq!(identity.handle.as_deref(), Some("a.example"));
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The handle, if the upstream says it.
    pub handle: Option<Arc<str>>,
    /// The number of the message in the sequence of the upstream relay.
    pub seq: u64,
    /// When the upstream relay sent it.
    pub time: Arc<str>,
}

/// The hosting status of an account.
///
/// # Examples
///
/// ```
/// use jetwash_event::{Body, ParsedEvent};
///
/// let line = concat!(
///     r#"{"did":"did:web:a.example","time_us":1,"kind":"account","account":{"active":false,"#,
///     r#""did":"did:web:a.example","seq":7,"status":"deleted","time":"2026-07-04T14:38:07Z"}}"#,
/// );
/// let event: ParsedEvent = serde_json::from_str(line)?;
/// if let Body::Account(account) = &event.body {
///     assert!(!account.active);
///     assert_eq!(account.status.as_deref(), Some("deleted"));
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whether its content may be shown.
    pub active: bool,
    /// The number of the message in the sequence of the upstream relay.
    pub seq: u64,
    /// Why it is not active: `takendown`, `suspended`, `deleted`, `deactivated`,
    /// `desynchronized`, `throttled`, or one that is added later.
    pub status: Option<Arc<str>>,
    /// When the upstream relay sent it.
    pub time: Arc<str>,
}

/// A line as it is read.
#[derive(Deserialize)]
struct LineIn {
    did: Did,
    time_us: Micros,
    kind: Kind,
    commit: Option<Commit>,
    identity: Option<IdentityIn>,
    account: Option<AccountIn>,
    sync: Option<SyncIn>,
}

#[derive(Deserialize)]
struct IdentityIn {
    did: Did,
    handle: Option<Arc<str>>,
    seq: u64,
    time: Arc<str>,
}

#[derive(Deserialize)]
struct AccountIn {
    active: bool,
    did: Did,
    seq: u64,
    status: Option<Arc<str>>,
    time: Arc<str>,
}

#[derive(Deserialize)]
struct SyncIn {
    blocks: JsonBytes,
    did: Did,
    rev: Tid,
    seq: u64,
    time: Arc<str>,
}

impl LineIn {
    fn into_event(self) -> Result<ParsedEvent, String> {
        // The line repeats the DID in its body; two that differ would be two accounts.
        let missing = || format!("`kind` is `{0}`, but there is no `{0}`", self.kind);
        let body = match self.kind {
            Kind::Commit => Body::Commit(self.commit.ok_or_else(missing)?),
            Kind::Identity => {
                let identity = self.identity.ok_or_else(missing)?;
                check_same(&self.did, &identity.did)?;
                Body::Identity(Identity {
                    handle: identity.handle,
                    seq: identity.seq,
                    time: identity.time,
                })
            }
            Kind::Account => {
                let account = self.account.ok_or_else(missing)?;
                check_same(&self.did, &account.did)?;
                Body::Account(Account {
                    active: account.active,
                    seq: account.seq,
                    status: account.status,
                    time: account.time,
                })
            }
            Kind::Sync => {
                let sync = self.sync.ok_or_else(missing)?;
                check_same(&self.did, &sync.did)?;
                Body::Sync(RepoSync {
                    blocks: sync.blocks.decode().ok_or("`blocks` is not base64")?,
                    rev: sync.rev,
                    seq: sync.seq,
                    time: sync.time,
                })
            }
            Kind::Label => return Err("a label is of a labeler: see `LabelEvent`".to_owned()),
        };
        Ok(ParsedEvent {
            did: self.did,
            time_us: self.time_us,
            body,
        })
    }
}

fn check_same(outer: &Did, inner: &Did) -> Result<(), String> {
    if outer == inner {
        Ok(())
    } else {
        Err(format!("the event is of {outer}, but its body of {inner}"))
    }
}

/// A line as it is written, in the order of production's fields.
#[derive(Serialize)]
struct LineOut<'a> {
    did: &'a Did,
    time_us: Micros,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a Commit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<SyncOut<'a>>,
}

#[derive(Serialize)]
struct IdentityOut<'a> {
    did: &'a Did,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<Text<'a>>,
    seq: u64,
    time: Text<'a>,
}

#[derive(Serialize)]
struct AccountOut<'a> {
    active: bool,
    did: &'a Did,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Text<'a>>,
    time: Text<'a>,
}

#[derive(Serialize)]
struct SyncOut<'a> {
    blocks: JsonBytes,
    did: &'a Did,
    rev: &'a Tid,
    seq: u64,
    time: Text<'a>,
}

impl<'a> From<&'a ParsedEvent> for LineOut<'a> {
    fn from(event: &'a ParsedEvent) -> Self {
        // Production writes the DID a second time in the body of identities and accounts.
        let mut line = Self {
            did: &event.did,
            time_us: event.time_us,
            kind: event.kind(),
            commit: None,
            account: None,
            identity: None,
            sync: None,
        };
        match &event.body {
            Body::Commit(commit) => line.commit = Some(commit),
            Body::Identity(identity) => {
                line.identity = Some(IdentityOut {
                    did: &event.did,
                    handle: identity.handle.as_deref().map(Text),
                    seq: identity.seq,
                    time: Text(&identity.time),
                });
            }
            Body::Account(account) => {
                line.account = Some(AccountOut {
                    active: account.active,
                    did: &event.did,
                    seq: account.seq,
                    status: account.status.as_deref().map(Text),
                    time: Text(&account.time),
                });
            }
            Body::Sync(sync) => {
                line.sync = Some(SyncOut {
                    blocks: JsonBytes::encode(&sync.blocks),
                    did: &event.did,
                    rev: &sync.rev,
                    seq: sync.seq,
                    time: Text(&sync.time),
                });
            }
        }
        line
    }
}

/// Text of any content, escaped as production does.
struct Text<'a>(&'a str);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if escape::is_plain(self.0.as_bytes()) {
            return serializer.serialize_str(self.0);
        }
        let mut escaped = Vec::new();
        escape::write_string(self.0, &mut escaped);
        let raw: Result<&RawValue, _> = serde_json::from_slice(&escaped);
        raw.map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}
