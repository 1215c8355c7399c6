use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jetwash_event::{Did, Handle};
use quick_cache::sync::Cache;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Semaphore;

use crate::cache::{Kept, Memory};
use crate::directories::Directories;
use crate::document::DidDocument;
use crate::error::ResolveError;
use crate::flights::Flights;
use crate::handles::{AccountHandle, HandleError, Handles, Shared};
use crate::hosts::{Budget, Hosts};
use crate::limiter::Limiter;
use crate::method::WebRules;
use crate::net::{FetchError, Fetcher};
use crate::options::{IdentityMistake, IdentityOptions, IdentityOptionsError};
use crate::random::Random;
use crate::service::{Followed, Lane, Service, Times};
use crate::source::BoundedSource;
use crate::stats::{Count, Counters, IdentitySnapshot};

/// Looks identities up and keeps them. Copies share everything.
///
/// [`IdentityOptions::start`] makes it. Look-ups run on the runtime that it was started on, so one
/// that nobody waits for any longer still fills the cache.
///
/// # Examples
///
/// ```no_run
/// use jetwash_identity::IdentityOptions;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let identities = IdentityOptions::new().start()?;
/// let did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz".parse()?;
/// let document = identities.resolve(&did).await?;
/// println!("{:?} at {:?}", document.signing_key(), document.pds());
/// println!("{}", identities.verified_handle(&did).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Identities {
    service: Arc<Service>,
}

impl Identities {
    /// Returns the document of a DID, from memory, from disk, from the program's own source, from a
    /// directory or from its host.
    ///
    /// An old document is returned at once and looked up again. All who ask for the same DID
    /// wait for the same look-up.
    ///
    /// # Errors
    ///
    /// When there is no document, or none that can be used, or none for now
    /// ([`ResolveError::is_transient`]).
    pub async fn resolve(&self, did: &Did) -> Result<Arc<DidDocument>, ResolveError> {
        self.service.resolve(did).await
    }

    /// Returns the answer of memory without waiting: a document, or the error of a look-up. Returns
    /// `None` if the DID is to be looked up with [`resolve`](Self::resolve). Needs no runtime.
    #[must_use]
    pub fn cached(&self, did: &Did) -> Option<Result<Arc<DidDocument>, ResolveError>> {
        self.service.known(did)
    }

    /// Forgets a document, because an `#identity` event says that it may have changed. The next
    /// question waits for a new look-up; the outcome of one under way is not kept.
    ///
    /// Within [`invalidation_interval`](IdentityOptions::invalidation_interval) of the last time,
    /// the document is served until the interval is over, and then looked up again.
    pub fn invalidate(&self, did: &Did) {
        let now = self.service.clock.now_ms();
        if self.service.invalidations.admit(did, now) {
            self.service.counters.count(Count::Invalidation);
            self.service.forget(did);
        } else {
            self.service.forget_later(did);
        }
    }

    /// Says that a signature does not match the key of a DID, which may be a key that was changed.
    /// Returns whether a fresh look-up is allowed; then the document was forgotten, and
    /// [`resolve`](Self::resolve) looks it up.
    ///
    /// It is allowed once for each DID in
    /// [`suspicion_interval`](IdentityOptions::suspicion_interval), and within
    /// [`suspicion_budget`](IdentityOptions::suspicion_budget): a host that sends garbage cannot
    /// have a directory asked more often than that.
    #[must_use]
    pub fn suspect(&self, did: &Did) -> bool {
        let now = self.service.clock.now_ms();
        // A DID that cannot be looked up takes nothing from the others.
        let is_allowed = self.service.can_look_up(did) && self.service.suspicions.admit(did, now);
        if is_allowed {
            self.service.counters.count(Count::Suspicion);
            self.service.forget(did);
        } else {
            self.service.counters.count(Count::SuspicionRefused);
        }
        is_allowed
    }

    /// Returns the handle of a DID, if its document claims one that points to it.
    ///
    /// # Errors
    ///
    /// When the DID cannot be resolved, or when it is not known for now where the handle points.
    pub async fn verified_handle(&self, did: &Did) -> Result<AccountHandle, HandleError> {
        let document = self.resolve(did).await.map_err(HandleError::Did)?;
        let Some(handle) = document.claimed_handle() else {
            return Ok(AccountHandle::Invalid);
        };
        match self.service.handles.point(handle).await {
            Ok(pointed) if pointed == *did => Ok(AccountHandle::Verified(handle.clone())),
            Err(error @ (HandleError::Busy | HandleError::Budget { .. })) => Err(error),
            // Without an address there is no host that could answer later.
            Err(HandleError::Host {
                error: FetchError::NoAddress | FetchError::PrivateAddress,
                ..
            }) => Ok(AccountHandle::Invalid),
            Err(error @ HandleError::Host { .. }) => Err(error),
            _ => Ok(AccountHandle::Invalid),
        }
    }

