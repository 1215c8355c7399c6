//! The index of labels, by hand and against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use jetwash_event::{
    Filter, Kind, LabelDraft, LabelError, LabelEvent, Labels, Micros, ParsedEvent, write_label,
};
use proptest::prelude::*;

const SRC: &str = "did:web:labeler.example";
const DID: &str = "did:web:a.example";

fn spam() -> LabelDraft<'static> {
    LabelDraft {
        src: SRC,
        uri: DID,
        val: "spam",
        cts: "2026-07-04T14:38:07.517Z",
        ..LabelDraft::default()
    }
}

fn values(labels: &Labels, subject: &str) -> Vec<String> {
    let of = labels.of(subject);
    of.iter().map(|label| label.val.to_string()).collect()
}

#[test]
fn a_label_holds_for_its_subject_and_value_alone() {
    let labels = Labels::default();
    assert!(labels.apply(&spam()).unwrap());
    assert!(labels.has(DID, "spam") && labels.has_from(SRC, DID, "spam"));
    assert!(!labels.has(DID, "rude") && !labels.has("did:web:b.example", "spam"));
    assert!(!labels.has_from("did:web:other.example", DID, "spam"));
    let record = "at://did:web:a.example/app.bsky.feed.post/1";
    assert!(!labels.has(record, "spam"));
    let [label] = &labels.of(DID)[..] else {
        panic!()
    };
    assert_eq!(label.cts, Micros::new(1_783_175_887_517_000));
    assert_eq!((label.cid.as_deref(), label.exp), (None, None));
}

#[test]
fn a_negation_takes_away_the_label_of_its_labeler_alone() {
    let labels = Labels::default();
    let other = LabelDraft {
        src: "did:web:other.example",
        ..spam()
    };
    labels.apply(&spam()).unwrap();
    labels.apply(&other).unwrap();
    labels
        .apply(&LabelDraft {
            neg: true,
            ..spam()
        })
        .unwrap();
    assert!(labels.has(DID, "spam") && !labels.has_from(SRC, DID, "spam"));
    labels.apply(&LabelDraft { neg: true, ..other }).unwrap();
    assert!(!labels.has(DID, "spam") && labels.is_empty());
    assert_eq!((labels.counts().active, labels.counts().spent), (0, 2));
}

/// A negation that comes before its label, from another page of a replay, is remembered.
#[test]
fn the_later_cts_wins_whatever_came_first() {
    let labels = Labels::default();
    let negation = LabelDraft {
        neg: true,
        cts: "2026-07-04T14:38:08Z",
        ..spam()
    };
    assert!(labels.apply(&negation).unwrap());
    assert!(!labels.apply(&spam()).unwrap());
    assert!(!labels.has(DID, "spam"));
    assert_eq!(labels.counts().stale, 1);
    // The same moment, written with another offset: the one that came last counts.
    let again = LabelDraft {
        neg: false,
        cts: "2026-07-04T16:38:08+02:00",
        ..spam()
    };
    assert!(labels.apply(&again).unwrap());
    assert!(labels.has(DID, "spam"));
}

#[test]
fn a_label_expires_when_its_time_has_come_and_may_be_made_again() {
    let labels = Labels::default();
    let short = LabelDraft {
        exp: Some("2026-07-04T15:00:00Z"),
        ..spam()
    };
    labels.apply(&short).unwrap();
    let end = Micros::new(1_783_177_200_000_000);
    labels.advance(Micros::new(end.get() - 1));
    assert!(labels.has(DID, "spam"));
    labels.advance(end);
    assert!(!labels.has(DID, "spam"));
    assert_eq!(labels.counts().expired, 1);
    // Time does not go back, and a label that comes after its own end is not in force.
    labels.advance(Micros::EPOCH);
    labels.apply(&short).unwrap();
    assert!(!labels.has(DID, "spam"));
    labels.apply(&LabelDraft { exp: None, ..short }).unwrap();
    assert!(labels.has(DID, "spam"));
    // The end that it had before does not count any more.
    labels.advance(Micros::new(u64::MAX));
    assert!(labels.has(DID, "spam"));
}

#[test]
fn what_is_negated_is_forgotten_first_then_what_came_earliest_and_all_of_it_is_counted() {
    let labels = Labels::new(3);
    for val in ["a", "b", "c"] {
        labels.apply(&LabelDraft { val, ..spam() }).unwrap();
    }
    labels
        .apply(&LabelDraft {
            val: "b",
            neg: true,
            ..spam()
        })
        .unwrap();
    labels.apply(&LabelDraft { val: "d", ..spam() }).unwrap();
    assert_eq!(values(&labels, DID), ["a", "c", "d"]);
    assert_eq!(
        (labels.counts().dropped_spent, labels.counts().dropped),
        (1, 0)
    );
    labels.apply(&LabelDraft { val: "e", ..spam() }).unwrap();
    assert_eq!(values(&labels, DID), ["c", "d", "e"]);
    assert_eq!(
        (labels.counts().dropped_spent, labels.counts().dropped),
        (1, 1)
    );
    // A label that comes again counts as having come last.
    labels.apply(&LabelDraft { val: "c", ..spam() }).unwrap();
    labels
        .apply(&LabelDraft {
            uri: "did:web:b.example",
            ..spam()
        })
        .unwrap();
    assert_eq!(values(&labels, DID), ["e", "c"]);
}

