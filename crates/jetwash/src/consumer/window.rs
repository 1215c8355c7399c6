use jetwash_store::{Cursor, Seq};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// The events between reading and being done, without runtime and clock: which may be handled now,
/// and up to where everything is done.
///
/// Each account has a lane, in which events wait in order. The first of a lane is handled, or waits
/// to be tried again; the others stay behind it. So the events of an account never overtake each
/// other, whatever the number of workers, and accounts never wait for each other.
#[derive(Debug)]
pub(crate) struct Window<T> {
    /// For each account what is to be done, without what is being handled. A lane that is there is
    /// in `ready`, in `parked`, or has an event out.
    lanes: HashMap<Arc<str>, VecDeque<Job<T>>>,
    /// Lanes whose first event may be handled, by its position: the oldest first, because the
    /// watermark waits for it. The number keeps apart what has no position.
    ready: BTreeMap<(Option<Seq>, u64), Arc<str>>,
    /// Lanes whose first event failed, by when it is to be tried again. The number keeps the order
    /// of those that are due together.
    parked: BinaryHeap<Reverse<(Instant, u64, Arc<str>)>>,
    /// Counts what got ready or was parked.
    turns: u64,
    /// Events that were read and are not done, by position.
    unfinished: BTreeMap<Seq, Unfinished>,
    /// How many events were ever read.
    read: u64,
    /// The memory that events at hand keep alive: by block, how many events and how many bytes.
    blocks: HashMap<u64, (usize, usize)>,
    bytes: usize,
}

/// An event on its way through the [`Window`].
#[derive(Debug)]
pub(crate) struct Job<T> {
    pub(crate) did: Arc<str>,
    /// Where it is in the log; `None` if the log is not waiting for it.
    pub(crate) position: Option<Seq>,
    /// The block that it keeps in memory.
    block: u64,
    /// How often it has been tried and failed.
    pub(crate) failures: u32,
    pub(crate) item: T,
}

#[derive(Debug)]
struct Unfinished {
    did: Arc<str>,
    /// How many events had been read before it.
    number: u64,
}

