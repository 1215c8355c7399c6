use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use crate::truth::{Truth, lock};

/// The state that the threads share.
pub(crate) struct Shared {
    pub(crate) truth: Mutex<Truth>,
    pub(crate) tally: Tally,
    phase: AtomicU8,
    /// How many server processes there have been, and whether the last one is there to be used.
    generation: AtomicU64,
    is_up: AtomicBool,
    /// Set while the relay is to throw away connections of a process that has ended.
    pub(crate) is_purging: AtomicBool,
    /// Set while somebody wants to end the server or the connection to it. Nothing is begun then
    /// that must be in the log before.
    pub(crate) wants_cut: AtomicBool,
    /// The number of events that subscribers have to have seen before that may happen.
    pub(crate) hold: AtomicUsize,
    /// How many subscribers are connected, and how many have got everything; at the end.
    pub(crate) open: AtomicUsize,
    pub(crate) done: AtomicUsize,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// The relay sends nothing more, and subscribers stay until they have got everything.
    Draining,
    Over,
}

/// Counts of what happened.
#[derive(Default)]
pub(crate) struct Tally {
    /// Frames that the relay made, and what it did besides sending them.
    pub(crate) frames: AtomicU64,
    pub(crate) faults: Mutex<BTreeMap<&'static str, u64>>,
    /// Events that subscribers got, and the bytes on their sockets.
    pub(crate) events: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Connections that ended because the server was stopped or killed, or they took too little.
    pub(crate) stopped: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) slow: AtomicU64,
    /// Filters that were changed on an open connection.
    pub(crate) changes: AtomicU64,
}

impl Tally {
    /// Counts something that the relay does.
    pub(crate) fn relay(&self, what: &'static str) {
        *lock(&self.faults).entry(what).or_default() += 1;
    }
}

impl Shared {
    pub(crate) fn new(truth: Truth) -> Self {
        Self {
            truth: Mutex::new(truth),
            tally: Tally::default(),
            phase: AtomicU8::new(0),
            generation: AtomicU64::new(0),
            is_up: AtomicBool::new(false),
            is_purging: AtomicBool::new(false),
            wants_cut: AtomicBool::new(false),
            hold: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            faults: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Over,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// Notes that a new process is about to start.
    pub(crate) fn starts(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that the process listens, or is about to end.
    pub(crate) fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Release);
    }

    /// Whether the process of this number has ended, or is about to.
    pub(crate) fn was_ended(&self, generation: u64) -> bool {
        generation != self.generation() || !self.is_up()
    }

    /// Whether everything is in the log that must be before a connection or a process may end.
    pub(crate) fn may_cut(&self) -> bool {
        lock(&self.truth).seen() >= self.hold.load(Ordering::Acquire)
    }

    /// Counts a difference, and prints the first ones.
    pub(crate) fn fault(&self, kind: &'static str, what: String) {
        let mut faults = lock(&self.faults);
        let count = faults.entry(kind).or_default();
        *count += 1;
        if *count <= PRINTED {
            eprintln!("{kind}: {what}");
        }
    }

    /// The number of differences of each kind.
    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.faults).clone()
    }
}

/// How many differences of each kind are printed.
const PRINTED: u64 = 10;
