use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jetwash_event::Tid;
use jetwash_frame::{Frame, FrameKind, peek};
use jetwash_websocket::{Backoff, Incoming, Skipped, Socket, SocketError};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tracing::{info, warn};

use super::dial::{Dialer, FIRST_WAIT};
use super::error::{RelayError, check_error_frame};
use super::liveness::Liveness;
use super::outbox::Outbox;
use super::pulse::Pulse;
use super::state::Watch;
use super::steps::Steps;
use super::{Endpoint, Prepared};
use crate::clock::Clock;
use crate::ingest::{Content, Intake, Stopped};
use crate::noise::Noise;
use crate::stats::Stats;

/// A connection to a relay that is made again whenever it ends.
pub(crate) struct Relay {
    endpoint: Endpoint,
    source: Arc<str>,
    outbox: Outbox,
    stats: Arc<Stats>,
    watch: Arc<Watch>,
    clock: Clock,
    options: Arc<Prepared>,
    dialer: Dialer,
    steps: Steps,
    pulse: Pulse,
    noise: Noise,
    begun: Instant,
    /// Messages that were skipped since the last frame.
    skipped: Option<SkippedAt>,
    /// The cursor that the relay said is ahead of it: it is not asked for again.
    refused: Option<u64>,
    connections: u64,
    /// How many new frames the connection has brought.
    events: u64,
    /// When the lag was last looked at.
    looked: Option<Instant>,
    is_live: bool,
}

/// Where messages were skipped.
#[derive(Clone, Copy)]
struct SkippedAt {
    /// The number of the frame before them.
    after: Option<u64>,
    connection: u64,
}

/// The end of a connection, or of all.
enum End {
    Stopped,
    Relay(RelayError),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<SocketError> for End {
    fn from(error: SocketError) -> Self {
        Self::Relay(error.into())
    }
}

impl From<RelayError> for End {
    fn from(error: RelayError) -> Self {
        Self::Relay(error)
    }
}

impl Relay {
    pub(crate) fn new(
        endpoint: Endpoint,
        intake: Intake,
        stats: Arc<Stats>,
        watch: Arc<Watch>,
        clock: Clock,
        options: Arc<Prepared>,
    ) -> Self {
        let now = Instant::now();
        let source: Arc<str> = endpoint.to_string().into();
        Self {
            outbox: Outbox::new(Arc::clone(&source), intake),
            source,
            endpoint,
            stats,
            watch,
            clock,
            dialer: Dialer::new(Arc::clone(&options)),
            options,
            steps: Steps::default(),
            pulse: Pulse::new(now),
            noise: Noise::default(),
            begun: now,
            skipped: None,
            refused: None,
            connections: 0,
            events: 0,
            looked: None,
            is_live: true,
        }
    }

    /// Has silence mean nothing: a labeler may have said much, and then nothing for days.
    pub(crate) const fn of_labeler(mut self) -> Self {
        self.is_live = false;
        self
    }

    /// Feeds the pipeline until it stops. Every other end of a connection leads to the next one,
    /// from the cursor that `cursor` returns by then.
    pub(crate) async fn run(mut self, cursor: impl Fn(&str) -> Option<u64>) {
        let mut backoff = Backoff::new(FIRST_WAIT);
        loop {
            let stored = cursor(&self.source);
            // Asking again for a cursor that the relay refused would end in the same refusal.
            let from = stored.filter(|_| stored != self.refused);
            let asked = self.steps.ask(from);
            self.events = 0;
            let error = match self.connection(asked).await {
                Ok(never) => match never {},
                Err(End::Stopped) => return,
                Err(End::Relay(error)) => error,
            };
            self.stats.reconnect(error.reason());
            if matches!(error, RelayError::FutureCursor { .. })
                && self.refuse(stored, asked).await.is_err()
            {
                return;
            }
            let has_advanced = self.steps.has_advanced();
            self.steps.ended(error.patience());
            // A connection that brought something is no reason to wait longer than the last time.
            let wait = if has_advanced {
                backoff.after_progress(self.events)
            } else {
                backoff.after_failure()
            };
            let wait = wait.max(error.retry_after().unwrap_or_default());
            self.tell_end(&error, wait, backoff.attempts());
            sleep(wait).await;
        }
    }

