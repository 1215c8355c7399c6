use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jetwash::{Jetstream, Seq};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tracing::debug;

use crate::form::format::Shape;
use crate::form::framing::Framing;
use crate::memory::{Account, NOTEWORTHY, OverBudget, Purpose};
use crate::metrics::Metrics;
use crate::options::ServeOptions;
use crate::subscriber::allowance::Allowance;
use crate::subscriber::end::End;
use crate::subscriber::query::Query;
use crate::subscriber::settings::Settings;
use crate::subscriber::update::UpdateError;
use crate::subscriber::updates::Updates;
use crate::websocket::{Incoming, IncomingError, Message};

/// One subscriber's way in, and everything that may happen while its task waits: messages, pings
/// that are due, timeouts, the end of the server.
pub(crate) struct Inbound<R> {
    socket: R,
    incoming: Incoming,
    /// Whether messages from the subscriber mean anything, which they do not in version 2 and from
    /// mirrors.
    takes_messages: bool,
    /// The bytes that came with the handshake, until they have been acted on.
    early: usize,
    options: Arc<ServeOptions>,
    pub(crate) jetstream: Jetstream,
    metrics: Arc<Metrics>,
    account: Arc<Account>,
    /// The bytes of messages that the account knows of.
    held: usize,
    allowance: Allowance,
    /// The time until which nothing is read, if too much has come.
    paused: Option<Instant>,
    updates: Arc<Updates>,
    /// The message that is being parsed elsewhere. Later messages wait for it.
    reading: Option<Reading>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// One timer for everything that may be due, because setting a timer costs more than finding
    /// out which time it was.
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    ping_interval: Duration,
    ping_due: Instant,
    /// The time by which something must come from the subscriber, if a ping is unanswered.
    pong_due: Option<Instant>,
    /// The time by which the socket must take something, if it is full.
    write_due: Option<Instant>,
    /// The interval and the next time of progress notices, if they are wanted.
    progress: Option<(Duration, Instant)>,
    /// Messages to be sent before the next event.
    pub(crate) wanted: Wanted,
    /// The memory of the settings that hold now.
    filter: usize,
    /// New settings, and the position from which on they hold.
    update: Option<(Seq, Arc<Settings>)>,
    /// Whether the subscriber has got all events that were announced. Then new settings hold for
    /// events that are committed from now on, otherwise from the subscriber's position.
    pub(crate) is_caught_up: bool,
    /// Whether the work is looked at first next time.
    is_works_turn: bool,
}

/// A message that is being parsed elsewhere, and its length.
struct Reading {
    length: usize,
    outcome: Pin<Box<dyn Future<Output = Result<Option<Settings>, UpdateError>> + Send>>,
}

/// The part of what a subscriber asked for that its way in has to know.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// Whether messages from it mean anything.
    pub(crate) takes_messages: bool,
    /// How often progress notices are wanted, if at all.
    pub(crate) progress: Option<Duration>,
    /// The memory of its filter.
    pub(crate) filter: usize,
    /// The longest time between two signs of life, if the options do not set a shorter one.
    pub(crate) heartbeat: Option<Duration>,
}

impl Terms {
    pub(crate) fn of(query: &Query) -> Self {
        Self {
            takes_messages: query.format.shape != Shape::V2,
            progress: query.progress,
            filter: query.settings.bytes,
            heartbeat: (query.framing == Framing::EventStream).then_some(HEARTBEAT),
        }
    }
}

/// The things that all subscribers share.
pub(crate) struct Common {
    pub(crate) jetstream: Jetstream,
    pub(crate) options: Arc<ServeOptions>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) updates: Arc<Updates>,
}

/// Messages for the subscriber that are not events.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The answer to its newest ping. Earlier ones need none.
    pub(crate) pong: Option<Vec<u8>>,
    pub(crate) ping: bool,
    pub(crate) progress: bool,
}

/// The first thing to happen while a task waits.
enum Happening<T> {
    Work(T),
    Closing,
    Received(io::Result<usize>),
    Read(Result<Option<Settings>, UpdateError>),
    Due,
}

