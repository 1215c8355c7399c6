use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jetwash_store::{CursorError, DeadLetterError, Gap, NewDeadLetter};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::consumer::handle::{Command, Counts, InProgress, Shared};
use crate::consumer::letters::event_of;
use crate::consumer::meter::Meter;
use crate::consumer::settings::Settings;
use crate::consumer::window::{Job, Window};
use crate::consumer::{ConsumerError, Failure, Handler, Reaction, WhenStuck};
use crate::panic::{Panic, catch};
use crate::read::{Event, ReadError};
use crate::read::{Loaded, Walk};

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
    before_gap: u64,
    /// Writes to the store, which blocks.
    writes: JoinSet<Written>,
    /// How many events are being put aside. Each keeps its worker waiting, so that there are no
    /// more than workers.
    aside: usize,
    is_saving: bool,
    stored: Option<u64>,
    done_since_save: u64,
    last_save: Instant,
    next_tick: Instant,
    counts: Counts,
    meter: Meter,
    was_full: bool,
    has_ended: bool,
    stop: Option<Stop>,
}

/// Whether an event is wanted.
pub(super) type Predicate = Box<dyn Fn(&Event) -> bool + Send>;

/// An event on its way.
struct Work {
    event: Event,
    /// Who waits for it, if it is a dead letter that is replayed: told whether it went well.
    replay: Option<oneshot::Sender<bool>>,
    /// If nobody knows whether it is wanted, since the caller's filter panicked.
    panicked: Option<Panic>,
}

/// An event that a handler has.
struct InHand {
    job: Job<Work>,
    since: Instant,
    abort: AbortHandle,
    /// How often it was said that it is stuck.
    reports: u32,
}

/// What was written to the store.
enum Written {
    Cursor(u64, Result<(), CursorError>),
    Letter(Box<Job<Work>>, String, Result<(), DeadLetterError>),
}

/// Why it ends.
enum Stop {
    Asked,
    Failed(Box<ConsumerError>),
}

impl<H: Handler> Driver<H> {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: Settings,
        walk: Walk,
        stored: Option<u64>,
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
            before_gap: 0,
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

    /// Gives the workers what they can take, and reads ahead what is in memory.
    fn fill(&mut self, now: Instant) {
        loop {
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
            let (position, block) = (event.cursor().get(), event.memory());
            let did = event.did().to_owned();
            let work = Work {
                event,
                replay: None,
                panicked,
            };
            self.window.push(position, &did, block, work);
        }
    }

    /// Whether an event that the filter matches is wanted for what is in it too. An error is a panic
    /// of the caller's closure.
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
            // Nobody can say whether it is wanted, so it is kept for somebody to look at.
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

    /// What is due while no worker is free has to wait for one.
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

