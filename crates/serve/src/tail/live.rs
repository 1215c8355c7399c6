use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jetwash::{Jetstream, ReadError, Reader, StartFrom};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::error;

use crate::metrics::Metrics;
use crate::supervise::watched;
use crate::tail::batch::{Batch, gather};
use crate::tail::seat::Seat;
use crate::tail::shard::{Member, Shard};

/// The end of the log as all subscribers see it.
///
/// One task follows the log for all of them, for as long as there are any. It gathers what is
/// committed within a short time into a [`Batch`], and hands that to the [`Shard`]s: tasks that
/// each write it to their share of the subscribers, one after the other. So a subscriber at the
/// end of the log costs a look at its filter and one call of the kernel for each batch: no wake-up,
/// no timer, and none of the log's locks.
pub(crate) struct Live {
    metrics: Arc<Metrics>,
    /// How long events are gathered at most.
    max_delay: Duration,
    /// How much longer for each subscriber.
    delay_each: Duration,
    state: Mutex<State>,
    /// Told when the last subscriber has gone.
    left: Notify,
}

#[derive(Default)]
struct State {
    shards: Vec<Arc<Shard>>,
    subscribers: u32,
    /// Where the next batch begins; nothing before it will be handed out.
    announced: u64,
    /// Whether there is a task that follows the log.
    is_followed: bool,
}

/// A subscriber's place in a shard, which is given up when this is dropped.
pub(crate) struct Place<W: AsyncWrite + Unpin + Send + 'static> {
    live: Arc<Live>,
    shard: Arc<Shard>,
    index: usize,
    seat: Arc<Seat<W>>,
}

impl Live {
    /// Events reach a few subscribers at once, and many within `max_delay`.
    pub(crate) fn new(max_delay: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            max_delay,
            delay_each: DELAY_EACH,
            state: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// Events are gathered for `delay`, however few subscribers there are.
    pub(crate) fn gathering(delay: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            delay_each: delay,
            ..Self::new(delay, metrics)
        }
    }

    /// A place for one more subscriber.
    pub(crate) async fn join<W: AsyncWrite + Unpin + Send + 'static>(
        self: &Arc<Self>,
        jetstream: &Jetstream,
    ) -> Result<Place<W>, ReadError> {
        if !self.lock().is_followed {
            let reader = jetstream.reader(StartFrom::Live).await?;
            let mut state = self.lock();
            // Another may have come first.
            if !state.is_followed {
                state.is_followed = true;
                state.announced = reader.position();
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

    /// Follows the log; anew if that panics. Then subscribers miss a batch, which each of them
    /// notices by itself.
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

    /// Hands out what is new in the log, until it ends or nobody is left.
    async fn follow(self: Arc<Self>, mut reader: Reader) {
        let mut due = Instant::now();
        loop {
            let first_seq = reader.position();
            let gathered = tokio::select! {
                () = self.left.notified() => {
                    let mut state = self.lock();
                    if state.subscribers == 0 {
                        // Whoever comes now begins anew.
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
            let delay = self.delay_each.saturating_mul(state.subscribers);
            due = Instant::now() + self.max_delay.min(delay);
            state.announced = reader.position();
            let batch = Arc::new(Batch::new(first_seq, reader.position(), runs));
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
            // After a panic it goes on with the next batch; who missed this one notices that.
            while {
                let run = Arc::clone(&running).run(Arc::clone(&metrics));
                watched(&jetstream, "shard", run).await.is_none()
            } {}
        }));
        self.shards.push(Arc::clone(&shard));
        (shard, 0)
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> Place<W> {
    pub(crate) fn seat(&self) -> &Seat<W> {
        &self.seat
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> Drop for Place<W> {
    fn drop(&mut self) {
        let mut state = self.live.lock();
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

/// How much longer batches are gathered for each subscriber.
///
/// A few get events as soon as they are committed. For many, to call the kernel for each, which
/// takes some microseconds however little there is to send, has to be worth it: with this share it
/// takes less than half of one core.
const DELAY_EACH: Duration = Duration::from_micros(10);
/// What panicked once may do so again.
const BEFORE_ANEW: Duration = Duration::from_secs(1);
