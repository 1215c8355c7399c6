use super::embeds::embed;
use super::fields::Fields;
use super::subjects::{Subjects, strong_reference};
use crate::random::Random;
use crate::text::{self, Language};
use crate::value::Value;

/// The fields of a post.
pub(super) fn post(random: &mut Random, subjects: &Subjects, now: u64) -> Fields {
    // Every draw is made at its place and only if needed: the frames of a seed depend on it.
    let language = text::language(random);
    let words = random.weighted(&[(20, 4), (40, 12), (28, 22), (12, 36)]);
    let words = random.between(1, words * 2);
    let mut body = Body {
        text: text::sentence(random, language, words),
        facets: Vec::new(),
    };
    body.decorate(random, subjects, language);
    let mut fields = vec![("langs", Value::Array(vec![language.tag.into()]))];
    if random.percent(60) {
        fields.push(("reply", reply(random, subjects, now)));
    }
    if random.percent(30) {
        fields.push(("embed", embed(random, subjects, now, language)));
    }
    if !body.facets.is_empty() {
        fields.push(("facets", Value::Array(body.facets)));
    }
    if random.percent(2) {
        let label = Value::Map(vec![("val", "graphic-media".into())]);
        let labels = vec![
            ("$type", "com.atproto.label.defs#selfLabels".into()),
            ("values", Value::Array(vec![label])),
        ];
        fields.push(("labels", Value::Map(labels)));
    }
    fields.push(("text", body.text.into()));
    fields
}

fn reply(random: &mut Random, subjects: &Subjects, now: u64) -> Value {
    let parent = subjects.post(random, now);
    let root = if random.percent(45) {
        parent.clone()
    } else {
        subjects.post(random, now)
    };
    let (root, parent) = (strong_reference(root), strong_reference(parent));
    Value::Map(vec![("root", root), ("parent", parent)])
}

/// The text of a post with what is marked in it.
struct Body {
    text: String,
    facets: Vec<Value>,
}

impl Body {
    fn decorate(&mut self, random: &mut Random, subjects: &Subjects, language: Language) {
        // Marks are appended, so the positions of earlier ones stay true.
        if random.percent(10) {
            let host = text::name(random);
            let shown = format!("{host}.sim.test/{}…", language.tag);
            let uri = format!(
                "https://{host}.sim.test/{}?a=1&b=<{}>",
                language.tag,
                random.below(99)
            );
            self.mark(&shown, "app.bsky.richtext.facet#link", "uri", uri.into());
        }
        if random.percent(8) {
            let tag = text::tag(random);
            self.mark(
                &format!("#{tag}"),
                "app.bsky.richtext.facet#tag",
                "tag",
                tag.into(),
            );
        }
        if random.percent(5) {
            let shown = format!("@{}.sim.test", text::name(random));
            let did = subjects.did(random).into();
            self.mark(&shown, "app.bsky.richtext.facet#mention", "did", did);
        }
    }

    /// Appends `shown` and marks it; positions count bytes.
    fn mark(&mut self, shown: &str, sort: &'static str, key: &'static str, value: Value) {
        self.text.push(' ');
        let start = self.text.len();
        self.text.push_str(shown);
        let index = vec![
            ("byteStart", (start as i64).into()),
            ("byteEnd", (self.text.len() as i64).into()),
        ];
        let feature = Value::Map(vec![("$type", sort.into()), (key, value)]);
        self.facets.push(Value::Map(vec![
            ("index", Value::Map(index)),
            ("features", Value::Array(vec![feature])),
        ]));
    }
}
