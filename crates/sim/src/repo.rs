use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jetwash_cbor::{CborWriter, Cid, Codec};
use jetwash_mst::Tree;

use crate::car::CarWriter;
use crate::keys::Key;
use crate::population::Population;
use crate::random::Random;

/// One account's repository.
///
/// It keeps the path and CID of every record, and the bytes of records written after the start; the
/// others are written anew when asked for.
#[derive(Debug)]
pub(crate) struct Repo {
    did: Arc<str>,
    tree: Tree,
    rev: String,
    /// The signed commit of that revision; `None` until it is first needed.
    commit: Option<SignedCommit>,
    records: HashMap<Arc<str>, Arc<[u8]>>,
    /// Their paths in the order in which they were first written; some are of removed records.
    order: VecDeque<Arc<str>>,
    /// Some of the paths written last.
    recent: VecDeque<Arc<str>>,
}

/// A commit object: its bytes and their CID.
#[derive(Clone, Debug)]
pub(crate) struct SignedCommit {
    pub(crate) cid: Cid,
    pub(crate) bytes: Vec<u8>,
}

/// A change to one record: the new content, or `None` to remove it.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) path: String,
    pub(crate) record: Option<Arc<[u8]>>,
}

/// The content of a commit's frame.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) commit: Cid,
    pub(crate) rev: String,
    pub(crate) since: Option<String>,
    pub(crate) data: Cid,
    pub(crate) previous_data: Option<Cid>,
    pub(crate) ops: Vec<Op>,
    /// The CAR slice.
    pub(crate) blocks: Vec<u8>,
}

/// The result of one [`Write`].
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) path: String,
    pub(crate) cid: Option<Cid>,
    pub(crate) previous: Option<Cid>,
    pub(crate) record: Option<Arc<[u8]>>,
}

