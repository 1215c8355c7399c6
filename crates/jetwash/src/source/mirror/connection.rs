use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jetwash_store::{LogMessage, Seq, Store};
use jetwash_websocket::{Incoming, Skipped, Socket, SocketError};
use tokio::time::{Instant, interval_at};

use super::end::MirrorEnd;
use super::request::Request;
use crate::clock::Clock;
use crate::ingest::{Content, Intake, MirrorConnection, newest_time};
use crate::source::Watch;
use crate::source::error::RelayError;
use crate::source::pulse::Crawl;
use crate::stats::Stats;

/// The messages of one connection, in order, on their way to the writer.
pub(super) struct Connection<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) intake: &'a Intake,
    pub(super) stats: &'a Stats,
    pub(super) watch: &'a Watch,
    pub(super) clock: &'a Clock,
    pub(super) store: &'a Store,
    pub(super) request: Request,
    /// Whether another host is preferred.
    pub(super) is_substitute: bool,
    pub(super) shared: Arc<MirrorConnection>,
    /// How many messages with events or gaps have come.
    pub(super) messages: u64,
    /// Whether anything has come after the greeting: the host serves this mirror.
    pub(super) is_served: bool,
    has_greeted: bool,
    /// The position up to which the host said it has events, when nothing came for a while.
    promised: Option<Seq>,
    begun: Instant,
    heard: Instant,
    last_events: Instant,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        name: &'a Arc<str>,
        (intake, stats, watch): (&'a Intake, &'a Stats, &'a Watch),
        (clock, store): (&'a Clock, &'a Store),
        request: Request,
        is_substitute: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            name,
            intake,
            stats,
            watch,
            clock,
            store,
            request,
            is_substitute,
            shared: Arc::default(),
            messages: 0,
            is_served: false,
            has_greeted: false,
            promised: None,
            begun: now,
            heard: now,
            last_events: now,
        }
    }

    /// Reads until the connection is of no more use. The writer's refusal comes before anything
    /// else that was sent.
    pub(super) async fn follow(&mut self, socket: &mut Socket) -> Result<Infallible, MirrorEnd> {
        let mut check = interval_at(Instant::now() + CHECK, CHECK);
        let (mut received, mut signs, mut checks) = (socket.received(), 0, 0_u32);
        let mut crawl = Crawl::default();
        let shared = Arc::clone(&self.shared);
        let mut refused = pin!(shared.refused());
        loop {
            tokio::select! {
                biased;
                refusal = &mut refused => return Err(MirrorEnd::Rejected(refusal)),
                incoming = socket.next() => match incoming? {
                    Incoming::Binary(bytes) => {
                        self.heard = Instant::now();
                        self.take(bytes.freeze()).await?;
                        // While the writer had no room, nothing was listened to.
                        self.heard = Instant::now();
                    }
                    Incoming::Sign => {
                        self.watch.message(Instant::now());
                        signs += 1;
                        if signs > MAX_SIGNS {
                            return Err(SocketError::Protocol("a flood of pings").into());
                        }
                    }
                    incoming @ (Incoming::Text(_) | Incoming::Skipped(..)) => {
                        let why = match incoming {
                            Incoming::Skipped(why, _) => why,
                            _ => Skipped::Text,
                        };
                        self.stats.dropped(why.reason());
                        let fault = "a message is text, or longer than a block of events can be";
                        return Err(MirrorEnd::Protocol(fault));
                    }
                },
                now = check.tick() => {
                    // A long message may be on its way.
                    let is_underway = socket.has_begun() && socket.received() > received;
                    received = socket.received();
                    if is_underway {
                        self.heard = now;
                    }
                    checks += 1;
                    if checks.is_multiple_of(CHECKS_A_PING) {
                        signs = 0;
                        socket.ping();
                        if crawl.look(socket.messages(), received, socket.has_begun()) {
                            return Err(RelayError::Slow.into());
                        }
                    }
                    self.check(now)?;
                }
            }
        }
    }

    fn check(&self, now: Instant) -> Result<(), MirrorEnd> {
        // Pongs are no sign of a log: a host sends a message every 5 s.
        if now - self.heard > SILENCE {
            return Err(MirrorEnd::Silent(SILENCE));
        }
        let limit = if now - self.last_events > QUIET {
            QUIET
        } else {
            SUBSTITUTE
        };
        // Two mirrors that stand in for each other's origin would wait for each other for ever.
        if self.is_substitute && now - self.begun > limit {
            return Err(MirrorEnd::Substitute);
        }
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<(), MirrorEnd> {
        let length = bytes.len();
        let message = LogMessage::decode(bytes)?;
        let now = Instant::now();
        match &message {
            LogMessage::Hello { .. } if self.has_greeted => {
                return Err(MirrorEnd::Protocol("it began its log anew"));
            }
            LogMessage::Hello { .. } => self.greet(&message)?,
            _ if !self.has_greeted => {
                return Err(MirrorEnd::Protocol("it did not say which log it has"));
            }
            LogMessage::Tip { next_seq, .. } => {
                self.is_served = true;
                self.watch.message(now);
                self.watch.is_past();
                return self.promise(*next_seq);
            }
            LogMessage::Dictionary { .. } => self.watch.message(now),
            _ => {
                self.messages += 1;
                self.is_served = true;
                self.promised = None;
                self.last_events = now;
                self.watch.event(now);
                self.watch.is_past();
                if let Some(newest) = newest_time(&message) {
                    self.watch.lag(self.clock.read_us().0.since(newest));
                }
            }
        }
        let content = Content::Mirrored {
            connection: Arc::clone(&self.shared),
            message: Box::new(message),
            bytes: length,
        };
        Ok(self.intake.pass_on(self.name, content).await?)
    }

    /// Checks that it is the log asked for. A host may not have looked at what it was asked.
    fn greet(&mut self, hello: &LogMessage) -> Result<(), MirrorEnd> {
        let LogMessage::Hello { log, next_seq, .. } = hello else {
            return Ok(());
        };
        self.has_greeted = true;
        let Some(ours) = self.request.log() else {
            // It may be a mirror that has no log yet, and gives its identity up for another.
            return match *next_seq == Seq::FIRST {
                true => Err(MirrorEnd::Empty),
                false => Ok(()),
            };
        };
        if *log != ours {
            let theirs = *log;
            return Err(MirrorEnd::OtherLog { ours, theirs });
        }
        let (ours, theirs) = (self.request.seq(), *next_seq);
        if theirs < ours {
            return Err(MirrorEnd::Behind { ours, theirs });
        }
        Ok(())
    }

    /// A host at its tip has sent all that it has. One that says otherwise twice holds it back,
    /// unless the log here cannot be written.
    fn promise(&mut self, next: Seq) -> Result<(), MirrorEnd> {
        let has = self.store.bounds().next_seq;
        if self.promised.is_some_and(|promised| has < promised) && self.stats.stalled().is_none() {
            return Err(MirrorEnd::Withheld);
        }
        self.promised = Some(next);
        Ok(())
    }
}