    /// The relay is behind the cursor. Either too much was stepped over, and what it has now is
    /// taken as it comes; or it counts anew, and the pipeline says from where it is asked next.
    async fn refuse(&mut self, stored: Option<u64>, asked: Option<u64>) -> Result<(), Stopped> {
        let (Some(stored), Some(_)) = (stored, asked) else {
            return Ok(());
        };
        let content = match self.steps.refused() {
            Some(first) => {
                self.refused = Some(stored);
                Content::SteppedOver {
                    first: Some(first),
                    next: None,
                }
            }
            None => Content::CursorRefused,
        };
        self.outbox.pass_on(content).await
    }

    fn tell_end(&mut self, error: &RelayError, wait: Duration, attempts: u32) {
        let chain = error.chain();
        let stuck = self
            .steps
            .stuck()
            .map(|at| format!("connections end again and again after number {at}: {chain}"));
        let now = Instant::now() - self.begun;
        if let Some(held) = self.noise.admit(&self.source, error.reason(), now) {
            warn!(
                relay = %self.source,
                after = self.steps.stuck(),
                not_told = held,
                "connection ended: {chain}; the next attempt follows in {:.1} s",
                wait.as_secs_f32(),
            );
        }
        self.watch.ended(chain, attempts, stuck);
        self.publish();
    }

    async fn connection(&mut self, cursor: Option<u64>) -> Result<std::convert::Infallible, End> {
        let mut socket = self.dialer.dial(self.endpoint.url(), cursor).await?;
        self.connections += 1;
        let now = Instant::now();
        if let Some(held) = self
            .noise
            .admit(&self.source, "connected", now - self.begun)
        {
            info!(relay = %self.source, ?cursor, not_told = held, "connected");
        }
        self.watch.connected(now);
        self.pulse.connected(now);
        self.publish();
        self.outbox.pass_on(Content::Connected { cursor }).await?;
        let end = self.follow(&mut socket).await;
        if matches!(end, Err(End::Stopped)) {
            // The relay is told, but the stop does not hang on its answer.
            let _ = timeout(CLOSE, socket.close(None)).await;
        }
        end
    }

