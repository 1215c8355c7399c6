use std::fmt;
use std::mem;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use jetwash_dict::Dictionary;
use jetwash_event::Filter;
use jetwash_frame::Peek;
use jetwash_mst::BlockCheck;
use jetwash_store::{Location, Options, Retention};
use jetwash_verify::Policy;
use tokio::sync::watch;

use crate::build_error::{BuildError, Mistake};
use crate::clock::Clock;
use crate::config::{Config, FramePredicate};
use crate::ingest::AutoDictionary;
use crate::jetstream::{Ingest, Jetstream, assemble};
use crate::log_sort::check_sort;
use crate::retention::{LEAST_BYTES, mistakes_of};
use crate::source::{
    BoxedSource, Endpoint, FrameStream, JetstreamSource, Jetstreams, Labelers, Prepared,
    RelayOptionError, RelayOptions, Source,
};
use crate::verify::{HOLD_BYTES, Verify, WORKERS};

/// Puts a [`Jetstream`] together.
///
/// Nothing happens before [`build`](Self::build): until then every setting is only noted, and then
/// all that is wrong with them is reported at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use jetwash::Jetstream;
///
/// let error = Jetstream::builder()
///     .relay("ftp://relay.example")
///     .retain_for(Duration::ZERO)
///     .build()
///     .unwrap_err();
/// assert_eq!(error.mistakes().len(), 2);
/// ```
#[derive(Default)]
#[must_use = "nothing happens before `build`"]
pub struct JetstreamBuilder {
    relays: Vec<String>,
    cursors: Vec<(String, u64)>,
    pub(crate) relay_options: RelayOptions,
    pub(crate) jetstreams: Jetstreams,
    pub(crate) sources: Vec<BoxedSource>,
    /// Which methods the sources were given with.
    has_frame_stream: bool,
    has_source: bool,
    pub(crate) mirrors: Vec<String>,
    pub(crate) labelers: Labelers,
    folder: Option<PathBuf>,
    #[cfg(feature = "simulation")]
    disk: Option<jetwash_store::testing::SimulatedDisk>,
    retain_for: Option<Duration>,
    retain_bytes: Option<u64>,
    keep_frames: Option<u64>,
    memory_budget: Option<usize>,
    options: Options,
    dictionary: Option<Dictionary>,
    auto_dictionary: Option<AutoDictionary>,
    filter: Filter,
    predicate: Option<FramePredicate>,
    block_check: BlockCheck,
    record_cache: Option<usize>,
    commit_delay: Option<Duration>,
    intake_bytes: Option<usize>,
    clock: Clock,
    verify: Verify,
}

impl JetstreamBuilder {
    /// Takes frames from a relay, or a host that serves `subscribeRepos` itself: a host name, or a
    /// websocket URL. With several, events that come from more than one are kept once.
    pub fn relay(mut self, address: impl Into<String>) -> Self {
        self.relays.push(address.into());
        self
    }

    /// Starts a relay from this sequence number instead of where the last run ended.
    pub fn relay_cursor(mut self, address: impl Into<String>, cursor: u64) -> Self {
        self.cursors.push((address.into(), cursor));
        self
    }

    /// How relays are connected to: headers, certificates, proxies and time limits.
    pub fn relay_options(mut self, options: RelayOptions) -> Self {
        self.relay_options = options;
        self
    }