impl<R: AsyncRead + Unpin> Inbound<R> {
    pub(crate) fn new(
        socket: R,
        early: &[u8],
        terms: Terms,
        common: Common,
        account: Arc<Account>,
        allowance: Allowance,
    ) -> Self {
        let Common {
            jetstream,
            options,
            metrics,
            updates,
        } = common;
        let closing = account.ending().clone();
        let Terms {
            takes_messages,
            progress,
            filter,
            heartbeat,
        } = terms;
        // Where there are to be no messages, nothing of one is kept.
        let most = if takes_messages {
            options.max_message_bytes
        } else {
            0
        };
        let mut incoming = Incoming::new(most);
        incoming.buffer().extend_from_slice(early);
        let now = Instant::now();
        let ping_interval = heartbeat.map_or(options.ping_interval, |most| {
            most.min(options.ping_interval)
        });
        let ping_due = now + ping_interval;
        // Bytes that came with the handshake are acted on by the first `attend`.
        Self {
            socket,
            incoming,
            takes_messages,
            early: early.len(),
            options,
            jetstream,
            metrics,
            account,
            held: 0,
            allowance,
            paused: None,
            updates,
            reading: None,
            closing: Box::pin(closing.cancelled_owned()),
            timer: Box::pin(sleep_until(ping_due)),
            armed: Some(ping_due),
            ping_interval,
            ping_due,
            pong_due: None,
            write_due: None,
            progress: progress.map(|every| (every, now + every)),
            wanted: Wanted::default(),
            filter,
            update: None,
            is_caught_up: false,
            is_works_turn: false,
        }
    }

