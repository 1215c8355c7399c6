//! The task that runs a consumer.
//!
//! - here: reading into the window, and handing out to the handler.
//! - `work`: what passes through.
//! - `outcome`: how attempts end: handled, tried again, or put aside.
//! - `books`: the cursor and the dead letters in the log's store.
//! - `commands`: what handles ask for.
//! - `watch`: the watchdog, and what is told.
//! - `wind_down`: the end.

mod books;
mod commands;
mod outcome;
mod watch;
mod wind_down;
mod work;

use jetwash_store::{Cursor, Gap};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use crate::consumer::handle::{Command, Counts, Shared};
use crate::consumer::meter::Meter;
use crate::consumer::settings::Settings;
use crate::consumer::window::{Job, Window};
use crate::consumer::{ConsumerError, Failure, Handler, Reaction};
use crate::panic::{Panic, catch};
use crate::read::{Event, Loaded, ReadError, Walk};

pub(super) use work::Predicate;
use work::{InHand, Stop, TICK, Work, Written};

/// Runs a consumer: reads into the window, hands out to workers, and keeps the books. One task does
/// all of it, so that nothing needs a lock; the workers are tasks of their own, so that a panic
/// costs no more than the attempt.
pub(super) struct Driver<H> {
    shared: Arc<Shared>,
    settings: Settings,
    handler: Arc<H>,
    walk: Walk,
    wanted: Vec<Predicate>,
    window: Window<Work>,
    handlers: JoinSet<Result<(), Failure>>,
    in_hand: HashMap<Id, InHand>,
    /// The handler is told of a gap. Until it knows, nothing more is read.
    telling: JoinSet<()>,
    told_since: Instant,
    /// The cursor before that gap.
    before_gap: Cursor,
    /// Writes to the store, which blocks.
    writes: JoinSet<Written>,
    /// How many events are being put aside. Each keeps its worker waiting, so that there are no
    /// more than workers.
    aside: usize,
    is_saving: bool,
    stored: Option<Cursor>,
    done_since_save: u64,
    last_save: Instant,
    next_tick: Instant,
    counts: Counts,
    meter: Meter,
    was_full: bool,
    has_ended: bool,
    stop: Option<Stop>,
}

