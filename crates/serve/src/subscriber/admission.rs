use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use jetwash::{Dictionary, Jetstream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::form::dictionaries::Dictionaries;
use crate::form::encoder::Encoder;
use crate::form::format::{Compression, Format};
use crate::form::recoder::Recoder;
use crate::memory::{Account, Budget, Purpose};
use crate::options::ServeOptions;
use crate::subscriber::addresses::{Addresses, Share, client_ip};
use crate::subscriber::query::Query;
use crate::subscriber::refusal::Refusal;
use crate::websocket::accept;

/// Decides which requests become subscribers.
pub(crate) struct Admission {
    jetstream: Jetstream,
    options: Arc<ServeOptions>,
    dictionaries: Dictionaries,
    recoder: Arc<Recoder>,
    addresses: Arc<Addresses>,
    /// A permit for each subscriber that may have a zstd stream.
    streams: Arc<Semaphore>,
    memory: Arc<Budget>,
    closing: CancellationToken,
}

/// A subscriber that has been let in, with all that it takes of what is limited.
pub(crate) struct Admitted {
    pub(crate) query: Query,
    pub(crate) encoder: Encoder,
    pub(crate) share: Option<Arc<Share>>,
    pub(crate) account: Arc<Account>,
    /// For the log; `None` if it is unknown or hidden.
    pub(crate) address: Option<IpAddr>,
    /// Held for as long as the subscriber is connected.
    pub(crate) streams: StreamPermits,
}

/// The permit of the server and that of the address, for a subscriber with a stream.
pub(crate) type StreamPermits = Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>;

/// A request that becomes a websocket: the headers of the answer, and its connection.
pub(crate) type Handshake = ([(HeaderName, HeaderValue); 3], OnUpgrade);

impl Admission {
    pub(crate) fn new(
        jetstream: Jetstream,
        options: Arc<ServeOptions>,
        dictionaries: Dictionaries,
    ) -> Self {
        Self {
            jetstream,
            dictionaries,
            recoder: Arc::new(Recoder::new(RECODED_BYTES)),
            addresses: Arc::default(),
            streams: Arc::new(Semaphore::new(options.max_streams)),
            memory: Arc::new(Budget::measured(options.memory_budget)),
            closing: CancellationToken::new(),
            options,
        }
    }

    /// The memory that subscribers share with requests.
    pub(crate) const fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// Ends all subscribers, and refuses new ones from now on.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Takes a subscriber's share of everything that is limited, or nothing.
    pub(crate) fn admit(&self, mut request: Request) -> Result<(Handshake, Admitted), Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::Method);
        }
        if self.closing.is_cancelled() {
            let body = "server shutting down".to_owned();
            return Err(Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, body));
        }
        // Jetstream looks at the query first, so a bad one gets its words even without a handshake.
        let query = request.uri().query().unwrap_or_default();
        let query = Query::parse(query, request.headers(), &self.options, self.now())
            .map_err(|error| Refusal::bad_request(error.to_string()))?;
        let headers = accept(request.headers()).map_err(|_| Refusal::NoHandshake)?;
        let upgrade = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or(Refusal::NoHandshake)?;
        let address = self.address(&request);
        let share = self.share(address)?;
        // A child, because many tasks that wait for one token would contend for its lock.
        let account = self.memory.account(self.closing.child_token());
        account
            .set(Purpose::Filter, query.settings.bytes)
            .map_err(|error| Refusal::no_room("memory", error.to_string()))?;
        let dictionary = self.dictionary(&query)?;
        let streams = self.streams(query.format, share.as_deref())?;
        let encoder = Encoder::new(query.format, dictionary, Arc::clone(&self.recoder))
            .map_err(|error| Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let admitted = Admitted {
            query,
            encoder,
            share,
            account: Arc::new(account),
            address: address.filter(|_| !self.options.hide_addresses),
            streams,
        };
        Ok(((headers, upgrade), admitted))
    }

    /// The time after which a cursor is in the future. Events that arrive together get times that
    /// run ahead of the clock, and all events may be ahead if the clock was set back.
    fn now(&self) -> SystemTime {
        let newest = self.jetstream.bounds().newest_time_us;
        SystemTime::now().max(newest.unwrap_or_default().into())
    }

    /// The address of a client, as far as it is known.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map(|info| info.0);
        client_ip(peer, request.headers(), &self.options)
    }

    fn share(&self, address: Option<IpAddr>) -> Result<Option<Arc<Share>>, Refusal> {
        let share = address.map(|ip| {
            let share = self.addresses.enter(ip, &self.options);
            let body = "too many connections from this address";
            share.ok_or_else(|| Refusal::too_many("address", body))
        });
        Ok(share.transpose()?.map(Arc::new))
    }

    /// The dictionary that a subscriber begins with, which it keeps whatever the server uses later.
    fn dictionary(&self, query: &Query) -> Result<Option<Dictionary>, Refusal> {
        let current = self.dictionaries.in_use(query.format.shape);
        let Some(id) = query.dictionary else {
            return Ok(current);
        };
        let found = self.dictionaries.with_id(id).ok_or_else(|| {
            let current = current.map(|dictionary| dictionary.id());
            let current = current.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let body = format!("unknown zstdDictionary: {id} (the one in use is {current})");
            Refusal::bad_request(body)
        });
        found.map(Some)
    }

    fn streams(&self, format: Format, share: Option<&Share>) -> Result<StreamPermits, Refusal> {
        if format.compression != Compression::Stream {
            return Ok(None);
        }
        let permit = Arc::clone(&self.streams).try_acquire_owned();
        let permit = permit.map_err(|_| {
            Refusal::no_room("streams", "too many streaming subscribers".to_owned())
        })?;
        let of_address = share.map(|share| {
            let body = "too many streaming subscribers from this address";
            share
                .stream()
                .ok_or_else(|| Refusal::too_many("streams_of_address", body))
        });
        Ok(Some((permit, of_address.transpose()?)))
    }
}

/// The bytes of events that are kept in formats which the log does not have.
const RECODED_BYTES: usize = 2 << 20;