#[test]
fn a_subject_has_no_more_labels_than_its_bound() {
    let labels = Labels::default();
    let most = Labels::MAX_PER_SUBJECT;
    for number in 0..=most {
        let val = number.to_string();
        labels
            .apply(&LabelDraft {
                val: &val,
                ..spam()
            })
            .unwrap();
    }
    assert_eq!(labels.of(DID).len(), most);
    assert!(!labels.has(DID, "0") && labels.has(DID, &most.to_string()));
    assert_eq!(labels.counts().dropped, 1);
}

#[test]
fn labels_of_a_labeler_are_forgotten_together() {
    let labels = Labels::default();
    labels.apply(&spam()).unwrap();
    labels
        .apply(&LabelDraft {
            val: "rude",
            neg: true,
            ..spam()
        })
        .unwrap();
    labels
        .apply(&LabelDraft {
            src: "did:web:other.example",
            ..spam()
        })
        .unwrap();
    assert_eq!(labels.forget(SRC), 1);
    assert_eq!(labels.counts().spent, 0);
    assert!(labels.has_from("did:web:other.example", DID, "spam") && labels.len() == 1);
}

#[test]
fn the_version_changes_with_what_is_in_force_and_not_otherwise() {
    let labels = Labels::default();
    let step = |label: LabelDraft<'_>| {
        let before = labels.version();
        labels.apply(&label).unwrap();
        labels.version() > before
    };
    assert!(step(spam()));
    assert!(step(LabelDraft {
        neg: true,
        ..spam()
    }));
    assert!(!step(LabelDraft {
        cts: "2026-01-01T00:00:00Z",
        ..spam()
    }));
    assert!(!step(LabelDraft {
        val: "rude",
        neg: true,
        ..spam()
    }));
    assert!(step(LabelDraft {
        exp: Some("2027-01-01T00:00:00Z"),
        ..spam()
    }));
    let before = labels.version();
    labels.advance(Micros::new(1_767_225_600_000_000));
    assert_eq!(labels.version(), before);
    labels.advance(Micros::new(1_900_000_000_000_000));
    assert!(labels.version() > before);
}

/// The index itself looks whether it still waits for the end of a label that has gone: such ends
/// would take memory without a bound.
#[test]
fn a_label_that_is_made_anew_ends_once() {
    let labels = Labels::default();
    for second in 1..=50 {
        let cts = format!("1970-01-01T00:00:{second:02}Z");
        let exp = format!("1970-01-01T00:02:{second:02}Z");
        let label = LabelDraft {
            cts: &cts,
            exp: Some(&exp),
            ..spam()
        };
        assert!(labels.apply(&label).unwrap());
    }
    labels.advance(Micros::new(169_999_999));
    assert_eq!((labels.len(), labels.counts().expired), (1, 0));
    labels.advance(Micros::new(170_000_000));
    assert_eq!((labels.len(), labels.counts().expired), (0, 1));
}

#[test]
fn any_number_of_labels_may_have_the_same_end() {
    let labels = Labels::default();
    for number in 0..2_500 {
        let uri = format!("did:web:n{number}.example");
        let exp = Some("1970-01-01T00:00:09Z");
        let label = LabelDraft {
            uri: &uri,
            exp,
            ..spam()
        };
        labels.apply(&label).unwrap();
    }
    labels.advance(Micros::new(8_999_999));
    assert_eq!(labels.len(), 2_500);
    labels.advance(Micros::new(9_000_000));
    assert_eq!((labels.len(), labels.counts().expired), (0, 2_500));
}