impl Repo {
    /// A repository that has never had a commit.
    pub(crate) fn new(did: Arc<str>) -> Self {
        Self {
            did,
            tree: Tree::new(),
            rev: String::new(),
            commit: None,
            records: HashMap::new(),
            order: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// The repository as it is before the first frame.
    pub(crate) fn populated(did: Arc<str>, population: &Population, profile: Write) -> Self {
        let mut repo = Self {
            tree: population.tree.clone(),
            rev: population.rev(),
            ..Self::new(did)
        };
        repo.apply(profile);
        repo
    }

    pub(crate) const fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn rev(&self) -> &str {
        &self.rev
    }

    /// A path that was written lately; its record may be gone again.
    pub(crate) fn recent(&self, random: &mut Random) -> Option<String> {
        let path = self.recent.get(random.index(self.recent.len().max(1)))?;
        Some(path.to_string())
    }

    /// How many of its records were written since the start. The profile does not
    /// count: whether it is from before the start is not known here.
    pub(crate) fn written(&self) -> u64 {
        (self.records.len() - usize::from(self.records.contains_key(PROFILE))) as u64
    }

    /// Removals of some of the records that were written since the start, the oldest first: of half
    /// of them, so that something is left to be seen, and of no more than `most`.
    pub(crate) fn oldest_removals(&self, most: usize) -> Vec<Write> {
        let written = usize::try_from(self.written()).unwrap_or(usize::MAX);
        let count = written.div_ceil(2).min(most);
        let mut seen = HashSet::with_capacity(count);
        let mut removals = Vec::with_capacity(count);
        for path in &self.order {
            if removals.len() == count {
                break;
            }
            // A path is in the order twice if its record was removed and written again.
            if self.records.contains_key(path) && seen.insert(path) {
                removals.push(Write {
                    path: path.to_string(),
                    record: None,
                });
            }
        }
        removals
    }

    /// Whether it has never had a commit.
    pub(crate) fn is_new(&self) -> bool {
        self.rev.is_empty()
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.tree.get(path.as_bytes()).is_some()
    }

    pub(crate) fn commit(&mut self, key: &Key) -> &SignedCommit {
        let Self {
            did,
            tree,
            rev,
            commit,
            ..
        } = self;
        commit.get_or_insert_with(|| sign(did, rev, &tree.root(), key))
    }

    /// Makes a commit. No path may be written twice. In the slice, `blocks_behind` blocks come
    /// after the commit object.
    pub(crate) fn write(
        &mut self,
        writes: Vec<Write>,
        rev: String,
        key: &Key,
        blocks_behind: usize,
    ) -> Committed {
        let before = self.tree.clone();
        let is_first = self.is_new();
        let ops: Vec<Op> = writes.into_iter().map(|write| self.apply(write)).collect();
        let since = std::mem::replace(&mut self.rev, rev);
        self.commit = None;
        let commit = self.commit(key).clone();
        let blocks = self.slice(&before, is_first, &ops, &commit, blocks_behind);
        Committed {
            commit: commit.cid,
            rev: self.rev.clone(),
            since: (!is_first).then_some(since),
            data: self.tree.root(),
            previous_data: (!is_first).then(|| before.root()),
            ops,
            blocks,
        }
    }

    /// The whole repository: the answer to `com.atproto.sync.getRepo`.
    pub(crate) fn car(&self, commit: &SignedCommit, population: Option<&Population>) -> Vec<u8> {
        // Records of the population are made again one at a time; only their CIDs are kept.
        let mut car = CarWriter::new(&commit.cid);
        car.block(&commit.cid, &commit.bytes);
        for node in self.tree.nodes() {
            car.block(&node.cid, node.bytes);
        }
        let mut written = HashSet::new();
        for index in 0..population.map_or(0, Population::len) {
            let Some(draft) = population.map(|population| population.record(index)) else {
                break;
            };
            let cid = draft.cid();
            let is_current = self.tree.get(draft.path().as_bytes()) == Some(&cid);
            if is_current && written.insert(cid) {
                car.block(&cid, &draft.record);
            }
        }
        let mut later: Vec<(&Arc<str>, &Arc<[u8]>)> = self.records.iter().collect();
        later.sort_unstable_by_key(|(path, _)| *path);
        for (_, record) in later {
            let cid = Cid::of(Codec::DagCbor, record);
            if written.insert(cid) {
                car.block(&cid, record);
            }
        }
        car.into_bytes()
    }

    fn apply(&mut self, Write { path, record }: Write) -> Op {
        let cid = record
            .as_ref()
            .map(|record| Cid::of(Codec::DagCbor, record));
        let previous = match (&cid, &record) {
            (Some(cid), Some(record)) => {
                self.remember(&path, record);
                let previous = self.tree.insert(path.as_bytes(), *cid);
                debug_assert!(previous.is_ok(), "a path of {} bytes", path.len());
                previous.unwrap_or(None)
            }
            _ => {
                self.records.remove(path.as_str());
                self.shrink();
                self.tree.remove(path.as_bytes())
            }
        };
        Op {
            path,
            cid,
            previous,
            record,
        }
    }

    /// Keeps a record that was written, and its path.
    fn remember(&mut self, path: &str, record: &Arc<[u8]>) {
        let known = self.records.get_key_value(path);
        let is_new = known.is_none();
        let path = known.map_or_else(|| path.into(), |(path, _)| Arc::clone(path));
        self.records.insert(Arc::clone(&path), Arc::clone(record));
        if is_new && *path != *PROFILE {
            self.order.push_back(Arc::clone(&path));
        }
        if self.recent.len() == MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(path);
    }

    /// Forgets the paths of removed records once they are the majority, and frees their room: one
    /// commit in thousands writes hundreds of records, and sooner or
    /// later every account has made one.
    fn shrink(&mut self) {
        if self.order.len() >= 2 * self.records.len() + SPARE {
            let records = &self.records;
            let mut seen = HashSet::with_capacity(records.len());
            self.order
                .retain(|path| records.contains_key(path) && seen.insert(Arc::clone(path)));
            self.order.shrink_to_fit();
        }
        if self.records.capacity() > 4 * self.records.len() + SPARE {
            self.records.shrink_to_fit();
        }
    }

    /// The blocks of a commit's frame: all new nodes, the nodes that let its operations be undone,
    /// the new records, and the commit itself.
    fn slice(
        &self,
        before: &Tree,
        is_first: bool,
        ops: &[Op],
        commit: &SignedCommit,
        blocks_behind: usize,
    ) -> Vec<u8> {
        // A node can be both new and part of the proof; each block goes in once. Readers must not
        // rely on the commit coming first, so it stands where `blocks_behind` puts it.
        let mut blocks: Vec<(Cid, &[u8])> = Vec::with_capacity(16);
        let new = if is_first {
            self.tree.nodes()
        } else {
            self.tree.new_nodes(before)
        };
        let proof = self
            .tree
            .covering_proof(ops.iter().map(|op| op.path.as_bytes()));
        let nodes = new.into_iter().chain(proof);
        blocks.extend(nodes.map(|node| (node.cid, node.bytes)));
        let records = ops
            .iter()
            .filter_map(|op| Some((op.cid?, &**op.record.as_ref()?)));
        blocks.extend(records);
        let mut seen = HashSet::with_capacity(blocks.len());
        blocks.retain(|(cid, _)| seen.insert(*cid));
        let place = blocks.len().saturating_sub(blocks_behind);
        blocks.insert(place, (commit.cid, &commit.bytes));

        let mut car = CarWriter::new(&commit.cid);
        for (cid, content) in blocks {
            car.block(&cid, content);
        }
        car.into_bytes()
    }
}

/// The one record that every account keeps.
const PROFILE: &str = "app.bsky.actor.profile/self";
const MOST_RECENT: usize = 16;
/// How many paths of records that are gone may wait to be forgotten.
const SPARE: usize = 64;

/// Source: the repository specification, version 3.
fn sign(did: &str, rev: &str, data: &Cid, key: &Key) -> SignedCommit {
    let signature = key.sign(&commit_object(did, rev, data, None));
    let bytes = commit_object(did, rev, data, Some(&signature));
    SignedCommit {
        cid: Cid::of(Codec::DagCbor, &bytes),
        bytes,
    }
}

fn commit_object(did: &str, rev: &str, data: &Cid, signature: Option<&[u8; 64]>) -> Vec<u8> {
    let mut writer = CborWriter::new();
    writer.map(5 + usize::from(signature.is_some()));
    writer.text("did").text(did).text("rev").text(rev);
    if let Some(signature) = signature {
        writer.text("sig").bytes(signature);
    }
    writer.text("data").link(data).text("prev").null();
    writer.text("version").unsigned(3);
    writer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(repo: &mut Repo, number: u64, record: Option<&[u8]>) {
        let path = format!("app.bsky.graph.follow/{number}");
        let record = record.map(Into::into);
        repo.apply(Write { path, record });
    }

    #[test]
    fn what_is_gone_takes_no_room() {
        let mut repo = Repo::new("did:plc:alice".into());
        for round in 0..5 {
            let numbers = round * 1000..(round + 1) * 1000;
            numbers
                .clone()
                .for_each(|number| write(&mut repo, number, Some(b"\xa0")));
            let gone = numbers.skip(3);
            gone.for_each(|number| write(&mut repo, number, None));
        }
        assert_eq!(repo.written(), 15);
        assert_eq!(repo.recent.len(), MOST_RECENT);
        assert!(repo.order.len() <= 2 * 15 + SPARE, "{}", repo.order.len());
        let (order, records) = (repo.order.capacity(), repo.records.capacity());
        assert!(
            order <= 4 * SPARE && records <= 4 * SPARE,
            "{order}, {records}"
        );
    }

    #[test]
    fn a_path_is_held_once() {
        let mut repo = Repo::new("did:plc:alice".into());
        write(&mut repo, 1, Some(b"\xa0"));
        write(&mut repo, 1, Some(b"\xa1\x61a\x01"));
        assert_eq!((repo.order.len(), repo.recent.len()), (1, 2));
        for path in repo.order.iter().chain(&repo.recent) {
            assert_eq!(Arc::strong_count(path), 4);
        }
    }
}
