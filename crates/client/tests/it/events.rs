use jetwash_client::{ClientBody, ClientEvent, ClientKind, Malformed, Protocol};
use jetwash_corpus::corpus;
use serde_json::Value;

use crate::server::{DAY, frame, line};

fn parse(protocol: Protocol, text: &str) -> ClientEvent {
    let parsed = ClientEvent::parse(protocol, text.as_bytes().to_vec());
    parsed.unwrap_or_else(|reason| panic!("{reason}: {text}"))
}

/// The content of an event, in the shape of version 1, without time and number.
fn content(event: &ClientEvent) -> Value {
    let mut value = serde_json::json!({"did": event.did(), "kind": event.kind().as_str()});
    match event.body() {
        ClientBody::Commit(commit) => {
            let record: Option<Value> = commit.record.map(|it| serde_json::from_str(it).unwrap());
            let mut body = serde_json::json!({
                "rev": commit.rev, "operation": commit.operation.as_str(),
                "collection": commit.collection, "rkey": commit.rkey,
            });
            if let Some(record) = record {
                body["record"] = record;
            }
            if let Some(cid) = commit.cid {
                body["cid"] = cid.into();
            }
            value["commit"] = body;
        }
        ClientBody::Identity(identity) => {
            let mut body = serde_json::json!({
                "did": event.did(), "seq": identity.seq, "time": &*identity.time,
            });
            if let Some(handle) = &identity.handle {
                body["handle"] = (**handle).into();
            }
            value["identity"] = body;
        }
        ClientBody::Account(account) => {
            let mut body = serde_json::json!({
                "active": account.active, "did": event.did(), "seq": account.seq,
                "time": &*account.time,
            });
            if let Some(status) = &account.status {
                body["status"] = (**status).into();
            }
            value["account"] = body;
        }
        _ => panic!("version 1 has no such event"),
    }
    value
}

/// The same of a line, read by serde_json alone.
fn expected(line: &str) -> Value {
    let mut value: Value = serde_json::from_str(line).unwrap();
    value.as_object_mut().unwrap().remove("time_us");
    value
}

#[test]
fn recorded_lines_say_what_they_said() {
    let Some(corpus) = corpus("recorded lines of version 1") else {
        return;
    };
    for file in [
        "events/golden_v1.jsonl",
        "firehose-2026-07-04/expected_v1.jsonl",
    ] {
        for line in corpus.lines(file) {
            let event = parse(Protocol::V1, &line);
            let value: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event.time().get(), value["time_us"].as_u64().unwrap());
            assert_eq!(event.text(), line.as_bytes());
            assert_eq!(content(&event), expected(&line));
            // The other model of the same event writes the same line.
            let parsed = event.to_parsed().unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), line);
        }
    }
}

#[test]
fn both_versions_of_recorded_events_say_the_same() {
    let Some(corpus) = corpus("recorded events of both versions") else {
        return;
    };
    let key = |value: &Value| value.to_string();
    let v1 = corpus.lines("firehose-2026-07-04/expected_v1.jsonl");
    let v2 = corpus.lines("firehose-2026-07-04/expected_v2.jsonl");
    let mut first: Vec<_> = v1.iter().map(|line| expected(line)).collect();
    let mut second: Vec<_> = v2
        .iter()
        .map(|text| content(&parse(Protocol::V2, text)))
        .collect();
    assert_eq!((first.len(), second.len()), (102, 102));
    first.sort_by_key(key);
    second.sort_by_key(key);
    assert_eq!(first, second);
}

