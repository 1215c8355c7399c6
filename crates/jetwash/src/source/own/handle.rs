use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use jetwash_client::ClientEvent;
use jetwash_store::GapCause;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::ingest::{Content, Intake, SourceCursors, Stopped};
use crate::short::short;
use crate::source::Watch;
use crate::stats::Stats;

/// The way of a [`Source`](crate::Source) into the log. It also has how far the source has come, and
/// takes note of how its connection is.
///
/// Frames and events wait for room in a queue that is bounded by bytes
/// ([`intake_bytes`](crate::JetstreamBuilder::intake_bytes)) and by number (4,096 calls), so a source
/// that is faster than the log waits in the call. A clone is for the same source. A call that is
/// dropped before it returns has handed nothing over.
///
/// # Examples
///
/// A source of a Jetstream's lines, with the place behind each as its cursor:
///
/// ```
/// use std::error::Error;
/// use jetwash::client::{ClientEvent, Protocol};
/// use jetwash::{Jetstream, Source, SourceHandle};
///
/// struct Lines(Vec<String>);
///
/// impl Source for Lines {
///     fn name(&self) -> &str {
///         "lines"
///     }
///
///     async fn run(&mut self, handle: SourceHandle) -> Result<(), Box<dyn Error + Send + Sync>> {
///         let done = handle.cursor().unwrap_or(0);
///         for (place, line) in (1..).zip(&self.0).skip(done as usize) {
///             match ClientEvent::parse(Protocol::V1, line.clone()) {
///                 Ok(event) => handle.events(vec![event], Some(place)).await?,
///                 Err(malformed) => handle.malformed(malformed),
///             }
///         }
///         Ok(())
///     }
/// }
/// # let (_jetstream, _ingest) = Jetstream::builder().source(Lines(Vec::new())).build()?;
/// # Ok::<(), jetwash::BuildError>(())
/// ```
#[derive(Clone)]
pub struct SourceHandle {
    name: Arc<str>,
    parts: SourceParts,
    watch: Arc<Watch>,
    /// How many attempts in a row brought nothing.
    attempts: Arc<AtomicU32>,
}

/// The parts of a handle that are the same for all sources.
#[derive(Clone, Debug)]
pub(crate) struct SourceParts {
    pub(crate) intake: Intake,
    pub(crate) cursors: Arc<SourceCursors>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: Clock,
}

impl SourceHandle {
    pub(crate) fn new(name: Arc<str>, parts: SourceParts, watch: Arc<Watch>) -> Self {
        Self {
            name,
            parts,
            watch,
            attempts: Arc::default(),
        }
    }

    /// Returns the name of the source.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the number up to which all that the source brought has been dealt with, as of the last
    /// commit; `None` if nothing of it is stored. Here a source continues, in this run or the next:
    /// numbers and the events of theirs are stored together.
    #[must_use]
    pub fn cursor(&self) -> Option<u64> {
        self.parts.cursors.known(&self.name)?.cursor
    }

    /// Hands over a frame of `subscribeRepos`, and waits for room. The cursor is the frame's number.
    ///
    /// # Errors
    ///
    /// When the ingest has stopped.
    pub async fn frame(&self, frame: impl Into<Bytes>) -> Result<(), Stopped> {
        self.take(Content::Frame(frame.into()), None).await
    }

    /// Hands over a frame under a number of the source's own, such as an offset in a topic, and waits
    /// for room. The cursor is this number, and that in the frame is not looked at.
    ///
    /// Numbers are from 1 to 2^53 - 1 and grow. One that is smaller is taken for a repeat or
    /// for the beginning of another count, and one that is more than 100,000 further on is believed
    /// when the next follows it; both lead to a gap.
    ///
    /// # Errors
    ///
    /// When the ingest has stopped.
    pub async fn frame_at(&self, number: u64, frame: impl Into<Bytes>) -> Result<(), Stopped> {
        self.take(Content::Frame(frame.into()), Some(number)).await
    }

    /// Hands over events of a Jetstream, up to a few hundred together, and waits for room. They are
    /// stored together with `cursor`, the number behind the last of them; without one, the cursor
    /// stays. Any number will do, such as a time in microseconds; one below the last sets it back.
    ///
    /// Nobody has signed these events, so they have no verdict. With
    /// [strict](crate::Verify::strict) verification commits are dropped and counted, as `unsigned`.
    ///
    /// # Errors
    ///
    /// When the ingest has stopped.
    pub async fn events(
        &self,
        events: Vec<ClientEvent>,
        cursor: Option<u64>,
    ) -> Result<(), Stopped> {
        self.take(Content::OwnEvents { events, cursor }, None).await
    }

    /// Counts a message that is no event, by its reason.
    pub fn malformed(&self, malformed: jetwash_client::Malformed) {
        let reason = crate::ingest::malformed_reason(malformed);
        self.parts.stats.dropped(reason);
        self.watch.message(Instant::now());
    }

    /// Says that the source lacks something after what it has handed over: the numbers from `first`
    /// up to, but not including, `next`, as far as these are known. Readers see a gap there.
    ///
    /// A cause that is not one of an upstream counts as [`GapCause::UpstreamJump`]. Of more than 10
    /// gaps a minute the others are only counted.
    ///
    /// # Errors
    ///
    /// When the ingest has stopped.
    pub async fn gap(
        &self,
        cause: GapCause,
        first: Option<u64>,
        next: Option<u64>,
    ) -> Result<(), Stopped> {
        let cause = match cause {
            GapCause::UpstreamOutdated
            | GapCause::UpstreamRenumbered
            | GapCause::UpstreamSteppedOver => cause,
            _ => GapCause::UpstreamJump,
        };
        let content = Content::Missing { cause, first, next };
        self.parts.intake.pass_on(&self.name, content).await
    }

    /// Says that a connection was made, which asked for what comes after `cursor`, if for anything.
    /// Frames up to there are then known to come again.
    ///
    /// # Errors
    ///
    /// When the ingest has stopped.
    pub async fn connected(&self, cursor: Option<u64>) -> Result<(), Stopped> {
        self.watch.connected(Instant::now());
        let content = Content::Connected { cursor };
        self.parts.intake.pass_on(&self.name, content).await
    }

    /// Says that a connection ended or was not made, and why, in words for people. Up to 200
    /// characters are kept.
    pub fn disconnected(&self, why: &str) {
        self.parts.stats.reconnect("source");
        self.failed(short(why));
    }

    /// Notes why the source does not continue at the moment.
    pub(super) fn failed(&self, why: String) {
        let attempts = self.attempts.fetch_add(1, Ordering::Relaxed);
        self.watch.ended(why, attempts.saturating_add(1), None);
    }

    pub(crate) const fn parts(&self) -> &SourceParts {
        &self.parts
    }

    pub(crate) const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    async fn take(&self, content: Content, number: Option<u64>) -> Result<(), Stopped> {
        let intake = &self.parts.intake;
        intake.pass_on_as(&self.name, content, number).await?;
        self.attempts.store(0, Ordering::Relaxed);
        self.watch.event(Instant::now());
        Ok(())
    }
}

impl fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHandle")
            .field("name", &self.name)
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}
