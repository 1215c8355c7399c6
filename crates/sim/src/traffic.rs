//! Who does what next.

use std::collections::HashSet;

use crate::account::{self, Account};
use crate::population::Population;
use crate::random::Random;
use crate::records::{self, Draft, Kind, Subjects};
use crate::repo::{Repo, Write};

/// One frame to be made, by the number of the account.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Account(usize),
    FirstWrite(usize),
    Identity(usize, Option<String>),
    Sync(usize),
    Write(usize),
}

impl Step {
    pub(crate) const fn account(&self) -> usize {
        match self {
            Self::Account(number)
            | Self::FirstWrite(number)
            | Self::Identity(number, _)
            | Self::Sync(number)
            | Self::Write(number) => *number,
        }
    }
}

/// How active each account is, and which are away.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// The sums of the activity of the accounts up to each.
    activity: Vec<u64>,
    rare_per_million: u32,
    /// Accounts with a status that can end again.
    away: Vec<usize>,
    inactive: usize,
}

impl Traffic {
    pub(crate) fn new(accounts: usize, rare_per_million: u32) -> Self {
        let mut traffic = Self {
            activity: Vec::with_capacity(accounts),
            rare_per_million,
            away: Vec::new(),
            inactive: 0,
        };
        (0..accounts).for_each(|number| traffic.add_account(number));
        traffic
    }

    /// The activity falls off as one by the rank, in whole numbers so that it does not depend on
    /// the machine's arithmetic.
    pub(crate) fn add_account(&mut self, number: usize) {
        let before = self.activity.last().copied().unwrap_or(0);
        self.activity
            .push(before + 1_000_000_000 / (number as u64 + 9));
    }

    /// An active account, the first ones more often; `None` if they are all away.
    pub(crate) fn author(&self, random: &mut Random, accounts: &[Account]) -> Option<usize> {
        let total = self.activity.last().copied()?;
        let mut pick = || {
            let at = random.below(total);
            self.activity.partition_point(|&sum| sum <= at)
        };
        let first = (0..64)
            .map(|_| pick())
            .find(|&number| accounts[number].active);
        first.or_else(|| accounts.iter().position(|account| account.active))
    }

    pub(crate) fn is_rare(&self, random: &mut Random) -> bool {
        random.below(1_000_000) < self.rare_per_million.into()
    }

    /// Something that seldom happens to an account; `None` if it is that another one joins.
    pub(crate) fn rare(
        &mut self,
        random: &mut Random,
        accounts: &mut [Account],
        number: usize,
    ) -> Option<Vec<Step>> {
        let account = &mut accounts[number];
        let steps = match random.weighted(&RARE) {
            Rare::Hint => vec![Step::Identity(number, None)],
            Rare::Rename => {
                account.handle = account::handle(random, account.number);
                vec![Step::Identity(number, Some(account.handle.clone()))]
            }
            Rare::LoseHandle => vec![Step::Identity(number, Some("handle.invalid".to_owned()))],
            Rare::Repeat => vec![Step::Sync(number)],
            Rare::Status(status) => self.set_status(account, number, status),
            Rare::Return => self.bring_back(random, accounts),
            Rare::Join => return None,
        };
        if steps.is_empty() {
            return Some(vec![Step::Identity(number, None)]);
        }
        Some(steps)
    }

    fn set_status(&mut self, account: &mut Account, number: usize, status: Status) -> Vec<Step> {
        // Most of the network stays, however long it runs.
        if !status.active && self.inactive * 2 >= self.activity.len() {
            return vec![];
        }
        // An active account with a status is in the list already.
        if account.status.is_some() {
            self.away.retain(|&other| other != number);
        }
        account.active = status.active;
        account.status = status.name;
        self.inactive += usize::from(!status.active);
        if status.name == Some("deleted") {
            account.repo = None;
            account.population = None;
        } else {
            self.away.push(number);
        }
        vec![Step::Account(number)]
    }

    /// In the order of the reference PDS.
    fn bring_back(&mut self, random: &mut Random, accounts: &mut [Account]) -> Vec<Step> {
        if self.away.is_empty() {
            return vec![];
        }
        let number = self.away.swap_remove(random.index(self.away.len()));
        let account = &mut accounts[number];
        let was_active = std::mem::replace(&mut account.active, true);
        account.status = None;
        if was_active {
            return vec![Step::Account(number)];
        }
        self.inactive -= 1;
        let handle = Some(account.handle.clone());
        vec![
            Step::Account(number),
            Step::Identity(number, handle),
            Step::Sync(number),
        ]
    }
}

