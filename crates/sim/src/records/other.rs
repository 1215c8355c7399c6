//! Records of other applications, some with content that is odd but legal.

use super::fields::Fields;
use super::subjects::{Subjects, strong_reference};
use crate::random::Random;
use crate::text::{self, Language};
use crate::value::Value;

/// The collection, the record key if it is not a TID, and the fields.
pub(super) type Written = (&'static str, Option<String>, Fields);

/// Writes a record of another application, some under keys that are odd but legal.
///
/// Each arm draws its numbers in a fixed order: the frames of a seed depend on it.
pub(super) fn other(random: &mut Random, subjects: &Subjects, now: u64) -> Written {
    let language = text::language(random);
    match random.below(17) {
        0 => thread_gate(random, subjects, now),
        1 => list(random, language),
        2 => chat_declaration(random),
        3 => song_played(random, language),
        4 => blog_entry(random, language),
        5 => issue(random, language),
        6 => stream_message(random, subjects, language),
        7 => event_answer(random, subjects, now),
        8 | 12 | 13 => edge_numbers(random),
        9 | 14 | 15 => edge_escapes(random),
        10 | 16 => (
            "com.example.Odd-But.legalNameOfMixedCase",
            Some(odd_key(random)),
            vec![("note", text::sentence(random, language, 8).into())],
        ),
        _ => status(random),
    }
}

fn thread_gate(random: &mut Random, subjects: &Subjects, now: u64) -> Written {
    let post = subjects.post(random, now).uri;
    let fields = vec![("post", post.into()), ("allow", Value::Array(vec![]))];
    ("app.bsky.feed.threadgate", None, fields)
}

fn list(random: &mut Random, language: Language) -> Written {
    let fields = vec![
        ("name", text::sentence(random, language, 3).into()),
        ("purpose", "app.bsky.graph.defs#curatelist".into()),
    ];
    ("app.bsky.graph.list", None, fields)
}

fn chat_declaration(random: &mut Random) -> Written {
    let allow = random.pick(&["all", "none", "following"]);
    let fields = vec![("allowIncoming", allow.into())];
    ("chat.bsky.actor.declaration", Some("self".into()), fields)
}

fn song_played(random: &mut Random, language: Language) -> Written {
    let fields = vec![
        ("trackName", text::sentence(random, language, 3).into()),
        ("duration", (random.between(60, 600) as i64).into()),
        (
            "isrc",
            format!("DK{:010}", random.below(9_999_999_999)).into(),
        ),
    ];
    ("fm.teal.alpha.feed.play", None, fields)
}

fn blog_entry(random: &mut Random, language: Language) -> Written {
    let words = random.between(150, 900);
    let fields = vec![
        ("title", text::sentence(random, language, 5).into()),
        ("content", text::sentence(random, language, words).into()),
        ("visibility", "public".into()),
    ];
    ("com.whtwnd.blog.entry", None, fields)
}

fn issue(random: &mut Random, language: Language) -> Written {
    let fields = vec![
        ("title", text::sentence(random, language, 6).into()),
        ("issueId", (random.below(4000) as i64).into()),
        ("open", Value::Boolean(random.percent(50))),
    ];
    ("sh.tangled.repo.issue", None, fields)
}

fn stream_message(random: &mut Random, subjects: &Subjects, language: Language) -> Written {
    let fields = vec![
        ("text", text::sentence(random, language, 9).into()),
        ("streamer", subjects.did(random).into()),
    ];
    ("place.stream.chat.message", None, fields)
}

fn event_answer(random: &mut Random, subjects: &Subjects, now: u64) -> Written {
    let event = subjects.older(random, now, "community.lexicon.calendar.event");
    let fields = vec![
        ("subject", strong_reference(event)),
        ("status", "community.lexicon.calendar.rsvp#going".into()),
    ];
    ("community.lexicon.calendar.rsvp", None, fields)
}

/// Integers at the edges, empty containers, empty text.
fn edge_numbers(random: &mut Random) -> Written {
    let rkey = odd_key(random);
    let any = random.next().cast_signed() >> random.below(64);
    let fields = vec![
        ("least", i64::MIN.into()),
        ("most", i64::MAX.into()),
        ("safe", ((1 << 53) - 1).into()),
        ("random", any.into()),
        ("none", Value::Array(vec![])),
        ("nothing", Value::Map(vec![])),
        ("empty", "".into()),
    ];
    ("test.sim.edge.numbers", Some(rkey), fields)
}

/// Text that JSON, HTML or a terminal would have to escape.
fn edge_escapes(random: &mut Random) -> Written {
    let rkey = odd_key(random);
    let fields = vec![
        ("html", "<a href=\"?a=1&b=2\">\u{2028}\u{2029}</a>".into()),
        (
            "control",
            "\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}".into(),
        ),
        ("backslash", "C:\\æ\\ø\\å / \u{fffd}\u{feff}".into()),
        ("plane", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🧑🏿‍🚀\u{10ffff}".into()),
        ("number", (random.below(1 << 40) as i64).into()),
    ];
    ("test.sim.edge.escapes", Some(rkey), fields)
}

fn status(random: &mut Random) -> Written {
    let status = random.pick(&["👍", "🦋", "🥳", "👩‍👩‍👧‍👦", "🫠"]);
    let fields = vec![("status", status.into())];
    ("xyz.statusphere.status", None, fields)
}

/// Record keys that the syntax allows and that careless code trips over.
fn odd_key(random: &mut Random) -> String {
    match random.below(12) {
        0 => "~".into(),
        1 => ":".into(),
        2 => "-".into(),
        3 => "_".into(),
        4 => "...".into(),
        5 => "pre:fix".into(),
        6 => "~1.2-3_4:5".into(),
        7 => "self".into(),
        8 => "example.com".into(),
        9 => "2026-01-01T00:00:00.000Z".into(),
        10 => format!("did:web:{}.sim.test", text::name(random)),
        _ => {
            let length = random.between(200, 513) as usize;
            text::name(random).chars().cycle().take(length).collect()
        }
    }
}
