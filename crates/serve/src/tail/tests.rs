use std::sync::Arc;

use jetwash::Seq;
use jetwash::store::{CommitPart, EventKind, Location, NewEvent, Options, Read, Run, open};

use super::batch::Batch;
use super::shard::{Member, Shard};
use crate::form::encoder::Encoder;
use crate::form::format::{Compression, Format, Shape};
use crate::form::recoder::Recoder;
use crate::memory::Budget;
use crate::metrics::Delivered;
use crate::subscriber::scratch::Scratch;

/// A subscriber that only takes up a seat.
struct Sitting;

impl Member for Sitting {
    fn deliver(&self, _: &[Arc<Batch>], _: &mut Scratch) -> Delivered {
        Delivered::default()
    }

    fn wake(&self) {}
}

#[test]
fn a_seat_that_was_left_is_taken_before_another_is_made() {
    let member = || -> Arc<dyn Member> { Arc::new(Sitting) };
    let shard = Shard::new(Seq::FIRST, member());
    for expected in 1..64 {
        assert_eq!(shard.sit(&member()), Some(expected));
    }
    assert_eq!(shard.sit(&member()), None, "it is full");
    for left in [0, 63, 7] {
        assert!(!shard.leave(left));
        assert_eq!(shard.sit(&member()), Some(left));
        assert_eq!(shard.sit(&member()), None);
    }
}

/// A run of one event.
fn run() -> Run {
    let (mut appender, store) = open(Location::Memory, Options::default()).unwrap();
    let json = r#"{"did":"did:web:a.example","time_us":1783000000000000,"kind":"account","account":{"active":true,"did":"did:web:a.example","seq":1,"time":"2026-01-01T00:00:00Z"}}"#;
    let event = NewEvent {
        kind: EventKind::Account,
        did: "did:web:a.example",
        collection: "",
        commit: CommitPart::WHOLE,
        source: "test",
        verdict: 0,
        time_us: jetwash::Micros::new(1_783_000_000_000_000),
        json: json.as_bytes(),
        compressed: None,
    };
    appender.push(&event).unwrap();
    appender.commit().unwrap();
    match store.read(Seq::FIRST).unwrap() {
        Read::Events(run) => run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn subscribers_of_one_dictionary_get_each_the_messages_of_their_format() {
    let batch = Batch::new(Seq::FIRST, Seq::new(2), vec![run()]);
    let recoder = Arc::new(Recoder::new(0, Arc::new(Budget::new(1 << 30))));
    let text = |shape| {
        let format = Format {
            shape,
            compression: Compression::None,
            verdicts: false,
        };
        let encoder = Encoder::new(format, None, Arc::clone(&recoder)).unwrap();
        let messages = batch.messages(&encoder).unwrap();
        assert_eq!(messages.events, 1);
        String::from_utf8_lossy(&messages.bytes).into_owned()
    };
    let plain = text(Shape::V1);
    assert!(
        plain.ends_with(r#""time":"2026-01-01T00:00:00Z"}}"#),
        "{plain}"
    );
    assert!(!plain.contains(r#""cursor""#), "{plain}");
    assert!(text(Shape::V1WithCursor).contains(r#""cursor":1"#));
    assert!(text(Shape::V2).contains("subscribeEvents#account"));
    // Once more: those that were made are the ones that are found.
    assert_eq!(text(Shape::V1), plain);
}