impl<T> Window<T> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: HashMap::new(),
            ready: BTreeMap::new(),
            parked: BinaryHeap::new(),
            turns: 0,
            unfinished: BTreeMap::new(),
            read: 0,
            blocks: HashMap::new(),
            bytes: 0,
        }
    }

    /// Takes in the next event of the log. `block` is the number of its block and its bytes.
    pub(crate) fn push(&mut self, position: Seq, did: &str, block: (u64, usize), item: T) {
        let did = self.lane_name(did);
        let number = self.read;
        self.read += 1;
        let unfinished = Unfinished {
            did: Arc::clone(&did),
            number,
        };
        self.unfinished.insert(position, unfinished);
        self.enqueue(did, Some(position), block, item);
    }

    /// Takes in an event from elsewhere: it waits its turn in its lane, but nothing waits for it.
    pub(crate) fn push_apart(&mut self, did: &str, block: (u64, usize), item: T) {
        let did = self.lane_name(did);
        self.enqueue(did, None, block, item);
    }

    /// An event to be handled now. It has to come back by [`finish`](Self::finish) or
    /// [`retry`](Self::retry); until then its lane stands still.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Job<T>> {
        self.wake_due(now);
        let (_, did) = self.ready.pop_first()?;
        let lane = self.lanes.get_mut(&did)?;
        lane.pop_front()
    }

    /// An event is done with, one way or another.
    pub(crate) fn finish(&mut self, job: Job<T>) -> T {
        if let Some(position) = job.position {
            self.unfinished.remove(&position);
        }
        if let Some((events, bytes)) = self.blocks.get_mut(&job.block) {
            *events -= 1;
            if *events == 0 {
                self.bytes -= *bytes;
                self.blocks.remove(&job.block);
            }
        }
        self.make_ready(&job.did);
        job.item
    }

    /// An event has failed, and is to be tried again at a time. Its lane waits for it.
    pub(crate) fn retry(&mut self, mut job: Job<T>, due: Instant) {
        job.failures += 1;
        let Some(lane) = self.lanes.get_mut(&job.did) else {
            return;
        };
        self.turns += 1;
        let parking = (due, self.turns, Arc::clone(&job.did));
        self.parked.push(Reverse(parking));
        lane.push_front(job);
    }

    /// Up to which position everything is done, if everything up to `read` has been read: the
    /// lowest that is not done has not been passed.
    pub(crate) fn watermark(&self, read: Cursor) -> Cursor {
        match self.unfinished.first_key_value() {
            Some((position, _)) => Cursor::before(*position),
            None => read,
        }
    }

    /// The event that the watermark waits for.
    pub(crate) fn oldest(&self) -> Option<(Seq, &Arc<str>)> {
        let (position, unfinished) = self.unfinished.first_key_value()?;
        Some((*position, &unfinished.did))
    }

    /// How many events could be handled now, as far as order goes.
    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many events are not done.
    pub(crate) fn len(&self) -> usize {
        self.unfinished.len()
    }

    /// Whether nothing is to be done any more, that from elsewhere included.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// How many events were read since the oldest that is not done, itself included: what would
    /// come again after a crash.
    pub(crate) fn span(&self) -> u64 {
        match self.unfinished.first_key_value() {
            Some((_, oldest)) => self.read - oldest.number,
            None => 0,
        }
    }

    /// The memory that the events keep alive.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the next failed event is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.parked.peek().map(|Reverse((due, ..))| *due)
    }

    fn wake_due(&mut self, now: Instant) {
        while let Some(Reverse((due, ..))) = self.parked.peek()
            && *due <= now
        {
            let Some(Reverse((_, _, did))) = self.parked.pop() else {
                return;
            };
            self.make_ready(&did);
        }
    }

    /// Offers the first event of a lane to the workers, or does away with the lane.
    fn make_ready(&mut self, did: &Arc<str>) {
        let Some(lane) = self.lanes.get(did) else {
            return;
        };
        match lane.front() {
            Some(job) => {
                self.turns += 1;
                let place = (job.position, self.turns);
                self.ready.insert(place, Arc::clone(did));
            }
            None => {
                self.lanes.remove(did);
            }
        }
    }

    fn lane_name(&self, did: &str) -> Arc<str> {
        match self.lanes.get_key_value(did) {
            Some((known, _)) => Arc::clone(known),
            None => did.into(),
        }
    }

    fn enqueue(
        &mut self,
        did: Arc<str>,
        position: Option<Seq>,
        (block, bytes): (u64, usize),
        item: T,
    ) {
        let kept = self.blocks.entry(block).or_insert_with(|| {
            self.bytes += bytes;
            (0, bytes)
        });
        kept.0 += 1;
        let job = Job {
            did: Arc::clone(&did),
            position,
            block,
            failures: 0,
            item,
        };
        // A lane that is there has a job ready, parked or with a worker: this one comes after it,
        // so that what an account does stays in order.
        if let Some(lane) = self.lanes.get_mut(&did) {
            lane.push_back(job);
            return;
        }
        self.lanes.insert(Arc::clone(&did), VecDeque::from([job]));
        self.make_ready(&did);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const DIDS: [&str; 5] = ["a", "b", "c", "d", "e"];

    /// The next step of a test: one of the possible steps, by a number that is taken modulo.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Read { did: usize, gap: u64 },
        Take,
        Finish(usize),
        Fail { which: usize, delay: u64 },
        Wait(u64),
        Crash,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..DIDS.len(), 0..3_u64).prop_map(|(did, gap)| Step::Read { did, gap }),
            6 => Just(Step::Take),
            5 => (0..100_usize).prop_map(Step::Finish),
            2 => (0..100_usize, 0..50_u64).prop_map(|(which, delay)| Step::Fail { which, delay }),
            2 => (0..60_u64).prop_map(Step::Wait),
            1 => Just(Step::Crash),
        ];
        prop::collection::vec(step, 0..300)
    }

    /// The log, which the test keeps; a run over it, which a crash ends; and what was done in all
    /// runs together.
    struct World {
        now: Instant,
        /// The position and DID of every event that the filter lets through.
        log: Vec<(u64, usize)>,
        next_position: u64,
        /// How much of `log` this run has read.
        read: usize,
        window: Window<u64>,
        in_hand: Vec<Job<u64>>,
        done_in_run: HashSet<u64>,
        done: HashSet<u64>,
        /// For each DID the last event that was done in this run.
        last_done: [u64; DIDS.len()],
        stored: u64,
    }

    impl World {
        fn new() -> Self {
            Self {
                now: Instant::now(),
                log: Vec::new(),
                next_position: 1,
                read: 0,
                window: Window::new(),
                in_hand: Vec::new(),
                done_in_run: HashSet::new(),
                done: HashSet::new(),
                last_done: [0; DIDS.len()],
                stored: 0,
            }
        }

        fn act(&mut self, step: Step) {
            match step {
                Step::Read { did, gap } => self.read(did, gap),
                Step::Take => self.take(),
                Step::Finish(which) if !self.in_hand.is_empty() => {
                    let job = self.in_hand.swap_remove(which % self.in_hand.len());
                    self.finish(job);
                }
                Step::Fail { which, delay } if !self.in_hand.is_empty() => {
                    let job = self.in_hand.swap_remove(which % self.in_hand.len());
                    let due = self.now + Duration::from_millis(delay);
                    self.window.retry(job, due);
                }
                Step::Wait(time) => self.now += Duration::from_millis(time),
                Step::Crash => self.crash(),
                Step::Finish(_) | Step::Fail { .. } => {}
            }
            self.check();
        }

        /// Reads the next event: one that an earlier run has read too, or else a new one.
        fn read(&mut self, did: usize, gap: u64) {
            if self.read == self.log.len() {
                let position = self.next_position + gap;
                self.next_position = position + 1;
                self.log.push((position, did));
            }
            let (position, did) = self.log[self.read];
            self.read += 1;
            let block = (position / 4, 100);
            self.window
                .push(Seq::new(position), DIDS[did], block, position);
        }

        fn take(&mut self) {
            let Some(job) = self.window.take(self.now) else {
                return;
            };
            let is_same = |other: &Job<u64>| other.did == job.did;
            assert!(
                !self.in_hand.iter().any(is_same),
                "two of one account at once"
            );
            self.in_hand.push(job);
        }

        fn finish(&mut self, job: Job<u64>) {
            let did = DIDS.iter().position(|did| **did == *job.did).unwrap();
            assert!(self.last_done[did] < job.item, "overtaken");
            self.last_done[did] = job.item;
            let position = self.window.finish(job);
            assert!(self.done_in_run.insert(position), "done twice in one run");
            self.done.insert(position);
        }

        fn crash(&mut self) {
            self.window = Window::new();
            self.in_hand.clear();
            self.done_in_run.clear();
            self.last_done = [0; DIDS.len()];
            self.read = self
                .log
                .partition_point(|(position, _)| *position <= self.stored);
        }

        fn check(&mut self) {
            let all_read = self.log[..self.read]
                .last()
                .map_or(0, |(position, _)| *position);
            let all_read = all_read.max(self.stored);
            let watermark = self.window.watermark(Cursor::new(all_read));
            assert!(watermark >= Cursor::new(self.stored), "it went back");
            self.stored = watermark.get();
            for (position, _) in &self.log {
                assert!(
                    *position > watermark.get() || self.done.contains(position),
                    "{position} is below the watermark {watermark} and not done"
                );
            }
            // As high as it may be: the next event of the log that it does not cover is not done.
            let next = self.log[..self.read].iter().map(|(position, _)| *position);
            if let Some(next) = next
                .into_iter()
                .find(|position| *position > watermark.get())
            {
                assert!(!self.done_in_run.contains(&next));
                assert_eq!(self.window.oldest().unwrap().0, Seq::new(next));
            }
            let unfinished = self.window.unfinished.keys();
            let open: BTreeSet<u64> = unfinished.map(|seq| seq.get()).collect();
            let blocks: BTreeSet<u64> = open.iter().map(|position| position / 4).collect();
            assert_eq!(self.window.bytes(), blocks.len() * 100);
            assert_eq!(self.window.is_empty(), open.is_empty());
        }

        /// Handles what is left, without further failures.
        fn drain(&mut self) {
            self.now += Duration::from_secs(1);
            while self.read < self.log.len() {
                self.read(0, 0);
            }
            loop {
                self.take();
                let Some(job) = self.in_hand.pop() else {
                    break;
                };
                self.finish(job);
                self.check();
            }
        }
    }

    proptest! {
        /// Completions in any order, failures, and crashes that forget everything but the cursor.
        #[test]
        fn nothing_is_skipped_and_no_account_is_out_of_order(steps in steps()) {
            let mut world = World::new();
            for step in steps {
                world.act(step);
            }
            world.drain();
            let all: HashSet<u64> = world.log.iter().map(|(position, _)| *position).collect();
            prop_assert_eq!(&world.done, &all);
            prop_assert_eq!(world.stored, all.iter().copied().max().unwrap_or(0));
            prop_assert!(world.window.is_empty());
            prop_assert_eq!(world.window.bytes(), 0);
        }
    }

    #[test]
    fn a_failed_event_holds_its_account_alone_and_comes_when_it_is_due() {
        let now = Instant::now();
        let mut window = Window::new();
        for (position, did) in [(1, "a"), (2, "a"), (3, "b")] {
            window.push(Seq::new(position), did, (0, 1), position);
        }
        let job = window.take(now).unwrap();
        assert_eq!(job.item, 1);
        window.retry(job, now + Duration::from_secs(5));
        let other = window.take(now).unwrap();
        assert_eq!(other.item, 3);
        window.finish(other);
        assert!(window.take(now).is_none());
        assert_eq!(window.watermark(Cursor::new(3)), Cursor::START);
        assert_eq!(window.span(), 3);
        let again = window.take(now + Duration::from_secs(5)).unwrap();
        assert_eq!((again.item, again.failures), (1, 1));
        window.finish(again);
        assert_eq!(window.watermark(Cursor::new(3)), Cursor::new(1));
    }

    #[test]
    fn the_oldest_event_goes_first() {
        let now = Instant::now();
        let mut window = Window::new();
        for (position, did) in [(1, "a"), (2, "a"), (3, "b"), (4, "c")] {
            window.push(Seq::new(position), did, (0, 1), position);
        }
        for expected in 1..=4 {
            let job = window.take(now).unwrap();
            assert_eq!(job.item, expected);
            window.finish(job);
        }
    }

    #[test]
    fn an_event_from_elsewhere_waits_its_turn_but_is_not_waited_for() {
        let now = Instant::now();
        let mut window = Window::new();
        window.push(Seq::new(7), "a", (0, 1), 7);
        window.push_apart("a", (1, 1), 100);
        let first = window.take(now).unwrap();
        assert!(window.take(now).is_none());
        window.finish(first);
        assert_eq!(window.watermark(Cursor::new(7)), Cursor::new(7));
        let second = window.take(now).unwrap();
        assert_eq!((second.item, second.position), (100, None));
        window.finish(second);
        assert!(window.is_empty());
    }
}
