//! The typed model on recorded lines and on lines made by hand.

use jetwash_corpus::corpus;
use jetwash_event::{Body, Kind, Micros, Operation, ParseRecordError, ParsedEvent};
use serde::Deserialize;

fn check_round_trip(line: &str) -> ParsedEvent {
    let event: ParsedEvent =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(serde_json::to_string(&event).unwrap(), line);
    event
}

#[test]
fn recorded_lines_come_back_byte_for_byte() {
    let Some(corpus) = corpus("recorded events through the typed model") else {
        return;
    };
    let mut count = 0;
    for name in [
        "events/golden_v1.jsonl",
        "firehose-2026-07-04/expected_v1.jsonl",
        "events/events_v1_from_repos.jsonl.zst",
    ] {
        for line in corpus.lines(name) {
            check_round_trip(&line);
            count += 1;
        }
    }
    assert_eq!(count, 10 + 102 + 12_232);
}

#[test]
fn the_fields_of_a_commit_are_typed() {
    let Some(corpus) = corpus("the fields of a recorded commit") else {
        return;
    };
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Follow {
        subject: String,
        created_at: String,
    }

    let event = check_round_trip(&corpus.lines("events/golden_v1.jsonl")[3]);
    assert_eq!(event.kind(), Kind::Commit);
    assert_eq!(event.collection(), Some("app.bsky.graph.follow"));
    assert_eq!(event.time_us, Micros::new(1_779_719_009_140_413));
    let commit = event.commit().unwrap();
    assert_eq!(commit.operation, Operation::Create);
    assert_eq!(commit.rkey, "3mmoojocxvr2s");
    let follow: Follow = commit.record().unwrap();
    assert_eq!(follow.subject, "did:plc:anc6s2kher6ltrhhglxrzxsa");
    assert_eq!(follow.created_at, "2026-05-25T14:23:27.319Z");
    assert!(matches!(
        commit.record::<Vec<String>>(),
        Err(ParseRecordError::Type(_))
    ));
}

#[test]
fn a_deletion_has_no_record() {
    let event = check_round_trip(concat!(
        r#"{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{"rev":"3l3qo2vutsw2b","#,
        r#""operation":"delete","collection":"app.bsky.feed.like","rkey":"3l3qo2vuowo2b"}}"#,
    ));
    let commit = event.commit().unwrap();
    assert!(commit.cid.is_none());
    let record: Result<serde_json::Value, _> = commit.record();
    assert!(matches!(record, Err(ParseRecordError::Absent)));
}

#[test]
fn a_status_that_nobody_knows_yet_is_kept() {
    let event = check_round_trip(concat!(
        r#"{"did":"did:web:a.example","time_us":1,"kind":"account","account":{"active":false,"#,
        r#""did":"did:web:a.example","seq":5,"status":"new\u003c\"\u0008\n\u2028é","#,
        r#""time":"2026-07-04T14:38:07.517Z"}}"#,
    ));
    let Body::Account(account) = &event.body else {
        panic!("{event:?}");
    };
    assert_eq!(account.status.as_deref(), Some("new<\"\u{8}\n\u{2028}é"));
}

#[test]
fn an_identity_may_have_a_handle_or_none() {
    let event = check_round_trip(concat!(
        r#"{"did":"did:web:a.example","time_us":1,"kind":"identity","identity":{"#,
        r#""did":"did:web:a.example","handle":"a.example","seq":5,"time":"2026-07-04T14:38:07Z"}}"#,
    ));
    let Body::Identity(identity) = &event.body else {
        panic!("{event:?}");
    };
    assert_eq!(identity.handle.as_deref(), Some("a.example"));
}

#[test]
fn a_sync_has_a_revision_and_the_bytes_of_its_blocks() {
    let event = check_round_trip(concat!(
        r#"{"did":"did:web:a.example","time_us":1,"kind":"sync","sync":{"#,
        r#""blocks":{"$bytes":"+/8AYg"},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":5,"#,
        r#""time":"2026-07-04T14:38:07Z"}}"#,
    ));
    assert_eq!((event.kind(), event.collection()), (Kind::Sync, None));
    let Body::Sync(sync) = &event.body else {
        panic!("{event:?}");
    };
    assert_eq!(
        (&*sync.blocks, sync.rev.as_str(), sync.seq),
        (&b"\xfb\xff\0b"[..], "3l3qo2vutsw2b", 5)
    );
}

#[test]
fn fields_that_nobody_knows_yet_are_passed_over() {
    let line = concat!(
        r#"{"cursor":"ab","did":"did:web:a.example","extra":{"a":[1]},"time_us":1,"kind":"identity","#,
        r#""identity":{"did":"did:web:a.example","seq":5,"time":"t","extra":1}}"#,
    );
    let event: ParsedEvent = serde_json::from_str(line).unwrap();
    assert_eq!(event.kind(), Kind::Identity);
}

#[test]
fn a_line_that_contradicts_itself_is_refused() {
    for (line, says) in [
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"commit"}"#,
            "`kind` is `commit`, but there is no `commit`",
        ),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"identity","identity":{"did":"did:web:b.example","seq":5,"time":""}}"#,
            "the event is of did:web:a.example, but its body of did:web:b.example",
        ),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"account","account":{"active":true,"did":"did:web:b.example","seq":5,"time":""}}"#,
            "the event is of did:web:a.example, but its body of did:web:b.example",
        ),
        (r#"{"did":"a","time_us":1,"kind":"commit"}"#, "not a DID"),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{"rev":"3l3qo2vutsw2b","operation":"create","collection":"a.b.c","rkey":"r","cid":"Qm"}}"#,
            "the CID `Qm`",
        ),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"info"}"#,
            "unknown variant `info`",
        ),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"sync"}"#,
            "`kind` is `sync`, but there is no `sync`",
        ),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"sync","sync":{"blocks":{"$bytes":""},"did":"did:web:b.example","rev":"3l3qo2vutsw2b","seq":5,"time":""}}"#,
            "the event is of did:web:a.example, but its body of did:web:b.example",
        ),
        (
            r#"{"did":"did:web:a.example","time_us":1,"kind":"sync","sync":{"blocks":{"$bytes":"?"},"did":"did:web:a.example","rev":"3l3qo2vutsw2b","seq":5,"time":""}}"#,
            "`blocks` is not base64",
        ),
    ] {
        let error = serde_json::from_str::<ParsedEvent>(line)
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
}
