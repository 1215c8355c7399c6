//! The wishes of clients, and the rules of Jetstream in the plainest way.

use serde_json::Value;

use crate::chance::Chance;

#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    collections: &'static [&'static str],
    dids: Vec<String>,
}

impl Wanted {
    pub(crate) fn of(chance: &mut Chance, dids: &[String]) -> Self {
        let collections = chance.pick(COLLECTIONS);
        let count = if chance.percent(30) {
            chance.between(1, 6)
        } else {
            0
        };
        let mut dids: Vec<_> = (0..count)
            .map(|_| dids[chance.below(dids.len() as u64) as usize].clone())
            .collect();
        dids.sort();
        dids.dedup();
        Self { collections, dids }
    }

    /// The parameters of a query, whose names differ between the versions.
    pub(crate) fn query(&self, collections: &str, dids: &str) -> String {
        let wanted = self.collections.iter();
        let wanted = wanted.map(|name| format!("&{collections}={name}"));
        let accounts = self.dids.iter().map(|did| format!("&{dids}={did}"));
        wanted.chain(accounts).collect()
    }

    pub(crate) fn lets_pass(&self, line: &Value, has_syncs: bool) -> bool {
        if line["kind"] == "sync" && !has_syncs {
            return false;
        }
        let is_collection = |wanted: &&str| {
            let collection = line["commit"]["collection"].as_str().unwrap_or_default();
            match wanted.strip_suffix('*') {
                Some(start) => collection.starts_with(start),
                None => collection == *wanted,
            }
        };
        let is_commit = line["kind"] == "commit";
        (self.collections.is_empty() || !is_commit || self.collections.iter().any(is_collection))
            && (self.dids.is_empty() || self.dids.iter().any(|did| line["did"] == did.as_str()))
    }
}

const COLLECTIONS: &[&[&str]] = &[
    &[],
    &[],
    &["app.bsky.feed.post"],
    &["app.bsky.feed.*"],
    &["app.bsky.graph.*", "app.bsky.feed.like"],
    &["app.bsky.feed.like", "com.whtwnd.blog.entry"],
];
