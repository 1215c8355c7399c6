//! Reads the lines of version 1, and of version 2's `/subscribe`, which adds a `cursor`.

use bytes::Bytes;
use jetwash_event::Micros;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::malformed::Malformed;
use super::message::{Message, ServerGap};
use super::outcome::{Outcome, Read, read_with};
use super::parts::{AccountText, CommitText, IdentityText, Parts, Text, check_did};

#[derive(Deserialize, Serialize)]
struct Line<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    did: Option<Text<'a>>,
    time_us: Micros,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<u64>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    commit: Option<Commit<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    account: Option<AccountText<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityText<'a>>,
    #[serde(skip_serializing)]
    gap: Option<Gap<'a>>,
}

#[derive(Deserialize, Serialize)]
struct Commit<'a> {
    #[serde(borrow)]
    rev: Text<'a>,
    #[serde(borrow)]
    operation: Text<'a>,
    #[serde(borrow)]
    collection: Text<'a>,
    #[serde(borrow)]
    rkey: Text<'a>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    cid: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Gap<'a> {
    #[serde(borrow)]
    cause: Text<'a>,
}

/// Reads a message.
pub(super) fn read(text: Bytes) -> Result<Message, Malformed> {
    read_with(text, read_line)
}

fn read_line(text: &str) -> Result<Outcome, Malformed> {
    let line: Line<'_> = serde_json::from_str(text).map_err(|_| Malformed::Json)?;
    let kind = &*line.kind.0;
    if let ("gap", Some(gap)) = (kind, &line.gap) {
        return Ok(Outcome::Other(Message::Gap(ServerGap {
            after: (line.time_us > Micros::EPOCH).then_some(line.time_us),
            cause: gap.cause.0.chars().take(MAX_CAUSE).collect(),
        })));
    }
    if !matches!(kind, "commit" | "identity" | "account") {
        return Ok(Outcome::Other(Message::Unknown));
    }
    let did = line.did.as_ref().ok_or(Malformed::Json)?;
    check_did(&did.0)?;
    let parts = match (kind, &line.commit, &line.identity, &line.account) {
        ("commit", Some(commit), ..) => {
            let commit = CommitText {
                rev: Some(&commit.rev),
                operation: Some(&commit.operation),
                collection: Some(&commit.collection),
                rkey: Some(&commit.rkey),
                record: commit.record,
                cid: commit.cid.as_ref(),
            };
            commit.spans(text)?.map(Parts::Commit)
        }
        ("identity", _, Some(identity), _) => Some(identity.parts(&did.0)?),
        ("account", .., Some(account)) => Some(account.parts(&did.0)?),
        _ => return Err(Malformed::Json),
    };
    let (Some(parts), Some(did)) = (parts, did.span(text)) else {
        let line = serde_json::to_string(&line).map_err(|_| Malformed::Json)?;
        return Ok(Outcome::Escaped(line));
    };
    Ok(Outcome::Event(Read {
        did,
        time: line.time_us,
        seq: line.cursor,
        parts,
    }))
}

const MAX_CAUSE: usize = 100;
