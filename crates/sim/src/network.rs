use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use crate::account::Account;
use crate::clock::{datetime, tid};
use crate::config::{ConfigError, LONGEST_STEP_US, NetworkConfig, SHORTEST_STEP_US};
use crate::frames::{self, Stamp};
use crate::population::{POPULATIONS, Population};
use crate::random::{Purpose, Random};
use crate::records::{self, Kind, Reference, Subjects};
use crate::repo::{Committed, Op, Repo, Write};
use crate::traffic::{Scene, Step, Traffic};
use crate::truth::{SimAction, SimCommit, SimEvent, SimFrame, SimOp};

/// A network that follows from a seed: accounts with repositories, and the frames that their relay
/// would send.
///
/// It is an iterator without end. Every frame is what a real one is: signed commits, true Merkle
/// search trees, slices with all that Sync 1.1 needs, revisions and roots that chain. Sizes and
/// shares are those measured in the real network in July 2026. No clock is read: time passes with
/// the frames.
///
/// It holds a path, a CID and the bytes of every record written so far, about 1 KB for a frame, up
/// to [`NetworkConfig::kept_records`]. From then on accounts delete the oldest records written
/// since the start, and none from before it. The number of accounts stays below four times the
/// number at the start, or below 100 if that is more. With the default bounds a network of the
/// [default](NetworkConfig::default) size takes 40 MB after 20,000 frames and 130 MB after 100,000,
/// and one of [full size](NetworkConfig::full_size), with a relay's history, 250 MB and 330 MB.
/// From there on it grows ever more slowly, by 1 MB in 10,000 frames at first, as the accounts that
/// write seldom come to have parts of the tree of their own, and then no more.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Network, NetworkConfig, SimEvent};
///
/// let config = NetworkConfig {
///     accounts: 5,
///     records: 100,
///     ..NetworkConfig::default()
/// };
/// let mut network = Network::new(config)?;
/// let frame = network.next().unwrap();
/// assert_eq!(frame.seq, 1);
/// assert!(network.did_document(&frame.did).is_some());
/// if let SimEvent::Commit(commit) = &frame.event {
///     assert_eq!(commit.rev.len(), 13);
/// }
/// # Ok::<(), jetwash_sim::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    now: u64,
    next_seq: u64,
    random: Random,
    accounts: Vec<Account>,
    by_did: HashMap<Arc<str>, usize>,
    traffic: Traffic,
    populations: [Option<Population>; POPULATIONS],
    /// The accounts of the start, which is all that the populations know.
    first_subjects: Arc<Subjects>,
    subjects: Subjects,
    steps: VecDeque<Step>,
    /// How many records there are that were written since the start.
    written: u64,
    /// Whether the limit of kept records has ever been reached.
    was_full: bool,
}

impl Network {
    /// Makes a network.
    ///
    /// Repositories are made as they are needed, so this takes but a fraction of a second.
    ///
    /// # Errors
    ///
    /// When a setting is out of its range.
    pub fn new(config: NetworkConfig) -> Result<Self, ConfigError> {
        config.check()?;
        // No repository is made yet: an account that never writes costs next to nothing.
        let account =
            |number: usize| Account::new(config.seed, number as u64, Some(number % POPULATIONS));
        let accounts: Vec<Account> = (0..config.accounts).map(account).collect();
        let dids: Vec<Arc<str>> = accounts.iter().map(|a| Arc::clone(&a.did)).collect();
        let subjects = Subjects::new(dids);
        let mut network = Self {
            now: config.start.get(),
            next_seq: config.first_seq,
            random: Random::of(config.seed, Purpose::Traffic, 0),
            by_did: accounts
                .iter()
                .enumerate()
                .map(|(index, account)| (Arc::clone(&account.did), index))
                .collect(),
            traffic: Traffic::new(accounts.len(), config.rare_per_million),
            populations: [const { None }; POPULATIONS],
            first_subjects: Arc::new(subjects.clone()),
            subjects,
            steps: VecDeque::new(),
            written: 0,
            was_full: false,
            accounts,
            config,
        };
        network.quote_older_posts();
        Ok(network)
    }

