//! The records that accounts write: their shapes after the public lexicons, their content made up.

use std::collections::VecDeque;
use std::sync::Arc;

use jetwash_cbor::{Cid, Codec};

use crate::clock::{datetime, tid};
use crate::random::Random;
use crate::text::{self, Language};
use crate::value::Value;

/// What sort of record to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Block,
    Follow,
    Like,
    ListItem,
    Other,
    Post,
    Profile,
    Repost,
    Status,
}

/// A record, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) collection: &'static str,
    pub(crate) rkey: String,
    pub(crate) record: Vec<u8>,
}

impl Draft {
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.rkey)
    }

    pub(crate) fn cid(&self) -> Cid {
        Cid::of(Codec::DagCbor, &self.record)
    }
}

/// A record that others refer to.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    uri: String,
    cid: Cid,
}

impl Reference {
    pub(crate) fn post(did: &str, rkey: &str, cid: Cid) -> Self {
        let uri = format!("at://{did}/app.bsky.feed.post/{rkey}");
        Self { uri, cid }
    }
}

/// What records can be about: the accounts, and the posts of late.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    dids: Vec<Arc<str>>,
    posts: VecDeque<Reference>,
}

impl Subjects {
    const MOST_POSTS: usize = 1024;

    pub(crate) const fn new(dids: Vec<Arc<str>>) -> Self {
        Self {
            dids,
            posts: VecDeque::new(),
        }
    }

    pub(crate) fn add_account(&mut self, did: Arc<str>) {
        self.dids.push(did);
    }

    pub(crate) fn add_post(&mut self, post: Reference) {
        if self.posts.len() == Self::MOST_POSTS {
            self.posts.pop_front();
        }
        self.posts.push_back(post);
    }

    fn did(&self, random: &mut Random) -> String {
        // Half of all attention goes to the first few, as it does.
        let among = if random.percent(50) {
            self.dids.len().min(20)
        } else {
            self.dids.len()
        };
        self.dids[random.index(among)].to_string()
    }

    /// A post of late, or else one from before the time that is told here.
    fn post(&self, random: &mut Random, now: u64) -> Reference {
        match random.below(2 * Self::MOST_POSTS as u64) as usize {
            recent if recent < self.posts.len() => self.posts[recent].clone(),
            _ => self.older(random, now, "app.bsky.feed.post"),
        }
    }

    fn older(&self, random: &mut Random, now: u64, collection: &str) -> Reference {
        let rkey = tid(now - random.between(DAY / 24, 30 * DAY), random.next());
        let did = self.did(random);
        Reference {
            uri: format!("at://{did}/{collection}/{rkey}"),
            cid: Cid::of(Codec::DagCbor, &random.next().to_be_bytes()),
        }
    }
}

/// Writes a record of that kind.
pub(crate) fn write(kind: Kind, random: &mut Random, subjects: &Subjects, now: u64) -> Draft {
    let (collection, rkey, fields) = match kind {
        Kind::Block => (BLOCK, None, person(random, subjects)),
        Kind::Follow => (FOLLOW, None, person(random, subjects)),
        Kind::Like => ("app.bsky.feed.like", None, reaction(random, subjects, now)),
        Kind::ListItem => (LIST_ITEM, None, list_item(random, subjects, now)),
        Kind::Other => other(random, subjects, now),
        Kind::Post => ("app.bsky.feed.post", None, post(random, subjects, now)),
        Kind::Profile => (
            "app.bsky.actor.profile",
            Some("self".into()),
            profile(random),
        ),
        Kind::Repost => (
            "app.bsky.feed.repost",
            None,
            reaction(random, subjects, now),
        ),
        Kind::Status => ("app.bsky.actor.status", Some("self".into()), status(random)),
    };
    let mut fields = fields;
    fields.push(("$type", collection.into()));
    fields.push((
        "createdAt",
        datetime(now - random.between(20_000, 900_000)).into(),
    ));
    Draft {
        collection,
        rkey: rkey.unwrap_or_else(|| tid(now, random.next())),
        record: Value::Map(fields).encode(),
    }
}

