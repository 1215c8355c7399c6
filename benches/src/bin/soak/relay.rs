use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jetwash_benches::add_header;
use jetwash_sim::{Network, ScriptError, ScriptedConnection, ScriptedRelay};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::arguments::Arguments;
use crate::maker::{Maker, Sent};
use crate::message::Message;
use crate::random::Random;
use crate::shared::{Phase, Shared};

/// The relay of the simulated network, on a thread of its own, with all that relays do wrong.
pub(crate) struct Relay {
    maker: Maker,
    shared: Arc<Shared>,
    random: Random,
    /// Frames a second.
    rate: f64,
    start: Instant,
    /// How many frames have been made, or are not to be made any more.
    made: f64,
    /// The server process that connected last.
    generation: u64,
}

/// The address of the relay, its thread, and the end of it.
pub(crate) type Started = (String, JoinHandle<()>);

impl Relay {
    /// Starts the thread. It ends after the phase is [`Phase::Over`].
    pub(crate) fn start(
        shared: Arc<Shared>,
        options: &Arguments,
        network: Network,
    ) -> Result<Started, Box<dyn Error>> {
        let mut relay = Self {
            maker: Maker::new(Arc::clone(&shared), network, Random::new(options.seed, 2)),
            shared,
            random: Random::new(options.seed, 3),
            rate: f64::from(options.rate),
            start: Instant::now(),
            made: 0.0,
            generation: 0,
        };
        let (told, url) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new()
            .name("relay".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    match ScriptedRelay::start().await {
                        Ok(listener) => {
                            let _ = told.send(listener.url());
                            relay.run(listener).await;
                        }
                        Err(error) => eprintln!("the relay does not listen: {error}"),
                    }
                });
            })?;
        Ok((url.blocking_recv()?, thread))
    }

    async fn run(&mut self, mut listener: ScriptedRelay) {
        while self.shared.phase() != Phase::Over {
            if self.shared.is_purging.load(Ordering::Acquire) {
                // The process is gone, so all of its connections are there.
                while timeout(PURGE, listener.accept()).await.is_ok() {}
                self.shared.is_purging.store(false, Ordering::Release);
                continue;
            }
            let is_running = self.shared.phase() == Phase::Running;
            match self.random.below(40) {
                0 if is_running => self.refuse(&mut listener).await,
                _ => {
                    // A client that goes at once comes again.
                    if let Ok(Ok(connection)) = timeout(ACCEPT, listener.accept()).await {
                        let _ = self.serve(connection).await;
                    }
                }
            }
        }
    }

    async fn refuse(&self, listener: &mut ScriptedRelay) {
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
        if timeout(ACCEPT, listener.answer(answer)).await.is_ok() {
            self.shared.tally.relay("answered 503");
        }
    }

    async fn serve(&mut self, mut connection: ScriptedConnection) -> Result<(), ScriptError> {
        let generation = self.shared.generation();
        let is_fresh = generation != self.generation;
        self.generation = generation;
        let Some(mut next) = self.maker.find(connection.cursor(), is_fresh) else {
            connection
                .fail("FutureCursor", "Cursor in the future.")
                .await?;
            return close(connection, 1008).await;
        };
        if is_fresh {
            self.maker.begins();
            if self.may_lose() && connection.cursor().is_some_and(|cursor| cursor > 0) {
                match self.random.below(10) {
                    0 | 1 => {
                        self.maker.lose(next);
                        connection
                            .inform("OutdatedCursor", "Possibly missing events")
                            .await?;
                        self.shared.tally.relay("outdated cursor");
                    }
                    2 if self.maker.count_anew(next) => {
                        self.shared.tally.relay("counted anew");
                        connection
                            .fail("FutureCursor", "Cursor in the future.")
                            .await?;
                        return close(connection, 1008).await;
                    }
                    _ => {}
                }
            }
        }
        if self.random.percent(15) {
            next -= self.random.below(20).min(self.maker.kept_before(next));
            self.shared.tally.relay("sent from before the cursor");
        }
        loop {
            next = self.catch_up(&mut connection, next).await?;
            if !self.is_wanted(generation) {
                return Ok(());
            }
            if self.shared.phase() != Phase::Running {
                sleep(TICK * 4).await;
                continue;
            }
            let due = ((self.start.elapsed().as_secs_f64() * self.rate) - self.made).max(0.0);
            // What was due while nobody was there comes at once, but no more than this.
            if due > self.rate * LONGEST_BACKLOG {
                self.made += due - self.rate * LONGEST_BACKLOG;
            }
            let count = due.min(BATCH);
            self.made += count.floor();
            let messages = self.maker.make(count as usize);
            next = self.maker.end();
            send(&mut connection, messages).await?;
            if self.shared.may_cut() && self.random.in_a_million(CUTS) {
                return self.cut(connection).await;
            }
            if self.random.in_a_million(SLOW) {
                next = self.slow(&mut connection).await?;
            }
            if self.random.in_a_million(SILENCES) {
                self.shared.tally.relay("silent for a while");
                connection.stay_silent(Duration::from_millis(1_500)).await?;
            }
            if due < BATCH {
                sleep(TICK).await;
            }
        }
    }

    fn may_lose(&self) -> bool {
        self.shared.may_cut() && self.shared.phase() == Phase::Running
    }

    /// Whether the server that the connection came from is still there.
    fn is_wanted(&self, generation: u64) -> bool {
        self.shared.generation() == generation
            && !self.shared.is_purging.load(Ordering::Acquire)
            && self.shared.phase() != Phase::Over
    }

    /// Sends what was sent before, from this index on.
    async fn catch_up(
        &self,
        connection: &mut ScriptedConnection,
        mut next: usize,
    ) -> Result<usize, ScriptError> {
        loop {
            let messages = self.maker.sent(next, 64);
            if messages.is_empty() {
                return Ok(next);
            }
            next += messages.len();
            send(connection, messages.into()).await?;
        }
    }

    /// Ends a connection in one of the ways in which connections end.
    async fn cut(&mut self, mut connection: ScriptedConnection) -> Result<(), ScriptError> {
        match self.random.below(4) {
            0 => {
                self.shared.tally.relay("broke off");
                connection.disconnect();
            }
            1 => {
                self.shared.tally.relay("closed");
                return close(connection, 1001).await;
            }
            2 => {
                self.shared.tally.relay("called the server too slow");
                connection
                    .fail("ConsumerTooSlow", "You are too slow")
                    .await?;
                return close(connection, 1008).await;
            }
            _ => {
                self.shared.tally.relay("broke off in a frame");
                let Some(Sent { bytes, .. }) = self.maker.make_one() else {
                    return Ok(());
                };
                let message = websocket(&bytes);
                connection.send_raw(&message[..message.len() / 2]).await?;
                connection.disconnect();
            }
        }
        Ok(())
    }

    /// Sends one frame in small pieces over a second.
    async fn slow(&mut self, connection: &mut ScriptedConnection) -> Result<usize, ScriptError> {
        if let Some(Sent { bytes, .. }) = self.maker.make_one() {
            self.shared.tally.relay("sent a frame slowly");
            let message = websocket(&bytes);
            for piece in message.chunks(message.len().div_ceil(20)) {
                connection.send_raw(piece).await?;
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(self.maker.end())
    }
}

/// Closes a connection, and does not wait long for the other end.
async fn close(connection: ScriptedConnection, code: u16) -> Result<(), ScriptError> {
    timeout(ACCEPT, connection.close(code, ""))
        .await
        .unwrap_or(Ok(()))
}

async fn send(
    connection: &mut ScriptedConnection,
    messages: VecDeque<Message>,
) -> Result<(), ScriptError> {
    let sending = async {
        let mut frames = Vec::new();
        for message in messages {
            match message {
                Message::Frame(bytes) => frames.push(bytes),
                Message::Text => {
                    connection.send(std::mem::take(&mut frames)).await?;
                    connection.send_text("{\"hello\":\"there\"}").await?;
                }
            }
        }
        connection.send(frames).await
    };
    timeout(STALLED, sending)
        .await
        .unwrap_or(Err(ScriptError::Gone))
}

/// A frame as it goes over the socket.
fn websocket(frame: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(frame.len() + 10);
    add_header(frame.len(), &mut message);
    message.extend_from_slice(frame);
    message
}

const PURGE: Duration = Duration::from_millis(100);
const ACCEPT: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(5);
/// A server that takes nothing for so long counts as gone.
const STALLED: Duration = Duration::from_secs(60);
/// The most frames that are made at once.
const BATCH: f64 = 128.0;
/// In seconds.
const LONGEST_BACKLOG: f64 = 10.0;
/// How often in a million ticks; there are some 150 a second.
const CUTS: u64 = 400;
const SLOW: u64 = 600;
const SILENCES: u64 = 200;
