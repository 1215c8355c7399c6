//! Frames of what a test says: true ones, as published crates read them.

use jetwash_event::Micros;
use jetwash_sim::{ChangeFault, ManualNetwork, SimChange, SimEvent, SimWrite, did};
use serde_json::{Value, json};

use crate::frames::check;

const POST: &str = "app.bsky.feed.post";

fn post(text: &str) -> Value {
    json!({"$type": POST, "text": text, "createdAt": "2026-01-01T00:00:00Z"})
}

#[test]
fn every_sort_of_change_becomes_a_frame_that_holds() {
    let given = "did:web:someone.example";
    let (one, two) = (did(1), did(2));
    let changes = [
        SimChange::create(&one, POST, "a", post("first")),
        SimChange::create(given, POST, "a", post("another's")),
        SimChange::update(&one, POST, "a", post("changed")),
        SimChange::commit(
            &one,
            [
                SimWrite::delete(POST, "a"),
                SimWrite::create(POST, "b", post("b")),
                SimWrite::create(POST, "c", post("c")),
            ],
        ),
        SimChange::commit(&one, []),
        SimChange::sync(&one),
        SimChange::identity(&two, Some("someone.test")),
        SimChange::account(given, false, Some("takendown")),
        SimChange::account(given, true, None),
        SimChange::sync("did:web:empty.example"),
    ];
    let mut network = ManualNetwork::new();
    let frames = network.apply_all(&changes).unwrap();
    let kinds: Vec<String> = frames
        .iter()
        .map(|frame| check(frame, &network.did_document(&frame.did).unwrap()))
        .collect();
    let expected = [
        "#commit",
        "#commit",
        "#commit",
        "#commit",
        "#commit",
        "#sync",
        "#identity",
        "#account",
        "#account",
        "#sync",
    ];
    assert_eq!(kinds, expected);
    let seqs: Vec<u64> = frames.iter().map(|frame| frame.seq).collect();
    assert_eq!(seqs, (1..=10).collect::<Vec<_>>());
    assert_eq!(frames[2].time, "2026-01-01T00:00:00.003Z");
}

#[test]
fn commits_chain() {
    let mut network = ManualNetwork::new();
    let mut last: Option<jetwash_sim::SimCommit> = None;
    for number in 0..50 {
        let change = SimChange::create(did(0), POST, &number.to_string(), post("one of many"));
        let frame = network.apply(&change).unwrap();
        let SimEvent::Commit(commit) = frame.event else {
            panic!("no commit");
        };
        let before = last.as_ref();
        assert_eq!(commit.since, before.map(|commit| commit.rev.clone()));
        assert_eq!(commit.previous_data, before.map(|commit| commit.data));
        assert!(before.is_none_or(|before| before.rev < commit.rev));
        last = Some(commit);
    }
}

#[test]
fn what_cannot_be_is_refused_and_leaves_no_trace() {
    let mut network = ManualNetwork::new();
    let one = did(0);
    let create = SimChange::create(&one, POST, "a", post("a"));
    network.apply(&create).unwrap();
    let mut refused = |change: SimChange| network.apply(&change).unwrap_err().reason;
    assert_eq!(refused(create), ChangeFault::Create);
    let update = SimChange::update(&one, POST, "b", post("b"));
    assert_eq!(refused(update), ChangeFault::Update);
    assert_eq!(
        refused(SimChange::delete(&one, POST, "b")),
        ChangeFault::Delete
    );
    let twice = [
        SimWrite::create(POST, "b", post("b")),
        SimWrite::create(POST, "b", post("b")),
    ];
    assert_eq!(refused(SimChange::commit(&one, twice)), ChangeFault::Twice);
    let long = SimChange::create(&one, POST, &"x".repeat(1024), post("x"));
    assert_eq!(refused(long), ChangeFault::Path);
    let float = SimChange::create(&one, POST, "c", json!({"x": 0.5}));
    assert!(matches!(refused(float), ChangeFault::Record(_)));
    assert_eq!(network.next_seq(), 2);
}

#[test]
fn time_and_numbers_are_the_tests() {
    let mut network = ManualNetwork::new();
    network.set_time(Micros::new(1_783_175_888_085_000));
    network.set_next_seq(1000);
    let frame = network
        .apply(&SimChange::account(did(0), true, None))
        .unwrap();
    assert_eq!(
        (frame.seq, frame.time.as_str()),
        (1000, "2026-07-04T14:38:08.086Z")
    );
    network.set_time(Micros::EPOCH);
    assert_eq!(network.time(), Micros::new(1_783_175_888_086_000));
}
