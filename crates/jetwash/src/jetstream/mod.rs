//! The two halves of a Jetstream: the handle that is asked, and the ingest that runs.
//!
//! - `assemble`: makes both of a checked `Config`.
//! - `ingest_filter`: another filter for the ingest that runs.
//! - `run`: the ingest: connects the sources and the writer, and looks after their ends.

mod assemble;
mod ingest_filter;
mod run;

use std::any::Any;
use std::sync::Arc;

use jetwash_dict::Dictionary;
use jetwash_event::{DidChange, Filter, Labels};
use jetwash_identity::Identities;
use jetwash_store::{Bounds, Cursor, FrameStart, LogId, Retention, Seq, Store};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::build_error::Mistake;
use crate::consumer::Registry;
use crate::executor::run_blocking;
use crate::ingest::{Dictionaries, Intake, Question, RecordCache, RotateError, Stopped};
use crate::panic::Panic;
use crate::read::{
    Event, FrameSubscription, FramesError, ReadError, Reader, StartFrom, Subscription,
};
use crate::retention::mistakes_of;
use crate::source::{NotReady, Pusher, SourceHandle, SourceParts, Upstream, Watch};
use crate::stats::{Snapshot, Stats};
use crate::verify::{ResyncSource, Resyncs};

pub(crate) use assemble::assemble;
pub use ingest_filter::IngestFilterError;
pub use run::{Ingest, RunError};

/// The firehose as events: sources on one side, a log, and subscriptions on the other.
///
/// It is a handle, cheap to clone. The [`Ingest`] that comes with it does the work; subscriptions
/// can be made before, during and after its run.
#[derive(Clone, Debug)]
pub struct Jetstream {
    pub(crate) shared: Arc<Shared>,
}

/// The index of labels, and how the connections are of the labelers that fill it alone.
#[derive(Debug)]
pub(crate) struct LabelIndex {
    pub(crate) index: Labels,
    pub(crate) labelers: Vec<Arc<Watch>>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    store: Store,
    /// The parts that pushers are given, as sources are.
    parts: SourceParts,
    dictionaries: Dictionaries,
    questions: mpsc::Sender<Question>,
    /// Whether the log is another's, and has all that is in it.
    is_mirror: bool,
    records: Option<Arc<RecordCache>>,
    consumers: Registry,
    upstreams: Vec<Arc<Watch>>,
    pub(crate) labels: LabelIndex,
    identities: Option<Identities>,
    resyncs: ResyncSource,
}

impl Jetstream {
    /// Events from a position on that `filter` matches.
    ///
    /// # Errors
    ///
    /// When the log cannot be read to find the position.
    pub async fn subscribe(
        &self,
        start: StartFrom,
        filter: Filter,
    ) -> Result<Subscription, ReadError> {
        let stats = Arc::clone(&self.shared.parts.stats);
        Ok(Subscription::new(self.reader(start).await?, filter, stats))
    }

    /// Returns a reader of the log from a position on, block by block, for servers.
    ///
    /// # Errors
    ///
    /// When the log cannot be read to find the position.
    pub async fn reader(&self, start: StartFrom) -> Result<Reader, ReadError> {
        let store = self.shared.store.clone();
        // Only a time has to be looked up, which may touch the disk.
        if !matches!(start, StartFrom::Time(_)) {
            return Reader::open(store, start);
        }
        let open = run_blocking(store.may_block(), move || Reader::open(store, start));
        open.await.map_err(ReadError::from)?
    }

    /// A way to put frames in by hand, under a name that its cursor is kept by.
    #[must_use]
    pub fn pusher(&self, name: &str) -> Pusher {
        let name: Arc<str> = name.into();
        let watch = Arc::new(Watch::new(Arc::clone(&name)));
        Pusher::new(SourceHandle::new(name, self.shared.parts.clone(), watch))
    }

    /// The raw frames of a source, from a sequence number on: those that are
    /// [kept](crate::JetstreamBuilder::keep_frames), and then those to come.
    ///
    /// A relay's name is its [`Endpoint`](crate::Endpoint) as text. The source need not have sent
    /// anything yet.
    ///
    /// # Errors
    ///
    /// When frames are not kept.
    pub fn kept_frames(
        &self,
        source: &str,
        start: FrameStart,
    ) -> Result<FrameSubscription, FramesError> {
        FrameSubscription::open(&self.shared.store, source, start)
    }