impl<H: Handler> Driver<H> {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        walk: Walk,
        stored: Option<Cursor>,
        handler: H,
    ) -> Self {
        let now = Instant::now();
        Self {
            meter: Meter::new(&shared.name),
            shared,
            settings,
            handler: Arc::new(handler),
            walk,
            wanted: Vec::new(),
            window: Window::new(),
            handlers: JoinSet::new(),
            in_hand: HashMap::new(),
            telling: JoinSet::new(),
            told_since: now,
            before_gap: Cursor::START,
            writes: JoinSet::new(),
            aside: 0,
            is_saving: false,
            stored,
            done_since_save: 0,
            last_save: now,
            next_tick: now + TICK,
            counts: Counts::default(),
            was_full: false,
            has_ended: false,
            stop: None,
        }
    }

    /// Passes over what one of these does not want.
    pub(super) fn only(mut self, wanted: Vec<Predicate>) -> Self {
        self.wanted = wanted;
        self
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ) -> Result<(), ConsumerError> {
        let mut shutdown = shutdown.unwrap_or_else(|| Box::pin(std::future::pending()));
        // Where it starts counts from the first run on, even if that gets nowhere.
        self.save();
        loop {
            let now = Instant::now();
            self.fill(now);
            if self.next_tick <= now {
                self.tick(now);
            }
            self.publish();
            if self.stop.is_some() || self.is_done() {
                break;
            }
            let wake = self.next_wake();
            let wants_more = self.wants_more();
            tokio::select! {
                () = &mut shutdown => self.stop = Some(Stop::Asked),
                Some(ended) = self.handlers.join_next_with_id() => self.ended(ended),
                Some(written) = self.writes.join_next() => self.written(written),
                Some(told) = self.telling.join_next() => self.told(told),
                loaded = self.walk.load(), if wants_more => self.loaded(loaded),
                Some(command) = commands.recv() => self.obey(command),
                () = sleep_until(wake) => {}
            }
        }
        self.wind_down().await
    }

    /// Hands the workers what they can take, and reads ahead what is in memory.
    fn fill(&mut self, now: Instant) {
        loop {
            // Retries and earlier events go first: the cursor waits for the oldest.
            while self.has_free_worker()
                && let Some(job) = self.window.take(now)
            {
                self.start(job, now);
            }
            if !self.wants_more() {
                return;
            }
            let Some(mut event) = self.walk.next_at_hand() else {
                return;
            };
            let panicked = match self.wants(&mut event) {
                Ok(true) => None,
                Ok(false) => continue,
                Err(panic) => Some(panic),
            };
            let (seq, block) = (event.seq(), event.memory());
            let did = event.did().to_owned();
            let work = Work {
                event,
                replay: None,
                panicked,
            };
            self.window.push(seq, &did, block, work);
        }
    }

    /// Whether an event that the filter matches is wanted for what is in it too. An error is a
    /// panic of the caller's closure.
    fn wants(&self, event: &mut Event) -> Result<bool, Panic> {
        if !event.is_given_by(&self.settings.content) {
            return Ok(false);
        }
        if self.wanted.is_empty() {
            return Ok(true);
        }
        catch(|| self.wanted.iter().all(|is_wanted| is_wanted(event)))
    }

    fn start(&mut self, mut job: Job<Work>, now: Instant) {
        if let Some(panic) = job.item.panicked.take() {
            // It is not known whether the event is wanted, so it is kept for a person to look at.
            self.shared.stats.panicked("filter", &panic);
            self.counts.panicked += 1;
            let reason = format!("the filter panicked: {panic}");
            self.failed(job, Reaction::DeadLetter, reason);
            return;
        }
        let (handler, event) = (Arc::clone(&self.handler), job.item.event.clone());
        let abort = self
            .handlers
            .spawn(async move { handler.handle(event).await });
        let in_hand = InHand {
            job,
            since: now,
            reports: 0,
            abort: abort.clone(),
        };
        self.in_hand.insert(abort.id(), in_hand);
    }

    /// Enough is at hand when the workers have a choice; more would only be old when it is read.
    fn wants_more(&self) -> bool {
        let enough = self.settings.workers * 2 + READ_AHEAD;
        !self.has_ended
            && self.telling.is_empty()
            && self.window.ready() < enough
            && !self.is_full()
    }

    fn has_free_worker(&self) -> bool {
        self.in_hand.len() + self.aside < self.settings.workers
    }

    /// Returns when to look again. A retry that is due waits for a free worker.
    fn next_wake(&self) -> Instant {
        let due = self.window.next_due().filter(|_| self.has_free_worker());
        due.unwrap_or(self.next_tick).min(self.next_tick)
    }

    fn is_full(&self) -> bool {
        self.window.bytes() >= self.settings.window_bytes
            || self.window.span() >= self.settings.window_events
    }

    fn is_done(&self) -> bool {
        self.has_ended && self.window.is_empty() && self.telling.is_empty()
    }

    fn loaded(&mut self, loaded: Option<Result<Loaded, ReadError>>) {
        match loaded {
            Some(Ok(Loaded::Events)) => {}
            Some(Ok(Loaded::Gap(gap))) => self.come_to(gap),
            None => self.has_ended = true,
            Some(Err(source)) => {
                let name = self.shared.name.clone();
                self.fail_with(ConsumerError::Read { name, source });
            }
        }
    }

    /// Reports a gap to the handler, and stops there if that was asked for.
    fn come_to(&mut self, gap: Gap) {
        let name = &self.shared.name;
        self.before_gap = self.walk.cursor().min(Cursor::before(gap.first_seq));
        if self.settings.stop_at_gaps && gap.upstream.is_none() && gap.events != Some(0) {
            let name = name.clone();
            self.fail_with(ConsumerError::Gap { name, gap });
            // The cursor stays before it.
            self.telling.spawn(std::future::pending());
            return;
        }
        let lost = gap.events.unwrap_or_default();
        error!(
            consumer = name,
            cause = gap.cause.name(),
            "the consumer comes to a gap: {gap}"
        );
        self.counts.gaps += 1;
        self.counts.lost += lost;
        self.meter.lost(lost);
        let handler = Arc::clone(&self.handler);
        self.told_since = Instant::now();
        self.telling.spawn(async move { handler.gap(gap).await });
    }

    fn fail_with(&mut self, error: ConsumerError) {
        // The first reason is the one that counts.
        if !matches!(self.stop, Some(Stop::Failed(_))) {
            self.stop = Some(Stop::Failed(Box::new(error)));
        }
    }
}

const READ_AHEAD: usize = 16;
