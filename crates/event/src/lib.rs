//! The events of a Jetstream: identifiers, events, their JSON and filters over them.
//!
//! The crate has no sockets, files or clocks: bytes and times are passed in.
//!
//! - On the way in, an [`Encoder`] turns a [`Draft`], borrowed from a firehose frame, into the
//!   line that production Jetstream writes, byte for byte, the record straight from DAG-CBOR.
//!   [`write_v0`] turns such a line into the shape of Jetstream's first weeks, a [`V2Encoder`] into
//!   the message of version 2, and a [`BinaryEncoder`] into DAG-CBOR, which a [`BinaryEvent`]
//!   reads.
//! - On the way out, a [`ParsedEvent`] is parsed from such a line. Its record stays unparsed until
//!   [`Commit::record`] parses it; [`Commit::record_cbor`] returns the bytes that the repository
//!   holds. A [`Filter`] says which events a reader wants, by a [`DidSet`] too, which
//!   may be of any size and change at any time; a [`ContentFilter`] which records, by the
//!   [`Facts`] about them.
//! - [`Labels`] knows which labels accounts and records have, as labelers tell it.
//! - Identifiers ([`Did`], [`Nsid`], [`RecordKey`], [`Tid`], [`AtUri`], [`Handle`],
//!   [`Datetime`]) are parsed once and then trusted. Each also has a `check` that looks at
//!   borrowed text and allocates nothing.
//!
//! # Examples
//!
//! ```
//! use jetwash_event::{Body, Draft, DraftBody, Encoder, Filter, Micros, ParsedEvent};
//!
//! // In: what the firehose says, and the position that it gets.
//! let draft = Draft {
//!     did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
//!     body: DraftBody::Account {
//!         active: false,
//!         seq: 7,
//!         status: Some("deactivated"),
//!         time: "2026-07-04T14:38:07.517Z",
//!     },
//! };
//! let mut line = Vec::new();
//! Encoder::new().encode(&draft, Micros::new(1_783_175_887_517_000), &mut line)?;
//!
//! // Out: the event, if this reader wants it.
//! let filter = Filter::new().collections(["app.bsky.feed.*"])?;
//! assert!(filter.matches(draft.kind(), draft.did, draft.collection()));
//! let event: ParsedEvent = serde_json::from_slice(&line)?;
//! if let Body::Account(account) = &event.body {
//!     assert_eq!(account.status.as_deref(), Some("deactivated"));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod base64;
mod binary;
mod content_filter;
mod details;
mod did_set;
mod encoder;
mod escape;
mod event;
mod facts;
mod field;
mod filter;
mod filter_error;
mod host;
mod kind;
mod labels;
mod line_head;
mod micros;
mod optional_cid;
mod plc_did;
mod record;
mod record_cbor;
mod repo_sync;
mod syntax;
mod to_cbor;
mod v0;
mod v2;
mod words;

pub use binary::{BinaryEncoder, BinaryError, BinaryEvent, ParseBinaryError};
pub use content_filter::ContentFilter;
pub use did_set::{DidChange, DidSet, Replacement};
pub use encoder::{Draft, DraftBody, Encoder};
pub use event::{Account, Body, Commit, Identity, ParseRecordError, ParsedEvent};
pub use facts::Facts;
pub use filter::Filter;
pub use filter_error::FilterError;
pub use jetwash_cbor::{Cid, CidError};
pub use kind::{Kind, Operation};
pub use labels::{
    ActiveLabel, LabelCounts, LabelDraft, LabelError, LabelEvent, Labels, write_label,
};
pub use micros::Micros;
pub use plc_did::PlcDid;
pub use record::{RecordError, RecordErrorKind};
pub use record_cbor::{RecordCborError, record_cbor};
pub use repo_sync::RepoSync;
pub use syntax::{AtUri, Datetime, Did, Handle, IdentifierError, Nsid, RecordKey, Syntax, Tid};
pub use to_cbor::{ToCbor, ToCborError, ToCborErrorKind};
pub use v0::{V0Error, write_v0};
pub use v2::{V2Encoder, V2Error, write_with_cursor};
