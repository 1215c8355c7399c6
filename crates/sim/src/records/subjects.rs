use std::collections::VecDeque;
use std::sync::Arc;

use jetwash_cbor::{Cid, Codec};

use crate::clock::tid;
use crate::random::Random;
use crate::value::Value;

/// A record that others refer to.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(super) uri: String,
    cid: Cid,
}

impl Reference {
    pub(crate) fn post(did: &str, rkey: &str, cid: Cid) -> Self {
        let uri = format!("at://{did}/app.bsky.feed.post/{rkey}");
        Self { uri, cid }
    }
}

/// The subjects of records: the accounts, and the latest posts.
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

    pub(super) fn did(&self, random: &mut Random) -> String {
        // Half of all attention goes to the first few, as it does.
        let among = if random.percent(50) {
            self.dids.len().min(20)
        } else {
            self.dids.len()
        };
        self.dids[random.index(among)].to_string()
    }

    /// A post of late, or else one from before the time that is told here.
    pub(super) fn post(&self, random: &mut Random, now: u64) -> Reference {
        match random.below(2 * Self::MOST_POSTS as u64) as usize {
            recent if recent < self.posts.len() => self.posts[recent].clone(),
            _ => self.older(random, now, "app.bsky.feed.post"),
        }
    }

    pub(super) fn older(&self, random: &mut Random, now: u64, collection: &str) -> Reference {
        let rkey = tid(now - random.between(DAY / 24, 30 * DAY), random.next());
        let did = self.did(random);
        Reference {
            uri: format!("at://{did}/{collection}/{rkey}"),
            cid: Cid::of(Codec::DagCbor, &random.next().to_be_bytes()),
        }
    }
}

/// A link to one version of a record, as lexicons have it.
pub(super) fn strong_reference(reference: Reference) -> Value {
    let cid = reference.cid.to_string();
    Value::Map(vec![("cid", cid.into()), ("uri", reference.uri.into())])
}

const DAY: u64 = 86_400_000_000;

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