    /// The sequence number up to which the frames of a source are in the log.
    ///
    /// A relay's name is its [`Endpoint`](crate::Endpoint) as text. That of a Jetstream is `wss://` and
    /// its first host, and its cursor is the time of the last event by the host's clock, in
    /// microseconds since 1970.
    #[must_use]
    pub fn source_cursor(&self, name: &str) -> Option<u64> {
        self.shared.parts.cursors.known(name)?.cursor
    }

    /// The dictionary that events are compressed with at the moment, if any.
    #[must_use]
    pub fn dictionary(&self) -> Option<Dictionary> {
        self.shared.dictionaries.in_use()
    }

    /// Returns a receiver of each [rotation](Self::rotate_dictionary), which it sees before the first
    /// event that the rotation concerns can be read.
    #[must_use]
    pub fn dictionary_changes(&self) -> watch::Receiver<Option<Dictionary>> {
        self.shared.dictionaries.changes()
    }

    /// Compresses events with another dictionary from now on, and returns the position of the first
    /// that is. It waits until the [ingest](Ingest) runs: a dictionary to begin with is given to the
    /// [builder](crate::JetstreamBuilder::dictionary).
    ///
    /// Events that are in the log stay as they are, and the log keeps the dictionaries that they
    /// need: see [`Store::dictionaries`].
    ///
    /// # Errors
    ///
    /// When the log has another dictionary of the same number, or cannot store this one; the one
    /// before it then stays in use. And when the ingest has stopped, or was dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Dictionary, Jetstream, Seq};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (jetstream, ingest) = Jetstream::builder().build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let samples = (0..1000).map(|n| format!(r#"{{"did":"did:web:{n}.example","time_us":{n}}}"#));
    /// let dictionary = Dictionary::train(samples, 1024, 20_261_122)?;
    /// assert_eq!(jetstream.rotate_dictionary(dictionary.clone()).await?, Seq::FIRST);
    /// assert_eq!(jetstream.dictionary(), Some(dictionary));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rotate_dictionary(&self, dictionary: Dictionary) -> Result<Seq, RotateError> {
        self.shared.dictionaries.rotate(dictionary).await
    }

    /// The cursor from which a change of a [`DidSet`](crate::DidSet) holds: every event after it
    /// was judged with the change, by the ingest filter and by every subscription, poll and
    /// consumer, and with all changes before it.
    ///
    /// A subscription that is behind the log's tip judges earlier events with the change too, from
    /// the next that it gives. The change itself holds already; this only finds out from where. It
    /// waits until the [ingest](Ingest) runs, and takes as long as the frames do that are being
    /// dealt with.
    ///
    /// # Errors
    ///
    /// When the ingest has stopped, or was dropped: there will be no events for the change to hold
    /// for.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{DidSet, Filter, Jetstream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let set = DidSet::new();
    /// let filter = Filter::new().did_set(set.clone());
    /// let (jetstream, ingest) = Jetstream::builder().ingest_filter(filter).build()?;
    /// tokio::spawn(ingest.run(std::future::pending()));
    /// let change = set.add("did:plc:ewvi7nxzyoun6zhxrhs64oiz")?;
    /// let cursor = jetstream.holds_from(change).await?;
    /// // The log is empty: it holds from the first event.
    /// assert_eq!(cursor.get(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn holds_from(&self, _change: DidChange) -> Result<Cursor, Stopped> {
        self.judged_from(None).await
    }

    /// How long events stay in the log, and in how many bytes.
    #[must_use]
    pub fn retention(&self) -> Retention {
        self.store().retention()
    }

    /// Changes how long events stay in the log, while it runs. It holds within a minute or so, when
    /// the oldest events are next looked at. The next start goes by the builder's settings again.
    ///
    /// # Errors
    ///
    /// When the builder would not take it: no time at all, or less than 1 MiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use jetwash::Jetstream;
    /// use jetwash::store::Retention;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (jetstream, _ingest) = Jetstream::builder().build()?;
    /// let week = Some(Duration::from_secs(7 * 24 * 3600));
    /// jetstream.set_retention(Retention { max_age: week, ..jetstream.retention() })?;
    /// assert_eq!(jetstream.retention().max_age, week);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_retention(&self, retention: Retention) -> Result<(), Mistake> {
        if let Some(mistake) = mistakes_of(retention).next() {
            return Err(mistake);
        }
        self.store().set_retention(retention);
        Ok(())
    }

    /// Returns the record, as JSON, that a delete removed or an update replaced, if it came in not
    /// long ago. Always `None` without
    /// [`JetstreamBuilder::record_cache`](crate::JetstreamBuilder::record_cache).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn example(jetstream: jetwash::Jetstream, event: jetwash::Event) {
    /// if let Some(record) = jetstream.previous(&event) {
    ///     println!("{:?} was {record}", event.uri());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn previous(&self, event: &Event) -> Option<Arc<str>> {
        self.shared.records.as_ref()?.before(event.seq())
    }

    /// Returns the bounds of the log.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.shared.store.bounds()
    }

    /// The log itself, to read from.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Which log this is. Positions mean nothing in another, so a cursor that is kept outside the
    /// log is to be kept with it.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.shared.store.log_id()
    }

    /// Returns the counts so far: frames, events, and everything dropped, by reason.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.parts.stats.snapshot()
    }

    /// Returns the identity service that commits are verified with: DID documents, keys and handles.
    /// `None` where no keys are needed.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(jetstream: jetwash::Jetstream) -> Result<(), Box<dyn std::error::Error>> {
    /// let identities = jetstream.identities().ok_or("no keys are looked up")?;
    /// let document = identities.resolve(&"did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?).await?;
    /// println!("{:?}", document.pds());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn identities(&self) -> Option<&Identities> {
        self.shared.identities.as_ref()
    }

    /// Returns the repositories that turn out to be incomplete from now on. It needs
    /// [verification](crate::Verify::lenient).
    #[must_use]
    pub fn resyncs(&self) -> Resyncs {
        self.shared.resyncs.listen()
    }

    /// The relays, and how the connection to each is; frame streams are not among them.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::{Jetstream, UpstreamState};
    ///
    /// let (jetstream, _ingest) = Jetstream::builder().relay("relay.example").build()?;
    /// for upstream in jetstream.upstreams() {
    ///     println!("{}: {}", upstream.name, upstream.state.name());
    ///     assert_eq!(upstream.state, UpstreamState::Connecting { attempt: 0 });
    /// }
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    #[must_use]
    pub fn upstreams(&self) -> Vec<Upstream> {
        let (now, stalled) = (Instant::now(), self.shared.parts.stats.stalled());
        let watches = self.shared.upstreams.iter();
        watches
            .map(|watch| watch.view(now, stalled.as_deref()))
            .collect()
    }

    /// Whether this does its work: the log can be written, and one relay at least is connected and
    /// heard. A quiet host is heard by its pongs. Without relays the log alone counts.
    ///
    /// # Errors
    ///
    /// Why it is not ready.
    pub fn readiness(&self) -> Result<(), NotReady> {
        let shared = &self.shared;
        if !shared.parts.intake.is_running() {
            return Err(NotReady::NotRunning);
        }
        if let Some(reason) = shared.parts.stats.stalled() {
            return Err(NotReady::LogStalled(reason));
        }
        if shared.upstreams.is_empty() || shared.upstreams.iter().any(|watch| watch.is_connected())
        {
            return Ok(());
        }
        let ends = self.upstreams().into_iter().map(|upstream| {
            let end = upstream
                .last_end
                .as_deref()
                .unwrap_or("the first attempt is under way");
            format!("{}: {end}", upstream.name)
        });
        Err(NotReady::NoUpstream(ends.collect::<Vec<_>>().join("; ")))
    }

    /// Counts the panic of a task that belongs to this, in [`Snapshot::panics`], and tells of it in
    /// the program's log: for servers and whatever else is built on it. `task` is a name from a
    /// fixed list, never text from outside.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    ///
    /// let (jetstream, _ingest) = Jetstream::builder().build()?;
    /// let painter = std::thread::spawn(|| panic!("out of paint"));
    /// if let Err(payload) = painter.join() {
    ///     jetstream.report_panic("painter", &*payload);
    /// }
    /// assert_eq!(jetstream.snapshot().panics["painter"], 1);
    /// # Ok::<(), jetwash::BuildError>(())
    /// ```
    pub fn report_panic(&self, task: &'static str, payload: &(dyn Any + Send)) {
        self.shared.parts.stats.panicked(task, &Panic::new(payload));
    }

    /// Returns the parts that consumers need: their register, and the state of the way in.
    pub(crate) fn consumer_parts(&self) -> (&Registry, &Arc<Stats>, &Intake) {
        let shared = &self.shared;
        (&shared.consumers, &shared.parts.stats, &shared.parts.intake)
    }
}
