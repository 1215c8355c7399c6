//! All that was ever in the log, when, and whether it may have gone since.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetwash::Seq;
use jetwash::store::{Durability, Gap, Read, Store};
use serde_json::Value;

use crate::trace::Trace;
use crate::truth::{TruthFrame, event_of};

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Stopped,
    Killed,
    PowerFailed,
}

/// An event that is or was in the log.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) time_us: u64,
    pub(crate) json: Arc<str>,
    pub(crate) line: Arc<Value>,
    /// The process that wrote it.
    born: u32,
    at: Duration,
    /// The first process that did not have it any more.
    lost: Option<u32>,
}

impl Entry {
    pub(crate) fn is_visible_to(&self, process: u32) -> bool {
        self.born <= process && self.lost.is_none_or(|lost| process < lost)
    }
}

#[derive(Clone)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
    trace: Trace,
    durability: Durability,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<u64, Entry>,
    process: u32,
    store: Option<Store>,
    /// The position up to which the log has been read.
    next: u64,
    gaps: Vec<Gap>,
    /// When the last process ended.
    ended_at: Duration,
    /// When the disk was full last.
    full_at: Option<Duration>,
}

impl Ledger {
    pub(crate) fn new(trace: &Trace, durability: Durability) -> Self {
        Self {
            inner: Arc::default(),
            trace: trace.clone(),
            durability,
        }
    }

    pub(crate) fn disk_was_full(&self) {
        self.inner().full_at = Some(self.trace.passed());
    }

    /// Begins with a log that was just opened, and compares it with what was in it before. Returns
    /// the number of the process.
    pub(crate) fn begin(&self, store: &Store, end: End) -> u32 {
        let mut inner = self.inner();
        inner.process += 1;
        inner.store = Some(store.clone());
        inner.next = 1;
        let (process, ended_at) = (inner.process, inner.ended_at);
        let mut present = HashMap::new();
        for (seq, time_us, json) in inner.read() {
            present.insert(seq, (time_us, json));
        }
        let mut first_lost = None;
        let full_at = inner.full_at;
        for entry in inner
            .entries
            .values_mut()
            .filter(|entry| entry.lost.is_none())
        {
            let Some((_, json)) = present.remove(&entry.seq) else {
                entry.lost = Some(process);
                first_lost.get_or_insert((entry.seq, entry.at));
                continue;
            };
            if *json != *entry.json {
                self.trace
                    .fail(format!("event {} has changed over a restart", entry.seq));
            }
            if let Some((lost, _)) = first_lost {
                self.trace.fail(format!(
                    "{lost} has gone, and {} after it has not",
                    entry.seq
                ));
            }
        }
        if let Some((seq, at)) = first_lost {
            self.trace.note(format!("events from {seq} on have gone"));
            let age = ended_at.saturating_sub(at);
            let was_full = full_at.is_some_and(|full| ended_at.saturating_sub(full) < WAS_FULL);
            let is_allowed = match (end, self.durability) {
                (End::Stopped | End::Killed, _) | (_, Durability::SyncedBatch) => false,
                (_, Durability::Synced(interval)) => was_full || age < interval + SLACK,
                _ => true,
            };
            if !is_allowed {
                self.trace
                    .fail(format!("{end:?}, but {seq} has gone after {age:?}"));
            }
        }
        // What was written at the very end, after it was looked at last.
        for (seq, (time_us, json)) in present {
            self.add(&mut inner, process - 1, (seq, time_us, json));
        }
        process
    }

    /// Looks at what is new in the log.
    pub(crate) fn drain(&self) {
        let mut inner = self.inner();
        let process = inner.process;
        for event in inner.read() {
            self.add(&mut inner, process, event);
        }
    }

    /// Looks at the log for the last time before it is closed.
    pub(crate) fn end(&self) {
        self.drain();
        let mut inner = self.inner();
        (inner.store, inner.ended_at) = (None, self.trace.passed());
    }

    fn add(&self, inner: &mut Inner, born: u32, (seq, time_us, json): (u64, u64, String)) {
        self.trace.mix(json.as_bytes());
        let before = inner.entries.range(..seq).next_back();
        let after = inner.entries.range(seq + 1..).next();
        if before.is_some_and(|(_, before)| before.time_us >= time_us)
            || after.is_some_and(|(_, after)| after.time_us <= time_us)
        {
            self.trace.fail(format!(
                "the time of event {seq}, {time_us}, does not fit in"
            ));
        }
        let line: Value = serde_json::from_str(&json).unwrap();
        if line["time_us"] != time_us {
            self.trace.fail(format!("event {seq} has two times"));
        }
        let entry = Entry {
            seq,
            time_us,
            json: json.into(),
            line: line.into(),
            born,
            at: self.trace.passed(),
            lost: None,
        };
        if let Some(known) = inner.entries.insert(seq, entry) {
            self.trace.fail(format!(
                "position {seq} was given out twice; first: {}",
                known.json
            ));
        }
    }

