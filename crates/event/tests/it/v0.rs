//! The first shape, expected by hand.

use jetwash_corpus::corpus;
use jetwash_event::write_v0;

fn v0(line: &str) -> String {
    let mut out = b"before ".to_vec();
    write_v0(line.as_bytes(), &mut out).unwrap();
    String::from_utf8(out.split_off(7)).unwrap()
}

#[test]
fn each_operation_has_its_letter() {
    for (operation, letter) in [("create", "c"), ("update", "u"), ("delete", "d")] {
        let line = format!(
            r#"{{"did":"did:web:a.example","time_us":12,"kind":"commit","commit":{{"rev":"3l","operation":"{operation}","collection":"a.b.c","rkey":"r"}}}}"#
        );
        let expected = format!(
            r#"{{"did":"did:web:a.example","time_us":12,"type":"com","commit":{{"rev":"3l","type":"{letter}","collection":"a.b.c","rkey":"r"}}}}"#
        );
        assert_eq!(v0(&line), expected);
    }
}

#[test]
fn the_other_kinds_have_their_words() {
    assert_eq!(
        v0(r#"{"did":"did:web:a.example","time_us":1,"kind":"identity","identity":{"seq":1}}"#),
        r#"{"did":"did:web:a.example","time_us":1,"type":"id","identity":{"seq":1}}"#,
    );
    assert_eq!(
        v0(r#"{"did":"did:web:a.example","time_us":1,"kind":"account","account":{"seq":1}}"#),
        r#"{"did":"did:web:a.example","time_us":1,"type":"acc","account":{"seq":1}}"#,
    );
}

#[test]
fn a_record_that_looks_like_an_event_is_left_alone() {
    let record = r#"{"kind":"commit","operation":"create"}"#;
    let line = format!(
        r#"{{"did":"did:web:a.example","time_us":1,"kind":"commit","commit":{{"operation":"create","record":{record}}}}}"#
    );
    assert!(v0(&line).contains(record));
}

#[test]
fn a_line_of_another_shape_is_refused_and_nothing_written() {
    for wrong in [
        "",
        "{}",
        r#"{"did":"a","time_us":1,"kind":"commit","commit":{"rev":"3l","operation":"create"}"#,
        r#"{"did":"a","time_us":1,"kind":"commit","commit":{"rev":"3l","operation":"other"}}"#,
        r#"{"did":"a","time_us":1,"kind":"sync","sync":{}}"#,
        r#"{"did":"a","time_us":1,"kind":"identity","account":{}}"#,
        r#"{"did":"a","time_us":,"kind":"identity","identity":{}}"#,
        r#"{"did":"a\"#,
        r#"{"did":"a","time_us":1,"type":"com","commit":{"rev":"3l","type":"c"}}"#,
    ] {
        let mut out = b"before".to_vec();
        assert!(write_v0(wrong.as_bytes(), &mut out).is_err(), "{wrong}");
        assert_eq!(out, b"before");
    }
}

#[test]
fn every_recorded_line_can_be_written_in_the_first_shape() {
    let Some(corpus) = corpus("the first shape of recorded lines") else {
        return;
    };
    for line in corpus.lines("events/golden_v1.jsonl") {
        let old: serde_json::Value = serde_json::from_str(&v0(&line)).unwrap();
        let mut new: serde_json::Value = serde_json::from_str(&line).unwrap();
        let top = new.as_object_mut().unwrap();
        let kind = match top.remove("kind").unwrap().as_str().unwrap() {
            "commit" => "com",
            "identity" => "id",
            "account" => "acc",
            other => panic!("{other}"),
        };
        top.insert("type".to_owned(), kind.into());
        if let Some(commit) = top
            .get_mut("commit")
            .and_then(|commit| commit.as_object_mut())
        {
            let operation = commit.remove("operation").unwrap();
            let letter = operation.as_str().unwrap()[..1].to_owned();
            commit.insert("type".to_owned(), letter.into());
        }
        assert_eq!(old, new);
    }
}
