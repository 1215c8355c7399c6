//! The embeds of a record: pictures, cards, quotes.

use jetwash_cbor::{Cid, Codec};

use super::subjects::{Subjects, strong_reference};
use crate::random::Random;
use crate::text::{self, Language};
use crate::value::Value;

/// Picks one of the embeds that posts have.
pub(super) fn embed(
    random: &mut Random,
    subjects: &Subjects,
    now: u64,
    language: Language,
) -> Value {
    match random.below(10) {
        0..5 => images(random, language),
        5..8 => {
            let link = format!(
                "https://news.sim.test/{}?utm_source=a&utm_medium=<b>&id={}",
                text::name(random),
                random.below(1_000_000)
            );
            let title = text::sentence(random, language, 7);
            external(random, link, title)
        }
        8 => quote(random, subjects, now),
        _ => Value::Map(vec![
            ("$type", "app.bsky.embed.recordWithMedia".into()),
            ("record", quote(random, subjects, now)),
            ("media", images(random, language)),
        ]),
    }
}

fn quote(random: &mut Random, subjects: &Subjects, now: u64) -> Value {
    let record = strong_reference(subjects.post(random, now));
    Value::Map(vec![
        ("$type", "app.bsky.embed.record".into()),
        ("record", record),
    ])
}

fn images(random: &mut Random, language: Language) -> Value {
    let image = |random: &mut Random| {
        let alt = match random.below(3) {
            0 => String::new(),
            _ => text::sentence(random, language, 6),
        };
        let size = vec![
            ("width", (random.between(300, 2000) as i64).into()),
            ("height", (random.between(300, 2000) as i64).into()),
        ];
        Value::Map(vec![
            ("alt", alt.into()),
            ("image", blob(random, "image/jpeg")),
            ("aspectRatio", Value::Map(size)),
        ])
    };
    let count = random.weighted(&[(78, 1), (12, 2), (5, 3), (5, 4)]);
    let images = (0..count).map(|_| image(random)).collect();
    Value::Map(vec![
        ("$type", "app.bsky.embed.images".into()),
        ("images", Value::Array(images)),
    ])
}

/// A card with a link.
pub(super) fn external(random: &mut Random, link: String, title: String) -> Value {
    let description = format!("\"{}\" & <em>mere</em>\n\tR\u{2028}&D", text::name(random));
    let card = vec![
        ("uri", link.into()),
        ("title", title.into()),
        ("description", description.into()),
        ("thumb", blob(random, "image/jpeg")),
    ];
    Value::Map(vec![
        ("$type", "app.bsky.embed.external".into()),
        ("external", Value::Map(card)),
    ])
}

pub(super) fn blob(random: &mut Random, kind: &'static str) -> Value {
    Value::Map(vec![
        ("$type", "blob".into()),
        (
            "ref",
            Value::Link(Cid::of(Codec::Raw, &random.next().to_be_bytes())),
        ),
        ("mimeType", kind.into()),
        ("size", (random.between(4_000, 976_000) as i64).into()),
    ])
}
