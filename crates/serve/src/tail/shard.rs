use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jetwash::{Micros, Seq};

use super::sync::{AtomicU64, Mutex, MutexGuard, Notify, Ordering, yield_now};
use crate::metrics::{Delivered, Metrics};
use crate::subscriber::scratch::Scratch;
use crate::tail::batch::Batch;
use crate::tail::cost::Cost;

/// A few dozen subscribers, and the task that writes new events to them.
///
/// It writes only to subscribers that are at the end of the log and whose sockets take everything.
/// Any other is left to its own task, which puts it back when it has caught up.
pub(crate) struct Shard {
    members: Mutex<Vec<Option<Arc<dyn Member>>>>,
    batches: Mutex<Vec<Arc<Batch>>>,
    /// The position after the newest batch that the members were given, or are being given.
    announced: AtomicU64,
    woken: Notify,
    cost: Cost,
}

/// One subscriber as its shard sees it.
pub(crate) trait Member: Send + Sync {
    /// Writes new events, if the subscriber is here.
    fn deliver(&self, batches: &[Arc<Batch>], scratch: &mut Scratch) -> Delivered;

    /// Sends the subscriber back to its own task.
    fn wake(&self);
}

impl Shard {
    /// The position that is announced when the log has ended.
    pub(crate) const ENDED: Seq = Seq::MAX;

    pub(crate) fn new(announced: Seq, first: Arc<dyn Member>) -> Self {
        Self {
            members: Mutex::new(vec![Some(first)]),
            batches: Mutex::default(),
            announced: AtomicU64::new(announced.get()),
            woken: Notify::new(),
            cost: Cost::default(),
        }
    }

    /// Returns a seat for one more, if there is room.
    pub(crate) fn sit(&self, member: &Arc<dyn Member>) -> Option<usize> {
        let mut members = lock(&self.members);
        let free = members.iter().position(Option::is_none);
        let index = free.unwrap_or(members.len());
        match members.get_mut(index) {
            Some(seat) => *seat = Some(Arc::clone(member)),
            None if index < MEMBERS => members.push(Some(Arc::clone(member))),
            None => return None,
        }
        Some(index)
    }

    /// Frees a seat, and returns whether no member is left. The shard's task then ends.
    pub(crate) fn leave(&self, index: usize) -> bool {
        let mut members = lock(&self.members);
        let seat = members.get_mut(index);
        debug_assert!(
            matches!(seat, Some(Some(_))),
            "a seat is freed by the member that has it"
        );
        if let Some(seat) = seat {
            *seat = None;
        }
        let is_empty = members.iter().all(Option::is_none);
        if is_empty {
            self.woken.notify_one();
        }
        is_empty
    }

    /// Announces a batch to the members.
    pub(crate) fn push(&self, batch: Arc<Batch>) {
        let mut batches = lock(&self.batches);
        // The members will find that they have missed events, and read them from the log.
        if batches.len() >= MOST_BATCHES {
            batches.clear();
        }
        debug_assert!(
            batches
                .last()
                .is_none_or(|before| before.next_seq() <= batch.first_seq()),
            "batches are announced in order"
        );
        batches.push(batch);
        self.woken.notify_one();
    }

    /// Sends all members to their own tasks, because the log has ended.
    pub(crate) fn end(&self) {
        // It only grows, as it does for a batch that the task takes up meanwhile.
        self.announced
            .fetch_max(Self::ENDED.get(), Ordering::AcqRel);
        for index in 0.. {
            match self.member(index) {
                Seated::Here(member) => member.wake(),
                Seated::Empty => {}
                Seated::None => break,
            }
        }
    }

    /// How long it takes to hand out a batch.
    pub(crate) fn cost(&self) -> Duration {
        self.cost.mean()
    }

    /// Whether events at or after a position have been announced: a subscriber there has missed
    /// them.
    pub(crate) fn has_announced(&self, seq: Seq) -> bool {
        self.announced.load(Ordering::Acquire) > seq.get()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.announced.load(Ordering::Acquire) == Self::ENDED.get()
    }

    /// Gives every batch to every member, until no member is left.
    pub(crate) async fn run(self: Arc<Self>, metrics: Arc<Metrics>) {
        let mut batches = Vec::new();
        let mut scratch = Scratch::default();
        loop {
            self.woken.notified().await;
            if lock(&self.members).iter().all(Option::is_none) {
                return;
            }
            std::mem::swap(&mut batches, &mut lock(&self.batches));
            if let Some(newest) = batches.last() {
                // Before the first is looked at: see `Seat::put`.
                self.announced
                    .fetch_max(newest.next_seq().get(), Ordering::AcqRel);
                self.deliver(&batches, &mut scratch, &metrics);
                batches.clear();
            }
            // Other tasks have their turn, however many batches wait.
            yield_now().await;
        }
    }

    fn deliver(&self, batches: &[Arc<Batch>], scratch: &mut Scratch, metrics: &Metrics) {
        let (start, mut sum) = (Instant::now(), Delivered::default());
        for index in 0.. {
            match self.member(index) {
                Seated::Here(member) => sum += member.deliver(batches, scratch),
                Seated::Empty => {}
                Seated::None => break,
            }
        }
        scratch.trim();
        self.cost.note(start.elapsed());
        if sum.events > 0 {
            metrics.delivered(sum);
            if let Some(time_us) = batches.first().and_then(|batch| batch.last_time_us()) {
                metrics.delivery_delay.record(age(time_us));
            }
        }
    }

    fn member(&self, index: usize) -> Seated {
        match lock(&self.members).get(index) {
            Some(Some(member)) => Seated::Here(Arc::clone(member)),
            Some(None) => Seated::Empty,
            None => Seated::None,
        }
    }
}

enum Seated {
    Here(Arc<dyn Member>),
    Empty,
    /// There is no such seat.
    None,
}

fn age(time: Micros) -> Duration {
    Micros::from(SystemTime::now()).since(time)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks, so a poisoned one is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many subscribers there are in a shard: enough that to wake its task is worth it, and few
/// enough that it is done within a fraction of a millisecond.
const MEMBERS: usize = 64;
/// How many batches may wait for a shard.
const MOST_BATCHES: usize = 32;
