//! Reads the frames of version 2 (`network.bsky.jetstream.subscribeEvents`).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::malformed::Malformed;
use super::message::Message;
use super::outcome::{Outcome, Read, read_with};
use super::parts::{AccountText, CommitText, IdentityText, Parts, SyncText, Text, check_did};
use super::time::micros;

#[derive(Deserialize, Serialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "$type")]
    kind: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    #[serde(borrow, skip_serializing)]
    error: Option<Text<'a>>,
    #[serde(borrow, skip_serializing)]
    message: Option<Text<'a>>,
}

/// The fields of all kinds, in the order in which they are written.
#[derive(Deserialize, Serialize)]
struct Payload<'a> {
    #[serde(borrow, rename = "$type")]
    kind: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    account: Option<AccountText<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    cid: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    collection: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    did: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityText<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    operation: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    rev: Option<Text<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    rkey: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    sync: Option<SyncText<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    time: Option<Text<'a>>,
    #[serde(borrow, skip_serializing)]
    name: Option<Text<'a>>,
    #[serde(borrow, skip_serializing)]
    message: Option<Text<'a>>,
}

/// Reads a message.
pub(super) fn read(text: Bytes) -> Result<Message, Malformed> {
    read_with(text, read_frame)
}

fn read_frame(text: &str) -> Result<Outcome, Malformed> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| Malformed::Json)?;
    match (&*envelope.kind.0, &envelope.payload, &envelope.error) {
        ("message", Some(payload), _) => match read_payload(text, payload)? {
            Some(outcome) => Ok(outcome),
            None => {
                let text = serde_json::to_string(&envelope).map_err(|_| Malformed::Json)?;
                Ok(Outcome::Escaped(text))
            }
        },
        ("error", _, Some(error)) => Ok(Outcome::Other(Message::Error {
            name: cut(&error.0),
            message: envelope
                .message
                .map_or_else(String::new, |text| cut(&text.0)),
        })),
        ("message" | "error", ..) => Err(Malformed::Json),
        _ => Ok(Outcome::Other(Message::Unknown)),
    }
}

/// `None` if an identifier has escapes.
fn read_payload(text: &str, payload: &Payload<'_>) -> Result<Option<Outcome>, Malformed> {
    let kind = payload.kind.0.strip_prefix(NSID).unwrap_or_default();
    if let ("#info", Some(name)) = (kind, &payload.name) {
        let message = payload.message.as_ref();
        return Ok(Some(Outcome::Other(Message::Info {
            name: cut(&name.0),
            message: message.map_or_else(String::new, |text| cut(&text.0)),
        })));
    }
    if !matches!(kind, "#commit" | "#identity" | "#account" | "#sync") {
        return Ok(Some(Outcome::Other(Message::Unknown)));
    }
    let (Some(did), Some(time), Some(seq)) = (&payload.did, &payload.time, payload.seq) else {
        return Err(Malformed::Json);
    };
    check_did(&did.0)?;
    let time = micros(&time.0).ok_or(Malformed::Time)?;
    let missing = Malformed::Json;
    let parts = match kind {
        "#commit" => {
            let commit = CommitText {
                rev: payload.rev.as_ref(),
                operation: payload.operation.as_ref(),
                collection: payload.collection.as_ref(),
                rkey: payload.rkey.as_ref(),
                record: payload.record,
                cid: payload.cid.as_ref(),
            };
            commit.spans(text)?.map(Parts::Commit)
        }
        "#identity" => Some(payload.identity.as_ref().ok_or(missing)?.parts(&did.0)?),
        "#account" => Some(payload.account.as_ref().ok_or(missing)?.parts(&did.0)?),
        _ => Some(payload.sync.as_ref().ok_or(missing)?.parts(&did.0)?),
    };
    let (Some(parts), Some(did)) = (parts, did.span(text)) else {
        return Ok(None);
    };
    Ok(Some(Outcome::Event(Read {
        did,
        time,
        seq: Some(seq),
        parts,
    })))
}

/// Cuts text from outside to what a message can show.
fn cut(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

const NSID: &str = "network.bsky.jetstream.subscribeEvents";
const MAX_SHOWN: usize = 500;
