use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jetwash_event::Micros;
use jetwash_frame::peek;
use jetwash_store::{LogMessage, StoreError};
use metrics::histogram;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::ingest::check::Given;
use crate::ingest::cursors::{Known, SourceCursors};
use crate::ingest::dictionaries::{Dictionaries, RotateError, Rotation};
use crate::ingest::inbox::{Inbox, Question};
use crate::ingest::intake::{Arrival, Content};
use crate::ingest::log_time::{ClockNews, LogTime};
use crate::ingest::pipeline::{MirrorFault, Pipeline};
use crate::ingest::stage::{CheckStage, Held, Ready};
use crate::stats::Stats;

/// Moves arrivals into the log, on a thread of its own because the log's disk blocks.
pub(crate) struct Writer {
    pub(crate) pipeline: Pipeline,
    pub(crate) inbox: Inbox,
    pub(crate) dictionaries: Dictionaries,
    pub(crate) commit_delay: Duration,
    pub(crate) clock: Clock,
    pub(crate) time: LogTime,
    /// When something was last told of the clock.
    pub(crate) told: Option<std::time::Instant>,
    pub(crate) cursors: Arc<SourceCursors>,
    pub(crate) stats: Arc<Stats>,
    /// Becomes true when no more is to be taken in; `None` from then on.
    pub(crate) stopped: Option<watch::Receiver<bool>>,
    /// Whether the log is another's, and takes nothing else.
    pub(crate) is_mirror: bool,
    /// Where frames are checked first, if they are verified.
    pub(crate) stage: Option<CheckStage>,
    /// Sources that have sent something since the last commit.
    pub(crate) touched: Vec<Arc<str>>,
}

/// Why the writer has something to do.
enum Wake {
    Arrivals,
    Checked,
    Deadline,
    Ended,
    Rotation(Rotation),
}

impl Writer {
    pub(crate) async fn run(mut self) -> Result<(), StoreError> {
        let mut arrived = Vec::with_capacity(BATCH_FRAMES);
        let (mut is_closed, mut held) = (false, 0);
        let mut trim = Instant::now() + TRIM;
        let mut commit: Option<Instant> = None;
        self.now_us();
        loop {
            let deadline = commit.unwrap_or(trim);
            let wake = self.receive(&mut arrived, deadline, is_closed).await;
            let (now_us, start) = (self.now_us(), Instant::now());
            if let Some(last) = arrived.last() {
                self.pipeline.waited(start - last.arrived);
            }
            is_closed |= matches!(wake, Wake::Ended);
            // All that has arrived goes into one commit, unless it takes too much memory on the
            // way.
            let events = match self.stage.take() {
                None => {
                    let ready = arrived.drain(..).map(unchecked);
                    self.take_in(ready, now_us).await?
                }
                Some(mut stage) => {
                    let events = self.check(&mut stage, &mut arrived, now_us).await?;
                    if held != stage.held() {
                        held = stage.held();
                        self.stats.held(held);
                    }
                    self.stage = Some(stage);
                    events
                }
            };
            let now = Instant::now();
            if events > 0 {
                let each = (now - start).as_secs_f64() / events as f64;
                histogram!("consumer_event_processing_duration_seconds").record(each);
            }
            let has_ended = is_closed && self.stage.as_ref().is_none_or(CheckStage::is_empty);
            if has_ended && let Some(mut stage) = self.stage.take() {
                let left = stage.end(is_sent_again).into_iter().map(Ready::Held);
                self.take_in(left, now_us).await?;
            }
            if let Wake::Rotation(rotation) = wake {
                self.rotate(rotation);
            }
            // A commit costs a write, so the first frame after one waits a moment for others.
            if self.pipeline.is_full() || has_ended || commit.is_some_and(|due| due <= now) {
                self.commit().await?;
                commit = None;
            } else if !self.touched.is_empty() {
                commit.get_or_insert(now + self.commit_delay);
            }
            if has_ended {
                return Ok(());
            }
            if trim <= now {
                self.persist(|pipeline| pipeline.trim(now_us).map(drop))
                    .await?;
                if self.touched.is_empty() {
                    // Nothing may come for long, and what came last is still to be synced.
                    self.persist(Pipeline::commit).await?;
                }
                trim = now + TRIM;
            }
        }
    }