    async fn follow(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, End> {
        let mut liveness = Liveness::new(Instant::now(), socket);
        let every = (self.options.silence / 4).clamp(LEAST_CHECK, LONGEST_CHECK);
        let mut check = interval_at(Instant::now() + every, every);
        loop {
            tokio::select! {
                biased;
                incoming = socket.next() => {
                    let heard = Instant::now();
                    liveness.heard(heard);
                    let taken = self.take_all(incoming, socket, heard, &mut liveness).await;
                    // What came before the end of a connection counts.
                    self.outbox.hand_over().await?;
                    taken?;
                    // While the pipeline had no room, nothing was listened to.
                    let now = Instant::now();
                    if now - heard > LEAST_BLOCKED {
                        liveness.heard(now);
                        self.pulse.blocked(now);
                    }
                }
                now = liveness.tick() => liveness.check(now, socket)?,
                now = check.tick() => self.check(now)?,
            }
        }
    }

    /// Takes in a message and those that were read with it, which then wake the pipeline once.
    async fn take_all(
        &mut self,
        first: Result<Incoming, SocketError>,
        socket: &mut Socket,
        now: Instant,
        liveness: &mut Liveness,
    ) -> Result<(), End> {
        let mut next = Some(first?);
        while let Some(incoming) = next {
            match incoming {
                Incoming::Binary(frame) => self.take(frame.freeze(), now).await?,
                Incoming::Sign => {
                    self.watch.message(now);
                    liveness.sign()?;
                }
                Incoming::Text(text) => self.skip(Skipped::Text, text.len() as u64),
                Incoming::Skipped(why, bytes) => self.skip(why, bytes),
            }
            next = socket.parse()?;
        }
        Ok(())
    }

    async fn take(&mut self, frame: Bytes, now: Instant) -> Result<(), End> {
        let peeked = peek(&frame).ok();
        let seq = match peeked {
            Some(peeked) if peeked.kind == FrameKind::Error => {
                check_error_frame(&frame)?;
                None
            }
            Some(peeked) => {
                self.look(&frame, peeked.kind, now);
                peeked.seq
            }
            None => None,
        };
        if let Some(seq) = seq {
            self.tell_steps(seq).await?;
            self.watch.event(now);
            self.pulse.frame(now, self.is_live);
        } else {
            self.watch.message(now);
        }
        Ok(self.outbox.push(frame).await?)
    }

    /// Reports to the pipeline what is missing before the frame of this number.
    async fn tell_steps(&mut self, seq: u64) -> Result<(), Stopped> {
        let stepped = self.steps.came(seq);
        if self.steps.has_advanced() {
            self.events += 1;
            if self.events == 1 {
                self.watch.is_past();
            }
        }
        let is_new = |at: &SkippedAt| at.after.is_none_or(|after| seq > after);
        let skipped = self.skipped.take_if(|at| is_new(at));
        let after = match (stepped, skipped) {
            (Some(first), _) => first.checked_sub(1),
            // The numbers say that the message had none.
            (None, Some(at)) if at.after == seq.checked_sub(1) => return Ok(()),
            (None, Some(at)) => at.after,
            (None, None) => return Ok(()),
        };
        let first = after.map(|after| after.saturating_add(1));
        let next = Some(seq);
        let now = Instant::now() - self.begun;
        if let Some(held) = self.noise.admit(&self.source, "stepped_over", now) {
            warn!(relay = %self.source, first, next, not_told = held, "messages were stepped over that cannot be received");
        }
        let content = Content::SteppedOver { first, next };
        self.outbox.pass_on(content).await
    }

    fn skip(&mut self, why: Skipped, bytes: u64) {
        let after = self.steps.reached();
        self.watch.message(Instant::now());
        let connection = self.connections;
        let known = self.skipped.replace(SkippedAt { after, connection });
        // What comes again with each connection, because nothing follows it, is lost only once.
        if known.is_some_and(|at| at.after == after && at.connection != connection) {
            return;
        }
        self.stats.dropped(why.reason());
        let now = Instant::now() - self.begun;
        if let Some(held) = self.noise.admit(&self.source, why.reason(), now) {
            warn!(
                relay = %self.source,
                after,
                bytes,
                not_told = held,
                "a message was skipped: {}",
                why.reason(),
            );
        }
    }

    /// Now and then, how old commits are when they come.
    fn look(&mut self, frame: &[u8], kind: FrameKind, now: Instant) {
        if kind != FrameKind::Commit || self.looked.is_some_and(|last| now - last < LOOK) {
            return;
        }
        self.looked = Some(now);
        let Ok(Frame::Commit(commit)) = Frame::decode(frame) else {
            return;
        };
        if let Ok(rev) = commit.rev.parse::<Tid>() {
            let age = self.clock.read_us().0.since(rev.time());
            self.watch.lag(age);
            let lag = self.watch.median_lag();
            self.is_live = lag.is_none_or(|lag| lag < LIVE);
        }
    }

    fn check(&mut self, now: Instant) -> Result<(), RelayError> {
        let silence = self.pulse.silence(now, self.options.silence);
        self.watch.pulse(silence.is_some(), self.pulse.rate());
        if let Some(silence) = silence {
            let since = now - self.begun;
            if let Some(held) = self.noise.admit(&self.source, "silent", since) {
                warn!(
                    relay = %self.source,
                    not_told = held,
                    "it answers pings, but no event came for {:.1} s, where {:.2} a second are usual",
                    silence.as_secs_f32(),
                    self.pulse.rate().unwrap_or_default(),
                );
            }
        }
        let limit = self.options.reconnect_after;
        if self.pulse.is_dead(now, limit) {
            return Err(RelayError::NoEvents(limit));
        }
        Ok(())
    }

    fn publish(&self) {
        self.watch.publish(self.stats.stalled().as_deref());
    }
}

const CLOSE: Duration = Duration::from_secs(1);
const LEAST_BLOCKED: Duration = Duration::from_secs(1);
const LEAST_CHECK: Duration = Duration::from_millis(10);
const LONGEST_CHECK: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// Commits that are younger than that when they come are not from a relay's replay.
const LIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::source::RelayOptions;
    use crate::source::dial::socket;