#[test]
fn a_label_with_a_mistake_is_refused_and_nothing_changes() {
    let labels = Labels::default();
    let long = "x".repeat(1_153);
    for (label, reason) in [
        (
            LabelDraft {
                src: "labeler",
                ..spam()
            },
            "label_malformed",
        ),
        (
            LabelDraft {
                cts: "yesterday",
                ..spam()
            },
            "label_malformed",
        ),
        (
            LabelDraft {
                exp: Some(""),
                ..spam()
            },
            "label_malformed",
        ),
        (LabelDraft { val: "", ..spam() }, "label_malformed"),
        (LabelDraft { uri: "", ..spam() }, "label_malformed"),
        (
            LabelDraft {
                uri: &long,
                ..spam()
            },
            "label_too_long",
        ),
        (
            LabelDraft {
                val: &long[..129],
                ..spam()
            },
            "label_too_long",
        ),
        (
            LabelDraft {
                cid: Some(&long[..129]),
                ..spam()
            },
            "label_too_long",
        ),
    ] {
        assert_eq!(labels.apply(&label).unwrap_err().reason(), reason);
    }
    let (field, actual, limit) = ("uri", 1_153, 1_152);
    let error = labels.apply(&LabelDraft {
        uri: &long,
        ..spam()
    });
    assert_eq!(
        error,
        Err(LabelError::TooLong {
            field,
            actual,
            limit
        })
    );
    assert!(labels.is_empty() && labels.version() == 0);
}

#[test]
fn a_filter_asks_the_labels_of_an_account_when_it_matches() {
    let labels = Labels::default();
    let wanted = Filter::new().labelled(labels.clone(), ["bot", "spam"]);
    let unwanted = Filter::new().not_labelled(labels.clone(), ["bot", "spam"]);
    let (any, without) = (Vec::<&str>::new(), Vec::<&str>::new());
    let any = Filter::new().labelled(labels.clone(), any);
    let without = Filter::new().not_labelled(labels.clone(), without);
    let passes = || {
        [&wanted, &unwanted, &any, &without]
            .map(|filter| filter.matches(Kind::Commit, DID, Some("a.b.c")))
    };
    assert_eq!(passes(), [false, true, false, true]);
    labels
        .apply(&LabelDraft {
            val: "rude",
            ..spam()
        })
        .unwrap();
    assert_eq!(passes(), [false, true, true, false]);
    let version = wanted.version();
    labels.apply(&spam()).unwrap();
    assert_eq!(passes(), [true, false, true, false]);
    assert!(wanted.version() > version);
    assert!(wanted.judges_dids() && !wanted.has_dids() && !wanted.is_empty());
    // Names and labels both have to fit.
    let named = unwanted.dids(["did:web:b.example"]).unwrap();
    assert!(named.matches_did("did:web:b.example") && !named.matches_did("did:web:c.example"));
    labels
        .apply(&LabelDraft {
            uri: "did:web:b.example",
            ..spam()
        })
        .unwrap();
    assert!(!named.matches_did("did:web:b.example"));
}

#[test]
fn those_that_ask_while_labels_come_see_each_whole() {
    let labels = Labels::new(64);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !labels.has(DID, "end") {
                for label in labels.of(DID) {
                    assert_eq!(&*label.src, SRC);
                }
            }
        });
        for number in 0..2_000_u32 {
            let val = (number % 90).to_string();
            let label = LabelDraft {
                val: &val,
                neg: number % 3 == 0,
                ..spam()
            };
            labels.apply(&label).unwrap();
        }
        labels
            .apply(&LabelDraft {
                val: "end",
                ..spam()
            })
            .unwrap();
        asking.join().unwrap();
    });
    assert!(labels.counts().active + labels.counts().spent <= 64);
}

fn read(line: &str) -> Result<LabelEvent, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

