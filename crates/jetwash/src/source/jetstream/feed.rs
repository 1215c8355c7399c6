use std::convert::Infallible;
use std::mem::take;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jetwash_client::{ClientEvent, ClientGapCause, ClientItem, Disconnected};
use jetwash_event::Tid;
use jetwash_store::GapCause;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::source::JetstreamSource;
use crate::clock::Clock;
use crate::ingest::{Content, HostPlace, Intake, Stopped, malformed_reason};
use crate::noise::Noise;
use crate::panic::Panic;
use crate::source::Watch;
use crate::stats::Stats;
use crate::tasks::Died;

/// The task that follows a Jetstream.
pub(crate) struct JetstreamFeed {
    name: Arc<str>,
    source: JetstreamSource,
    intake: Intake,
    stats: Arc<Stats>,
    watch: Arc<Watch>,
    clock: Clock,
    died: Died,
    noise: Noise,
    begun: Instant,
    /// How far the pipeline was given events.
    place: Option<HostPlace>,
    host: Arc<str>,
    /// How many attempts in a row brought nothing.
    attempts: u32,
    /// When the lag was last looked at.
    looked: Option<Instant>,
}

/// The end of a client.
enum End {
    Stopped,
    Client(String),
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl JetstreamFeed {
    pub(crate) fn new(
        source: JetstreamSource,
        intake: Intake,
        stats: Arc<Stats>,
        watch: Arc<Watch>,
        clock: Clock,
        died: Died,
    ) -> Self {
        let name = source.name();
        Self {
            host: Arc::clone(&name),
            name,
            place: None,
            source,
            intake,
            stats,
            watch,
            clock,
            died,
            noise: Noise::default(),
            begun: Instant::now(),
            attempts: 0,
            looked: None,
        }
    }

    /// Feeds the pipeline until it stops. A client that ends, because all hosts refuse what it asks
    /// for or because of a panic, is followed by another after a pause.
    pub(crate) async fn follow(mut self) {
        let mut pause = FIRST_RESTART;
        loop {
            let begun = Instant::now();
            let ended = AssertUnwindSafe(self.run()).catch_unwind().await;
            if begun.elapsed() > LONGEST_RESTART {
                pause = FIRST_RESTART;
            }
            match ended {
                Ok(Ok(never)) => match never {},
                Ok(Err(End::Stopped)) => return,
                Ok(Err(End::Client(why))) => {
                    let now = self.begun.elapsed();
                    if let Some(held) = self.noise.admit(&self.name, "client", now) {
                        error!(jetstream = %self.name, not_told = held, "{why}; it is asked again in {pause:?}");
                    }
                    self.watch.ended(why, self.attempts, None);
                }
                Err(payload) => {
                    let panic = Panic::new(&*payload);
                    self.stats.panicked("jetstream", &panic);
                    error!(jetstream = %self.name, %panic, "the task of a Jetstream panicked; it restarts in {pause:?}");
                    self.watch.ended(format!("a panic: {panic}"), 0, None);
                    self.died.note("jetstream", self.name.to_string(), &panic);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RESTART);
        }
    }

    /// Runs one client. Events that are there already are handed over together, since each hand-over
    /// costs as much as an event.
    async fn run(&mut self) -> Result<Infallible, End> {
        let place = self.place.as_ref();
        let cursor = place.map(|place| self.source.behind(place));
        let cursor = cursor.or_else(|| self.source.cursor());
        let client = self.source.client(cursor).build();
        let mut client = client.map_err(|error| End::Client(error.to_string()))?;
        loop {
            let (mut events, mut bytes) = (Vec::new(), 0);
            let mut next = client.next().await;
            loop {
                match next {
                    Some(Ok(ClientItem::Event(event))) => {
                        bytes += event.text().len();
                        events.push(event);
                    }
                    Some(Ok(other)) => {
                        self.send(take(&mut events)).await?;
                        self.note(other).await?;
                    }
                    Some(Err(error)) => {
                        self.send(take(&mut events)).await?;
                        return Err(End::Client(error.to_string()));
                    }
                    None => return Err(End::Client("the client has ended".to_owned())),
                }
                if events.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                    break;
                }
                match client.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break,
                }
            }
            self.send(events).await?;
        }
    }

