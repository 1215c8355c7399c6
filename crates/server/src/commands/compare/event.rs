use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use jetwash_client::{ClientBody, ClientEvent};
use serde::Serialize;
use serde_json::Value;

/// An event, reduced to what is compared.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Of what names it at every server: not its time or number, which are a server's own.
    pub(super) key: u64,
    pub(super) content: Content,
    pub(super) name: EventName,
}

/// Hashes of the parts in which the same event may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    cid: u64,
    record: u64,
    /// The handle of an identity, the status of an account.
    state: u64,
}

/// The name of an event, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct EventName {
    kind: &'static str,
    did: Box<str>,
    #[serde(flatten)]
    rest: NameRest,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
enum NameRest {
    Commit {
        operation: &'static str,
        collection: Box<str>,
        rkey: Box<str>,
        rev: Box<str>,
    },
    /// When its source made it. A relay's number would differ from relay to relay.
    Other { time: Box<str> },
}

impl Event {
    pub(super) fn new(event: &ClientEvent, state: &impl BuildHasher) -> Self {
        let hash = |text: Option<&str>| state.hash_one(text);
        let (mut cid, mut record, mut about) = (0, 0, 0);
        let rest = match event.body() {
            ClientBody::Commit(commit) => {
                cid = hash(commit.cid);
                record = commit.record.map_or(0, |text| hash_json(text, state));
                NameRest::Commit {
                    operation: commit.operation.as_str(),
                    collection: commit.collection.into(),
                    rkey: commit.rkey.into(),
                    rev: commit.rev.into(),
                }
            }
            ClientBody::Identity(identity) => {
                about = hash(identity.handle.as_deref());
                let time = (*identity.time).into();
                NameRest::Other { time }
            }
            ClientBody::Account(account) => {
                about = state.hash_one((account.active, account.status.as_deref()));
                let time = (*account.time).into();
                NameRest::Other { time }
            }
            ClientBody::Sync(sync) => {
                about = hash(Some(&*sync.rev));
                let time = (*sync.time).into();
                NameRest::Other { time }
            }
            // Without more to go by, its time at the server would tell the same events apart.
            _ => NameRest::Other { time: "".into() },
        };
        let name = EventName {
            kind: event.kind().as_str(),
            did: event.did().into(),
            rest,
        };
        let content = Content {
            cid,
            record,
            state: about,
        };
        Self {
            key: state.hash_one(&name),
            content,
            name,
        }
    }
}

impl Content {
    /// Says in which part two differ; empty if they do not.
    pub(super) fn differences(self, other: Self) -> Vec<&'static str> {
        let parts = [
            ("cid", self.cid != other.cid),
            ("record", self.record != other.record),
            ("state", self.state != other.state),
        ];
        let differing = parts.into_iter().filter(|(_, differs)| *differs);
        differing.map(|(name, _)| name).collect()
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, did, rest } = self;
        match rest {
            NameRest::Commit {
                operation,
                collection,
                rkey,
                rev,
            } => write!(f, "{operation} at://{did}/{collection}/{rkey} of {rev}"),
            NameRest::Other { time } => write!(f, "{kind} of {did} at {time}"),
        }
    }
}

/// Hashes JSON by its meaning: servers need not write the fields in the same order, nor the same
/// escapes.
fn hash_json(text: &str, state: &impl BuildHasher) -> u64 {
    let mut hasher = state.build_hasher();
    match serde_json::from_str(text) {
        Ok(value) => hash_value(&value, &mut hasher),
        Err(_) => text.hash(&mut hasher),
    }
    hasher.finish()
}

fn hash_value(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Null => hasher.write_u8(0),
        Value::Bool(value) => (1_u8, value).hash(hasher),
        Value::Number(number) => (2_u8, number).hash(hasher),
        Value::String(text) => (3_u8, text).hash(hasher),
        Value::Array(items) => {
            (4_u8, items.len()).hash(hasher);
            for item in items {
                hash_value(item, hasher);
            }
        }
        Value::Object(fields) => {
            (5_u8, fields.len()).hash(hasher);
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in fields {
                name.hash(hasher);
                hash_value(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use jetwash_client::Protocol;

    use super::*;

    fn line(time: u64, record: &str, cid: &str) -> ClientEvent {
        let text = format!(
            r#"{{"did":"did:web:a.example","time_us":{time},"kind":"commit","commit":{{"rev":"3l3qo2vutsw2b","operation":"create","collection":"app.bsky.graph.follow","rkey":"3l3qo2vuowo2b","record":{record},"cid":"{cid}"}}}}"#
        );
        ClientEvent::parse(Protocol::V1, text).unwrap()
    }

    const CID: &str = "bafyreib25swk3a6waplk2ie75u4a3qfejnkoiezfowuz7sa74i7tief3di";
    const OTHER: &str = "bafyreidwaivazkwu67xztlmuobx35hs2lnfh3kolmgfmucldvhd3sgzcqi";

    #[test]
    fn the_same_event_of_two_servers_has_the_same_key_and_content() {
        let state = RandomState::new();
        let one = Event::new(&line(1, r#"{"a":1,"b":["x"]}"#, CID), &state);
        let two = Event::new(&line(2, r#"{"b":["\u0078"], "a":1}"#, CID), &state);
        assert_eq!(one.key, two.key);
        assert!(one.content.differences(two.content).is_empty());
        assert_eq!(
            one.name.to_string(),
            "create at://did:web:a.example/app.bsky.graph.follow/3l3qo2vuowo2b of 3l3qo2vutsw2b"
        );
    }

    #[test]
    fn what_differs_is_named() {
        let state = RandomState::new();
        let one = Event::new(&line(1, r#"{"a":1}"#, CID), &state);
        let record = Event::new(&line(1, r#"{"a":2}"#, CID), &state);
        let both = Event::new(&line(1, r#"{"a":[1]}"#, OTHER), &state);
        assert_eq!(one.key, record.key);
        assert_eq!(one.content.differences(record.content), ["record"]);
        assert_eq!(one.content.differences(both.content), ["cid", "record"]);
    }
}
