use crate::truth::{ACCOUNT, Entry, IDENTITY, SYNC, Truth};

/// The events that a subscriber wants, by the rules of `docs/wire.md` in the plainest way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// NSIDs, or their starts ended by `.*`.
    pub(crate) collections: Vec<&'static str>,
    /// Numbers of accounts, sorted.
    pub(crate) dids: Vec<u32>,
    /// Only version 2 has them.
    pub(crate) kinds: Vec<&'static str>,
    /// Version 1 has no syncs.
    pub(crate) is_v2: bool,
    /// For each topic that was known at the last [`prepare`](Self::prepare), whether it is wanted.
    topics: Vec<bool>,
}

impl Filter {
    /// Lets everything pass that a wire has.
    pub(crate) fn everything(is_v2: bool) -> Self {
        Self {
            is_v2,
            ..Self::default()
        }
    }

    /// Learns of new collections; before each use.
    pub(crate) fn prepare(&mut self, truth: &Truth) {
        for topic in self.topics.len()..truth.topics() {
            let is_wanted = self.wants(topic as u16, truth.collection(topic));
            self.topics.push(is_wanted);
        }
    }

    fn wants(&self, topic: u16, collection: Option<&str>) -> bool {
        let kind = match topic {
            IDENTITY => "identity",
            ACCOUNT => "account",
            SYNC => "sync",
            _ => "commit",
        };
        let is_kind = self.kinds.is_empty() || self.kinds.contains(&kind);
        let is_in = |wanted: &&str| match (wanted.strip_suffix('*'), collection) {
            (Some(start), Some(collection)) => collection.starts_with(start),
            (None, Some(collection)) => collection == *wanted,
            (_, None) => true,
        };
        let is_collection = self.collections.is_empty() || self.collections.iter().any(is_in);
        (self.is_v2 || topic != SYNC) && is_kind && is_collection
    }

    pub(crate) fn describe(&self) -> String {
        let Self {
            collections,
            kinds,
            dids,
            ..
        } = self;
        format!("{collections:?} {kinds:?} {} accounts", dids.len())
    }

    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        let is_topic = self.topics.get(usize::from(entry.topic)).copied();
        is_topic.unwrap_or(false)
            && (self.dids.is_empty() || self.dids.binary_search(&entry.did).is_ok())
    }

    /// The index of the first event from `from` on that it lets pass.
    pub(crate) fn next(&self, truth: &Truth, from: usize) -> Option<usize> {
        (from..truth.len()).find(|&index| truth.get(index).is_some_and(|it| self.matches(it)))
    }

    pub(crate) fn query(&self, truth: &Truth) -> String {
        let (collections, dids) = match self.is_v2 {
            true => ("collections", "dids"),
            false => ("wantedCollections", "wantedDids"),
        };
        let mut query = String::new();
        for collection in &self.collections {
            query += &format!("&{collections}={collection}");
        }
        for did in self
            .dids
            .iter()
            .filter_map(|&did| truth.names().get(did as usize))
        {
            query += &format!("&{dids}={did}");
        }
        for kind in &self.kinds {
            query += &format!("&kinds={kind}");
        }
        query
    }

    /// The message with which a subscriber of version 1 changes its filter.
    pub(crate) fn update(&self, truth: &Truth) -> String {
        let dids: Vec<_> = self
            .dids
            .iter()
            .filter_map(|&did| truth.names().get(did as usize))
            .collect();
        let dids: Vec<&str> = dids.into_iter().map(|did| &**did).collect();
        let payload =
            serde_json::json!({"wantedCollections": self.collections, "wantedDids": dids});
        serde_json::json!({"type": "options_update", "payload": payload}).to_string()
    }
}