#[test]
fn every_recorded_frame_of_version_2_is_read() {
    let Some(corpus) = corpus("recorded frames of version 2") else {
        return;
    };
    let mut kinds = std::collections::BTreeMap::new();
    let mut seq = 0;
    for text in corpus.lines("v2-wire/expected_v2.jsonl") {
        let event = parse(Protocol::V2, &text);
        let value: Value = serde_json::from_str(&text).unwrap();
        let payload = &value["payload"];
        assert_eq!(event.seq(), payload["seq"].as_u64());
        assert!(event.seq() > Some(seq));
        seq = event.seq().unwrap();
        assert_eq!(event.did(), payload["did"]);
        *kinds.entry(event.kind()).or_insert(0) += 1;
    }
    assert_eq!(kinds.values().sum::<i32>(), 565);
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
fn identifiers_with_escapes_are_read_without_them() {
    let plain = line(7, DAY);
    let escaped = plain
        .replace("did:web", "did\\u003aweb")
        .replace("app.bsky", "app\\u002ebsky");
    let event = parse(Protocol::V1, &escaped);
    assert_eq!(event.did(), "did:web:a7.example");
    assert_eq!(event.collection(), Some("app.bsky.feed.like"));
    assert_eq!(event.text(), plain.as_bytes());
    let plain = frame(7, 9, DAY);
    let event = parse(
        Protocol::V2,
        &plain.replace("3l3qo2vuowo2b", "3l3qo2vuowo\\u0032b"),
    );
    assert_eq!(event.commit().unwrap().rkey, "3l3qo2vuowo2b");
    assert_eq!((event.seq(), event.text()), (Some(9), &plain.into()));
    // What is wrong without escapes is wrong with them.
    let wrong = line(7, DAY).replace("3l3qo2vuowo2b", "a\\u002fb");
    assert_eq!(
        ClientEvent::parse(Protocol::V1, wrong).unwrap_err(),
        Malformed::RecordKey
    );
}

#[test]
fn handles_and_statuses_are_any_text() {
    let text = r#"{"did":"did:web:a.example","time_us":1,"kind":"account","account":{"active":false,"did":"did:web:a.example","seq":7,"status":"a\"\u00e9\n","time":"x"}}"#;
    let event = parse(Protocol::V1, text);
    let ClientBody::Account(account) = event.body() else {
        panic!()
    };
    assert_eq!(account.status.as_deref(), Some("a\"é\n"));
    let other = text.replacen("did:web:a.example\",\"seq", "did:web:b.example\",\"seq", 1);
    let error = ClientEvent::parse(Protocol::V1, other).unwrap_err();
    assert_eq!(error, Malformed::OtherAccount);
}

#[test]
fn the_number_that_version_2_adds_to_lines_is_read() {
    let text = line(7, DAY).replacen("\"kind\"", "\"cursor\":42,\"kind\"", 1);
    let event = parse(Protocol::V1, &text);
    assert_eq!((event.seq(), event.kind()), (Some(42), ClientKind::Commit));
}

#[test]
fn what_is_not_an_event_is_not_parsed_as_one() {
    for text in [
        "{}",
        r#"{"$type":"error","error":"X"}"#,
        r#"{"$type":"message"}"#,
        "",
    ] {
        ClientEvent::parse(Protocol::V2, text).unwrap_err();
        ClientEvent::parse(Protocol::V1, text).unwrap_err();
    }
    for (from, to, reason) in [
        ("2026-07-04T", "2026-07-04 ", Malformed::Time),
        ("\"seq\":9", "\"seq\":-9", Malformed::Json),
        ("\"seq\":9,", "", Malformed::Json),
    ] {
        let text = frame(7, 9, DAY).replace(from, to);
        assert_eq!(
            ClientEvent::parse(Protocol::V2, text).unwrap_err(),
            reason,
            "{to}"
        );
    }
}

#[test]
fn the_event_that_version_1_lacks_is_read() {
    let text = r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#sync","did":"did:web:a.example","seq":9,"sync":{"blocks":{"$bytes":"oQFk"},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":7,"time":"2026-01-01T00:00:01.236Z"},"time":"2026-11-26T11:31:12.127266Z"}}"#;
    let event = parse(Protocol::V2, text);
    let ClientBody::Sync(sync) = event.body() else {
        panic!()
    };
    assert_eq!(
        (&*sync.rev, sync.seq, &*sync.blocks),
        ("3l3qo2vutsw2b", 7, "oQFk")
    );
    assert_eq!(sync.car().unwrap(), b"\xa1\x01\x64");
    let parsed = event.to_parsed().unwrap();
    assert_eq!(
        serde_json::to_string(&parsed).unwrap(),
        r#"{"did":"did:web:a.example","time_us":1795692672127266,"kind":"sync","sync":{"blocks":{"$bytes":"oQFk"},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":7,"time":"2026-01-01T00:00:01.236Z"}}"#
    );
    let broken = parse(Protocol::V2, &text.replace("oQFk", "?"));
    assert!(broken.to_parsed().is_none());
}

/// Changes at random places: a byte written over, put in, or left out.
fn changed(text: &str, changes: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for &(at, how, byte) in changes {
        let at = at % bytes.len().max(1);
        match how % 3 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes
}

fn texts() -> Vec<(Protocol, String)> {
    let account = r#"{"did":"did:web:a.example","time_us":1,"kind":"account","account":{"active":false,"did":"did:web:a.example","seq":7,"status":"a\"","time":"x"}}"#;
    let identity = r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#identity","did":"did:web:a.example","identity":{"did":"did:web:a.example","handle":"a.example","seq":2167,"time":"2026-01-01T00:00:06.331Z"},"seq":132,"time":"2026-11-26T11:31:12.169892Z"}}"#;
    vec![
        (Protocol::V1, line(7, DAY)),
        (
            Protocol::V1,
            line(7, DAY).replace("did:web", "did\\u003aweb"),
        ),
        (Protocol::V1, account.to_owned()),
        (Protocol::V2, frame(7, 9, DAY)),
        (
            Protocol::V2,
            frame(7, 9, DAY).replace("3l3qo2v", "3l3qo2\\u0076"),
        ),
        (Protocol::V2, identity.to_owned()),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(5000))]

    /// Whatever a message holds, it is refused, or says what another reader of JSON finds in it.
    #[test]
    fn a_message_that_is_read_says_what_its_json_says(
        which in 0..6_usize,
        changes in proptest::collection::vec((0..1000_usize, 0..3_u8, proptest::prelude::any::<u8>()), 0..4),
    ) {
        let (protocol, text) = &texts()[which];
        let bytes = changed(text, &changes);
        let Ok(event) = ClientEvent::parse(*protocol, bytes.clone()) else {
            return Ok(());
        };
        let value: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        let (own, time) = match protocol {
            Protocol::V1 => (&value, "time_us"),
            _ => (&value["payload"], "time"),
        };
        proptest::prop_assert_eq!(event.did(), &own["did"]);
        proptest::prop_assert!(!own[time].is_null());
        if *protocol == Protocol::V2 {
            proptest::prop_assert_eq!(event.seq(), own["seq"].as_u64());
        }
        if let Some(commit) = event.commit() {
            let body = if *protocol == Protocol::V1 { &own["commit"] } else { own };
            proptest::prop_assert_eq!(commit.rkey, &body["rkey"]);
            proptest::prop_assert_eq!(commit.rev, &body["rev"]);
            proptest::prop_assert_eq!(commit.collection, &body["collection"]);
            proptest::prop_assert_eq!(commit.operation.as_str(), &body["operation"]);
            let record = commit.record.map(|record| serde_json::from_str(record).unwrap());
            proptest::prop_assert_eq!(record.unwrap_or(Value::Null), body["record"].clone());
        }
        // The text that it keeps is read as the same event.
        let again = ClientEvent::parse(*protocol, event.text().clone()).unwrap();
        proptest::prop_assert_eq!(format!("{again:?}"), format!("{event:?}"));
        proptest::prop_assert!(event.to_parsed().is_some());
    }
}
