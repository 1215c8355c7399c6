//! Messages of version 2 as a test sees them.

use serde_json::{Value, json};

use crate::client::{Client, Refusal};
use crate::log::{Entry, World};

pub(crate) const ROUTE: &str = "/xrpc/network.bsky.jetstream.subscribeEvents";

/// Connects to the stream of version 2.
pub(crate) async fn connect(world: &World, query: &str) -> Client {
    try_connect(world, query).await.unwrap()
}

pub(crate) async fn try_connect(world: &World, query: &str) -> Result<Client, Refusal> {
    let connected = Client::try_connect_to(world.address, ROUTE, query, &[]).await;
    connected.map(|(client, _)| client)
}

/// The name and the message of a refusal.
pub(crate) async fn refusal(world: &World, query: &str) -> (u16, String, String) {
    let Err(refusal) = try_connect(world, query).await else {
        panic!("accepted: {query}");
    };
    assert_eq!(refusal.content_type, "application/json", "{query}");
    let body: Value = serde_json::from_str(&refusal.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 2, "{query}: {body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (refusal.status, text("error"), text("message"))
}

/// Reads until the playback has met the live end, which the query has to ask for.
pub(crate) async fn playback(client: &mut Client) -> Vec<Value> {
    let mut messages = Vec::new();
    loop {
        let message: Value = serde_json::from_str(&client.text().await).unwrap();
        if message["payload"]["name"] == "CaughtUp" {
            return messages;
        }
        messages.push(message);
    }
}

/// Some events of a log as messages: by the lexicon, from the lines.
pub(crate) fn messages(log: &[Entry]) -> Vec<Value> {
    log.iter().map(message).collect()
}

/// The message of an event.
pub(crate) fn message(entry: &Entry) -> Value {
    let mut line: Value = serde_json::from_str(&entry.json).unwrap();
    let kind = line["kind"].as_str().unwrap().to_owned();
    let body = line[&kind].take();
    let mut payload = json!({
        "$type": format!("network.bsky.jetstream.subscribeEvents#{kind}"),
        "did": entry.did,
        "seq": entry.seq,
        "time": time(entry.time_us),
    });
    if kind == "commit" {
        let body = body.as_object().unwrap().clone();
        payload.as_object_mut().unwrap().extend(body);
    } else {
        payload[kind] = body;
    }
    json!({"$type": "message", "payload": payload})
}

/// A time of this century, by counting days.
pub(crate) fn time(micros: u64) -> String {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let day = days + 1;
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
