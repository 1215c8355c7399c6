use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jetwash::store::{GapCause, Run};
use jetwash::{Cursor, Gap, Jetstream, Micros, Reader, Reading, Selection, Seq, StartFrom};
use tokio::io::AsyncRead;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use crate::form::format::Shape;
use crate::form::framing::Framing;
use crate::form::recode_error::RecodeError;
use crate::metrics::Metrics;
use crate::subscriber::end::End;
use crate::subscriber::goodbye::{end_answer, say_goodbye};
use crate::subscriber::inbound::Inbound;
use crate::subscriber::notice::Notice;
use crate::subscriber::outbound::Outbound;
use crate::subscriber::passage::{Passage, Wait};
use crate::subscriber::query::Query;
use crate::subscriber::socket::Socket;
use crate::subscriber::turns::turn;
use crate::tail::live::{Live, Place};
use crate::websocket::Opcode;

/// One subscriber: a way in, and for as long as it is not left to a shard, a way out.
///
/// Its task reads the log for a subscriber that is behind, waits for a socket that takes nothing,
/// and answers the client's messages. When all of that is done, the way out is
/// [put](crate::tail::seat::Seat::put) where a shard writes to it.
pub(crate) struct Connection<R> {
    inbound: Inbound<R>,
    metrics: Arc<Metrics>,
    /// Whether to say when playback has met the live end.
    announces_tip: bool,
    /// Whether the reader was abandoned before all of its events had been sent.
    has_let_go: bool,
    /// Whether to say where events are missing.
    announces_gaps: bool,
    /// Whether it ends where the log has forgotten events.
    needs_all: bool,
}

impl<R: AsyncRead + Unpin> Connection<R> {
    pub(crate) fn new(inbound: Inbound<R>, query: &Query, metrics: Arc<Metrics>) -> Self {
        Self {
            inbound,
            metrics,
            announces_tip: query.caught_up && query.start != StartFrom::Live,
            has_let_go: false,
            announces_gaps: query.gaps,
            needs_all: query.format.shape == Shape::V2,
        }
    }

