use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetwash::{Jetstream, ReadError, Reader, Seq, StartFrom};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::error;

use crate::metrics::Metrics;
use crate::subscriber::socket::Socket;
use crate::supervise::watched;
use crate::tail::batch::{Batch, gather};
use crate::tail::seat::Seat;
use crate::tail::shard::{Member, Shard};

/// The end of the log, followed once for all subscribers.
///
/// One task follows the log, for as long as there are subscribers. It gathers the events of a short
/// time into a [`Batch`] and hands that to the [`Shard`]s: tasks that each write it to their share
/// of the subscribers, one after the other. So a subscriber at the end of the log costs a look at
/// its filter and one call of the kernel for each batch, but no wake-up, no timer and no lock of
/// the log.
pub(crate) struct Live {
    metrics: Arc<Metrics>,
    /// The times between which events are gathered.
    delay: RangeInclusive<Duration>,
    state: Mutex<State>,
    /// Notified when the last subscriber has gone.
    left: Notify,
}

#[derive(Default)]
struct State {
    shards: Vec<Arc<Shard>>,
    subscribers: u32,
    /// The position where the next batch begins. Nothing before it will be handed out.
    announced: Seq,
    /// Whether there is a task that follows the log.
    is_followed: bool,
}

/// A subscriber's place in a shard, which is freed when this is dropped.
pub(crate) struct Place<W: Socket> {
    live: Arc<Live>,
    shard: Arc<Shard>,
    index: usize,
    seat: Arc<Seat<W>>,
}

impl Live {
    /// Gathers events for a time between these two: the longer, the longer it takes to hand them
    /// out. With zero as the shorter, they reach a few subscribers at once.
    pub(crate) fn new(delay: RangeInclusive<Duration>, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            delay,
            state: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// Returns a place for one more subscriber.
    pub(crate) async fn join<W: Socket>(
        self: &Arc<Self>,
        jetstream: &Jetstream,
    ) -> Result<Place<W>, ReadError> {
        if !self.lock().is_followed {
            let reader = jetstream.reader(StartFrom::Live).await?;
            let mut state = self.lock();
            // Another may have come first.
            if !state.is_followed {
                state.is_followed = true;
                state.announced = reader.next_seq();
                tokio::spawn(Arc::clone(self).keep_following(jetstream.clone(), reader));
            }
        }
        let seat = Arc::new(Seat::default());
        let mut state = self.lock();
        state.subscribers += 1;
        let member: Arc<dyn Member> = Arc::clone(&seat) as _;
        let (shard, index) = state.sit(member, jetstream, &self.metrics);
        Ok(Place {
            live: Arc::clone(self),
            shard,
            index,
            seat,
        })
    }

    /// Follows the log, and starts again if that panics. Subscribers then miss a batch, which each
    /// of them notices by itself.
    async fn keep_following(self: Arc<Self>, jetstream: Jetstream, mut reader: Reader) {
        loop {
            let follow = Arc::clone(&self).follow(reader);
            if watched(&jetstream, "tail", follow).await.is_some() {
                return;
            }
            tokio::time::sleep(BEFORE_ANEW).await;
            match jetstream.reader(StartFrom::Live).await {
                Ok(again) => reader = again,
                Err(error) => {
                    error!(%error, "the end of the log is not followed any longer");
                    let mut state = self.lock();
                    state.is_followed = false;
                    state.shards.iter().for_each(|shard| shard.end());
                    return;
                }
            }
        }
    }

    /// Hands out new events, until the log ends or no subscriber is left.
    async fn follow(self: Arc<Self>, mut reader: Reader) {
        let mut due = Instant::now();
        loop {
            let first_seq = reader.next_seq();
            let gathered = tokio::select! {
                () = self.left.notified() => {
                    let mut state = self.lock();
                    if state.subscribers == 0 {
                        // The next subscriber begins anew.
                        state.is_followed = false;
                        return;
                    }
                    continue;
                }
                gathered = async {
                    sleep_until(due).await;
                    gather(&mut reader).await
                } => gathered,
            };
            let mut state = self.lock();
            let Some(runs) = gathered else {
                state.is_followed = false;
                state.announced = Shard::ENDED;
                state.shards.iter().for_each(|shard| shard.end());
                return;
            };
            // A batch may be missing before this one, after a panic or when a subscriber left while
            // it was gathered. Subscribers then find that this one does not cover their position.
            debug_assert!(
                state.announced <= first_seq && first_seq <= reader.next_seq(),
                "no event is announced twice"
            );
            due = Instant::now() + state.delay(&self.delay);
            state.announced = reader.next_seq();
            let batch = Arc::new(Batch::new(first_seq, reader.next_seq(), runs));
            for shard in &state.shards {
                shard.push(Arc::clone(&batch));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long the events of the next batch are gathered.
    fn delay(&self, limits: &RangeInclusive<Duration>) -> Duration {
        let cost: Duration = self.shards.iter().map(|shard| shard.cost()).sum();
        cost.saturating_mul(DELAY_BY_COST)
            .clamp(*limits.start(), *limits.end())
    }

    /// Finds a free seat, in a new shard if need be.
    fn sit(
        &mut self,
        member: Arc<dyn Member>,
        jetstream: &Jetstream,
        metrics: &Arc<Metrics>,
    ) -> (Arc<Shard>, usize) {
        for shard in &self.shards {
            if let Some(index) = shard.sit(&member) {
                return (Arc::clone(shard), index);
            }
        }
        let shard = Arc::new(Shard::new(self.announced, Arc::clone(&member)));
        let (running, jetstream, metrics) =
            (Arc::clone(&shard), jetstream.clone(), Arc::clone(metrics));
        tokio::spawn(tokio::task::unconstrained(async move {
            // After a panic it continues with the next batch. Subscribers that missed this one
            // notice.
            while {
                let run = Arc::clone(&running).run(Arc::clone(&metrics));
                watched(&jetstream, "shard", run).await.is_none()
            } {}
        }));
        self.shards.push(Arc::clone(&shard));
        (shard, 0)
    }
}

impl<W: Socket> Place<W> {
    pub(crate) fn seat(&self) -> &Seat<W> {
        &self.seat
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }
}

impl<W: Socket> Drop for Place<W> {
    fn drop(&mut self) {
        let mut state = self.live.lock();
        debug_assert!(state.subscribers > 0, "each place is counted once");
        state.subscribers -= 1;
        if self.shard.leave(self.index) {
            state
                .shards
                .retain(|shard| !Arc::ptr_eq(shard, &self.shard));
        }
        if state.subscribers == 0 {
            self.live.left.notify_one();
        }
    }
}

/// How many times as long as it takes to hand out a batch the next one is gathered.
///
/// A few subscribers get events as soon as they are committed. For many, to call the kernel for
/// each, which takes some microseconds however little there is to send, has to be worth it: this
/// way it takes an eighth of one core, unless that needs a longer delay than is allowed.
const DELAY_BY_COST: u32 = 8;
/// The pause before it starts again, in case it panics again.
const BEFORE_ANEW: Duration = Duration::from_secs(1);
