//! Which DID a handle points to.

use std::sync::Arc;
use std::time::Duration;

use jetwash_event::{Did, Handle};
use quick_cache::sync::Cache;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::IdentityClock;
use crate::error::ResolveError;
use crate::flights::{Boarded, Flights};
use crate::hosts::{Hosts, Refusal};
use crate::method::{WebRules, is_reserved};
use crate::net::{Ask, FetchError, Fetcher, TxtLookup};
use crate::stats::{Count, Counters};

/// Looks up the DID that a handle points to, in one direction only: whether the DID claims the
/// handle is another question.
#[derive(Clone)]
pub(crate) struct Handles(Arc<Shared>);

/// Everything that look-ups of handles share.
pub(crate) struct Shared {
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) txt: Option<Arc<dyn TxtLookup>>,
    pub(crate) rules: WebRules,
    pub(crate) clock: Arc<dyn IdentityClock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) flights: Arc<Flights<Handle, Pointed>>,
    pub(crate) permits: Semaphore,
    pub(crate) cache: Cache<Handle, (Pointed, u64)>,
    pub(crate) found_for: Duration,
    pub(crate) negative_for: Duration,
    pub(crate) limit: Duration,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// The DID that a handle points to.
pub(crate) type Pointed = Result<Did, HandleError>;

impl Handles {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Looks a handle up in the DNS and over HTTPS. It must be in lower case.
    pub(crate) async fn point(&self, handle: &Handle) -> Pointed {
        let shared = &self.0;
        if is_reserved(handle.as_ref()) {
            let handle = handle.clone();
            return Err(HandleError::Reserved { handle });
        }
        let now = shared.clock.now_ms();
        if let Some((pointed, until)) = shared.cache.get(handle)
            && now < until
        {
            return pointed;
        }
        let arrival = match shared.flights.board(handle) {
            Boarded::Full(_) => return Err(HandleError::Busy),
            Boarded::Joined(arrival) => arrival,
            Boarded::First(landing, arrival) => {
                let shared = Arc::clone(shared);
                let run = async move {
                    let handle = landing.key().clone();
                    let pointed = shared.look_up(&handle).await;
                    shared.keep(&handle, &pointed);
                    if landing.flight().is_outdated() {
                        shared.cache.remove(&handle);
                    }
                    landing.land(pointed);
                };
                self.0.runtime.spawn(run);
                arrival
            }
        };
        let ended = || Err(HandleError::Did(ResolveError::Ended));
        arrival.outcome().await.unwrap_or_else(ended)
    }

    pub(crate) fn forget(&self, handle: &Handle) {
        self.0.flights.outdate(handle);
        self.0.cache.remove(handle);
    }

    pub(crate) fn under_way(&self) -> usize {
        self.0.flights.len()
    }
}

impl Shared {
    async fn look_up(&self, handle: &Handle) -> Pointed {
        self.counters.count(Count::Handle);
        let _permit = self.permits.acquire().await;
        if let Some(did) = self.in_dns(handle).await? {
            return Ok(did);
        }
        self.on_web(handle).await
    }

    /// The only `did=` text of the name. The DNS counts more than the web page.
    async fn in_dns(&self, handle: &Handle) -> Result<Option<Did>, HandleError> {
        let Some(txt) = &self.txt else {
            return Ok(None);
        };
        let name = format!("_atproto.{handle}");
        // Without an answer the web page may still give one.
        let texts = timeout(self.limit, txt.texts(&name)).await;
        let texts = texts.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
        let dids = texts.iter().take(MAX_TEXTS);
        let mut dids = dids.filter_map(|text| text.strip_prefix("did="));
        match (dids.next(), dids.next()) {
            (None, _) => Ok(None),
            (Some(did), None) => {
                let did = did.trim_end().parse();
                did.map(Some).map_err(|_| HandleError::NotFound {
                    handle: handle.clone(),
                })
            }
            (Some(_), Some(_)) => Err(HandleError::Ambiguous {
                handle: handle.clone(),
            }),
        }
    }

