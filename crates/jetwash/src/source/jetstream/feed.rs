use std::convert::Infallible;
use std::error::Error;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jetwash_client::{ClientEvent, ClientGapCause, ClientItem, Disconnected};
use jetwash_event::Tid;
use jetwash_store::GapCause;
use tokio::time::Instant;
use tracing::{info, warn};

use super::source::JetstreamSource;
use crate::ingest::{Content, HostPlace, Stopped, malformed_reason};
use crate::noise::Noise;
use crate::source::{Source, SourceHandle};

/// A Jetstream as a source.
pub(crate) struct JetstreamFeed {
    name: Arc<str>,
    source: JetstreamSource,
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

impl JetstreamFeed {
    pub(crate) fn new(source: JetstreamSource) -> Self {
        let name = source.name();
        Self {
            host: Arc::clone(&name),
            name,
            place: None,
            source,
            noise: Noise::default(),
            begun: Instant::now(),
            attempts: 0,
            looked: None,
        }
    }

    /// Runs one client. Events that are there already are handed over together, since each hand-over
    /// costs as much as an event.
    async fn follow(&mut self, handle: &SourceHandle) -> Result<Infallible, BoxError> {
        let place = self.place.as_ref();
        let cursor = place.map(|place| self.source.behind(place));
        let cursor = cursor.or_else(|| self.source.cursor());
        let filter = self.source.filter().tell()?;
        let mut client = self.source.client(cursor, filter).build()?;
        loop {
            let (mut events, mut bytes) = (Vec::new(), 0);
            // Not in a fixed order: a host that always has more must not keep the sets from changing.
            let mut next = tokio::select! {
                next = client.next() => next,
                () = self.source.filter().changed() => {
                    let filter = self.source.filter().tell()?;
                    client.handle().set_filter(filter);
                    continue;
                }
            };
            loop {
                match next {
                    Some(Ok(ClientItem::Event(event))) => {
                        bytes += event.text().len();
                        events.push(event);
                    }
                    Some(Ok(other)) => {
                        self.send(handle, take(&mut events)).await?;
                        self.note(handle, other).await?;
                    }
                    Some(Err(error)) => {
                        self.send(handle, take(&mut events)).await?;
                        return Err(error.into());
                    }
                    None => return Err("the client has ended".into()),
                }
                if events.len() >= BATCH_EVENTS || bytes >= BATCH_BYTES {
                    break;
                }
                match client.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break,
                }
            }
            self.send(handle, events).await?;
        }
    }

    async fn send(
        &mut self,
        handle: &SourceHandle,
        events: Vec<ClientEvent>,
    ) -> Result<(), Stopped> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let now = Instant::now();
        self.attempts = 0;
        handle.watch().event(now);
        if self.looked.is_none_or(|looked| now - looked >= LOOK)
            && let Some(commit) = last.commit()
            && let Ok(rev) = commit.rev.parse::<Tid>()
        {
            self.looked = Some(now);
            handle
                .watch()
                .lag(handle.parts().clock.read_us().0.since(rev.time()));
        }
        let host = Arc::clone(&self.host);
        let place = HostPlace::behind(&host, last);
        let content = Content::Events { host, events };
        handle.parts().intake.pass_on(&self.name, content).await?;
        self.place = Some(place);
        Ok(())
    }

    /// Notes what is no event.
    async fn note(&mut self, handle: &SourceHandle, item: ClientItem) -> Result<(), Stopped> {
        match item {
            ClientItem::Connected(connected) => {
                let now = Instant::now();
                self.host = connected.host;
                handle.watch().connected(now);
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
                self.join(handle).await
            }
            ClientItem::Disconnected(end) => {
                self.disconnected(handle, end);
                Ok(())
            }
            ClientItem::Malformed(malformed) => {
                let reason = malformed_reason(malformed);
                handle.parts().stats.dropped(reason);
                let now = self.begun.elapsed();
                if let Some(held) = self.noise.admit(&self.name, reason, now) {
                    warn!(jetstream = %self.name, host = %self.host, reason, not_told = held, "a message was dropped: it is no event");
                }
                Ok(())
            }
            ClientItem::Gap(gap) => {
                let cause = cause_of(gap.cause);
                handle
                    .parts()
                    .intake
                    .pass_on(
                        &self.name,
                        Content::Missing {
                            cause,
                            first: None,
                            next: None,
                        },
                    )
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Notes where the first connection of all began, for a run that is to continue from there.
    async fn join(&mut self, handle: &SourceHandle) -> Result<(), Stopped> {
        if self.place.is_some() || self.source.cursor().is_some() {
            return Ok(());
        }
        let host = Arc::clone(&self.host);
        self.place = Some(HostPlace::at_contact(
            &host,
            handle.parts().clock.read_us().0,
        ));
        handle
            .parts()
            .intake
            .pass_on(&self.name, Content::Joined { host })
            .await
    }

    fn disconnected(&mut self, handle: &SourceHandle, end: Disconnected) {
        handle.parts().stats.reconnect("jetstream");
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
        handle.watch().ended(end.reason, self.attempts, None);
    }
}

impl Source for JetstreamFeed {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_upstream(&self) -> bool {
        true
    }

    /// Feeds the pipeline until it stops. A client ends when all hosts refuse what it asks for, or
    /// because of a panic, and is then followed by another, where it was.
    async fn run(&mut self, handle: SourceHandle) -> Result<(), BoxError> {
        match self.follow(&handle).await? {}
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

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
