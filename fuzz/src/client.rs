use jetwash_client::{ClientEvent, Protocol};
use jetwash_event::{Kind, ParsedEvent};
use serde_json::Value;

/// A message of a Jetstream server, read as one of either version.
///
/// One that is read says what its JSON says, and the text that is kept of it reads the same. A line
/// that the other model of events reads is read here too, unless it is a sync, which the wire of
/// version 1 has not.
pub fn client_message(data: &[u8]) {
    let read = |protocol| ClientEvent::parse(protocol, data.to_vec());
    for protocol in [Protocol::V1, Protocol::V2] {
        if let Ok(event) = read(protocol) {
            assert_agrees(protocol, data, &event);
        }
    }
    let is_ours = |name: &[u8]| data.windows(name.len()).any(|window| window == name);
    // Fields that only this reader looks at.
    if !is_ours(b"cursor") && !is_ours(b"gap") && !is_ours(b"\\") {
        // `from_slice` does not look at text that is passed over.
        let text = std::str::from_utf8(data).unwrap_or_default();
        if let Ok(parsed) = serde_json::from_str::<ParsedEvent>(text)
            && parsed.kind() != Kind::Sync
        {
            let event = read(Protocol::V1).expect("the other model reads it");
            assert_eq!(event.did(), parsed.did.as_str());
            assert_eq!(event.time(), parsed.time_us);
        }
    }
}

fn assert_agrees(protocol: Protocol, data: &[u8], event: &ClientEvent) {
    let again = ClientEvent::parse(protocol, event.text().clone());
    let again = again.expect("the text that is kept can be read");
    assert_eq!(format!("{again:?}"), format!("{event:?}"));
    // What nests too deep for the oracle is only passed over here.
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let own = match protocol {
        Protocol::V1 => &value,
        _ => &value["payload"],
    };
    assert_eq!(event.did(), own["did"]);
    if let Some(commit) = event.commit() {
        let body = match protocol {
            Protocol::V1 => &own["commit"],
            _ => own,
        };
        assert_eq!(commit.rkey, body["rkey"]);
        assert_eq!(commit.rev, body["rev"]);
        assert_eq!(commit.collection, body["collection"]);
        assert_eq!(commit.cid.map(Value::from).unwrap_or_default(), body["cid"]);
        let record = commit
            .record
            .map(|record| serde_json::from_str::<Value>(record).expect("a part of JSON is JSON"));
        assert_eq!(record.unwrap_or_default(), body["record"]);
    }
}

/// Messages of version 2.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let start =
        r##"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#"##;
    let end = r#""did":"did:web:a.example","seq":9,"time":"2026-11-26T11:31:12.127266Z"}}"#;
    let own = r#""did":"did:web:a.example","seq":7,"time":"x"}"#;
    [
        format!(
            r#"{start}commit","cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","collection":"app.bsky.feed.like","operation":"create","record":{{"a":[1]}},"rev":"3l3qo2vutsw2b","rkey":"3l3qo2vuowo2b",{end}"#
        ),
        format!(r#"{start}commit","collection":"a.b.c","operation":"delete","rev":"3l3qo2vutsw2b","rkey":"\u0061",{end}"#),
        format!(r#"{start}identity","identity":{{"handle":"a\u003c",{own},{end}"#),
        format!(r#"{start}account","account":{{"active":true,"status":"x",{own},{end}"#),
        format!(r#"{start}sync","sync":{{"blocks":{{"$bytes":"oQ"}},"rev":"3l3qo2vutsw2b",{own},{end}"#),
        format!(r#"{start}info","message":"m","name":"OutdatedCursor"}}}}"#),
        r#"{"$type":"error","error":"ConsumerTooSlow","message":"m"}"#.to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}