    /// The configuration it was made from.
    #[must_use]
    pub const fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The sequence number of the next frame.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The DIDs of all accounts, including the ones that left, in the order they joined.
    pub fn dids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.accounts.iter().map(|account| &*account.did)
    }

    /// The DID document as it is now, as JSON; `None` if there is no such account.
    #[must_use]
    pub fn did_document(&self, did: &str) -> Option<String> {
        let account = &self.accounts[*self.by_did.get(did)?];
        Some(account.document(self.config.seed, &self.config.pds))
    }

    /// The whole repository as it is now, as a CAR file: the answer to `com.atproto.sync.getRepo`.
    ///
    /// # Errors
    ///
    /// When there is no such account, or it is not active.
    pub fn repo_car(&mut self, did: &str) -> Result<Vec<u8>, RepoError> {
        let number = *self.by_did.get(did).ok_or(RepoError::NotFound)?;
        let account = &self.accounts[number];
        if !account.active {
            let status = account.status;
            return Err(RepoError::Inactive { status });
        }
        self.open_repo(number);
        let account = &mut self.accounts[number];
        let (seed, population) = (self.config.seed, account.population);
        let Some(mut repo) = account.repo.take() else {
            return Err(RepoError::NotFound);
        };
        let commit = repo.commit(account.key(seed)).clone();
        let population = population.and_then(|number| self.populations[number].as_ref());
        let car = repo.car(&commit, population);
        account.repo = Some(repo);
        Ok(car)
    }

    fn population(&mut self, number: usize) -> &Population {
        self.populations[number].get_or_insert_with(|| {
            let config = &self.config;
            let subjects = Arc::clone(&self.first_subjects);
            Population::new(
                config.seed,
                number,
                config.records,
                config.start.get(),
                subjects,
            )
        })
    }

    /// Makes the repository of an account if it has not been needed so far.
    fn open_repo(&mut self, number: usize) {
        let account = &self.accounts[number];
        if account.repo.is_some() {
            return;
        }
        let did = Arc::clone(&account.did);
        let repo = match account.population {
            None => Repo::new(did),
            Some(population) => {
                let seed = self.config.seed;
                let subjects = Arc::clone(&self.first_subjects);
                let random = &mut Random::of(seed, Purpose::Profile, number as u64);
                let population = self.population(population);
                let profile = records::write(Kind::Profile, random, &subjects, population.end());
                let profile = Write {
                    path: profile.path(),
                    record: Some(profile.record.into()),
                };
                Repo::populated(did, population, profile)
            }
        };
        self.accounts[number].repo = Some(repo);
    }

    /// Makes some older posts known, so that the first likes are of posts that exist.
    fn quote_older_posts(&mut self) {
        let authors: Vec<(Arc<str>, u64)> = self
            .accounts
            .iter()
            .step_by(POPULATIONS)
            .take(8)
            .map(|account| (Arc::clone(&account.did), account.number))
            .collect();
        let population = self.population(0);
        let mut posts = Vec::new();
        for (did, number) in authors {
            let random = &mut Random::new(number);
            posts.extend((0..32).filter_map(|_| population.post(random, &did)));
        }
        posts
            .into_iter()
            .for_each(|post| self.subjects.add_post(post));
    }

    /// Decides the next step, and lets time pass.
    fn next_step(&mut self) -> Step {
        self.now += self.random.between(SHORTEST_STEP_US, LONGEST_STEP_US);
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        let number = self.traffic.author(&mut self.random, &self.accounts);
        if let Some(number) = number
            && !self.traffic.is_rare(&mut self.random)
        {
            return Step::Write(number);
        }
        let steps = match number {
            Some(number) => {
                let before = self.accounts[number].written();
                let random = &mut self.random;
                let steps = self.traffic.rare(random, &mut self.accounts, number);
                // The records of a deleted account are gone.
                self.written -= before - self.accounts[number].written();
                steps
            }
            None => None,
        };
        let steps = steps.unwrap_or_else(|| self.join());
        self.steps.extend(steps);
        // Empty only when nobody can join any more; an `#identity` is always possible.
        self.steps.pop_front().unwrap_or(Step::Identity(0, None))
    }

    /// Lets an account join, with frames in the order of the reference PDS; nothing if there are
    /// enough.
    fn join(&mut self) -> Vec<Step> {
        let number = self.accounts.len();
        if number >= self.config.most_accounts() {
            return Vec::new();
        }
        let account = Account::new(self.config.seed, number as u64, None);
        let handle = account.handle.clone();
        self.by_did.insert(Arc::clone(&account.did), number);
        self.subjects.add_account(Arc::clone(&account.did));
        self.traffic.add_account(number);
        self.accounts.push(account);
        vec![
            Step::Identity(number, Some(handle)),
            Step::Account(number),
            Step::FirstWrite(number),
            Step::Sync(number),
        ]
    }

    fn write(&mut self, number: usize, is_first: bool) -> Committed {
        self.open_repo(number);
        let is_full = self.written > self.config.kept_records;
        self.was_full |= is_full;
        let account = &mut self.accounts[number];
        // A removal would copy parts of the tree that accounts share, so it stops when full.
        let population = account.population.filter(|_| !self.was_full);
        let population = population.and_then(|p| self.populations[p].as_ref());
        let repo = account.take_repo();
        let before = repo.written();
        let scene = Scene {
            repo: &repo,
            population,
            subjects: &self.subjects,
            now: self.now,
        };
        let random = &mut self.random;
        let writes = if is_first {
            scene.first_writes(random)
        } else if is_full && before > 0 {
            repo.oldest_removals(MOST_REMOVALS)
        } else {
            scene.writes(random)
        };
        let rev = tid(self.now, account.number);
        let behind = random.weighted(&[(90, 0), (7, 1), (3, 2)]);
        account.repo = Some(repo);
        let committed = account.write(self.config.seed, writes, rev, behind);
        self.written = self.written - before + account.written();
        for op in &committed.ops {
            if let (Some(cid), Some(rkey)) = (op.cid, op.path.strip_prefix("app.bsky.feed.post/")) {
                self.subjects
                    .add_post(Reference::post(&account.did, rkey, cid));
            }
        }
        committed
    }

    fn sync(&mut self, number: usize) -> (String, jetwash_cbor::Cid, Vec<u8>) {
        self.open_repo(number);
        self.accounts[number].sync(self.config.seed)
    }
}

