use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use jetwash_event::{Account, Body, Commit, Identity, Micros, Operation, ParsedEvent, RepoSync};
use serde_json::value::RawValue;

use super::commit::ClientCommit;
use super::kind::ClientKind;
use super::parts::{CommitSpans, Parts, Span};
use super::sync::ClientSync;

/// An event as a Jetstream server sent it.
///
/// It keeps the text of its message and points into it: what is not asked for is not copied, and
/// the record is not parsed. A clone copies no text. Identifiers have been checked.
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientBody, ClientEvent, Protocol};
///
/// let text = concat!(
///     r##"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#account","##,
///     r##""account":{"active":true,"did":"did:web:a.example","seq":7,"time":"2026-01-01T00:00:00Z"},"##,
///     r##""did":"did:web:a.example","seq":29,"time":"2026-11-26T11:31:12.127266Z"}}"##,
/// );
/// let event = ClientEvent::parse(Protocol::V2, text)?;
/// assert_eq!((event.did(), event.seq()), ("did:web:a.example", Some(29)));
/// assert!(matches!(event.body(), ClientBody::Account(account) if account.active));
/// # Ok::<(), jetwash_client::Malformed>(())
/// ```
#[derive(Clone)]
pub struct ClientEvent {
    text: Bytes,
    did: Span,
    time: Micros,
    seq: Option<u64>,
    parts: Parts,
}

/// The content of a [`ClientEvent`].
///
/// # Examples
///
/// ```
/// use jetwash_client::{ClientBody, ClientEvent};
///
/// fn describe(event: &ClientEvent) -> String {
///     match event.body() {
///         ClientBody::Commit(commit) => format!("{} in {}", commit.operation, commit.collection),
///         ClientBody::Account(account) => format!("active: {}", account.active),
///         _ => event.kind().to_string(),
///     }
/// }
/// # let _ = describe;
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ClientBody<'a> {
    /// A record was created, updated or deleted.
    Commit(ClientCommit<'a>),
    /// The account's identity may have changed.
    Identity(&'a Identity),
    /// The account's hosting status has changed.
    Account(&'a Account),
    /// The account's repository has to be fetched anew.
    Sync(&'a ClientSync),
}

impl ClientEvent {
    pub(super) const fn new(
        text: Bytes,
        did: Span,
        time: Micros,
        seq: Option<u64>,
        parts: Parts,
    ) -> Self {
        Self {
            text,
            did,
            time,
            seq,
            parts,
        }
    }

    /// Returns the account: a DID.
    #[must_use]
    pub fn did(&self) -> &str {
        self.did.of(&self.text)
    }

    /// Returns when the server saw it, by its clock: `time_us` of version 1, `time` of version 2.
    #[must_use]
    pub const fn time(&self) -> Micros {
        self.time
    }

    /// Returns its number in the server's sequence, if the server sent one.
    #[must_use]
    pub const fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// Returns the kind of event.
    #[must_use]
    pub const fn kind(&self) -> ClientKind {
        match &self.parts {
            Parts::Commit(_) => ClientKind::Commit,
            Parts::Identity(_) => ClientKind::Identity,
            Parts::Account(_) => ClientKind::Account,
            Parts::Sync(_) => ClientKind::Sync,
        }
    }

    /// Returns the content.
    #[must_use]
    pub fn body(&self) -> ClientBody<'_> {
        match &self.parts {
            Parts::Commit(spans) => ClientBody::Commit(self.commit_of(spans)),
            Parts::Identity(identity) => ClientBody::Identity(identity),
            Parts::Account(account) => ClientBody::Account(account),
            Parts::Sync(sync) => ClientBody::Sync(sync),
        }
    }

    /// Returns the commit, if it is one.
    #[must_use]
    pub fn commit(&self) -> Option<ClientCommit<'_>> {
        match &self.parts {
            Parts::Commit(spans) => Some(self.commit_of(spans)),
            _ => None,
        }
    }

    /// Returns the collection, if it is a commit.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        match &self.parts {
            Parts::Commit(spans) => Some(spans.collection.of(&self.text)),
            _ => None,
        }
    }

    /// Returns the message as it came, decompressed: a line of version 1, or a frame of version 2
    /// with its envelope.
    ///
    /// Where a server had written an identifier with escapes, it is a copy without them.
    #[must_use]
    pub const fn text(&self) -> &Bytes {
        &self.text
    }

    /// Returns the event in the types of `jetwash-event`, `None` for a sync whose blocks are not base64.
    ///
    /// It copies all of it.
    #[must_use]
    pub fn to_parsed(&self) -> Option<ParsedEvent> {
        let body = match &self.parts {
            Parts::Commit(spans) => {
                let commit = self.commit_of(spans);
                let record = commit.record.map(|record| record.to_owned());
                let record = record.map(RawValue::from_string).transpose().ok()?;
                Body::Commit(Commit {
                    rev: commit.rev.parse().ok()?,
                    operation: commit.operation,
                    collection: commit.collection.parse().ok()?,
                    rkey: commit.rkey.parse().ok()?,
                    record: record.map(Arc::from),
                    cid: commit.cid.map(str::parse).transpose().ok()?,
                })
            }
            Parts::Identity(identity) => Body::Identity((**identity).clone()),
            Parts::Account(account) => Body::Account((**account).clone()),
            Parts::Sync(sync) => Body::Sync(RepoSync {
                blocks: sync.car()?.into(),
                rev: sync.rev.parse().ok()?,
                seq: sync.seq,
                time: (*sync.time).into(),
            }),
        };
        Some(ParsedEvent {
            did: self.did().parse().ok()?,
            time_us: self.time,
            body,
        })
    }

    /// Hashes what is the same at every host: all but the time, and numbers of the host or its
    /// relay.
    pub(crate) fn content_hash(&self, state: &impl BuildHasher) -> u64 {
        let mut hasher = state.build_hasher();
        self.did.bytes(&self.text).hash(&mut hasher);
        hasher.write_u8(self.kind() as u8);
        match &self.parts {
            Parts::Commit(spans) => {
                let operation: Operation = spans.operation;
                hasher.write_u8(operation as u8);
                for span in [spans.rev, spans.collection, spans.rkey, spans.cid] {
                    span.bytes(&self.text).hash(&mut hasher);
                }
            }
            Parts::Identity(identity) => {
                identity.time.hash(&mut hasher);
                identity.handle.hash(&mut hasher);
            }
            Parts::Account(account) => {
                account.time.hash(&mut hasher);
                account.status.hash(&mut hasher);
                account.active.hash(&mut hasher);
            }
            Parts::Sync(sync) => {
                sync.time.hash(&mut hasher);
                sync.rev.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    fn commit_of(&self, spans: &CommitSpans) -> ClientCommit<'_> {
        let optional = |span: Span| (!span.is_empty()).then(|| span.of(&self.text));
        ClientCommit {
            operation: spans.operation,
            rev: spans.rev.of(&self.text),
            collection: spans.collection.of(&self.text),
            rkey: spans.rkey.of(&self.text),
            record: optional(spans.record),
            cid: optional(spans.cid),
        }
    }
}

impl fmt::Debug for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientEvent")
            .field("did", &self.did())
            .field("time", &self.time)
            .field("seq", &self.seq)
            .field("body", &self.body())
            .finish()
    }
}