    /// Serves until either side ends it, and says goodbye where the socket still allows it.
    pub(crate) async fn run<W: Socket>(
        mut self,
        outbound: Outbound<W>,
        jetstream: &Jetstream,
        live: &Arc<Live>,
        query: &Query,
    ) -> End {
        let mut outbound = Some(Box::new(outbound));
        let served = self.serve(&mut outbound, jetstream, live, query).await;
        let end = match served {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(mut outbound) = outbound {
            let (framing, is_bounded) = (outbound.framing(), outbound.is_bounded());
            // Without it the close frame still says why.
            let _ = outbound.push_end(&end);
            // Its settings go, and whatever else it held besides the rest of the output.
            let output = outbound.into_output();
            match framing {
                Framing::Websocket => say_goodbye(&mut self.inbound, output, &end).await,
                Framing::EventStream => end_answer(output, &end, true).await,
                Framing::Lines => end_answer(output, &end, !is_bounded).await,
            }
        }
        end
    }

    /// Serves until the end. If `home` has the way out then, the end can be told on it.
    async fn serve<W: Socket>(
        &mut self,
        home: &mut Option<Box<Outbound<W>>>,
        jetstream: &Jetstream,
        live: &Arc<Live>,
        query: &Query,
    ) -> Result<Infallible, End> {
        let outbound = home.as_mut().ok_or(End::Disconnected)?;
        outbound.push_start();
        if query.require_hello {
            self.hello(outbound).await?;
        }
        let mut reader = self.start(outbound, jetstream, query).await?;
        if query.is_outdated {
            outbound.push_notice(Notice::OutdatedCursor)?;
        }
        let place = live.join(jetstream).await.map_err(End::Read)?;
        loop {
            let outbound = home.as_mut().ok_or(End::Disconnected)?;
            // In a box, because a subscriber at the end of the log does not need its state.
            Box::pin(self.catch_up(outbound, &mut reader, &place)).await?;
            if let Some(outbound) = home.take() {
                *home = place.seat().put(outbound, place.shard());
            }
            if home.is_none() {
                let outcome = self.leave_to_shard(&place).await;
                *home = place.seat().take();
                outcome?;
            }
        }
    }

    /// Waits for the first valid settings.
    async fn hello<W: Socket>(&mut self, outbound: &mut Outbound<W>) -> Result<(), End> {
        let before = Arc::clone(outbound.settings());
        while Arc::ptr_eq(&before, outbound.settings()) {
            self.inbound.attend(std::future::pending::<()>()).await?;
            // There is no progress yet.
            self.inbound.wanted.progress = false;
            self.flush(outbound).await?;
        }
        Ok(())
    }

    /// Finds the place in the log where to start.
    async fn start<W>(
        &mut self,
        outbound: &mut Outbound<W>,
        jetstream: &Jetstream,
        query: &Query,
    ) -> Result<Reader, End> {
        // Asked before the reader has its place: an event that comes in between is still to be
        // sent.
        let newest = jetstream.bounds().newest_time_us;
        let at_request = query.log.newest_time_us;
        let (start, newest) = match query.start {
            // The client may count on what comes from the answer to its request on.
            start if query.require_hello => (start, newest),
            StartFrom::Live => (query.log.end(), at_request),
            StartFrom::Time(time)
                if at_request.is_none_or(|newest| Micros::from(time) > newest) =>
            {
                (query.log.end(), at_request)
            }
            start => (start, newest),
        };
        let newest = newest.unwrap_or_default();
        let time_us = match start {
            StartFrom::Oldest => Micros::EPOCH,
            // The event of that time is still to come, and a browser resumes after what it is told.
            StartFrom::Time(time)
                if outbound.framing() == Framing::EventStream && Micros::from(time) <= newest =>
            {
                Micros::from(time).minus(Duration::from_micros(1))
            }
            StartFrom::Time(time) => Micros::from(time).min(newest),
            _ => newest,
        };
        let reader = jetstream.reader(start).await.map_err(End::Read)?;
        outbound.start_at(reader.next_seq(), time_us);
        if let StartFrom::Time(time) = start
            && let Some(oldest) = jetstream.bounds().oldest_time_us
            && Micros::from(time) < oldest
        {
            self.metrics.cursors_clamped.increment(1);
        }
        Ok(reader)
    }

    /// Sends events and everything else until nothing is left. Then the subscriber is at the end of
    /// the log.
    async fn catch_up<W: Socket>(
        &mut self,
        outbound: &mut Outbound<W>,
        reader: &mut Reader,
        place: &Place<W>,
    ) -> Result<(), End> {
        let mut selection = Selection::default();
        loop {
            if std::mem::take(&mut self.has_let_go) {
                let jetstream = self.inbound.jetstream.clone();
                *reader = reopen(&jetstream, outbound.next_seq()).await?;
                self.flush(outbound).await?;
            }
            if outbound.is_complete() {
                return Err(self.complete(outbound).await?);
            }
            reader.skip_to(outbound.next_seq());
            self.update(outbound);
            let is_at_tip = reader.is_at_tip();
            self.inbound.is_caught_up = !place.shard().has_announced(outbound.next_seq());
            if is_at_tip && std::mem::take(&mut self.announces_tip) {
                outbound.push_notice(Notice::CaughtUp)?;
            }
            if is_at_tip || outbound.is_full() || self.inbound.wants_something() {
                self.flush(outbound).await?;
            }
            // The flush may have brought new events or messages within reach.
            if !reader.is_at_tip() || place.shard().has_ended() {
                match self.inbound.attend(reader.next()).await? {
                    None => {}
                    Some(None) => return Err(End::ShuttingDown),
                    Some(Some(read)) => match read.map_err(End::Read)? {
                        Reading::Events(run) => {
                            reader.read_ahead(outbound.loader());
                            self.send(outbound, &run, &mut selection).await?;
                        }
                        Reading::Gap(gap) => self.come_to(outbound, &gap)?,
                        _ => {}
                    },
                }
            } else if !self.inbound.wants_something() {
                return Ok(());
            }
        }
    }

    /// Sends the events of a run that the subscriber wants, from its position on, in as few writes
    /// as the buffer allows. The last are left in the buffer.
    async fn send<W: Socket>(
        &mut self,
        outbound: &mut Outbound<W>,
        run: &Run,
        selection: &mut Selection,
    ) -> Result<(), End> {
        let mut passage = Passage::new(run, selection);
        loop {
            // There may be new settings whenever something was waited for.
            self.update(outbound);
            if outbound.is_complete() {
                return Ok(());
            }
            let until = self.inbound.update_from();
            match outbound.advance(&mut passage, until, &self.metrics)? {
                Wait::Run => return Ok(()),
                Wait::Settings => {}
                Wait::Events => {
                    let (wanted, batches) = (passage.selection.rest(), passage.may_load_batches);
                    let load = outbound.load(run.block(), wanted, batches);
                    match self.inbound.attend(load).await? {
                        Some(Ok(pages)) => passage.pages = Some(pages),
                        Some(Err(RecodeError::Read(error))) => {
                            // Damaged events are left out, and the subscriber is told.
                            let gap = error.into_gap(outbound.next_seq()).map_err(End::Read)?;
                            self.come_to(outbound, &gap)?;
                            outbound.pass(run, Seq::MAX);
                            return Ok(());
                        }
                        Some(Err(error)) => return Err(error.into()),
                        None => self.flush(outbound).await?,
                    }
                }
                Wait::Allowance(from) => self.pace(outbound, from).await?,
                Wait::Turn => match turn(&mut self.inbound).await? {
                    Some(turn) => passage.turn = Some(turn),
                    None => self.flush(outbound).await?,
                },
                Wait::Others => {
                    self.inbound.wrote();
                    // The runtime looks at its timers and sockets, too.
                    yield_now().await;
                }
                Wait::Socket => {
                    if !self.flush_soon(outbound).await? {
                        self.has_let_go = true;
                        return Ok(());
                    }
                    yield_now().await;
                }
            }
        }
    }

    /// Waits for the socket to take the rest, and returns whether it did so soon. Otherwise events
    /// would stay in memory for a subscriber that does not want them.
    async fn flush_soon<W: Socket>(&mut self, outbound: &mut Outbound<W>) -> Result<bool, End> {
        let Ok(_hold) = HOLDS.try_acquire() else {
            return Ok(false);
        };
        match timeout(HOLD, self.flush(outbound)).await {
            Ok(flushed) => flushed.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Continues behind a gap, and tells the subscriber if it asked for that.
    ///
    /// In version 2 who is too slow is told so, and may fetch what is missing from elsewhere.
    fn come_to<W>(&self, outbound: &mut Outbound<W>, gap: &Gap) -> Result<(), End> {
        if self.needs_all && gap.cause == GapCause::Trimmed {
            let next_seq = gap.next_seq;
            return Err(End::FellBehind { next_seq });
        }
        if self.announces_gaps {
            outbound.push_notice(Notice::Gap(gap))?;
        }
        outbound.skip_to(gap.next_seq);
        Ok(())
    }

    /// Sends the rest of a subscription that ends by itself, and waits until the client has taken it.
    async fn complete<W: Socket>(&mut self, outbound: &mut Outbound<W>) -> Result<End, End> {
        let end = End::Complete;
        outbound.push_end(&end)?;
        self.flush(outbound).await?;
        loop {
            // The last bytes have their time as well.
            self.inbound.expect_write();
            match self.inbound.attend(outbound.shut()).await? {
                Some(shut) => return shut.map(|()| end).map_err(End::Io),
                None => drop(self.inbound.take_wanted()),
            }
        }
    }

    /// Waits until the subscriber's address may have more events.
    async fn pace<W: Socket>(
        &mut self,
        outbound: &mut Outbound<W>,
        from: Instant,
    ) -> Result<(), End> {
        while from > Instant::now() {
            self.flush(outbound).await?;
            self.inbound.attend(sleep_until(from)).await?;
        }
        Ok(())
    }

    /// Writes the rest of the output, and all that is wanted besides events. There may be new
    /// settings afterwards.
    async fn flush<W: Socket>(&mut self, outbound: &mut Outbound<W>) -> Result<(), End> {
        loop {
            if !outbound.write_now(&self.metrics)? {
                // Nothing else is sent before the socket has taken this, but what the subscriber
                // sends is still read, and the timeouts hold.
                self.inbound.expect_write();
                if let Some(outcome) = self.inbound.attend(outbound.write_some()).await? {
                    outcome?;
                    self.inbound.wrote();
                }
                continue;
            }
            self.inbound.wrote();
            self.update(outbound);
            let wanted = self.inbound.take_wanted();
            if let Some(payload) = &wanted.pong {
                outbound.push_control(Opcode::Pong, payload);
            }
            if wanted.ping && outbound.push_ping() {
                self.inbound.pinged();
            }
            if wanted.progress {
                outbound.push_notice(Notice::Progress)?;
            }
            if outbound.is_empty() {
                return Ok(());
            }
        }
    }

    /// Lets new settings hold, if they do where the subscriber is.
    fn update<W>(&mut self, outbound: &mut Outbound<W>) {
        if let Some(settings) = self.inbound.take_update(outbound.next_seq()) {
            outbound.set_settings(settings);
        }
    }

    /// Waits until there is something that the shard cannot do.
    async fn leave_to_shard<W: Socket>(&mut self, place: &Place<W>) -> Result<(), End> {
        self.inbound.is_caught_up = true;
        loop {
            let woken = self.inbound.attend(place.seat().woken()).await?;
            if woken.is_some() || self.inbound.wants_something() {
                return Ok(());
            }
        }
    }
}

/// A reader that has read nothing yet, for what comes from a position on.
async fn reopen(jetstream: &Jetstream, next_seq: Seq) -> Result<Reader, End> {
    let cursor = Cursor::before(next_seq);
    let reader = jetstream.reader(StartFrom::Cursor(cursor)).await;
    reader.map_err(End::Read)
}

/// The subscribers that may keep events in memory while they wait for their sockets, and for how
/// long. For others, events are read again.
static HOLDS: Semaphore = Semaphore::const_new(64);
const HOLD: Duration = Duration::from_secs(1);
