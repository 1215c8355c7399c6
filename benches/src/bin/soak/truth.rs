use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jetwash_sim::{SimEvent, SimFrame};

/// All events that the relay has sent and that must come out of the server, in their order: the
/// event at index `n` has position `n + 1` in the log.
///
/// Of each there are only digests: an hour of 2,000 frames a second is 250 MB.
pub(crate) struct Truth {
    entries: Vec<Entry>,
    dids: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
    collections: Vec<String>,
    /// Up to which index subscribers have seen events: those are in the log for good.
    seen: usize,
}

/// One event.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    /// The digest of what the simulator says of it.
    pub(crate) content: u64,
    /// Its time in the log, from the first subscriber who got it on; before that 0.
    pub(crate) time: u64,
    /// The digests of its text on both wires, from the first subscriber who got it on.
    pub(crate) texts: [u32; 2],
    pub(crate) did: u32,
    /// [`IDENTITY`], [`ACCOUNT`], [`SYNC`], or the number of a collection behind them.
    pub(crate) topic: u16,
}

pub(crate) const IDENTITY: u16 = 0;
pub(crate) const ACCOUNT: u16 = 1;
pub(crate) const SYNC: u16 = 2;
const FIRST_COLLECTION: usize = 3;

impl Truth {
    pub(crate) fn new(events: usize) -> Self {
        Self {
            entries: Vec::with_capacity(events),
            dids: HashMap::new(),
            names: Vec::new(),
            collections: Vec::new(),
            seen: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) const fn seen(&self) -> usize {
        self.seen
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub(crate) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The collection of a topic, if it is one.
    pub(crate) fn collection(&self, topic: usize) -> Option<&str> {
        let index = topic.checked_sub(FIRST_COLLECTION)?;
        self.collections.get(index).map(String::as_str)
    }

    /// How many topics there are.
    pub(crate) fn topics(&self) -> usize {
        FIRST_COLLECTION + self.collections.len()
    }

    /// Appends the events of a frame.
    pub(crate) fn push(&mut self, frame: &SimFrame) {
        let did = &*frame.did;
        match &frame.event {
            SimEvent::Commit(commit) => {
                for op in &commit.ops {
                    let cid = op.cid.map(|cid| cid.to_string()).unwrap_or_default();
                    let action = op.action.as_str();
                    let parts = [did, &commit.rev, action, &op.collection, &op.rkey, &cid];
                    let topic = self.topic(&op.collection);
                    self.add(frame, topic, digest(&parts));
                }
            }
            SimEvent::Identity { handle } => {
                let handle = handle.as_deref().unwrap_or_default();
                self.add(frame, IDENTITY, digest(&[did, &frame.time, handle]));
            }
            SimEvent::Account { active, status } => {
                let active = if *active { "true" } else { "false" };
                let parts = [did, &frame.time, active, status.unwrap_or_default()];
                self.add(frame, ACCOUNT, digest(&parts));
            }
            SimEvent::Sync { rev, .. } => {
                self.add(frame, SYNC, digest(&[did, &frame.time, rev, "sync", ""]));
            }
            _ => {}
        }
    }

    fn add(&mut self, frame: &SimFrame, topic: u16, content: u64) {
        let next = self.names.len() as u32;
        let did = *self.dids.entry(Arc::clone(&frame.did)).or_insert(next);
        if did == next {
            self.names.push(Arc::clone(&frame.did));
        }
        self.entries.push(Entry {
            content,
            time: 0,
            texts: [0; 2],
            did,
            topic,
        });
    }

    fn topic(&mut self, collection: &str) -> u16 {
        let mut known = self.collections.iter();
        let index = known.position(|known| known == collection);
        let index = index.unwrap_or_else(|| {
            self.collections.push(collection.to_owned());
            self.collections.len() - 1
        });
        (FIRST_COLLECTION + index) as u16
    }

    /// Takes the events from `len` on back: the relay will never send them again. `false` if a
    /// subscriber has seen one of them.
    pub(crate) fn truncate(&mut self, len: usize) -> bool {
        if self.seen > len {
            return false;
        }
        self.entries.truncate(len);
        true
    }

    /// Notes an event that a subscriber got, and says what differs from what others got, or from
    /// the times around it.
    pub(crate) fn note(
        &mut self,
        index: usize,
        time: u64,
        wire: usize,
        text: u32,
    ) -> Option<String> {
        let around = |at: Option<usize>| at.and_then(|at| self.entries.get(at)).map(|it| it.time);
        let before = around(index.checked_sub(1)).filter(|&before| before >= time);
        let after = around(Some(index + 1)).filter(|&after| after > 0 && after <= time);
        if let Some(other) = before.or(after) {
            return Some(format!(
                "its time {time} is not between its neighbours': {other}"
            ));
        }
        let entry = self.entries.get_mut(index)?;
        if entry.time != 0 && entry.time != time {
            return Some(format!("its time is {time}, and was {}", entry.time));
        }
        let known = entry.texts[wire];
        if known != 0 && known != text {
            return Some("another subscriber got another text".to_owned());
        }
        entry.time = time;
        entry.texts[wire] = text;
        self.seen = self.seen.max(index + 1);
        None
    }
}

/// A digest of the fields by which an event is known.
pub(crate) fn digest(parts: &[&str]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