    fn watermark(&self) -> u64 {
        let read = if self.telling.is_empty() {
            self.walk.cursor().get()
        } else {
            self.before_gap
        };
        self.window.watermark(read)
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

    /// Tells the handler of a gap, and stops there if that was asked for.
    fn come_to(&mut self, gap: Gap) {
        let name = &self.shared.name;
        self.before_gap = self
            .walk
            .cursor()
            .get()
            .min(gap.first_seq.saturating_sub(1));
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

    fn told(&mut self, told: Result<(), JoinError>) {
        if let Err(error) = told {
            let name = &self.shared.name;
            self.counts.panicked += u64::from(error.is_panic());
            error!(consumer = name, %error, "the handler did not take a gap");
        }
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Ok(outcome)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(in_hand) = self.in_hand.remove(&id) else {
            return;
        };
        let job = in_hand.job;
        self.meter.attempt(in_hand.since.elapsed());
        match outcome {
            Ok(Ok(())) => {
                self.counts.handled += 1;
                self.meter.outcome("handled");
                self.finish(job);
            }
            Ok(Err(failure)) => self.failed(job, failure.reaction(), failure.reason()),
            Err(error) if error.is_panic() => {
                self.counts.panicked += 1;
                let panic = Panic::new(&*error.into_panic());
                self.shared.stats.panicked("handler", &panic);
                let reason = format!("the handler panicked: {panic}");
                self.failed(job, Reaction::Retry, reason);
            }
            // Only the watchdog does that.
            Err(_) => {
                let reason = format!(
                    "the handler did not return in {:?}",
                    in_hand.since.elapsed()
                );
                let reaction = match self.settings.when_stuck {
                    WhenStuck::Stop => Reaction::Stop,
                    _ => Reaction::DeadLetter,
                };
                self.failed(job, reaction, reason);
            }
        }
    }

    fn failed(&mut self, job: Job<Work>, reaction: Reaction, reason: String) {
        self.counts.failed += 1;
        self.meter.outcome("failed");
        let (name, cursor, attempt) = (
            self.shared.name.as_str(),
            job.item.event.cursor(),
            job.failures + 1,
        );
        warn!(consumer = name, did = %job.did, %cursor, attempt, reason, ?reaction, "the handler failed");
        match reaction {
            Reaction::Retry => match self.settings.retry.wait(attempt, cursor.get()) {
                Some(wait) => self.window.retry(job, Instant::now() + wait),
                None => self.put_aside(job, reason),
            },
            Reaction::Skip => {
                self.counts.skipped += 1;
                self.meter.outcome("skipped");
                self.finish(job);
            }
            Reaction::DeadLetter => self.put_aside(job, reason),
            Reaction::Stop => {
                let error = ConsumerError::Handler {
                    name: name.to_owned(),
                    cursor,
                    did: job.did.to_string(),
                    attempt,
                    reason,
                };
                self.fail_with(error);
            }
        }
    }

    /// Makes a dead letter of an event; one that is being replayed is one already.
    fn put_aside(&mut self, mut job: Job<Work>, reason: String) {
        if let Some(reply) = job.item.replay.take() {
            // Who asked may have gone away.
            let _ = reply.send(false);
            self.finish(job);
            return;
        }
        let letters = self.shared.store.dead_letters(&self.shared.name);
        let limits = self.settings.letters;
        self.aside += 1;
        self.writes.spawn_blocking(move || {
            let (block, index) = job.item.event.place();
            let letter = NewDeadLetter {
                block,
                index,
                reason: &reason,
                attempts: job.failures + 1,
                failed_at_us: now_us(),
            };
            let written = letters.put(&letter, limits);
            Written::Letter(Box::new(job), reason, written)
        });
    }

    /// An event is done with, one way or another.
    fn finish(&mut self, job: Job<Work>) {
        self.done_since_save += 1;
        if let Some(reply) = self.window.finish(job).replay {
            // Who asked may have gone away.
            let _ = reply.send(true);
        }
        if self.done_since_save >= self.settings.save_after {
            self.save();
        }
    }

    /// Stores the cursor, if it has moved. It never goes back, and never is a 0 that says nothing:
    /// what is not stored is where it was.
    fn save(&mut self) {
        let to = self.watermark();
        if self.is_saving || to <= self.stored.unwrap_or(0) {
            return;
        }
        self.is_saving = true;
        self.done_since_save = 0;
        self.last_save = Instant::now();
        let (shared, stored) = (Arc::clone(&self.shared), self.stored);
        // If this run is dropped, the next one waits for what is being written.
        let saving = Arc::clone(&shared.saving).try_lock_owned();
        self.writes.spawn_blocking(move || {
            let _saving = saving;
            let saved = shared.store.advance_named_cursor(&shared.name, stored, to);
            Written::Cursor(to, saved)
        });
    }

    fn written(&mut self, written: Result<Written, JoinError>) {
        let name = self.shared.name.clone();
        match written {
            Ok(Written::Cursor(to, Ok(()))) => {
                self.is_saving = false;
                self.stored = Some(to);
            }
            Ok(Written::Cursor(_, Err(CursorError::Store(source)))) => {
                // It is tried again, and matters only at the next start.
                self.is_saving = false;
                warn!(consumer = name, error = %source, "the consumer's cursor cannot be stored");
            }
            Ok(Written::Cursor(_, Err(source))) => {
                self.is_saving = false;
                self.fail_with(ConsumerError::Cursor { name, source });
            }
            Ok(Written::Letter(job, reason, Ok(()))) => {
                self.aside -= 1;
                let cursor = job.item.event.cursor();
                error!(consumer = name, did = %job.did, %cursor, reason, "the event is put aside");
                self.counts.dead_lettered += 1;
                self.meter.outcome("dead_lettered");
                self.finish(*job);
            }
            Ok(Written::Letter(job, reason, Err(source))) => {
                self.fail_with(ConsumerError::DeadLetter {
                    name,
                    cursor: job.item.event.cursor(),
                    did: job.did.to_string(),
                    reason,
                    source,
                });
            }
            Err(error) => self.fail_with(ConsumerError::Read {
                name,
                source: error.into(),
            }),
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::SetFilters {
                filter,
                content,
                reply,
            } => {
                if let Some(content) = content {
                    self.settings.content = vec![content];
                }
                // What has been read was judged by then, and nothing else was.
                let since = match filter {
                    Some(filter) => self.walk.set_filter(filter),
                    None => self.walk.cursor(),
                };
                // Who asked may have gone away.
                let _ = reply.send(since);
            }
            Command::Replay(letter, reply) => {
                let Some(mut event) = event_of(&letter) else {
                    return;
                };
                // It is wanted as it is; this only notes if it no longer matches.
                event.is_given_by(&self.settings.content);
                let did = event.did().to_owned();
                // Letters are in blocks of their own, whose numbers no block of the log has.
                let block = (u64::MAX - event.cursor().get(), event.memory().1);
                let work = Work {
                    event,
                    replay: Some(reply),
                    panicked: None,
                };
                self.window.push_apart(&did, block, work);
            }
            Command::Stop => self.stop = Some(Stop::Asked),
        }
    }

    /// What is due now and then: the cursor, the watchdog, and what is said of it all.
    fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        if now.duration_since(self.last_save) >= self.settings.save_every {
            self.last_save = now;
            self.save();
        }
        self.watch(now);
        let is_full = self.is_full();
        if is_full && !self.was_full {
            let (cursor, did) = self.window.oldest().unzip();
            let (name, bytes) = (self.shared.name.as_str(), self.window.bytes());
            warn!(
                consumer = name,
                cursor,
                did = did.map(|did| &**did),
                bytes,
                "the consumer's window is full, and waits for this event"
            );
        }
        self.was_full = is_full;
        self.meter.tick(now, || (self.shared.lag(), is_full));
    }

    /// Names the handlers that have not returned in time, again and again.
    fn watch(&mut self, now: Instant) {
        let mut stuck = 0;
        for work in self.in_hand.values_mut() {
            let held = now.saturating_duration_since(work.since);
            if held < self.settings.stuck_after {
                continue;
            }
            stuck += 1;
            if held < self.settings.stuck_after * (work.reports + 1) {
                continue;
            }
            work.reports += 1;
            let (name, attempt) = (self.shared.name.as_str(), work.job.failures + 1);
            let cursor = work.job.item.event.cursor();
            error!(
                consumer = name, did = %work.job.did, %cursor, attempt, ?held,
                "the handler is stuck"
            );
            if self.settings.when_stuck != WhenStuck::Wait {
                work.abort.abort();
            }
        }
        if now.saturating_duration_since(self.told_since) >= self.settings.stuck_after {
            // It is only told, so it is not waited for any longer.
            self.telling.abort_all();
        }
        self.meter.stuck(stuck);
    }

    /// Tells the handles how it is.
    fn publish(&self) {
        let mut state = self.shared.state();
        state.cursor = Some(self.watermark());
        state.stored = self.stored;
        state.counts = self.counts;
        state.at_hand = self.window.len();
        state.at_hand_bytes = self.window.bytes();
        state.window_full = self.is_full();
        let oldest = self.window.oldest();
        state.held_by = oldest.map(|(cursor, did)| (cursor, Arc::clone(did)));
        state.stuck_after = self.settings.stuck_after;
        state.in_progress.clear();
        let in_hand = self.in_hand.values().map(|work| InProgress {
            cursor: work.job.item.event.cursor(),
            did: Arc::clone(&work.job.did),
            since: work.since,
            attempt: work.job.failures + 1,
        });
        state.in_progress.extend(in_hand);
    }

    fn fail_with(&mut self, error: ConsumerError) {
        // The first reason is the one that counts.
        if !matches!(self.stop, Some(Stop::Failed(_))) {
            self.stop = Some(Stop::Failed(Box::new(error)));
        }
    }

    /// Lets what is in progress finish, within bounds, and stores the cursor.
    async fn wind_down(mut self) -> Result<(), ConsumerError> {
        let deadline = Instant::now() + self.settings.drain;
        while !self.in_hand.is_empty() {
            tokio::select! {
                Some(ended) = self.handlers.join_next_with_id() => self.ended(ended),
                Some(written) = self.writes.join_next() => self.written(written),
                () = sleep_until(deadline) => break,
            }
            self.publish();
        }
        for work in self.in_hand.values() {
            let (name, cursor) = (self.shared.name.as_str(), work.job.item.event.cursor());
            warn!(
                consumer = name, did = %work.job.did, %cursor, held = ?work.since.elapsed(),
                "the handler is not waited for any longer; the event will come again"
            );
        }
        self.handlers.abort_all();
        while let Some(written) = self.writes.join_next().await {
            self.written(written);
        }
        self.save();
        let mut unsaved = None;
        if let Some(written) = self.writes.join_next().await {
            if let Ok(Written::Cursor(_, Err(source))) = written {
                let name = self.shared.name.clone();
                unsaved = Some(ConsumerError::Cursor { name, source });
            } else {
                self.written(written);
            }
        }
        self.publish();
        let (name, stored) = (self.shared.name.as_str(), self.stored);
        match (self.stop, unsaved) {
            (Some(Stop::Failed(error)), _) => {
                error!(consumer = name, %error, "the consumer has stopped");
                Err(*error)
            }
            (_, Some(error)) => Err(error),
            (_, None) => {
                info!(consumer = name, stored, "the consumer has ended");
                Ok(())
            }
        }
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

const TICK: Duration = Duration::from_millis(100);
const READ_AHEAD: usize = 16;