    /// Notes that somebody was given an event.
    pub(crate) fn saw(&self, who: &str, seq: u64, json: &str) {
        self.drain();
        self.trace.mix(format!("{who} {seq}").as_bytes());
        match self.inner().entries.get(&seq) {
            Some(entry) if *entry.json == *json => {}
            Some(_) => self.trace.fail(format!("{who} saw another event at {seq}")),
            None => self.trace.fail(format!(
                "{who} saw event {seq}, which the log does not have"
            )),
        }
    }

    /// The events that a process has had.
    pub(crate) fn visible_to(&self, process: u32) -> Vec<Entry> {
        let inner = self.inner();
        let entries = inner.entries.values();
        entries
            .filter(|entry| entry.is_visible_to(process))
            .cloned()
            .collect()
    }

    pub(crate) fn process(&self) -> u32 {
        self.inner().process
    }

    /// The upstream's gaps that the log tells of.
    pub(crate) fn upstream_gaps(&self) -> Vec<Gap> {
        let inner = self.inner();
        let noted = inner.store.as_ref().map(|store| {
            let next = store.bounds().next_seq;
            store.noted_gaps(Seq::FIRST, next.plus(1))
        });
        noted.unwrap_or_default()
    }

    /// Compares the log with what happened: from the frame `first` on, each event once, in the
    /// order of its account. Returns what is not as it should be; frames for which `may_lack` returns
    /// `true` may be missing. Where a relay `has_lost` its history, identities, accounts and syncs
    /// may be late: they have no revision to be judged by. Those may also come again behind as many
    /// others of their account as are remembered.
    pub(crate) fn compare(
        &self,
        truth: &[TruthFrame],
        (first, has_lost): (usize, bool),
        may_lack: impl Fn(usize) -> bool,
    ) -> Result<(), String> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, event) in truth.iter().flat_map(|frame| &frame.events).enumerate() {
            places.insert(event, place);
        }
        let (mut found, mut newest) = (HashMap::new(), HashMap::new());
        let mut notices = Notices::default();
        for entry in self.visible_to(self.process()) {
            let Some(event) = event_of(&entry.line) else {
                continue;
            };
            let Some(&place) = places.get(event.as_str()) else {
                return Err(format!("event {} never happened: {event}", entry.seq));
            };
            let is_commit = entry.line["kind"] == "commit";
            let did = event.split(' ').next().unwrap_or_default().to_owned();
            let is_remembered = is_commit || notices.remember(&did, place);
            if let Some(seq) = found.insert(place, entry.seq) {
                if !is_remembered {
                    continue;
                }
                return Err(format!(
                    "{event} is in the log twice: {seq} and {}",
                    entry.seq
                ));
            }
            if has_lost && !is_commit {
                continue;
            }
            if newest
                .insert(did, place)
                .is_some_and(|newest| newest > place)
            {
                return Err(format!("event {} is out of order: {event}", entry.seq));
            }
        }
        let mut place = 0;
        for (number, frame) in truth.iter().enumerate() {
            for event in &frame.events {
                if number >= first && !found.contains_key(&place) && !may_lack(number) {
                    return Err(format!("frame {number} is not in the log: {event}"));
                }
                place += 1;
            }
        }
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest identities, accounts and syncs of each account, by which repeats of them are known.
#[derive(Default)]
struct Notices(HashMap<String, VecDeque<usize>>);

impl Notices {
    /// Whether this one is among the latest of its account. It is the newest of them then.
    fn remember(&mut self, did: &str, place: usize) -> bool {
        let latest = self.0.entry(did.to_owned()).or_default();
        let is_known = latest.contains(&place);
        if latest.len() == REMEMBERED {
            latest.pop_front();
        }
        latest.push_back(place);
        is_known
    }
}

impl Inner {
    /// The events that have not been looked at.
    fn read(&mut self) -> Vec<(u64, u64, String)> {
        let mut events = Vec::new();
        let Some(store) = &self.store else {
            return events;
        };
        loop {
            match store.read(Seq::new(self.next)).unwrap() {
                Read::Events(run) => {
                    let page = run.block().json().unwrap();
                    for index in run.indexes() {
                        let meta = run.block().meta(index).unwrap();
                        let json = String::from_utf8(page.get(index).unwrap().to_vec()).unwrap();
                        events.push((meta.seq.get(), meta.time_us.get(), json));
                    }
                    self.next = run.next_seq().get();
                }
                Read::Gap(gap) => {
                    self.next = gap.next_seq.get();
                    self.gaps.push(gap);
                }
                Read::AtTip => return events,
            }
        }
    }
}

/// How many identities, accounts and syncs of an account are known again, as `docs/upstreams.md` says.
const REMEMBERED: usize = 8;
/// How much longer than the interval of syncs it may be until one: the writer looks once a second.
const SLACK: Duration = Duration::from_millis(2_500);
/// After a full disk, syncs may come this much later.
const WAS_FULL: Duration = Duration::from_secs(30);