    /// Takes frames from a stream that the caller brings. The name is that of its cursor, which
    /// [`Jetstream::source_cursor`] tells.
    ///
    /// If the stream panics, it ends; the other sources continue. [`Jetstream::snapshot`] counts that
    /// at once, and [`Ingest::run`] tells it at its end.
    pub fn frame_stream(
        mut self,
        name: impl Into<String>,
        frames: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Self {
        let source = FrameStream::new(name.into(), frames);
        self.sources.push(BoxedSource::new("source", source));
        self.has_frame_stream = true;
        self
    }

    /// Takes frames or events from a source of your own: see [`Source`]. With several sources,
    /// events that come from more than one are kept once.
    pub fn source(mut self, source: impl Source) -> Self {
        self.sources.push(BoxedSource::new("source", source));
        self.has_source = true;
        self
    }

    /// Keeps the log in a folder, which is made if it is not there. Without one the log is in
    /// memory, and gone with the process: it keeps 128 MiB of events if neither
    /// [`retain_bytes`](Self::retain_bytes) nor [`memory_budget`](Self::memory_budget) says
    /// otherwise, which is about a quarter of an hour of the whole network.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Keeps the log on a simulated disk, and all work on the runtime that the ingest runs on.
    #[cfg(feature = "simulation")]
    #[doc(hidden)]
    pub fn simulated_disk(mut self, disk: jetwash_store::testing::SimulatedDisk) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Sets how long events are kept. Defaults to 24 hours.
    pub const fn retain_for(mut self, age: Duration) -> Self {
        self.retain_for = Some(age);
        self
    }

    /// Keeps up to `bytes` of events. Defaults to no limit in a [folder](Self::folder), and to
    /// 128 MiB in memory.
    pub const fn retain_bytes(mut self, bytes: u64) -> Self {
        self.retain_bytes = Some(bytes);
        self
    }

    /// Keeps the relay's frames too, up to `bytes` of them, for programs that send them on: see
    /// [`Jetstream::kept_frames`]. Real frames have about 5 KB each. The oldest go first.
    ///
    /// Every frame that a source sends in order is kept, also one whose events the
    /// [ingest filter](Self::ingest_filter) rejects, or that turns out to be malformed once it is
    /// decoded. With [verification](Self::verify), a frame that is known to be invalid when its turn
    /// comes is not kept; one whose key is being looked up is. Without this setting nothing is kept, it costs nothing, and a log that has frames
    /// of an earlier run forgets them.
    pub const fn keep_frames(mut self, bytes: u64) -> Self {
        self.keep_frames = Some(bytes);
        self
    }

    /// How much memory the log may take, whatever the rate and however many read: the newest
    /// events, what is read from disk and unpacked, and the write buffers follow from it. 32 MiB if
    /// not said, of which it needs about a third unless more comes in than the disk takes.
    ///
    /// A log in memory needs no write buffers. Of a budget that is given, it has what those would
    /// take, three quarters, for its events, unless [`retain_bytes`](Self::retain_bytes) says how
    /// many it keeps.
    ///
    /// Frames that wait for the pipeline are counted apart, see
    /// [`intake_bytes`](Self::intake_bytes).
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Sets the finer options of the log. Their retention is ignored.
    pub fn store_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Compresses each event once, when it arrives, for all readers. Without a dictionary
    /// there are no compressed events, and the log compresses whole blocks.
    pub fn dictionary(mut self, dictionary: Dictionary) -> Self {
        self.dictionary = Some(dictionary);
        self
    }

    /// Trains dictionaries on the log's own events while it runs. Until the first is there, that of
    /// [`dictionary`](Self::dictionary) is used; a log that was written with another continues with
    /// that one.
    pub fn auto_dictionary(mut self, auto: AutoDictionary) -> Self {
        self.auto_dictionary = Some(auto);
        self
    }

    /// Keeps only the events that this matches; the others never enter the log. A frame whose
    /// account is not wanted costs less than 100 ns, and one of whose collections none is, about
    /// that.
    ///
    /// With a [`DidSet`](crate::DidSet) in it, what is kept changes with the set:
    /// [`Jetstream::holds_from`] tells from where on. [`Jetstream::set_ingest_filter`] puts another
    /// filter in its place.
    pub fn ingest_filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Also keeps out every frame for which `predicate` says `false`. It is asked about each
    /// commit, identity, account and sync that the ingest filter lets pass, before anything is decoded,
    /// on the one thread that all frames go through: it should take nanoseconds. A frame at which
    /// it panics is dropped, as `gate_panicked`. Events of a [Jetstream](Self::jetstream) have no
    /// frame, and it is not asked about them.
    ///
    /// # Examples
    ///
    /// ```
    /// use jetwash::Jetstream;
    /// use jetwash::frame::FrameKind;
    ///
    /// // A tenth of all accounts, and only commits of one operation.
    /// let builder = Jetstream::builder().ingest_filter_with(|frame| {
    ///     let last = frame.did.and_then(|did| did.bytes().last());
    ///     let is_sampled = last.is_some_and(|byte| byte % 10 == 0);
    ///     is_sampled && (frame.kind != FrameKind::Commit || frame.paths().count() == 1)
    /// });
    /// # drop(builder);
    /// ```
    pub fn ingest_filter_with(
        mut self,
        predicate: impl Fn(&Peek<'_>) -> bool + Send + 'static,
    ) -> Self {
        self.predicate = Some(Box::new(predicate));
        self
    }

    /// Sets which blocks of a commit must match their CIDs. Defaults to all. Checking only the
    /// records and the commit itself halves the cost of a frame, and is for relays that are trusted
    /// to have checked.
    pub const fn check_blocks(mut self, check: BlockCheck) -> Self {
        self.block_check = check;
        self
    }

    /// Keeps the latest records in about `bytes` of memory, so that [`Jetstream::previous`] can
    /// return the record that a delete removed or an update replaced.
    ///
    /// The cache is empty after each start. It does not hold older records, or records that the
    /// ingest filter rejected, and it forgets the oldest first. An entry takes about 600 bytes: a
    /// gigabyte holds about the last hour of the network.
    pub const fn record_cache(mut self, bytes: usize) -> Self {
        self.record_cache = Some(bytes);
        self
    }

    /// Sets how long an event may wait for others, to be committed with them. Defaults to 2 ms.
    pub const fn commit_delay(mut self, delay: Duration) -> Self {
        self.commit_delay = Some(delay);
        self
    }

    /// Sets how many bytes of frames may wait for the pipeline. Defaults to 8 MiB. A source that is
    /// faster waits.
    pub const fn intake_bytes(mut self, bytes: usize) -> Self {
        self.intake_bytes = Some(bytes);
        self
    }

    /// Verifies what relays send before it goes into the log. Defaults to [`Verify::off`].
    pub fn verify(mut self, verify: Verify) -> Self {
        self.verify = verify;
        self
    }

    /// Sets where the times of events come from. Defaults to the system's clock. For tests.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Checks the settings and opens the log. Returns the handle, and the [`Ingest`] that feeds it
    /// once it runs: before, no socket is opened and nothing is spawned.
    ///
    /// # Errors
    ///
    /// All that is wrong, at once: each mistake names the value and what is allowed.
    pub fn build(self) -> Result<(Jetstream, Ingest), BuildError> {
        let config = self.check()?;
        let (location, options) = (config.location.clone(), config.options.clone());
        let log = jetwash_store::open(location, options).map_err(|error| BuildError {
            mistakes: vec![Mistake::Store(error)],
        })?;
        let has_labels = !config.labelers.dids.is_empty();
        check_sort(&log.1, config.mirror.is_some(), has_labels).map_err(|mistake| BuildError {
            mistakes: vec![mistake],
        })?;
        assemble(config, log).map_err(|error| BuildError {
            mistakes: vec![Mistake::Dictionary(error)],
        })
    }

    /// All mistakes are collected before anything is opened, so that they can be mended in one go.
    fn check(self) -> Result<Config, BuildError> {
        let mut mistakes = Vec::new();
        let relays = self.parse_relays(&mut mistakes);
        let cursors = self.parse_cursors(&relays, &mut mistakes);
        self.check_bounds(&mut mistakes);
        let filter = watch::Sender::new(self.filter.clone());
        let jetstreams = self.prepare_jetstreams(&filter, &mut mistakes);
        self.check_names(&relays, &jetstreams, &mut mistakes);
        let relay_options = self.prepare_relays(&relays, &mut mistakes);
        let mirror = self.prepare_mirror(&mut mistakes);
        let mut labelers = self.prepare_labelers(&mut mistakes);
        if !mistakes.is_empty() {
            return Err(BuildError { mistakes });
        }
        let options = self.log_options();
        let location = self.location();
        let mut sources = self.sources;
        sources.extend(mem::take(&mut labelers.sources));
        let intake_bytes = self.intake_bytes.unwrap_or(INTAKE_BYTES);
        Ok(Config {
            location,
            options,
            relays: (relays, relay_options),
            cursors,
            jetstreams,
            sources,
            mirror,
            labelers,
            check_cids: self.jetstreams.options.checks_cids(),
            dictionary: self.dictionary,
            auto_dictionary: self.auto_dictionary,
            filter,
            predicate: self.predicate,
            block_check: self.block_check,
            record_cache: self.record_cache,
            commit_delay: self.commit_delay.unwrap_or(COMMIT_DELAY),
            intake_bytes: u32::try_from(intake_bytes).unwrap_or(u32::MAX),
            clock: self.clock,
            verify: self.verify,
        })
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.verify.policy == Policy::Strict
    }

    fn location(&self) -> Location {
        #[cfg(feature = "simulation")]
        if let Some(disk) = &self.disk {
            return Location::Simulated(disk.clone());
        }
        let folder = self.folder.clone();
        folder.map_or(Location::Memory, Location::Disk)
    }

    /// The settings that say what goes into the log and how, and which of them are set.
    pub(crate) fn settings_of_ingest(&self) -> [(&'static str, bool); 14] {
        [
            ("relay", !self.relays.is_empty()),
            ("relay_cursor", !self.cursors.is_empty()),
            ("jetstream", !self.jetstreams.is_empty()),
            ("frame_stream", self.has_frame_stream),
            ("source", self.has_source),
            ("labeler", !self.labelers.of_events.is_empty()),
            ("dictionary", self.dictionary.is_some()),
            ("auto_dictionary", self.auto_dictionary.is_some()),
            ("ingest_filter", !self.filter.is_empty()),
            ("ingest_filter_with", self.predicate.is_some()),
            ("keep_frames", self.keep_frames.is_some()),
            ("record_cache", self.record_cache.is_some()),
            ("verify", self.verify.policy.is_on()),
            ("check_blocks", self.block_check != BlockCheck::default()),
        ]
    }

    fn log_options(&self) -> Options {
        let retention = Retention {
            max_age: Some(self.retain_for.unwrap_or(DAY)),
            max_bytes: self.retain_bytes.or_else(|| self.memory_bound()),
        };
        let mut options = self.options.clone().retention(retention);
        if let Some(bytes) = self.memory_budget {
            options = options.memory_budget(bytes);
        }
        options.frame_bytes = self.keep_frames.or(options.frame_bytes);
        options
    }

    /// The bound of a log in memory without a setting: nothing may grow without bound.
    fn memory_bound(&self) -> Option<u64> {
        if self.folder.is_some() {
            return None;
        }
        let events = self.memory_budget.map(|bytes| bytes / 4 * 3);
        Some(events.map_or(IN_MEMORY, |bytes| bytes as u64))
    }

    fn parse_relays(&self, mistakes: &mut Vec<Mistake>) -> Vec<Endpoint> {
        let mut relays: Vec<Endpoint> = Vec::new();
        for text in &self.relays {
            match text.parse() {
                Ok(relay) if relays.contains(&relay) => {
                    mistakes.push(Mistake::RepeatedSource(relay.to_string()));
                }
                Ok(relay) => relays.push(relay),
                Err(error) => mistakes.push(Mistake::Relay(error)),
            }
        }
        relays
    }

    fn parse_cursors(
        &self,
        relays: &[Endpoint],
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<(String, u64)> {
        let mut cursors = Vec::new();
        for (text, cursor) in &self.cursors {
            match text.parse::<Endpoint>() {
                Ok(relay) if relays.contains(&relay) => cursors.push((relay.to_string(), *cursor)),
                Ok(relay) => mistakes.push(Mistake::CursorWithoutRelay(relay.to_string())),
                Err(error) => mistakes.push(Mistake::Relay(error)),
            }
        }
        cursors
    }

    /// Returns how relays are connected to, if there are any. Without relays, nobody minds a proxy in
    /// the environment that cannot be used.
    fn prepare_relays(&self, relays: &[Endpoint], mistakes: &mut Vec<Mistake>) -> Option<Prepared> {
        match self.relay_options.clone().prepare() {
            Ok(prepared) => (!relays.is_empty()).then_some(prepared),
            Err(wrong) => {
                let is_ours = |error: &RelayOptionError| {
                    !relays.is_empty() || !matches!(error, RelayOptionError::Proxy { .. })
                };
                mistakes.extend(wrong.into_iter().filter(is_ours).map(Mistake::RelayOption));
                None
            }
        }
    }

    fn check_bounds(&self, mistakes: &mut Vec<Mistake>) {
        mistakes.extend(mistakes_of(Retention {
            max_age: self.retain_for,
            max_bytes: self.retain_bytes,
        }));
        if let Some(bytes) = self.keep_frames.filter(|&bytes| bytes < LEAST_BYTES) {
            mistakes.push(Mistake::FewFrameBytes { bytes });
        }
        if let Some(bytes) = self.memory_budget.filter(|bytes| !MEMORY.contains(bytes)) {
            mistakes.push(Mistake::MemoryBudget { bytes });
        }
        if let Some(delay) = self.commit_delay.filter(|&delay| delay > LONGEST_DELAY) {
            mistakes.push(Mistake::CommitDelay { delay });
        }
        if let Some(bytes) = self.intake_bytes.filter(|bytes| !INTAKE.contains(bytes)) {
            mistakes.push(Mistake::Intake { bytes });
        }
        self.check_verify(mistakes);
    }

    fn check_verify(&self, mistakes: &mut Vec<Mistake>) {
        let verify = &self.verify;
        if let Some(count) = verify.workers.filter(|count| !WORKERS.contains(count)) {
            mistakes.push(Mistake::VerifyWorkers { count });
        }
        if !HOLD_BYTES.contains(&verify.hold_bytes) {
            let bytes = verify.hold_bytes;
            mistakes.push(Mistake::HoldBytes { bytes });
        }
    }

    fn check_names(
        &self,
        relays: &[Endpoint],
        jetstreams: &[JetstreamSource],
        mistakes: &mut Vec<Mistake>,
    ) {
        let hosts = jetstreams.iter().flat_map(JetstreamSource::host_names);
        let relays = relays.iter().map(Endpoint::to_string);
        let mut names: Vec<String> = relays.chain(hosts.map(str::to_owned)).collect();
        for source in &self.sources {
            let name = source.name().to_string();
            if names.contains(&name) {
                mistakes.push(Mistake::RepeatedSource(name.clone()));
            }
            names.push(name);
        }
    }
}

impl Jetstream {
    /// Returns a builder with the default settings.
    pub fn builder() -> JetstreamBuilder {
        JetstreamBuilder::default()
    }
}

impl fmt::Debug for JetstreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(BoxedSource::name).collect();
        f.debug_struct("JetstreamBuilder")
            .field("relays", &self.relays)
            .field("sources", &sources)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const IN_MEMORY: u64 = 128 << 20;
const LONGEST_DELAY: Duration = Duration::from_secs(10);
const MEMORY: std::ops::RangeInclusive<usize> = 2 << 20..=16 << 30;
const INTAKE: std::ops::RangeInclusive<usize> = 1 << 16..=1 << 30;
const INTAKE_BYTES: usize = 8 << 20;
const COMMIT_DELAY: Duration = Duration::from_millis(2);