    /// How a connection ends to which `serve` writes, in time that passes by itself.
    async fn end<F: Future<Output = std::io::Result<()>> + Send + 'static>(
        serve: impl FnOnce(DuplexStream) -> F,
    ) -> (RelayError, Duration) {
        let (server, client) = tokio::io::duplex(1 << 16);
        let endpoint: Endpoint = "ws://relay.example".parse().unwrap();
        let (intake, mut arrivals) = Intake::new(1 << 20);
        let watch = Arc::new(Watch::new(endpoint.to_string().into()));
        let options = Arc::new(RelayOptions::new().no_proxy().prepare().unwrap());
        let clock = Clock::default();
        let mut relay = Relay::new(endpoint, intake, Arc::default(), watch, clock, options);
        let mut socket = socket(Box::new(client), BytesMut::new(), 5_000_000);
        let serving = tokio::spawn(serve(server));
        let taking = tokio::spawn(async move { while arrivals.recv().await.is_some() {} });
        let begun = Instant::now();
        let ended = relay.follow(&mut socket).await;
        let lasted = begun.elapsed();
        serving.abort();
        taking.abort();
        match ended {
            Err(End::Relay(error)) => (error, lasted),
            Err(End::Stopped) => panic!("it was stopped"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_comes_byte_by_byte_is_not_waited_for() {
        let (error, lasted) = end(|mut server| async move {
            server.write_all(b"\x82\x7f\0\0\0\0\0\x0f\0\0").await?;
            loop {
                server.write_all(b"x").await?;
                sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
        assert!(matches!(error, RelayError::Slow), "{error}");
        assert!((60..=120).contains(&lasted.as_secs()), "{lasted:?}");
        // Nor in parts, with pings that say that all is well.
        let (error, _) = end(|mut server| async move {
            server.write_all(b"\x02\x01x").await?;
            loop {
                server.write_all(b"\0\x01x\x89\0").await?;
                sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
        assert!(matches!(error, RelayError::Slow), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_message_on_a_slow_line_is_waited_for() {
        // Of 4 MiB, 8 KiB come each second, and then nothing but pongs.
        let (error, lasted) = end(|mut server| async move {
            server.write_all(b"\x82\x7f\0\0\0\0\0\x40\0\0").await?;
            for _ in 0..512 {
                server.write_all(&[0; 8192]).await?;
                sleep(Duration::from_secs(1)).await;
            }
            for _ in 0..10 {
                server.write_all(b"\x8a\0").await?;
                sleep(Duration::from_secs(60)).await;
            }
            server.shutdown().await
        })
        .await;
        assert_eq!(error.to_string(), "the host closed it");
        assert!(lasted.as_secs() >= 1112, "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_pings_ends_the_connection_and_a_ping_a_second_does_not() {
        let (error, _) = end(|mut server| async move {
            loop {
                server.write_all(b"\x89\0").await?;
            }
        })
        .await;
        assert_eq!(error.reason(), "websocket", "{error}");
        let (error, _) = end(|mut server| async move {
            for _ in 0..20_000 {
                server.write_all(b"\x89\0").await?;
                sleep(Duration::from_millis(500)).await;
            }
            server.shutdown().await
        })
        .await;
        assert_eq!(error.to_string(), "the host closed it");
    }
}