    async fn on_web(&self, handle: &Handle) -> Pointed {
        let not_found = || HandleError::NotFound {
            handle: handle.clone(),
        };
        let page = self.rules.page(handle.as_ref(), "/.well-known/atproto-did");
        let page = page.ok_or_else(not_found)?;
        let refused = |refusal: Refusal| HandleError::Budget {
            handle: handle.clone(),
            retry_after: refusal.wait(),
        };
        let deadline = Instant::now() + self.limit;
        sleep(self.hosts.admit(&page, self.limit).map_err(refused)?).await;
        let ask = Ask {
            accept: "text/plain",
            max_bytes: Did::MAX_LENGTH + 64,
            may_be_private: self.rules.allow_private,
            others_may_be_private: self.rules.allow_private,
        };
        let got = tokio::time::timeout_at(deadline, self.fetcher.get(&page, ask)).await;
        match got.unwrap_or_else(|_| Err(FetchError::Timeout.into())) {
            Ok(answer) => {
                self.hosts.answered(&page);
                let text = std::str::from_utf8(&answer.body).unwrap_or_default();
                text.trim().parse().map_err(|_| not_found())
            }
            Err(failure) => {
                self.hosts.failed(&page, failure.retry_after);
                Err(HandleError::Host {
                    handle: handle.clone(),
                    error: failure.error,
                })
            }
        }
    }

    fn keep(&self, handle: &Handle, pointed: &Pointed) {
        let time = match pointed {
            Ok(_) => self.found_for,
            Err(HandleError::Budget { .. } | HandleError::Busy) => return,
            Err(_) => self.negative_for,
        };
        let until = self.clock.now_ms().saturating_add(time.as_millis() as u64);
        self.cache.insert(handle.clone(), (pointed.clone(), until));
    }
}

/// Why a handle does not stand for an account, or is not known to.
///
/// # Examples
///
/// ```
/// use jetwash_identity::{HandleError, IdentityOptions};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let identities = IdentityOptions::new().start()?;
/// let error = identities.resolve_handle(&"handle.invalid".parse()?).await.err();
/// assert!(matches!(error, Some(HandleError::Reserved { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// Its top-level domain never resolves, as that of `handle.invalid`.
    #[error("the handle {handle} is under a top-level domain that never resolves")]
    Reserved {
        /// The handle.
        handle: Handle,
    },
    /// It points to no DID.
    #[error("the handle {handle} points to no DID")]
    NotFound {
        /// The handle.
        handle: Handle,
    },
    /// The DNS has several DIDs for it.
    #[error("the handle {handle} points to several DIDs")]
    Ambiguous {
        /// The handle.
        handle: Handle,
    },
    /// Its host gave no answer that can be used.
    #[error("the host of the handle {handle} does not answer: {error}")]
    Host {
        /// The handle.
        handle: Handle,
        /// The failure of its answer.
        error: FetchError,
    },
    /// Its host has had its share of requests, or is left alone.
    #[error("the host of the handle {handle} is not asked for {retry_after:?}")]
    Budget {
        /// The handle.
        handle: Handle,
        /// When it may be asked again.
        retry_after: Duration,
    },
    /// As many look-ups of handles are under way as there may be.
    #[error("too many handles are being looked up")]
    Busy,
    /// It points to a DID whose document claims another handle, or none.
    #[error("the handle {handle} points to {did}, which does not claim it")]
    NotClaimed {
        /// The handle.
        handle: Handle,
        /// The DID that it points to.
        did: Did,
    },
    /// The DID that it points to cannot be resolved.
    #[error("the DID that the handle points to cannot be resolved")]
    Did(#[source] ResolveError),
}

/// The name of an account.
///
/// # Examples
///
/// ```
/// use jetwash_identity::AccountHandle;
///
/// assert_eq!(AccountHandle::Invalid.to_string(), "handle.invalid");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountHandle {
    /// The document claims the handle, and the handle points to the DID.
    Verified(Handle),
    /// There is no handle, or it does not point to the DID: `handle.invalid`.
    Invalid,
}

impl std::fmt::Display for AccountHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verified(handle) => f.write_str(handle.as_ref()),
            Self::Invalid => f.write_str("handle.invalid"),
        }
    }
}

/// A name with more texts is not read to the end.
const MAX_TEXTS: usize = 64;