const CHECK: Duration = Duration::from_secs(1);
const CHECKS_A_PING: u32 = 30;
const SILENCE: Duration = Duration::from_secs(20);
/// Pings and pongs in the time between two pings.
const MAX_SIGNS: u32 = 10_000;
/// How long a substitute is followed before the preferred host is asked again: if it brings events,
/// and if it does not.
const SUBSTITUTE: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::BytesMut;
    use jetwash_store::{Gap, GapCause, Location, LogId, Micros, Options, open};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::source::dial::socket;

    /// More time than any of these connections lasts. It passes by itself.
    const LONGEST: Duration = Duration::from_secs(7200);

    /// A message as a host sends it.
    fn message(message: &LogMessage) -> Vec<u8> {
        let body = message.encode();
        let mut bytes = vec![0x82, u8::try_from(body.len()).unwrap()];
        bytes.extend(body);
        bytes
    }

    fn hello(next: u64) -> Vec<u8> {
        message(&LogMessage::Hello {
            version: LogMessage::VERSION,
            log: LogId::from_number(7),
            oldest_seq: Seq::FIRST,
            next_seq: Seq::new(next),
            last_time_us: Micros::EPOCH,
        })
    }

    fn tip(next: u64) -> Vec<u8> {
        message(&LogMessage::tip(Seq::FIRST, Seq::new(next)))
    }

    /// How a connection ends to which `serve` writes, and after how many seconds of time that passes
    /// by itself.
    async fn end<F: Future<Output = io::Result<()>> + Send + 'static>(
        (is_mirror, is_substitute): (bool, bool),
        serve: impl FnOnce(DuplexStream) -> F,
    ) -> (&'static str, u64) {
        let (mut appender, store) = open(Location::Memory, Options::default()).unwrap();
        if is_mirror {
            appender.become_mirror(LogId::from_number(7)).unwrap();
        }
        end_in(&store, is_substitute, serve).await
    }

    /// The same where the mirror has this log.
    async fn end_in<F: Future<Output = io::Result<()>> + Send + 'static>(
        store: &Store,
        is_substitute: bool,
        serve: impl FnOnce(DuplexStream) -> F,
    ) -> (&'static str, u64) {
        let (server, client) = tokio::io::duplex(1 << 16);
        let (intake, mut arrivals) = Intake::new(1 << 20);
        tokio::spawn(async move { while arrivals.recv().await.is_some() {} });
        let (name, stats, clock) = ("ws://a.example".into(), Stats::default(), Clock::default());
        let watch = Watch::new(Arc::clone(&name));
        let mut connection = Connection::new(
            &name,
            (&intake, &stats, &watch),
            (&clock, store),
            Request::of(store).unwrap(),
            is_substitute,
        );
        let mut socket = socket(Box::new(client), BytesMut::new(), LogMessage::MAX_LENGTH);
        let begun = Instant::now();
        let serving = tokio::spawn(serve(server));
        let ended = timeout(LONGEST, connection.follow(&mut socket)).await;
        let end = ended.expect("the connection never ends").unwrap_err();
        serving.abort();
        (end.reason(), begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_sends_nothing_is_left_though_it_answers_pings() {
        for greeting in [Vec::new(), hello(1)] {
            let ended = end((true, false), |mut server| async move {
                server.write_all(&greeting).await?;
                loop {
                    sleep(Duration::from_secs(1)).await;
                    server.write_all(b"\x8a\x00").await?;
                }
            });
            let (reason, seconds) = ended.await;
            assert_eq!(reason, "silent");
            assert!((20..=22).contains(&seconds), "{seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_at_its_tip_is_followed_for_as_long_as_it_says_so() {
        let ended = end((true, false), |mut server| async move {
            server.write_all(&hello(1)).await?;
            for _ in 0..1000 {
                server.write_all(&tip(1)).await?;
                sleep(Duration::from_secs(5)).await;
            }
            server.shutdown().await
        });
        assert_eq!(ended.await, ("closed", 5000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_without_events_is_not_taken_for_the_one_to_mirror() {
        let ended = end((false, false), |mut server| async move {
            server.write_all(&hello(1)).await?;
            sleep(Duration::from_secs(5)).await;
            Ok(())
        });
        assert_eq!(ended.await, ("empty_log", 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_whose_log_ends_before_the_mirrors_is_not_followed() {
        let (mut appender, store) = open(Location::Memory, Options::default()).unwrap();
        appender.become_mirror(LogId::from_number(7)).unwrap();
        let gap = Gap::new(Seq::FIRST, Seq::new(9), GapCause::Trimmed);
        appender.apply(&LogMessage::Gap(gap)).unwrap();
        appender.commit().unwrap();
        for (next, expected) in [
            (1, "position_ahead"),
            (8, "position_ahead"),
            (9, "silent"),
            (10, "silent"),
        ] {
            let ended = end_in(&store, false, |mut server| async move {
                server.write_all(&hello(next)).await?;
                sleep(Duration::from_secs(60)).await;
                Ok(())
            });
            assert_eq!(ended.await.0, expected, "a log up to {next}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_holds_events_back_is_left() {
        let ended = end((true, false), |mut server| async move {
            server.write_all(&hello(9)).await?;
            loop {
                server.write_all(&tip(9)).await?;
                sleep(Duration::from_secs(5)).await;
            }
        });
        assert_eq!(ended.await, ("no_events", 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_substitute_without_events_is_left_soon() {
        let ended = end((true, true), |mut server| async move {
            server.write_all(&hello(1)).await?;
            loop {
                server.write_all(&tip(1)).await?;
                sleep(Duration::from_secs(5)).await;
            }
        });
        let (reason, seconds) = ended.await;
        assert_eq!(reason, "substitute");
        assert!((10..=12).contains(&seconds), "{seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_comes_at_a_crawl_ends_the_connection() {
        let ended = end((true, false), |mut server| async move {
            server.write_all(&hello(1)).await?;
            server
                .write_all(b"\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x00")
                .await?;
            loop {
                server.write_all(b"x").await?;
                sleep(Duration::from_secs(1)).await;
            }
        });
        let (reason, seconds) = ended.await;
        assert_eq!(reason, "slow");
        assert!((60..=121).contains(&seconds), "{seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_pings_ends_the_connection() {
        let ended = end((true, false), |server| async move {
            let (mut read, mut write) = tokio::io::split(server);
            tokio::spawn(async move {
                let mut pongs = [0; 1024];
                while read.read(&mut pongs).await.is_ok_and(|count| count > 0) {}
            });
            write.write_all(&hello(1)).await?;
            // No time passes meanwhile.
            for _ in 0..100_000 {
                write.write_all(b"\x89\x00").await?;
            }
            Ok(())
        });
        assert_eq!(ended.await.0, "websocket");
    }
}
