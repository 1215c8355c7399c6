use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jetwash_store::{LogMessage, Store};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use super::address::MirrorAddress;
use super::connection::Connection;
use super::end::MirrorEnd;
use super::hosts::Hosts;
use super::mirror_source::MirrorSource;
use super::request::Request;
use crate::clock::Clock;
use crate::executor::run_blocking;
use crate::ingest::Intake;
use crate::noise::Noise;
use crate::panic::Panic;
use crate::source::dial::Dialer;
use crate::source::{SourceParts, Watch};
use crate::stats::Stats;
use crate::tasks::Died;

/// The task that follows the log to mirror.
pub(crate) struct MirrorFeed {
    name: Arc<str>,
    hosts: Hosts,
    dialer: Dialer,
    intake: Intake,
    stats: Arc<Stats>,
    watch: Arc<Watch>,
    clock: Clock,
    store: Store,
    died: Died,
    noise: Noise,
    begun: Instant,
    /// How many messages with events or gaps the connection has brought.
    messages: u64,
    /// Whether its host turned out to serve this mirror.
    is_served: bool,
}

impl MirrorFeed {
    pub(crate) fn new(
        source: MirrorSource,
        store: Store,
        parts: SourceParts,
        watch: Arc<Watch>,
        died: Died,
    ) -> Self {
        Self {
            name: source.name(),
            hosts: Hosts::new(source.addresses),
            dialer: Dialer::new(source.options),
            intake: parts.intake,
            stats: parts.stats,
            watch,
            clock: parts.clock,
            store,
            died,
            noise: Noise::default(),
            begun: Instant::now(),
            messages: 0,
            is_served: false,
        }
    }

    /// Feeds the writer until it stops. A panic ends a connection and nothing else.
    pub(crate) async fn follow(mut self) {
        loop {
            sleep(self.hosts.choose(Instant::now())).await;
            let Some(address) = self.hosts.address().cloned() else {
                return;
            };
            (self.messages, self.is_served) = (0, false);
            let ended = AssertUnwindSafe(self.connect(&address))
                .catch_unwind()
                .await;
            match ended {
                Ok(Ok(never)) => match never {},
                Ok(Err(MirrorEnd::Stopped)) => return,
                Ok(Err(end)) => self.ended(&address, &end),
                Err(payload) => self.panicked(&Panic::new(&*payload)),
            }
        }
    }

    async fn connect(&mut self, address: &MirrorAddress) -> Result<Infallible, MirrorEnd> {
        let store = self.store.clone();
        let request = run_blocking(store.may_block(), move || Request::of(&store)).await;
        let request = request
            .map_err(|error| error.to_string())
            .and_then(|request| request.map_err(|error| error.to_string()))
            .map_err(MirrorEnd::Read)?;
        let url = request.url(address.url());
        let answer = self
            .dialer
            .dial_or_reason(&url, LogMessage::MAX_LENGTH)
            .await?;
        let mut socket = answer.map_err(|body| MirrorEnd::refused(&body))?;
        let now = Instant::now();
        if let Some(held) = self.noise.admit(&self.name, "connected", now - self.begun) {
            info!(host = %address.name(), seq = %request.seq(), not_told = held, "connected to mirror its log");
        }
        self.watch.connected(now);
        self.publish();
        let mut connection = Connection::new(
            &self.name,
            (&self.intake, &self.stats, &self.watch),
            (&self.clock, &self.store),
            request,
            self.hosts.is_substitute(),
        );
        let end = connection.follow(&mut socket).await;
        (self.messages, self.is_served) = (connection.messages, connection.is_served);
        // The host is told, but nothing hangs on its answer.
        let _ = timeout(CLOSE, socket.close(None)).await;
        end
    }

    /// Notes an end, and says how long the host is left alone. That a host refuses is told loudly:
    /// only a person can mend it.
    fn ended(&mut self, address: &MirrorAddress, end: &MirrorEnd) {
        let (reason, why, now) = (end.reason(), end.chain(), Instant::now());
        self.stats.reconnect(reason);
        if self.is_served {
            self.hosts.serves();
        }
        match end.rest() {
            Some(rest) => self.hosts.refuse(now, &why, rest),
            None if matches!(end, MirrorEnd::Substitute) => self.hosts.left(now),
            // The first event may come at any time.
            None if matches!(end, MirrorEnd::Empty) => self.hosts.ended(now, 1, Duration::ZERO),
            None => self.hosts.ended(now, self.messages, end.retry_after()),
        }
        let stuck = self.hosts.stuck();
        if let Some(held) = self.noise.admit(&self.name, reason, now - self.begun) {
            let host = address.name();
            match &stuck {
                Some(stuck) => error!(%host, not_told = held, "the mirror stands still: {stuck}"),
                None => {
                    warn!(%host, not_told = held, "connection to the mirrored log ended: {why}");
                }
            }
        }
        let why = format!("{}: {why}", address.name());
        self.watch.ended(why, self.hosts.attempts(), stuck);
        self.publish();
    }

    fn panicked(&mut self, panic: &Panic) {
        self.stats.panicked("mirror", panic);
        error!(mirror = %self.name, %panic, "the task of a mirror panicked; it connects again");
        self.watch.ended(format!("a panic: {panic}"), 0, None);
        self.died.note("mirror", self.name.to_string(), panic);
        self.hosts.ended(Instant::now(), 0, RESTART);
    }

    fn publish(&self) {
        self.watch.publish(self.stats.stalled().as_deref());
    }
}

const CLOSE: Duration = Duration::from_secs(1);
const RESTART: Duration = Duration::from_secs(1);