    /// Has what has arrived checked, and takes in what is ready by now.
    async fn check(
        &mut self,
        stage: &mut CheckStage,
        arrived: &mut Vec<Arrival>,
        now_us: Micros,
    ) -> Result<usize, StoreError> {
        for arrival in arrived.drain(..) {
            stage.admit(arrival, &mut self.pipeline, now_us);
        }
        stage.send();
        stage.collect();
        let (now, mut events) = (Instant::now(), 0);
        while let Some(ready) = stage.pop(now) {
            if let Ready::Hold(hold) = ready {
                let Held {
                    source,
                    frame,
                    number,
                    ..
                } = &hold.held;
                self.touch(source);
                if self
                    .pipeline
                    .hold(source, (frame, *number), now_us, hold.is_let_in)
                {
                    stage.hold(hold, now);
                }
            } else {
                events += self.take_in([ready].into_iter(), now_us).await?;
            }
        }
        Ok(events)
    }

    /// Takes in what is ready. Returns how many events came of it.
    async fn take_in(
        &mut self,
        ready: impl Iterator<Item = Ready>,
        now_us: Micros,
    ) -> Result<usize, StoreError> {
        let (mut early, mut pending) = (0, self.pipeline.pending());
        for ready in ready {
            let source = match ready {
                Ready::Arrival(arrival, _) if self.is_mirror => {
                    self.mirrored(arrival, now_us).await?
                }
                ready => self.step(ready, now_us)?,
            };
            self.touch(&source);
            if self.pipeline.is_heavy() {
                early += self.pipeline.pending() - pending;
                pending = 0;
                self.commit().await?;
            }
        }
        Ok(early + self.pipeline.pending() - pending)
    }

    /// Takes one thing in. Returns the source that it is from.
    fn step(&mut self, ready: Ready, now_us: Micros) -> Result<Arc<str>, StoreError> {
        let pipeline = &mut self.pipeline;
        let (arrival, given) = match ready {
            Ready::Arrival(arrival, given) => (arrival, given),
            Ready::Lost(arrival) => {
                if let Content::Frame(frame) = &arrival.content {
                    let frame = (&**frame, arrival.number);
                    pipeline.lose_unchecked(&arrival.source, frame, now_us);
                }
                return Ok(arrival.source);
            }
            Ready::Hold(hold) => {
                debug_assert!(false, "what waits is with the stage");
                return Ok(hold.held.source);
            }
            Ready::Held(held) => {
                let frame = (&*held.frame, held.number);
                pipeline.finish(&held.source, frame, held.checked, now_us)?;
                return Ok(held.source);
            }
        };
        let source = &arrival.source;
        match arrival.content {
            Content::Frame(frame) => pipeline.frame_given(source, &frame, now_us, given)?,
            Content::Connected { cursor } => pipeline.connected(source, cursor, now_us),
            Content::SteppedOver { first, next } => pipeline.stepped_over(source, first, next),
            Content::CursorRefused => pipeline.cursor_refused(source),
            Content::Joined { host } => pipeline.joined(source, &host, now_us),
            Content::Events { host, events } => {
                for event in &events {
                    pipeline.event(source, &host, event, now_us)?;
                }
            }
            Content::OwnEvents { events, cursor } => {
                for event in &events {
                    pipeline.own_event(source, event, now_us)?;
                }
                if let Some(cursor) = cursor {
                    pipeline.set_cursor(source, cursor);
                }
            }
            Content::Missing { cause, first, next } => {
                pipeline.missing(source, cause, (first, next), now_us);
            }
            Content::Mirrored { .. } => debug_assert!(false, "only a mirror follows a log"),
        }
        Ok(arrival.source)
    }