#[test]
fn a_line_of_a_label_that_contradicts_itself_is_refused() {
    let line = concat!(
        r#"{"did":"did:web:l.example","time_us":7,"kind":"label","label":{"ver":1,"#,
        r#""src":"did:web:l.example","uri":"did:web:a.example","val":"spam","cts":"c"}}"#,
    );
    let event = read(line).unwrap();
    assert_eq!((event.time_us, &*event.cts), (Micros::new(7), "c"));
    for (old, new, told) in [
        ("\"ver\":1", "\"ver\":2", "`ver` is 2, not 1"),
        (
            "src\":\"did:web:l",
            "src\":\"did:web:m",
            "but its label of did:web:m.example",
        ),
        (
            "kind\":\"label",
            "kind\":\"commit",
            "unknown variant `commit`",
        ),
        ("\"uri\":\"did:web:a.example\",", "", "missing field `uri`"),
        (
            "src\":\"did:web:l.example",
            "src\":\"labeler",
            "does not start with `did:`",
        ),
    ] {
        let error = read(&line.replace(old, new)).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    let error = serde_json::from_str::<ParsedEvent>(line).unwrap_err();
    assert!(error.to_string().contains("see `LabelEvent`"), "{error}");
}

proptest! {
    /// Whatever texts a label has, its line says them all, and is JSON to any reader.
    #[test]
    fn the_line_of_a_label_is_read_as_it_was_written(
        (uri, val, cts) in any::<(String, String, String)>(),
        (cid, exp) in any::<(Option<String>, Option<String>)>(),
        (neg, time) in (any::<bool>(), 0..1_u64 << 53),
    ) {
        let draft = LabelDraft {
            src: SRC,
            uri: &uri,
            cid: cid.as_deref(),
            val: &val,
            neg,
            cts: &cts,
            exp: exp.as_deref(),
        };
        let mut line = b"before".to_vec();
        write_label(&draft, Micros::new(time), &mut line);
        let line = std::str::from_utf8(&line).unwrap().strip_prefix("before").unwrap();
        let event = read(line).unwrap();
        prop_assert_eq!(event.draft(), draft);
        prop_assert_eq!(event.time_us, Micros::new(time));
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = value["label"].as_object().unwrap();
        let optional = [cid.is_some(), exp.is_some(), neg];
        let count = 5 + optional.into_iter().filter(|is_there| *is_there).count();
        prop_assert_eq!(fields.len(), count);
        prop_assert_eq!(&value["did"], &fields["src"]);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Apply {
        src: usize,
        uri: usize,
        val: usize,
        neg: bool,
        cts: u64,
        exp: Option<u64>,
    },
    Advance(u64),
    Forget(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let apply = (
        0..2_usize,
        0..3_usize,
        0..3_usize,
        any::<bool>(),
        0..20_u64,
        prop::option::of(0..20_u64),
    );
    prop_oneof![
        8 => apply.prop_map(|(src, uri, val, neg, cts, exp)| Step::Apply { src, uri, val, neg, cts, exp }),
        1 => (0..20_u64).prop_map(Step::Advance),
        1 => (0..2_usize).prop_map(Step::Forget),
    ]
}

proptest! {
    /// With room enough, a subject has a value exactly if the latest label of a labeler says so and has
    /// not expired.
    #[test]
    fn labels_are_those_of_a_model_that_keeps_them_all(steps in prop::collection::vec(any_step(), 0..60)) {
        let srcs = ["did:web:l.example", "did:web:m.example"];
        let uris = ["did:web:a.example", "did:web:b.example", "at://did:web:a.example/a.b.c/1"];
        let vals = ["spam", "rude", "!hide"];
        let datetime = |second: u64| format!("1970-01-01T00:00:{second:02}Z");
        let labels = Labels::new(1_000);
        let mut latest = BTreeMap::<(usize, usize, usize), (u64, bool, Option<u64>)>::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Apply { src, uri, val, neg, cts, exp } => {
                    let (cts_text, exp_text) = (datetime(cts), exp.map(datetime));
                    let draft = LabelDraft {
                        src: srcs[src],
                        uri: uris[uri],
                        cid: None,
                        val: vals[val],
                        neg,
                        cts: &cts_text,
                        exp: exp_text.as_deref(),
                    };
                    let is_latest = labels.apply(&draft).unwrap();
                    let known = latest.get(&(src, uri, val)).map(|(cts, ..)| *cts);
                    prop_assert_eq!(is_latest, known.is_none_or(|known| known <= cts));
                    if is_latest {
                        latest.insert((src, uri, val), (cts, neg, exp));
                    }
                }
                Step::Advance(time) => {
                    now = now.max(time);
                    labels.advance(Micros::new(time * 1_000_000));
                }
                Step::Forget(src) => {
                    labels.forget(srcs[src]);
                    latest.retain(|(of, ..), _| *of != src);
                }
            }
            let holds = |(_, neg, exp): &(u64, bool, Option<u64>)| {
                !neg && exp.is_none_or(|exp| exp > now)
            };
            prop_assert_eq!(labels.len(), latest.values().filter(|label| holds(label)).count());
            for ((uri, text), (val, word)) in (0..).zip(uris).flat_map(|uri| (0..).zip(vals).map(move |val| (uri, val)))
            {
                let expected = [0, 1].map(|src| latest.get(&(src, uri, val)).is_some_and(holds));
                prop_assert_eq!(labels.has(text, word), expected[0] || expected[1]);
                prop_assert_eq!([0, 1].map(|src| labels.has_from(srcs[src], text, word)), expected);
            }
        }
    }

    /// Whatever comes, there are never more than the limit, and none is missing without being counted.
    #[test]
    fn an_index_is_as_full_as_its_limit_allows(
        limit in 1..12_usize,
        steps in prop::collection::vec((0..16_usize, any::<bool>()), 0..80),
    ) {
        let labels = Labels::new(limit);
        let mut subjects = BTreeSet::new();
        for (number, neg) in steps {
            let uri = format!("did:web:a{number}.example");
            subjects.insert(number);
            labels.apply(&LabelDraft { uri: &uri, neg, ..spam() }).unwrap();
            let counts = labels.counts();
            prop_assert_eq!(counts.active + counts.spent, subjects.len().min(limit));
            let dropped = counts.dropped + counts.dropped_spent;
            prop_assert_eq!(dropped > 0, subjects.len() > limit);
        }
    }
}
