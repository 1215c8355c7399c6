//! `dead-letters`: those that a consumer of another program has left.

use std::path::Path;
use std::process::Output;

use jetwash::store::{
    Appender, CommitPart, EventKind, LetterLimits, Location, Micros, NewDeadLetter, NewEvent,
    Options, Read, Store, open,
};

use crate::command;

/// A log with three dead letters of one consumer and one of another.
fn log(folder: &Path) -> (Appender, Store) {
    let location = Location::Disk(folder.to_owned());
    let (mut appender, store) = open(location, Options::default()).unwrap();
    for number in 1..=9 {
        let json = format!(r#"{{"did":"did:web:a.example","number":{number}}}"#);
        let time_us = appender.next_time_us(Micros::new(1_700_000_000_000_000));
        let event = NewEvent {
            kind: EventKind::Create,
            did: "did:web:a.example",
            collection: "app.bsky.feed.post",
            commit: CommitPart::WHOLE,
            source: "wss://relay.example",
            verdict: 0,
            time_us,
            json: json.as_bytes(),
            compressed: None,
        };
        appender.push(&event).unwrap();
    }
    appender.commit().unwrap();
    for (consumer, seq) in [("feed", 2), ("feed", 5), ("feed", 7), ("other", 5)] {
        let Read::Events(run) = store.read(jetwash::Seq::new(seq)).unwrap() else {
            panic!("no event {seq}");
        };
        let letter = NewDeadLetter {
            block: run.block(),
            index: run.indexes().start,
            reason: "the database\nis away",
            attempts: 4,
            failed_at_us: Micros::new(1_700_000_001_000_000),
        };
        let letters = store.dead_letters(consumer);
        letters.put(&letter, LetterLimits::default()).unwrap();
    }
    (appender, store)
}

fn text(output: &Output) -> (Option<i32>, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn seqs(folder: &str, consumer: &str) -> Vec<String> {
    let listed = command(&[
        "dead-letters",
        folder,
        "list",
        "--json",
        "--consumer",
        consumer,
    ]);
    let (code, lines) = text(&listed);
    assert_eq!(code, Some(0), "{lines}");
    let seq = |line: &str| {
        let (_, rest) = line.split_once("\"seq\":").unwrap();
        rest.trim_end_matches('}')
            .split(',')
            .next()
            .unwrap()
            .to_owned()
    };
    lines.lines().map(seq).collect()
}

#[test]
fn letters_are_listed_while_the_program_runs_and_settled_when_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let log_folder = folder.path().join("log");
    let path = folder.path().to_str().unwrap();
    let open_elsewhere = log(&log_folder);

    let (code, table) = text(&command(&["dead-letters", path, "list"]));
    assert_eq!(code, Some(0), "{table}");
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.contains("the database is away"), "{table}");
    let discard = ["dead-letters", path, "discard", "--consumer=feed", "2"];
    let (code, said) = text(&command(&discard));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("already open elsewhere"), "{said}");
    drop(open_elsewhere);

    let (code, said) = text(&command(&discard));
    assert_eq!((code, &*said), (Some(0), "1 discarded\n"));
    assert_eq!(seqs(path, "feed"), ["5", "7"]);
    let (code, said) = text(&command(&discard));
    assert_eq!(code, Some(1), "{said}");
    let none = "the consumer \"feed\" has no dead letter of the event 2";
    assert!(said.contains(none), "{said}");
}

#[test]
fn an_event_that_a_program_handles_is_no_dead_letter_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    drop(log(&folder.path().join("log")));
    let handled = folder.path().join("handled");
    // It handles the event 7 only.
    let script = format!(
        "read -r line; echo \"$JETWASH_SEQ $line\" >> {}; test $JETWASH_SEQ = 7",
        handled.display()
    );
    let replay = [
        "dead-letters",
        path,
        "replay",
        "--consumer=feed",
        "--all",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let (code, said) = text(&command(&replay));
    assert_eq!((code, &*said), (Some(3), "1 handled, 2 failed again\n"));
    let lines = std::fs::read_to_string(&handled).unwrap();
    let expected =
        [2, 5, 7].map(|seq| format!("{seq} {{\"did\":\"did:web:a.example\",\"number\":{seq}}}\n"));
    assert_eq!(lines, expected.concat());
    assert_eq!(seqs(path, "feed"), ["2", "5"]);
    assert_eq!(seqs(path, "other"), ["5"]);

    let absent = [
        "dead-letters",
        path,
        "replay",
        "--consumer=feed",
        "2",
        "--",
        "no-such-program",
    ];
    let (code, said) = text(&command(&absent));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"no-such-program\" cannot be run"), "{said}");
    assert_eq!(seqs(path, "feed"), ["2", "5"]);
}
