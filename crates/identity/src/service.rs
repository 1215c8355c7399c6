//! From a question to a document: memory, then disk, then the program's own source, then the
//! network.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jetwash_event::Did;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::cache::{Change, Found, Kept, Memory, Missing};
use crate::clock::IdentityClock;
use crate::directories::{Directories, document_in, refused};
use crate::document::DidDocument;
use crate::error::ResolveError;
use crate::flights::{Arrival, Boarded, Flight, Flights, Landing};
use crate::handles::Handles;
use crate::hosts::{Hosts, name_of};
use crate::limiter::Limiter;
use crate::method::{Method, WebRules};
use crate::net::{Ask, FetchError, Fetcher};
use crate::random::Random;
use crate::source::BoundedSource;
use crate::stats::{Count, Counters};

/// The end of a look-up.
pub(crate) type Outcome = Result<Arc<DidDocument>, ResolveError>;

/// Everything that look-ups share.
pub(crate) struct Service {
    pub(crate) memory: Memory,
    pub(crate) kept: Option<Arc<Kept>>,
    pub(crate) source: Option<BoundedSource>,
    pub(crate) directories: Directories,
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) handles: Handles,
    pub(crate) plc: Lane,
    pub(crate) web: Lane,
    pub(crate) suspicions: Limiter,
    pub(crate) invalidations: Limiter,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<dyn IdentityClock>,
    pub(crate) random: Random,
    pub(crate) rules: WebRules,
    pub(crate) times: Times,
    pub(crate) followed: Followed,
    pub(crate) runtime: Runtime,
}

/// The look-ups of one method. A flood of one method does not hold up the other.
pub(crate) struct Lane {
    pub(crate) flights: Arc<Flights<Did, Outcome>>,
    pub(crate) permits: Semaphore,
}

/// Ages and limits.
pub(crate) struct Times {
    pub(crate) stale_after: Duration,
    pub(crate) forget_after: Duration,
    pub(crate) negative_for: Duration,
    pub(crate) invalidation_interval: Duration,
    pub(crate) look_up_limit: Duration,
}

/// The time for which a directory's export was followed without a gap, in milliseconds since
/// 1970: what was looked up in it is as good as looked up at its end.
pub(crate) struct Followed {
    from_ms: AtomicU64,
    until_ms: AtomicU64,
}

impl Lane {
    pub(crate) fn new(max_waiting: usize, max_requests: usize) -> Self {
        Self {
            flights: Flights::new(max_waiting),
            permits: Semaphore::new(max_requests.min(Semaphore::MAX_PERMITS)),
        }
    }
}