    /// Takes over a message of the log that this one mirrors. Anything else is counted as lost,
    /// since it has no place in another's log.
    async fn mirrored(&mut self, arrival: Arrival, now_us: Micros) -> Result<Arc<str>, StoreError> {
        let Content::Mirrored {
            connection,
            message,
            bytes,
        } = arrival.content
        else {
            self.stats.dropped("mirror");
            return Ok(arrival.source);
        };
        if connection.is_refused() {
            return Ok(arrival.source);
        }
        self.persist(|pipeline| match pipeline.mirror(&message, bytes, now_us) {
            Ok(()) => Ok(()),
            Err(MirrorFault::Store(error)) => Err(error),
            Err(MirrorFault::Refused(refusal)) => {
                connection.refuse(refusal);
                Ok(())
            }
        })
        .await?;
        // Before the commit that makes its events visible.
        let newest = self.pipeline.newest_dictionary();
        if let Some(dictionary) = newest.filter(|_| matches!(*message, LogMessage::Events { .. })) {
            let in_use = self.dictionaries.in_use().map(|known| known.id());
            if in_use != Some(dictionary.id()) {
                self.dictionaries.put_into_use(dictionary);
            }
        }
        Ok(arrival.source)
    }

    fn touch(&mut self, source: &Arc<str>) {
        if !self.touched.contains(source) {
            self.touched.push(Arc::clone(source));
        }
    }

    /// The log's time.
    fn now_us(&mut self) -> Micros {
        let (wall_us, elapsed) = self.clock.read_us();
        let Some(elapsed) = elapsed else {
            return wall_us;
        };
        let (now_us, news) = self.time.now(wall_us, elapsed);
        if let Some(news) = news {
            self.tell(news);
        }
        now_us
    }

    /// Reports news of the clock; of one that jumps about, only now and then.
    fn tell(&mut self, news: ClockNews) {
        if news != ClockNews::CameBack {
            self.stats.clock_jump();
        }
        // Counted above in any case; a clock that jumps about must not fill the program's log.
        let now = std::time::Instant::now();
        let is_told = |told: std::time::Instant| now.duration_since(told) < BETWEEN_NEWS;
        if self.told.is_some_and(is_told) {
            return;
        }
        self.told = Some(now);
        match news {
            ClockNews::LogAhead(by) => {
                warn!(
                    ?by,
                    "the log's newest event is in the future; its time goes on from there"
                );
            }
            ClockNews::Refused(jump) => {
                warn!(?jump, "the clock jumped; the log's time does not follow");
            }
            ClockNews::Believed(jump) => {
                warn!(
                    ?jump,
                    "the clock stays where it jumped to; the log's time follows"
                );
            }
            ClockNews::CameBack => info!("the clock shows the right time again"),
        }
    }