type Fields = Vec<(&'static str, Value)>;

const DAY: u64 = 86_400_000_000;
const BLOCK: &str = "app.bsky.graph.block";
const FOLLOW: &str = "app.bsky.graph.follow";
const LIST_ITEM: &str = "app.bsky.graph.listitem";

fn strong_reference(reference: Reference) -> Value {
    let cid = reference.cid.to_string();
    Value::Map(vec![("cid", cid.into()), ("uri", reference.uri.into())])
}

fn person(random: &mut Random, subjects: &Subjects) -> Fields {
    vec![("subject", subjects.did(random).into())]
}

fn reaction(random: &mut Random, subjects: &Subjects, now: u64) -> Fields {
    let mut fields = vec![("subject", strong_reference(subjects.post(random, now)))];
    if random.percent(17) {
        let via = subjects.older(random, now, "app.bsky.feed.repost");
        fields.push(("via", strong_reference(via)));
    }
    fields
}

fn list_item(random: &mut Random, subjects: &Subjects, now: u64) -> Fields {
    let list = subjects.older(random, now, "app.bsky.graph.list").uri;
    vec![
        ("subject", subjects.did(random).into()),
        ("list", list.into()),
    ]
}

fn profile(random: &mut Random) -> Fields {
    let language = text::language(random);
    let mut fields = vec![
        ("displayName", text::sentence(random, language, 2).into()),
        ("description", text::sentence(random, language, 14).into()),
        ("avatar", blob(random, "image/jpeg")),
    ];
    if random.percent(50) {
        fields.push(("banner", blob(random, "image/png")));
    }
    fields
}

fn status(random: &mut Random) -> Fields {
    let minutes = random.between(5, 240) as i64;
    let language = text::language(random);
    let title = text::sentence(random, language, 5);
    let link = format!(
        "https://live.sim.test/{}?id={}&t=0",
        text::name(random),
        random.below(999)
    );
    vec![
        ("status", "app.bsky.actor.status#live".into()),
        ("durationMinutes", minutes.into()),
        ("embed", external(random, link, title)),
    ]
}

fn post(random: &mut Random, subjects: &Subjects, now: u64) -> Fields {
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

    /// Appends `shown` and says what it is; positions count bytes.
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

fn embed(random: &mut Random, subjects: &Subjects, now: u64, language: Language) -> Value {
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

fn external(random: &mut Random, link: String, title: String) -> Value {
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

fn blob(random: &mut Random, kind: &'static str) -> Value {
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

/// A record of another application, some under keys that are odd but legal.
fn other(
    random: &mut Random,
    subjects: &Subjects,
    now: u64,
) -> (&'static str, Option<String>, Fields) {
    let language = text::language(random);
    match random.below(17) {
        0 => ("app.bsky.feed.threadgate", None, {
            let post = subjects.post(random, now).uri;
            vec![("post", post.into()), ("allow", Value::Array(vec![]))]
        }),
        1 => (
            "app.bsky.graph.list",
            None,
            vec![
                ("name", text::sentence(random, language, 3).into()),
                ("purpose", "app.bsky.graph.defs#curatelist".into()),
            ],
        ),
        2 => ("chat.bsky.actor.declaration", Some("self".into()), {
            let allow = random.pick(&["all", "none", "following"]);
            vec![("allowIncoming", allow.into())]
        }),
        3 => (
            "fm.teal.alpha.feed.play",
            None,
            vec![
                ("trackName", text::sentence(random, language, 3).into()),
                ("duration", (random.between(60, 600) as i64).into()),
                (
                    "isrc",
                    format!("DK{:010}", random.below(9_999_999_999)).into(),
                ),
            ],
        ),
        4 => ("com.whtwnd.blog.entry", None, {
            let words = random.between(150, 900);
            vec![
                ("title", text::sentence(random, language, 5).into()),
                ("content", text::sentence(random, language, words).into()),
                ("visibility", "public".into()),
            ]
        }),
        5 => (
            "sh.tangled.repo.issue",
            None,
            vec![
                ("title", text::sentence(random, language, 6).into()),
                ("issueId", (random.below(4000) as i64).into()),
                ("open", Value::Boolean(random.percent(50))),
            ],
        ),
        6 => (
            "place.stream.chat.message",
            None,
            vec![
                ("text", text::sentence(random, language, 9).into()),
                ("streamer", subjects.did(random).into()),
            ],
        ),
        7 => ("community.lexicon.calendar.rsvp", None, {
            let event = subjects.older(random, now, "community.lexicon.calendar.event");
            let status = "community.lexicon.calendar.rsvp#going";
            vec![
                ("subject", strong_reference(event)),
                ("status", status.into()),
            ]
        }),
        // Integers at the edges, empty containers, empty text.
        8 | 12 | 13 => (
            "test.sim.edge.numbers",
            Some(odd_key(random)),
            vec![
                ("least", i64::MIN.into()),
                ("most", i64::MAX.into()),
                ("safe", ((1 << 53) - 1).into()),
                (
                    "random",
                    (random.next().cast_signed() >> random.below(64)).into(),
                ),
                ("none", Value::Array(vec![])),
                ("nothing", Value::Map(vec![])),
                ("empty", "".into()),
            ],
        ),
        9 | 14 | 15 => (
            "test.sim.edge.escapes",
            Some(odd_key(random)),
            vec![
                ("html", "<a href=\"?a=1&b=2\">\u{2028}\u{2029}</a>".into()),
                (
                    "control",
                    "\u{0}\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}".into(),
                ),
                ("backslash", "C:\\æ\\ø\\å / \u{fffd}\u{feff}".into()),
                ("plane", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🧑🏿‍🚀\u{10ffff}".into()),
                ("number", (random.below(1 << 40) as i64).into()),
            ],
        ),
        10 | 16 => (
            "com.example.Odd-But.legalNameOfMixedCase",
            Some(odd_key(random)),
            vec![("note", text::sentence(random, language, 8).into())],
        ),
        _ => ("xyz.statusphere.status", None, {
            vec![(
                "status",
                random.pick(&["👍", "🦋", "🥳", "👩‍👩‍👧‍👦", "🫠"]).into(),
            )]
        }),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_posts_are_referred_to() {
        let mut subjects = Subjects::new(vec!["did:plc:alice".into()]);
        let cid = Cid::of(Codec::DagCbor, &[0xa0]);
        for number in 0..3 * Subjects::MOST_POSTS {
            subjects.add_post(Reference::post("did:plc:alice", &number.to_string(), cid));
        }
        assert_eq!(subjects.posts.len(), Subjects::MOST_POSTS);
        assert!(subjects.posts[0].uri.ends_with("/2048"));
    }
}