    /// Waits for `work`, and meanwhile takes in what the subscriber sends and notices what is due.
    ///
    /// `None` if there was any such thing before the work was done: the caller looks whether
    /// something is [wanted](Self::wanted), and then calls again.
    pub(crate) async fn attend<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<Option<T>, End> {
        let early = std::mem::take(&mut self.early);
        if early > 0 {
            self.hear(early)?;
            return Ok(None);
        }
        self.arm();
        let mut work = pin!(work);
        // In turn, so that neither holds up the other however much there is of it.
        let is_works_turn = std::mem::take(&mut self.is_works_turn);
        let is_open = self.paused.is_none() && self.reading.is_none();
        let mut receiving = pin!(self.socket.read_buf(self.incoming.buffer()));
        let happening = poll_fn(|context| {
            if is_works_turn && let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Happening::Work(done));
            }
            if self.closing.as_mut().poll(context).is_ready() {
                return Poll::Ready(Happening::Closing);
            }
            if is_open && let Poll::Ready(received) = receiving.as_mut().poll(context) {
                return Poll::Ready(Happening::Received(received));
            }
            if let Some(reading) = &mut self.reading
                && let Poll::Ready(read) = reading.outcome.as_mut().poll(context)
            {
                return Poll::Ready(Happening::Read(read));
            }
            if self.timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(Happening::Due);
            }
            work.as_mut().poll(context).map(Happening::Work)
        })
        .await;
        self.is_works_turn = !matches!(happening, Happening::Work(_));
        match happening {
            Happening::Work(done) => return Ok(Some(done)),
            Happening::Closing => return Err(self.closed()),
            Happening::Received(Ok(0)) => return Err(End::Disconnected),
            Happening::Received(Ok(bytes)) => {
                self.pong_due = None;
                self.hear(bytes)?;
            }
            Happening::Read(read) => {
                self.reading = None;
                self.change(read)?;
                // What came with it, and after it.
                self.hear(0)?;
            }
            Happening::Received(Err(error)) => return Err(End::Io(error)),
            Happening::Due => self.meet()?,
        }
        Ok(None)
    }

    /// Whether the subscriber's way out is needed for something.
    pub(crate) const fn wants_something(&self) -> bool {
        let Wanted {
            pong,
            ping,
            progress,
        } = &self.wanted;
        pong.is_some() || *ping || *progress || self.update.is_some()
    }

    /// Takes the messages to be sent now. A pong is held back until the settings that came before
    /// its ping hold, so that a subscriber can find out with a ping whether they do.
    pub(crate) fn take_wanted(&mut self) -> Wanted {
        let Wanted {
            pong,
            ping,
            progress,
        } = &mut self.wanted;
        Wanted {
            pong: pong.take_if(|_| self.update.is_none()),
            ping: std::mem::take(ping),
            progress: std::mem::take(progress),
        }
    }

    /// The position from which on new settings hold; [`Seq::MAX`] without new settings.
    pub(crate) fn update_from(&self) -> Seq {
        self.update.as_ref().map_or(Seq::MAX, |(from, _)| *from)
    }

    /// The new settings, if they hold at a position.
    pub(crate) fn take_update(&mut self, next_seq: Seq) -> Option<Arc<Settings>> {
        let (_, settings) = self.update.take_if(|(from, _)| *from <= next_seq)?;
        self.filter = settings.bytes;
        // If it was too much before, that is known already.
        let _ = self.account.set(Purpose::Filter, self.filter);
        Some(settings)
    }

    /// The socket has to take something from now on; earlier calls count until it does.
    pub(crate) fn expect_write(&mut self) {
        let due = Instant::now() + self.options.write_timeout;
        self.write_due.get_or_insert(due);
    }

    pub(crate) const fn wrote(&mut self) {
        self.write_due = None;
    }

    /// A ping is on its way. Of several without an answer, the first counts.
    pub(crate) fn pinged(&mut self) {
        let due = Instant::now() + self.options.pong_timeout;
        self.pong_due.get_or_insert(due);
    }

    /// Drops messages and settings that no longer matter.
    pub(crate) fn forget(&mut self) {
        self.incoming.clear();
        (self.reading, self.update) = (None, None);
    }

    /// Discards what still comes, until the subscriber has closed its side too.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        while self.socket.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    }

    /// Acts on the messages that have arrived, with `bytes` of them just now.
    fn hear(&mut self, bytes: usize) -> Result<(), End> {
        let mut messages = 0;
        // In order: a message after an update that is still being parsed waits, because it may be a
        // ping that asks whether the update holds.
        while self.reading.is_none()
            && let Some(message) = self.next_message()?
        {
            messages += 1;
            match message {
                Message::Binary | Message::Text(_) if !self.takes_messages => {
                    return Err(End::Message);
                }
                Message::Close(code) => return Err(End::ClosedByClient(code)),
                Message::Ping(payload) => self.wanted.pong = Some(payload),
                Message::Pong | Message::Binary => {}
                Message::Text(text) => match self.updates.read_now(&text) {
                    Some(read) => self.change(read)?,
                    None => {
                        self.reading = Some(Reading {
                            length: text.len(),
                            outcome: Box::pin(Arc::clone(&self.updates).read(text)),
                        });
                    }
                },
            }
        }
        self.account_for_messages()?;
        let now = Instant::now();
        let wait = self.allowance.take(bytes, messages, now.into_std());
        if !wait.is_zero() {
            self.metrics.slowed.increment(1);
            self.paused = now.checked_add(wait);
        }
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<Message>, End> {
        self.incoming.next().map_err(|error| match error {
            IncomingError::TooBig { .. } if !self.takes_messages => End::Message,
            error => End::Incoming(error),
        })
    }

    /// Tells the account about unfinished messages of a noteworthy size.
    fn account_for_messages(&mut self) -> Result<(), End> {
        let reading = self.reading.as_ref();
        let mut held = self.incoming.held() + reading.map_or(0, |reading| reading.length);
        if held < NOTEWORTHY {
            held = 0;
        }
        if held.abs_diff(self.held) >= NOTEWORTHY {
            self.held = held;
            let noted = self.account.set(Purpose::Incoming, held);
            noted.map_err(End::Memory)?;
        }
        Ok(())
    }

    /// Takes new settings, if a message had any.
    fn change(&mut self, read: Result<Option<Settings>, UpdateError>) -> Result<(), End> {
        let settings = match read {
            Ok(Some(settings)) => settings,
            Ok(None) => {
                debug!("a message of an unknown type was ignored");
                return Ok(());
            }
            Err(error) => return Err(End::Update(error.to_string())),
        };
        // The settings that hold now may do so for a while, so both count.
        let bytes = self.filter + settings.bytes;
        let noted = self.account.set(Purpose::Filter, bytes);
        noted.map_err(End::Memory)?;
        let from = match self.update.take() {
            // The earlier update has not come to hold, and now never will.
            Some((from, _)) => from,
            None if self.is_caught_up => self.jetstream.bounds().next_seq,
            None => Seq::default(),
        };
        self.update = Some((from, Arc::new(settings)));
        Ok(())
    }

    /// Why the subscriber's task has been told to end.
    fn closed(&self) -> End {
        if self.account.is_over_budget() {
            End::Memory(OverBudget)
        } else {
            End::ShuttingDown
        }
    }

    /// Acts on everything that is due by now.
    fn meet(&mut self) -> Result<(), End> {
        self.armed = None;
        let now = Instant::now();
        let is_due = |due: &Instant| *due <= now;
        self.paused.take_if(|until| is_due(until));
        if self.pong_due.as_ref().is_some_and(is_due) {
            if self.paused.is_none() && self.reading.is_none() {
                return Err(End::PongTimeout);
            }
            // It may have answered: that has not been read yet.
            self.pong_due = Some(now + self.options.pong_timeout);
        }
        if self.write_due.as_ref().is_some_and(is_due) {
            return Err(End::WriteTimeout);
        }
        if is_due(&self.ping_due) {
            self.wanted.ping = true;
            self.ping_due = now + self.ping_interval;
        }
        if let Some((every, due)) = &mut self.progress
            && *due <= now
        {
            self.wanted.progress = true;
            *due = now + *every;
        }
        Ok(())
    }

    /// Sets the timer to what is due first, if it would not wake before that anyway.
    fn arm(&mut self) {
        let progress = self.progress.map(|(_, due)| due);
        let next = [self.pong_due, self.write_due, progress, self.paused]
            .into_iter()
            .flatten()
            .fold(self.ping_due, Instant::min);
        if self.armed.is_none_or(|armed| next < armed) {
            self.timer.as_mut().reset(next);
            self.armed = Some(next);
        }
    }
}

/// Proxies close connections that are silent for half a minute or longer.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
