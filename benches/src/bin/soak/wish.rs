use crate::filter::Filter;
use crate::random::Random;
use crate::truth::Truth;

/// The request of a subscriber: a filter, a wire, a packing, and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) filter: Filter,
    pub(crate) packing: Packing,
    /// Whether events of version 1 are asked for with their positions.
    has_seq: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    /// Each event is a frame of zstd that needs the dictionary.
    Dictionary,
    /// Several lines are such a frame; only version 1 has this.
    Batch,
}

/// Where a connection begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At what comes.
    Live,
    /// At the event of this index.
    At(usize),
}

impl Wish {
    /// Makes up a wish. Most are for a small part, as there are too many subscribers for all of them
    /// to get everything.
    pub(crate) fn random(random: &mut Random, truth: &Truth) -> Self {
        let is_v2 = random.percent(50);
        let packing = match random.below(10) {
            0..4 => Packing::Plain,
            4..8 => Packing::Dictionary,
            _ if is_v2 => Packing::Dictionary,
            _ => Packing::Batch,
        };
        Self {
            filter: random_filter(random, truth, is_v2),
            has_seq: !is_v2 && packing != Packing::Batch && random.percent(40),
            packing,
        }
    }

    /// Where a new subscriber begins: live, a little or a lot ago, or at the start of the log.
    pub(crate) fn start(&self, random: &mut Random, truth: &Truth) -> Start {
        let seen = truth.seen();
        if seen == 0 {
            return Start::Live;
        }
        let most = match self.breadth(truth) {
            Breadth::Wide => 5_000,
            Breadth::Middle => 30_000,
            Breadth::Narrow => usize::MAX,
        };
        let index = match random.below(10) {
            0..4 => return Start::Live,
            4..8 => seen - 1 - random.below(seen.min(2_000)),
            8 => seen - 1 - random.below(seen.min(most)),
            _ => seen - seen.min(most),
        };
        // Without positions the event's time has to be known.
        let has_time = |index: &usize| truth.get(*index).is_some_and(|it| it.time > 0);
        if self.has_positions() {
            return Start::At(index);
        }
        (index..seen).find(has_time).map_or(Start::Live, Start::At)
    }

    /// The path and query, for a start at an index if it is not live.
    pub(crate) fn target(
        &self,
        random: &mut Random,
        truth: &Truth,
        start: Start,
        dictionary: u32,
    ) -> String {
        let route = match self.filter.is_v2 {
            true => "/xrpc/network.bsky.jetstream.subscribeEvents",
            false => "/subscribe",
        };
        let mut target = format!(
            "{route}?{}",
            self.filter.query(truth).trim_start_matches('&')
        );
        let packing = match (self.packing, self.filter.is_v2) {
            (Packing::Plain, _) => String::new(),
            (Packing::Dictionary, true) => format!("&zstdDictionary={dictionary}"),
            (Packing::Dictionary, false) => "&compress=true".to_owned(),
            (Packing::Batch, _) => "&compress=batch".to_owned(),
        };
        target += &packing;
        if self.has_seq {
            target += "&cursor=seq";
        }
        if let Start::At(index) = start {
            let time = truth.get(index).map_or(0, |it| it.time);
            let by_time = time > 0 && (!self.has_positions() || random.percent(30));
            let cursor = if by_time { time } else { index as u64 + 1 };
            // Both wires take a cursor of 0 for the start of the log.
            let cursor = if index == 0 && random.percent(50) {
                0
            } else {
                cursor
            };
            target += &format!("&cursor={cursor}");
        }
        target
    }

    const fn has_positions(&self) -> bool {
        self.filter.is_v2 || self.has_seq
    }

    pub(crate) fn breadth(&self, truth: &Truth) -> Breadth {
        breadth(&self.filter, truth)
    }
}

/// How much of all events a filter lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breadth {
    Wide,
    Middle,
    /// So little that the whole log can be asked for.
    Narrow,
}

fn breadth(filter: &Filter, truth: &Truth) -> Breadth {
    let is_wide = |name: &&str| *name == "app.bsky.feed.*" || *name == "app.bsky.feed.like";
    // The first accounts write most.
    let is_busy = |did: &u32| *did < (truth.names().len() as u32 / 20);
    if !filter.dids.is_empty() {
        return if filter.dids.iter().any(is_busy) {
            Breadth::Middle
        } else {
            Breadth::Narrow
        };
    }
    if filter.kinds.len() == 1 && filter.kinds[0] != "commit" {
        return Breadth::Narrow;
    }
    if filter.collections.is_empty() || filter.collections.iter().any(is_wide) {
        return Breadth::Wide;
    }
    Breadth::Middle
}

pub(crate) fn random_filter(random: &mut Random, truth: &Truth, is_v2: bool) -> Filter {
    let mut filter = Filter::everything(is_v2);
    let accounts = truth.names().len();
    match random.below(100) {
        // Everything.
        0 => {}
        1 => filter.collections = vec!["app.bsky.feed.like"],
        2 => filter.collections = vec!["app.bsky.feed.*", "fm.teal.alpha.feed.play"],
        3..8 => filter.collections = vec!["app.bsky.feed.post"],
        8..32 => filter.collections = vec![COLLECTIONS[random.below(COLLECTIONS.len())]],
        32..45 => {
            let count = 2 + random.below(6);
            filter.collections = (0..count)
                .map(|_| COLLECTIONS[random.below(COLLECTIONS.len())])
                .collect();
        }
        45..55 if is_v2 => {
            let kinds = [
                &["identity"][..],
                &["account"],
                &["sync"],
                &["identity", "account", "sync"],
            ];
            filter.kinds = kinds[random.below(kinds.len())].to_vec();
        }
        55..65 if is_v2 => {
            filter.kinds = vec!["commit"];
            filter.collections = vec![COLLECTIONS[random.below(COLLECTIONS.len())]];
        }
        _ => {
            if random.percent(30) {
                filter.collections = vec!["app.bsky.feed.like", "app.bsky.graph.*"];
            }
            for _ in 0..=random.below(40) {
                // Hardly ever the first ones, which write most.
                let index = random.below(accounts).max(random.below(accounts));
                filter.dids.push(index as u32);
            }
            filter.dids.sort_unstable();
            filter.dids.dedup();
            filter.dids.retain(|&did| (did as usize) < accounts);
        }
    }
    filter
}

/// Collections with a small part of the events each.
const COLLECTIONS: [&str; 10] = [
    "app.bsky.feed.repost",
    "app.bsky.graph.follow",
    "app.bsky.graph.*",
    "app.bsky.actor.profile",
    "app.bsky.feed.threadgate",
    "chat.bsky.actor.declaration",
    "com.whtwnd.*",
    "test.sim.edge.escapes",
    "xyz.statusphere.status",
    "community.lexicon.calendar.rsvp",
];