impl Followed {
    pub(crate) const fn new() -> Self {
        Self {
            from_ms: AtomicU64::new(u64::MAX),
            until_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn set(&self, from_ms: u64, until_ms: u64) {
        self.from_ms.store(from_ms, Ordering::Relaxed);
        self.until_ms.fetch_max(until_ms, Ordering::Relaxed);
    }

    pub(crate) fn clear(&self) {
        self.from_ms.store(u64::MAX, Ordering::Relaxed);
        self.until_ms.store(0, Ordering::Relaxed);
    }

    /// How much younger a document is than its look-up says.
    fn shift(&self, did: &Did, looked_up_ms: u64) -> u64 {
        let is_covered =
            did.method() == "plc" && self.from_ms.load(Ordering::Relaxed) <= looked_up_ms;
        let until = self.until_ms.load(Ordering::Relaxed);
        if is_covered {
            until.saturating_sub(looked_up_ms)
        } else {
            0
        }
    }
}

impl Service {
    /// The answer that memory has. Has an old document looked up again.
    pub(crate) fn known(self: &Arc<Self>, did: &Did) -> Option<Outcome> {
        let now = self.clock.now_ms();
        if let Some(found) = self.memory.found(did) {
            match self.age_of(did, &found, now) {
                Age::Fresh => {
                    self.counters.count(Count::Hit);
                    return Some(Ok(found.document));
                }
                Age::Stale => {
                    self.counters.count(Count::Stale);
                    self.refresh(did);
                    return Some(Ok(found.document));
                }
                Age::Forgotten => self.memory.remove_found(did),
            }
        }
        let missing = self.missing(did, now)?;
        self.counters.count(Count::Negative);
        Some(Err(missing.error))
    }

    pub(crate) async fn resolve(self: &Arc<Self>, did: &Did) -> Outcome {
        if let Some(outcome) = self.known(did) {
            return outcome;
        }
        let arrival = self.begin(did).inspect_err(|error| {
            self.counters.error(error.kind());
        })?;
        arrival.outcome().await.unwrap_or(Err(ResolveError::Ended))
    }

    /// Joins the look-up of a DID, or begins it.
    fn begin(self: &Arc<Self>, did: &Did) -> Result<Arrival<Outcome>, ResolveError> {
        let method = Method::of(did, self.rules)?;
        match self.lane(&method).flights.board(did) {
            Boarded::First(landing, arrival) => {
                self.counters.count(Count::LookUp);
                let service = Arc::clone(self);
                self.runtime.spawn(service.look_up(method, landing, true));
                Ok(arrival)
            }
            Boarded::Joined(arrival) => {
                self.counters.count(Count::Joined);
                Ok(arrival)
            }
            Boarded::Full(waiting) => Err(ResolveError::Busy { waiting }),
        }
    }

    /// Looks an old document up again, for nobody in particular.
    fn refresh(self: &Arc<Self>, did: &Did) {
        let Ok(method) = Method::of(did, self.rules) else {
            return;
        };
        if let Boarded::First(landing, _) = self.lane(&method).flights.board(did) {
            self.counters.count(Count::Refresh);
            let service = Arc::clone(self);
            self.runtime.spawn(service.look_up(method, landing, false));
        }
    }

    async fn look_up(
        self: Arc<Self>,
        method: Method,
        landing: Landing<Did, Outcome>,
        may_be_on_disk: bool,
    ) {
        let did = landing.key().clone();
        // Another look-up may have landed just before this one began.
        let now = self.clock.now_ms();
        let found = self.memory.found(&did);
        let found = found.filter(|found| self.age_of(&did, found, now) == Age::Fresh);
        if let Some(found) = found {
            return landing.land(Ok(found.document));
        }
        if let Some(error) = self.missing(&did, now).map(|missing| missing.error) {
            return landing.land(Err(error));
        }
        if may_be_on_disk && let Some(found) = self.on_disk(&did, now).await {
            self.counters.count(Count::DiskHit);
            let is_stale = self.age_of(&did, &found, now) == Age::Stale;
            self.remember(found.clone(), landing.flight());
            landing.land(Ok(found.document));
            if is_stale {
                self.refresh(&did);
            }
            return;
        }
        let limit = self.times.look_up_limit;
        let asked = timeout(limit, self.ask(&did, &method, Instant::now() + limit)).await;
        let outcome = asked.unwrap_or_else(|_| Err(self.too_late(&method)));
        let flight = Arc::clone(landing.flight());
        match outcome {
            Ok(document) => {
                let found = self.found(document, self.clock.now_ms(), flight.is_stale());
                self.remember(found.clone(), &flight);
                landing.announce(Ok(Arc::clone(&found.document)));
                self.write(found, flight).await;
                drop(landing);
            }
            Err(error) => {
                self.counters.error(error.kind());
                self.remember_error(&did, &method, &error, &flight);
                landing.land(Err(error));
            }
        }
    }

    /// Asks the program's own source, and then the network if the DID is not for that.
    async fn ask(
        &self,
        did: &Did,
        method: &Method,
        deadline: Instant,
    ) -> Result<DidDocument, ResolveError> {
        if let Some(source) = &self.source {
            let permits = &self.lane(method).permits;
            if let Some(document) = source.ask(did, permits, deadline).await? {
                return Ok(document);
            }
        }
        let url = match method {
            Method::Plc => {
                let (fetcher, permits) = (&self.fetcher, &self.plc.permits);
                let asked = self.directories.look_up(did, fetcher, permits, deadline);
                return asked.await;
            }
            Method::Web(url) => url,
        };
        let host: Arc<str> = name_of(url).into();
        let longest = deadline.saturating_duration_since(Instant::now());
        let admitted = self.hosts.admit(url, longest);
        sleep(admitted.map_err(|refusal| refused(refusal, Arc::clone(&host)))?).await;
        let _permit = self.web.permits.acquire().await;
        let ask = Ask {
            accept: "application/did+ld+json, application/json",
            max_bytes: DidDocument::MAX_BYTES,
            may_be_private: self.rules.allow_private,
            others_may_be_private: self.rules.allow_private,
        };
        match self.fetcher.get(url, ask).await {
            Ok(answer) => {
                self.hosts.answered(url);
                document_in(answer, did)
            }
            Err(failure) => {
                self.hosts.failed(url, failure.retry_after);
                let error = failure.error;
                Err(ResolveError::Host { host, error })
            }
        }
    }

    fn too_late(&self, method: &Method) -> ResolveError {
        let host = match method {
            Method::Plc => self.directories.first_name(),
            Method::Web(url) => name_of(url).into(),
        };
        let error = FetchError::Timeout;
        ResolveError::Host { host, error }
    }

    async fn on_disk(&self, did: &Did, now_ms: u64) -> Option<Found> {
        let read = self.kept.as_ref()?.get(did).await;
        let read = read.inspect_err(|_| self.counters.count(Count::DiskError));
        let (document, looked_up_ms) = read.ok().flatten()?;
        let found = self.found(document, looked_up_ms, false);
        // A clock that went back has written times that lie ahead: they say nothing.
        let is_usable = self.age_of(did, &found, now_ms) != Age::Forgotten;
        (is_usable && looked_up_ms <= now_ms + AHEAD_MS).then_some(found)
    }

    pub(crate) async fn write(&self, found: Found, flight: Arc<Flight<Outcome>>) {
        let Some(kept) = &self.kept else {
            return;
        };
        let is_outdated = move || flight.is_outdated();
        let put = kept.put(&found.document, found.looked_up_ms, is_outdated);
        match put.await {
            Ok(true) => {}
            Ok(false) => self.counters.count(Count::NotKept),
            Err(_) => self.counters.count(Count::DiskError),
        }
    }

    pub(crate) fn found(&self, document: DidDocument, looked_up_ms: u64, is_stale: bool) -> Found {
        let stale_after = if is_stale {
            self.times.invalidation_interval
        } else {
            let jitter = self.random.spread(self.times.stale_after / 10);
            self.times.stale_after - jitter
        };
        Found {
            document: Arc::new(document),
            looked_up_ms,
            stale_at_ms: looked_up_ms.saturating_add(stale_after.as_millis() as u64),
        }
    }

    fn remember(&self, found: Found, flight: &Flight<Outcome>) {
        if flight.is_outdated() {
            return;
        }
        let did = found.document.did().clone();
        self.memory.put(found);
        // Looked at again: what was outdated in between must not stay.
        if flight.is_outdated() {
            self.memory.remove(&did);
        }
    }

    fn remember_error(
        self: &Arc<Self>,
        did: &Did,
        method: &Method,
        error: &ResolveError,
        flight: &Flight<Outcome>,
    ) {
        if flight.is_outdated() {
            return;
        }
        let negative_ms = self.times.negative_for.as_millis() as u64;
        let until_ms = self.clock.now_ms().saturating_add(negative_ms);
        let is_gone = matches!(
            error,
            ResolveError::NotFound { .. } | ResolveError::Tombstoned { .. }
        );
        if is_gone {
            self.remove_from_disk(did);
            self.memory.remove_found(did);
        } else if let Some(found) = self.memory.found(did) {
            // It is served on for its time, and looked up again a little later.
            let stale_at_ms = until_ms;
            self.memory.put(Found {
                stale_at_ms,
                ..found
            });
        }
        // A directory that fails says nothing about the DID; a host of did:web is the DID's own.
        let is_its_own = match error {
            ResolveError::Document { .. } | ResolveError::NoDirectory { .. } => true,
            ResolveError::Host { .. } => matches!(method, Method::Web(_)),
            _ => is_gone,
        };
        if is_its_own {
            let error = error.clone();
            self.memory.put_missing(did, Missing { error, until_ms });
        }
        if flight.is_outdated() {
            self.memory.remove(did);
        }
    }

    /// Whether there is anything to look up for a DID.
    pub(crate) fn can_look_up(&self, did: &Did) -> bool {
        Method::of(did, self.rules).is_ok()
    }

    /// Forgets a document and what is under way of it.
    pub(crate) fn forget(self: &Arc<Self>, did: &Did) {
        if let Ok(method) = Method::of(did, self.rules) {
            self.lane(&method).flights.outdate(did);
        }
        self.remove_from_disk(did);
        let found = self.memory.found(did);
        if let Some(handle) = found.as_ref().and_then(|it| it.document.claimed_handle()) {
            self.handles.forget(handle);
        }
        self.memory.remove(did);
    }

    /// Has a document looked up again when the interval since its last invalidation is over.
    pub(crate) fn forget_later(&self, did: &Did) {
        if let Ok(method) = Method::of(did, self.rules) {
            self.lane(&method).flights.make_stale(did);
        }
        if let Some(found) = self.memory.found(did) {
            let interval = self.times.invalidation_interval.as_millis() as u64;
            let stale_at_ms = found.stale_at_ms.min(self.clock.now_ms() + interval);
            self.memory.put(Found {
                stale_at_ms,
                ..found
            });
        }
    }

    /// Takes changes that a directory told of, in their order.
    pub(crate) async fn apply(&self, changes: Vec<Change>) {
        let Some(kept) = &self.kept else {
            return;
        };
        let count = changes.len();
        for change in &changes {
            // A look-up under way may not have seen it.
            if change.at_ms + AHEAD_MS > self.clock.now_ms() {
                self.plc.flights.outdate(&change.did);
            }
            let found = self.memory.found(&change.did);
            let found = found.filter(|found| found.looked_up_ms <= change.at_ms + AHEAD_MS);
            let Some(found) = found else {
                continue;
            };
            if let Some(handle) = found.document.claimed_handle() {
                self.handles.forget(handle);
            }
            match change.document.clone() {
                Some(document) => self.memory.put(self.found(document, change.at_ms, false)),
                None => self.memory.remove(&change.did),
            }
        }
        match kept.apply(changes, AHEAD_MS).await {
            Ok(too_long) => (0..too_long).for_each(|_| self.counters.count(Count::NotKept)),
            Err(_) => self.counters.count(Count::DiskError),
        }
        (0..count).for_each(|_| self.counters.count(Count::Exported));
    }

    fn remove_from_disk(self: &Arc<Self>, did: &Did) {
        let Some(kept) = self.kept.clone() else {
            return;
        };
        kept.begin_removal(did);
        let (service, did) = (Arc::clone(self), did.clone());
        self.runtime.spawn(async move {
            if kept.remove(&did).await.is_err() {
                service.counters.count(Count::DiskError);
            }
        });
    }

    fn missing(&self, did: &Did, now_ms: u64) -> Option<Missing> {
        let longest = now_ms.saturating_add(self.times.negative_for.as_millis() as u64);
        let missing = self.memory.missing(did)?;
        (now_ms < missing.until_ms && missing.until_ms <= longest).then_some(missing)
    }

    fn age_of(&self, did: &Did, found: &Found, now_ms: u64) -> Age {
        let shift = self.followed.shift(did, found.looked_up_ms);
        let age = now_ms.saturating_sub(found.looked_up_ms + shift);
        if age >= self.times.forget_after.as_millis() as u64 {
            Age::Forgotten
        } else if now_ms >= found.stale_at_ms.saturating_add(shift)
            || now_ms + AHEAD_MS < found.looked_up_ms
        {
            Age::Stale
        } else {
            Age::Fresh
        }
    }

    fn lane(&self, method: &Method) -> &Lane {
        match method {
            Method::Plc => &self.plc,
            Method::Web(_) => &self.web,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Stale,
    Forgotten,
}

/// How far a time may lie ahead before the clock is thought to have gone back.
const AHEAD_MS: u64 = 60_000;
