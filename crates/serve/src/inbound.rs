use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use jetwash::Jetstream;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::debug;

use crate::end::End;
use crate::options::ServeOptions;
use crate::settings::Settings;
use crate::update::parse_update;
use crate::websocket::{Incoming, Message};

/// One subscriber's way in, and all else that may happen while its task waits for something: a
/// ping may be due, a timeout may be over, the server may shut down.
pub(crate) struct Inbound<R> {
    socket: R,
    incoming: Incoming,
    options: Arc<ServeOptions>,
    jetstream: Jetstream,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// One timer for all that may be due, because to set one costs more than to look which it was.
    timer: Pin<Box<Sleep>>,
    armed: Option<Instant>,
    ping_due: Instant,
    /// When the subscriber has to have been heard from, if it was pinged since it last was.
    pong_due: Option<Instant>,
    /// When the socket has to have taken something, if it is waited for.
    write_due: Option<Instant>,
    /// If it was asked for, with its interval.
    progress: Option<(Duration, Instant)>,
    /// What is to be sent before the next event.
    pub(crate) wanted: Wanted,
    /// New settings, and the position from which on they hold.
    update: Option<(u64, Arc<Settings>)>,
    /// Whether the subscriber has got all that was announced, so that new settings hold for what
    /// is committed from now on. Else they hold from the subscriber's position.
    pub(crate) is_caught_up: bool,
    is_works_turn: bool,
}

/// What a subscriber is to be sent that is no event.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The answer to its newest ping. Earlier ones need none.
    pub(crate) pong: Option<Vec<u8>>,
    pub(crate) ping: bool,
    pub(crate) progress: bool,
}

enum Happening<T> {
    Work(T),
    Closing,
    Received(io::Result<usize>),
    Due,
}

impl<R: AsyncRead + Unpin> Inbound<R> {
    pub(crate) fn new(
        socket: R,
        jetstream: Jetstream,
        progress: Option<Duration>,
        options: Arc<ServeOptions>,
        closing: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let ping_due = now + options.ping_interval;
        Self {
            socket,
            incoming: Incoming::new(options.max_message_bytes),
            options,
            jetstream,
            closing: Box::pin(closing.cancelled_owned()),
            timer: Box::pin(sleep_until(ping_due)),
            armed: Some(ping_due),
            ping_due,
            pong_due: None,
            write_due: None,
            progress: progress.map(|every| (every, now + every)),
            wanted: Wanted::default(),
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
        self.arm();
        let mut work = pin!(work);
        // In turn, so that neither holds up the other however much there is of it.
        let is_works_turn = std::mem::take(&mut self.is_works_turn);
        let mut reading = pin!(self.socket.read_buf(self.incoming.buffer()));
        let happening = poll_fn(|context| {
            if is_works_turn && let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Happening::Work(done));
            }
            if self.closing.as_mut().poll(context).is_ready() {
                return Poll::Ready(Happening::Closing);
            }
            if let Poll::Ready(received) = reading.as_mut().poll(context) {
                return Poll::Ready(Happening::Received(received));
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
            Happening::Closing => return Err(End::ShuttingDown),
            Happening::Received(Ok(0)) => return Err(End::Disconnected),
            Happening::Received(Ok(_)) => {
                self.pong_due = None;
                self.hear()?;
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

    /// What is to be sent now. A pong is held back until the settings that came before its ping
    /// hold, so that a ping tells a subscriber whether they do.
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

    /// From which position on there are new settings; the last position of all if there are none.
    pub(crate) fn update_from(&self) -> u64 {
        self.update.as_ref().map_or(u64::MAX, |(from, _)| *from)
    }

    /// The new settings, if they hold at a position.
    pub(crate) fn take_update(&mut self, position: u64) -> Option<Arc<Settings>> {
        let (_, settings) = self.update.take_if(|(from, _)| *from <= position)?;
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

    /// Takes whatever still comes, until the subscriber has closed its side too.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        while self.socket.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    }

    /// Acts on the messages that have come in.
    fn hear(&mut self) -> Result<(), End> {
        while let Some(message) = self.incoming.next().map_err(End::Incoming)? {
            match message {
                Message::Close(code) => return Err(End::ClosedByClient(code)),
                Message::Ping(payload) => self.wanted.pong = Some(payload),
                Message::Pong | Message::Binary => {}
                Message::Text(text) => match parse_update(&text, &self.options) {
                    Ok(Some(settings)) => self.change(settings),
                    Ok(None) => debug!("a message of an unknown type was ignored"),
                    Err(error) => return Err(End::Update(error.to_string())),
                },
            }
        }
        Ok(())
    }

    fn change(&mut self, settings: Settings) {
        let from = match self.update.take() {
            // They have not come to hold, and now never will.
            Some((from, _)) => from,
            None if self.is_caught_up => self.jetstream.bounds().next_seq,
            None => 0,
        };
        self.update = Some((from, Arc::new(settings)));
    }

    /// Sees what is due by now.
    fn meet(&mut self) -> Result<(), End> {
        self.armed = None;
        let now = Instant::now();
        let is_due = |due: &Instant| *due <= now;
        if self.pong_due.as_ref().is_some_and(is_due) {
            return Err(End::PongTimeout);
        }
        if self.write_due.as_ref().is_some_and(is_due) {
            return Err(End::WriteTimeout);
        }
        if is_due(&self.ping_due) {
            self.wanted.ping = true;
            self.ping_due = now + self.options.ping_interval;
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
        let next = [self.pong_due, self.write_due, progress]
            .into_iter()
            .flatten()
            .fold(self.ping_due, Instant::min);
        if self.armed.is_none_or(|armed| next < armed) {
            self.timer.as_mut().reset(next);
            self.armed = Some(next);
        }
    }
}