impl Iterator for Network {
    type Item = SimFrame;

    /// Always a frame: the network does not end.
    fn next(&mut self) -> Option<SimFrame> {
        // The time is read after the step, because choosing one moves it.
        let step = self.next_step();
        let time = datetime(self.now);
        let number = step.account();
        let did = Arc::clone(&self.accounts[number].did);
        let seq = self.next_seq;
        self.next_seq += 1;
        let stamp = Stamp {
            seq,
            did: &did,
            time: &time,
        };
        let (bytes, event) = match step {
            Step::Account(_) => {
                let Account { active, status, .. } = self.accounts[number];
                let bytes = frames::account(stamp, active, status);
                (bytes, SimEvent::Account { active, status })
            }
            Step::Identity(_, handle) => {
                let bytes = frames::identity(stamp, handle.as_deref());
                (bytes, SimEvent::Identity { handle })
            }
            Step::Sync(_) => {
                let (rev, commit, blocks) = self.sync(number);
                let bytes = frames::sync(stamp, &rev, &blocks);
                (bytes, SimEvent::Sync { rev, commit })
            }
            Step::Write(_) | Step::FirstWrite(_) => {
                let committed = self.write(number, matches!(step, Step::FirstWrite(_)));
                let bytes = frames::commit(stamp, &committed);
                (bytes, SimEvent::Commit(committed.into()))
            }
        };
        Some(SimFrame {
            seq,
            did,
            time,
            bytes,
            event,
        })
    }
}

/// How many records one commit removes at most: no commit has more than 200 operations.
const MOST_REMOVALS: usize = 200;

/// Why a repository is not available.
///
/// # Examples
///
/// ```
/// use jetwash_sim::{Network, NetworkConfig, RepoError};
///
/// let mut network = Network::new(NetworkConfig { accounts: 1, records: 0, ..Default::default() })?;
/// assert_eq!(network.repo_car("did:web:a.example"), Err(RepoError::NotFound));
/// # Ok::<(), jetwash_sim::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepoError {
    /// The account is not active.
    #[error("the account is {}", status.unwrap_or("not active"))]
    Inactive {
        /// Why, if that is said.
        status: Option<&'static str>,
    },
    /// There is no such account.
    #[error("no such account")]
    NotFound,
}

impl From<Committed> for SimCommit {
    fn from(committed: Committed) -> Self {
        Self {
            rev: committed.rev,
            since: committed.since,
            commit: committed.commit,
            data: committed.data,
            previous_data: committed.previous_data,
            ops: committed.ops.into_iter().map(SimOp::from).collect(),
        }
    }
}

impl From<Op> for SimOp {
    fn from(op: Op) -> Self {
        debug_assert!(op.path.contains('/'), "a path without a record key");
        let (collection, rkey) = op.path.split_once('/').unwrap_or((&op.path, ""));
        Self {
            action: match (&op.cid, &op.previous) {
                (None, _) => SimAction::Delete,
                (Some(_), None) => SimAction::Create,
                (Some(_), Some(_)) => SimAction::Update,
            },
            collection: collection.to_owned(),
            rkey: rkey.to_owned(),
            cid: op.cid,
            previous: op.previous,
            record: op.record,
        }
    }
}
