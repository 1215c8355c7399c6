//! The records that accounts write: their shapes after the public lexicons, their content made up.
//!
//! [`write`] writes one record of a [`Kind`]. `subjects` holds the accounts and posts that records
//! are about, `post` writes posts, `embeds` the pictures and cards on them, and `other` the records
//! of other applications.

mod embeds;
mod fields;
mod other;
mod post;
mod subjects;

use jetwash_cbor::{Cid, Codec};

use self::embeds::{blob, external};
use self::fields::Fields;
use self::other::other;
use self::post::post;
use self::subjects::strong_reference;
pub(crate) use self::subjects::{Reference, Subjects};
use crate::clock::{datetime, tid};
use crate::random::Random;
use crate::text;
use crate::value::Value;

/// The sort of record to write.
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

/// Writes a record of that kind.
pub(crate) fn write(kind: Kind, random: &mut Random, subjects: &Subjects, now: u64) -> Draft {
    // The order in which numbers are drawn is part of the output: fields, time, then the key.
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

const BLOCK: &str = "app.bsky.graph.block";
const FOLLOW: &str = "app.bsky.graph.follow";
const LIST_ITEM: &str = "app.bsky.graph.listitem";

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