/// The surroundings of an account that writes.
pub(crate) struct Scene<'n> {
    pub(crate) repo: &'n Repo,
    pub(crate) population: Option<&'n Population>,
    pub(crate) subjects: &'n Subjects,
    pub(crate) now: u64,
}

impl Scene<'_> {
    /// The writes of one commit, mostly a single one.
    pub(crate) fn writes(&self, random: &mut Random) -> Vec<Write> {
        let (count, bulk) = match random.below(4000) {
            0 => (random.between(20, 201), Some(random.pick(&BULK))),
            1..40 => (random.between(2, 7), None),
            _ => (1, None),
        };
        let mut writes: Vec<Write> = Vec::with_capacity(count as usize);
        let mut paths = HashSet::new();
        for index in 0..count {
            let now = self.now - (count - index);
            let write = self.write(random, bulk, now);
            // A path occurs once in a commit.
            if paths.insert(write.path.clone()) {
                writes.push(write);
            }
        }
        writes
    }

    /// The first writes of an account: nothing, or its profile.
    pub(crate) fn first_writes(&self, random: &mut Random) -> Vec<Write> {
        if random.percent(50) {
            return vec![];
        }
        let draft = records::write(Kind::Profile, random, self.subjects, self.now);
        vec![put(draft)]
    }

    fn write(&self, random: &mut Random, bulk: Option<Bulk>, now: u64) -> Write {
        let removal = match bulk {
            Some(Bulk::Remove) => self.removal(random),
            Some(Bulk::Mixed) if random.percent(50) => self.removal(random),
            None if random.below(1000) < 28 => self.removal(random),
            _ => None,
        };
        let kind = match bulk {
            Some(_) => Kind::Follow,
            None => random.weighted(&KINDS),
        };
        removal.unwrap_or_else(|| self.creation(random, kind, now))
    }

    fn creation(&self, random: &mut Random, kind: Kind, now: u64) -> Write {
        let draft = records::write(kind, random, self.subjects, now);
        // The same record again would not be an operation, so another one is written.
        if self.repo.tree().get(draft.path().as_bytes()) == Some(&draft.cid()) {
            return put(records::write(Kind::Like, random, self.subjects, now));
        }
        put(draft)
    }

    /// Removes a record of before or of late, if one is found that is still there.
    fn removal(&self, random: &mut Random) -> Option<Write> {
        let from_population = |random: &mut Random| {
            let population = self.population.filter(|population| population.len() > 0)?;
            let draft = population.record(random.below(population.len()));
            Some(draft.path())
        };
        let path = (0..8).find_map(|_| {
            let path = match self.repo.recent(random) {
                Some(path) if random.percent(50) => Some(path),
                _ => from_population(random),
            };
            path.filter(|path| self.repo.contains(path))
        })?;
        Some(Write { path, record: None })
    }
}

fn put(draft: Draft) -> Write {
    Write {
        path: draft.path(),
        record: Some(draft.record.into()),
    }
}

/// The kinds of record, in proportion, of all writes that remove nothing. After the frames of
/// July 2026; the share of other applications is larger, so that they occur in short runs.
const KINDS: [(u64, Kind); 9] = [
    (720, Kind::Like),
    (118, Kind::Post),
    (101, Kind::Repost),
    (42, Kind::Follow),
    (7, Kind::Block),
    (8, Kind::ListItem),
    (7, Kind::Profile),
    (7, Kind::Status),
    (30, Kind::Other),
];

#[derive(Clone, Copy, Debug)]
enum Bulk {
    Follow,
    Mixed,
    Remove,
}

const BULK: [Bulk; 3] = [Bulk::Follow, Bulk::Mixed, Bulk::Remove];

#[derive(Clone, Copy, Debug)]
struct Status {
    active: bool,
    name: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum Rare {
    Hint,
    Join,
    LoseHandle,
    Rename,
    Repeat,
    Return,
    Status(Status),
}

const RARE: [(u64, Rare); 13] = [
    (30, Rare::Hint),
    (14, Rare::Rename),
    (2, Rare::LoseHandle),
    (10, Rare::Repeat),
    (12, Rare::Join),
    (14, Rare::Return),
    (10, away("deactivated")),
    (3, away("takendown")),
    (3, away("suspended")),
    (2, away("deleted")),
    (
        1,
        Rare::Status(Status {
            active: false,
            name: None,
        }),
    ),
    (3, here("throttled")),
    (3, here("desynchronized")),
];

const fn away(name: &'static str) -> Rare {
    Rare::Status(Status {
        active: false,
        name: Some(name),
    })
}

/// These may come with an account that is to be shown.
const fn here(name: &'static str) -> Rare {
    Rare::Status(Status {
        active: true,
        name: Some(name),
    })
}