    async fn send(&mut self, events: Vec<ClientEvent>) -> Result<(), Stopped> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let now = Instant::now();
        self.attempts = 0;
        self.watch.event(now);
        if self.looked.is_none_or(|looked| now - looked >= LOOK)
            && let Some(commit) = last.commit()
            && let Ok(rev) = commit.rev.parse::<Tid>()
        {
            self.looked = Some(now);
            self.watch.lag(self.clock.read_us().0.since(rev.time()));
        }
        let host = Arc::clone(&self.host);
        let place = HostPlace::behind(&host, last);
        let content = Content::Events { host, events };
        self.intake.pass_on(&self.name, content).await?;
        self.place = Some(place);
        Ok(())
    }

    /// Notes what is no event.
    async fn note(&mut self, item: ClientItem) -> Result<(), Stopped> {
        match item {
            ClientItem::Connected(connected) => {
                let now = Instant::now();
                self.host = connected.host;
                self.watch.connected(now);
                if let Some(held) = self.noise.admit(&self.name, "connected", now - self.begun) {
                    info!(
                        jetstream = %self.name,
                        host = %self.host,
                        protocol = %connected.protocol,
                        compressed = connected.is_compressed,
                        not_told = held,
                        "connected",
                    );
                }
                self.join().await
            }
            ClientItem::Disconnected(end) => {
                self.disconnected(end);
                Ok(())
            }
            ClientItem::Malformed(malformed) => {
                let reason = malformed_reason(malformed);
                self.stats.dropped(reason);
                let now = self.begun.elapsed();
                if let Some(held) = self.noise.admit(&self.name, reason, now) {
                    warn!(jetstream = %self.name, host = %self.host, reason, not_told = held, "a message was dropped: it is no event");
                }
                Ok(())
            }
            ClientItem::Gap(gap) => {
                let cause = cause_of(gap.cause);
                self.intake
                    .pass_on(&self.name, Content::Missing { cause })
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Notes where the first connection of all began, for a run that is to continue from there.
    async fn join(&mut self) -> Result<(), Stopped> {
        if self.place.is_some() || self.source.cursor().is_some() {
            return Ok(());
        }
        let host = Arc::clone(&self.host);
        self.place = Some(HostPlace::at_contact(&host, self.clock.read_us().0));
        self.intake
            .pass_on(&self.name, Content::Joined { host })
            .await
    }

    fn disconnected(&mut self, end: Disconnected) {
        self.stats.reconnect("jetstream");
        self.attempts += 1;
        let now = self.begun.elapsed();
        if let Some(held) = self.noise.admit(&self.name, "disconnected", now) {
            warn!(
                jetstream = %self.name,
                host = %end.host,
                not_told = held,
                "connection ended: {}; the next attempt follows in {:.1} s",
                end.reason,
                end.wait.as_secs_f32(),
            );
        }
        self.watch.ended(end.reason, self.attempts, None);
    }
}

/// The cause of a gap as the log has it.
const fn cause_of(cause: ClientGapCause) -> GapCause {
    match cause {
        ClientGapCause::Renumbered => GapCause::UpstreamRenumbered,
        ClientGapCause::OtherHost | ClientGapCause::Server => GapCause::UpstreamJump,
        _ => GapCause::UpstreamOutdated,
    }
}

const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 64 << 10;
const LOOK: Duration = Duration::from_secs(1);
/// The pause before another client doubles from the first to the longest.
const FIRST_RESTART: Duration = Duration::from_secs(1);
const LONGEST_RESTART: Duration = Duration::from_secs(60);