    /// Returns the DID that a handle stands for: it points to the DID, whose document claims it.
    ///
    /// # Errors
    ///
    /// When either is not so, or is not known for now.
    pub async fn resolve_handle(&self, handle: &Handle) -> Result<Did, HandleError> {
        let handle = handle.normalized();
        let did = self.service.handles.point(&handle).await?;
        let document = self.resolve(&did).await.map_err(HandleError::Did)?;
        if document.claimed_handle() == Some(&handle) {
            Ok(did)
        } else {
            Err(HandleError::NotClaimed { handle, did })
        }
    }

    /// Returns what was counted since the start, and the state now.
    #[must_use]
    pub fn snapshot(&self) -> IdentitySnapshot {
        let service = &self.service;
        let (entries, bytes) = service.memory.size();
        let under_way = service.plc.flights.len() + service.web.flights.len();
        let under_way = under_way + service.handles.under_way();
        let mut snapshot = service.counters.snapshot();
        snapshot.entries = entries as u64;
        snapshot.bytes = bytes;
        snapshot.under_way = under_way as u64;
        snapshot
    }
}

impl Identities {
    /// The part that a follower of an export shares.
    pub(crate) fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

impl IdentityOptions {
    /// Makes the service that looks identities up. Nothing is sent before the first question.
    ///
    /// # Errors
    ///
    /// When the options have a mistake, all of which are named, or outside of a tokio runtime.
    pub fn start(self) -> Result<Identities, IdentityOptionsError> {
        let directories = self.check()?;
        let times = self.times();
        let runtime = Runtime::try_current().map_err(|_| IdentityOptionsError {
            mistakes: vec![IdentityMistake::NoRuntime],
        })?;
        let random = Random::new(self.seed.unwrap_or_else(Random::seed));
        let counters = Arc::new(Counters::default());
        let hosts = Hosts::new(self.host_budget, self.hosts_budget, random.clone());
        let hosts = Arc::new(hosts);
        let fetcher = Arc::new(Fetcher::new(
            Arc::clone(&self.address_lookup),
            self.tls.clone(),
            self.user_agent.clone(),
            self.request_limit,
            Arc::clone(&hosts),
            Arc::clone(&counters),
        ));
        let rules = WebRules {
            allow_private: self.allow_private,
            insecure_port: self.insecure_web_port,
        };
        let eighth = (self.max_waiting / 8).max(1);
        let handles = Handles::new(Shared {
            fetcher: Arc::clone(&fetcher),
            hosts: Arc::clone(&hosts),
            txt: self.txt_lookup.clone(),
            rules,
            clock: Arc::clone(&self.clock),
            counters: Arc::clone(&counters),
            flights: Flights::new(eighth),
            permits: Semaphore::new(self.max_requests.min(Semaphore::MAX_PERMITS)),
            cache: Cache::new(MAX_HANDLES),
            found_for: self.stale_after,
            negative_for: self.negative_for,
            limit: self.request_limit,
            runtime: runtime.clone(),
        });
        // Only bounds what is remembered: each costs no more than an entry of the cache.
        let invalidations = Budget::new(10_000, Duration::from_secs(10));
        let budget = self.directory_budget;
        let private = self.allow_private;
        let limit = self.request_limit;
        let bounded = |source| BoundedSource::new(source, limit, Arc::clone(&counters));
        let service = Service {
            source: self.document_source.map(bounded),
            memory: Memory::new(self.memory_bytes),
            kept: self.disk.map(|disk| Arc::new(Kept::new(disk))),
            directories: Directories::new(directories, budget, random.clone(), private),
            fetcher,
            hosts,
            handles,
            plc: Lane::new(self.max_waiting, self.max_requests),
            web: Lane::new(eighth, self.max_requests),
            suspicions: Limiter::new(self.suspicion_interval, self.suspicion_budget),
            invalidations: Limiter::new(self.invalidation_interval, invalidations),
            counters,
            clock: self.clock,
            random,
            rules,
            times,
            followed: Followed::new(),
            runtime,
        };
        let service = Arc::new(service);
        Ok(Identities { service })
    }

    const fn times(&self) -> Times {
        Times {
            stale_after: self.stale_after,
            forget_after: self.forget_after,
            negative_for: self.negative_for,
            invalidation_interval: self.invalidation_interval,
            look_up_limit: self.look_up_limit,
        }
    }
}

/// Handles whose DIDs are remembered, of about 200 bytes each.
const MAX_HANDLES: usize = 16_384;
