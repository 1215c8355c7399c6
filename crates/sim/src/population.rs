use std::sync::Arc;

use jetwash_mst::Tree;

use crate::clock::tid;
use crate::random::{Purpose, Random};
use crate::records::{self, Draft, Kind, Reference, Subjects};

/// The records that accounts have before the first frame.
///
/// A few populations are shared among all accounts, nodes and all, so that thousands of accounts
/// with thousands of records each start at once. Records do not say who wrote them, so the same
/// ones can be in many repositories; each account's profile is its own. Of a record only its path
/// and CID are kept: its bytes are written anew when somebody asks.
#[derive(Debug)]
pub(crate) struct Population {
    seed: u64,
    number: u64,
    count: u64,
    start: u64,
    subjects: Arc<Subjects>,
    pub(crate) tree: Tree,
    /// A few of the posts in it: their keys and places.
    posts: Vec<u64>,
}

/// How many populations there are.
pub(crate) const POPULATIONS: usize = 8;

impl Population {
    /// `start` is the time of the first frame, before which all records are.
    pub(crate) fn new(
        seed: u64,
        number: usize,
        typical: u64,
        start: u64,
        subjects: Arc<Subjects>,
    ) -> Self {
        let number = number as u64;
        let mut population = Self {
            seed,
            number,
            count: typical * PERCENT_OF_TYPICAL[number as usize % POPULATIONS] / 100,
            start,
            subjects,
            tree: Tree::new(),
            posts: Vec::new(),
        };
        for index in 0..population.count {
            let draft = population.record(index);
            if draft.collection == "app.bsky.feed.post" && population.posts.len() < 64 {
                population.posts.push(index);
            }
            // The paths are within the limit of length.
            let _ = population.tree.insert(draft.path().as_bytes(), draft.cid());
        }
        let _ = population.tree.root();
        population
    }

    pub(crate) const fn len(&self) -> u64 {
        self.count
    }

    /// The time at which everything in it was there.
    pub(crate) const fn end(&self) -> u64 {
        self.start - HOUR
    }

    /// Writes a record anew.
    pub(crate) fn record(&self, index: u64) -> Draft {
        let random = &mut Random::of(self.seed, Purpose::Population, self.number << 32 | index);
        let kind = random.weighted(&[
            (67, Kind::Like),
            (14, Kind::Post),
            (10, Kind::Repost),
            (8, Kind::Follow),
            (1, Kind::Block),
        ]);
        records::write(kind, random, &self.subjects, self.time(index))
    }

    /// One of its posts, as quoted from an account that has it; `None` if it has no posts.
    pub(crate) fn post(&self, random: &mut Random, did: &str) -> Option<Reference> {
        let index = *self.posts.get(random.index(self.posts.len().max(1)))?;
        let draft = self.record(index);
        Some(Reference::post(did, &draft.rkey, draft.cid()))
    }

    /// The revision of the repositories that start with it.
    pub(crate) fn rev(&self) -> String {
        tid(self.end(), self.number)
    }

    /// Spread evenly over the years before, so that no two records have the same.
    const fn time(&self, index: u64) -> u64 {
        let step = YEARS / (self.count + 1);
        self.end() - YEARS + index * step + self.number * step / (2 * POPULATIONS as u64)
    }
}

const HOUR: u64 = 3_600_000_000;
const YEARS: u64 = 730 * 24 * HOUR;

/// Real repositories differ by orders of magnitude; accounts that write mostly have large ones.
const PERCENT_OF_TYPICAL: [u64; POPULATIONS] = [100, 150, 25, 80, 120, 2, 130, 50];