    async fn receive(
        &mut self,
        arrived: &mut Vec<Arrival>,
        deadline: Instant,
        is_closed: bool,
    ) -> Wake {
        let stage_due = self.stage.as_ref().and_then(CheckStage::due);
        let deadline = stage_due.map_or(deadline, |due| due.min(deadline));
        let due = due(deadline, self.stopped.clone());
        let has_room = !is_closed && !self.stage.as_ref().is_some_and(CheckStage::is_full);
        let checked = async {
            match &mut self.stage {
                Some(stage) => stage.progress().await,
                None => std::future::pending().await,
            }
        };
        let stopped = async {
            match &mut self.stopped {
                Some(stopped) => drop(stopped.wait_for(|&is_stopped| is_stopped).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            count = self.inbox.arrivals.recv_many(arrived, BATCH_FRAMES), if has_room => {
                if count == 0 { Wake::Ended } else { Wake::Arrivals }
            }
            () = stopped => {
                // What is in the queue still comes, and then the end.
                self.inbox.arrivals.close();
                self.stopped = None;
                Wake::Deadline
            }
            // There is a sender for as long as there is a handle that might use it.
            Some(rotation) = self.inbox.rotations.recv() => Wake::Rotation(rotation),
            Some(question) = self.inbox.questions.recv() => {
                self.answer(question);
                Wake::Deadline
            }
            () = checked => Wake::Checked,
            () = due => Wake::Deadline,
        }
    }

    fn answer(&mut self, Question { filter, answer }: Question) {
        if let Some(filter) = filter {
            self.pipeline.set_filter(filter.clone());
            self.inbox.filter.send_replace(filter);
        }
        // The asker may have gone.
        let _ = answer.send(self.pipeline.next_seq());
    }

    /// A dictionary that the log does not take costs nothing but itself: if the disk has failed,
    /// the next commit tells.
    fn rotate(&mut self, rotation: Rotation) {
        if self.is_mirror {
            let _ = rotation.answer.send(Err(RotateError::Mirror));
            return;
        }
        let outcome = self.pipeline.rotate_dictionary(&rotation.dictionary);
        if let Ok(position) = outcome {
            let id = rotation.dictionary.id();
            info!(
                id,
                %position, "events are compressed with another dictionary"
            );
            self.dictionaries.put_into_use(rotation.dictionary);
        }
        // The asker may have gone.
        let _ = rotation.answer.send(outcome.map_err(RotateError::Store));
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        if self.touched.is_empty() {
            return Ok(());
        }
        self.persist(Pipeline::commit).await?;
        let (pipeline, cursors) = (&mut self.pipeline, &self.cursors);
        cursors.update(self.touched.drain(..).map(|source| {
            let known = Known::of(pipeline, &source);
            if pipeline.gives_up(&source) {
                cursors.give_up(&source);
            }
            (source, known)
        }));
        Ok(())
    }

    /// Writes to the log, and if the disk does not let it, waits until it does: nothing is taken
    /// in meanwhile, so nothing is lost. Only a stop ends that.
    async fn persist(
        &mut self,
        mut write: impl FnMut(&mut Pipeline) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // Events and cursors are committed together, and a failed write has changed neither: it can
        // be repeated as it is.
        let (mut pause, mut is_stalled) = (FIRST_PAUSE, false);
        let mut outcome = write(&mut self.pipeline);
        while let Err(failure @ StoreError::Storage { .. }) = outcome {
            if !std::mem::replace(&mut is_stalled, true) {
                error!(%failure, "the log cannot be written; sources wait until it can");
                self.stats.stall(Some(failure.to_string()));
            }
            // A stop is no reason to give up what can be written by now.
            let is_last = !self.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            outcome = self.pipeline.reopen();
            if outcome.is_ok() {
                outcome = write(&mut self.pipeline);
            }
            if is_last && outcome.is_err() {
                return outcome;
            }
        }
        if is_stalled {
            info!("the log can be written again");
            self.stats.stall(None);
        }
        outcome
    }

    /// Waits; `false` if that is over because of a stop.
    async fn pause(&mut self, pause: Duration) -> bool {
        let Some(stopped) = &mut self.stopped else {
            return false;
        };
        let over = due(Instant::now() + pause, Some(stopped.clone()));
        let is_over = tokio::select! {
            _ = stopped.wait_for(|&is_stopped| is_stopped) => false,
            () = over => true,
        };
        if !is_over {
            // What is in the queue still comes, and then the end.
            self.inbox.arrivals.close();
            self.stopped = None;
        }
        is_over
    }
}

fn unchecked(arrival: Arrival) -> Ready {
    let given = Given {
        number: arrival.number,
        ..Given::default()
    };
    Ready::Arrival(arrival, given)
}

/// Whether the source of a frame that waits sends it again, because the stored cursor is before it.
fn is_sent_again(held: &Held) -> bool {
    let own = || peek(&held.frame).ok().and_then(|peeked| peeked.seq);
    held.number.or_else(own) > Some(0)
}

/// Waits until a time, or for ever once the writer has been stopped: the runtime may have gone
/// then, and with it the timer.
async fn due(time: Instant, stopped: Option<watch::Receiver<bool>>) {
    let Some(stopped) = stopped else {
        return std::future::pending().await;
    };
    let mut sleep = pin!(sleep_until(time));
    poll_fn(|context| {
        // A stop waits while this is borrowed, and so does the end of a runtime.
        let is_stopped = stopped.borrow();
        if *is_stopped {
            return Poll::Pending;
        }
        sleep.as_mut().poll(context)
    })
    .await;
}

const BATCH_FRAMES: usize = 256;
const TRIM: Duration = Duration::from_secs(1);
/// Between attempts to write to a disk that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two lines about a clock that jumps about.
const BETWEEN_NEWS: Duration = Duration::from_secs(10);
