use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{ConnectInfo, Request};
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use jetwash::{Dictionary, Jetstream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::events::request::Asked;
use crate::form::dictionaries::Dictionaries;
use crate::form::encoder::Encoder;
use crate::form::format::{Compression, Format, Shape};
use crate::form::recoder::Recoder;
use crate::memory::{Account, Budget, Purpose};
use crate::metrics::{cursor_requested, subprotocol_negotiated};
use crate::options::ServeOptions;
use crate::subscriber::addresses::{Addresses, Share, client_ip};
use crate::subscriber::events_query::{EventsQueryError, parse_events};
use crate::subscriber::pairs::Pairs;
use crate::subscriber::query::Query;
use crate::subscriber::refusal::Refusal;
use crate::subscriber::wire::Wire;
use crate::websocket::{Offer, accept, offer_of};

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
    pub(crate) visitor: Visitor,
    /// Held for as long as the subscriber is connected.
    pub(crate) streams: StreamPermits,
}

/// The share of a connection, a subscriber's or a mirror's, in what is limited.
pub(crate) struct Visitor {
    pub(crate) share: Option<Arc<Share>>,
    pub(crate) account: Arc<Account>,
    /// For the log; `None` if it is unknown or hidden.
    pub(crate) address: Option<IpAddr>,
}

/// The permit of the server and that of the address, for a subscriber with a stream.
pub(crate) type StreamPermits = Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>;

/// A request that becomes a websocket: the headers of the answer, and its connection.
pub(crate) type Handshake = (HeaderMap, OnUpgrade);

impl Admission {
    pub(crate) fn new(
        jetstream: Jetstream,
        options: Arc<ServeOptions>,
        dictionaries: Dictionaries,
    ) -> Self {
        let memory = Arc::new(Budget::measured(options.memory_budget));
        Self {
            jetstream,
            dictionaries,
            recoder: Arc::new(Recoder::new(RECODED_BYTES, Arc::clone(&memory))),
            addresses: Arc::default(),
            streams: Arc::new(Semaphore::new(options.max_streams)),
            memory,
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
    pub(crate) fn admit(
        &self,
        request: Request,
        wire: Wire,
    ) -> Result<(Handshake, Admitted), Refusal> {
        let admitted = self.try_admit(request, wire);
        match wire {
            Wire::V1 => admitted,
            Wire::V2 => admitted.map_err(Refusal::into_xrpc),
        }
    }

    fn try_admit(&self, request: Request, wire: Wire) -> Result<(Handshake, Admitted), Refusal> {
        self.may_come(&request)?;
        // Jetstream looks at the query first, so a bad one gets its words even without a handshake.
        let query = request.uri().query().unwrap_or_default();
        let query = self.query(query, request.headers(), wire)?;
        let headers = self.handshake(request.headers(), wire)?;
        let (upgrade, visitor) = self.enter(request)?;
        visitor
            .account
            .set(Purpose::Filter, query.settings.bytes)
            .map_err(|error| Refusal::no_room("memory", error.to_string()))?;
        let dictionary = self.dictionary(&query)?;
        let streams = self.streams(query.format, visitor.share.as_deref())?;
        let encoder = Encoder::new(query.format, dictionary, Arc::clone(&self.recoder))
            .map_err(|error| Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        if wire == Wire::V2 {
            cursor_requested(query.cursor_mode);
        }
        let admitted = Admitted {
            query,
            encoder,
            visitor,
            streams,
        };
        Ok(((headers, upgrade), admitted))
    }

    /// Takes a mirror's share of everything that is limited, or nothing. Its parameters have been
    /// looked at.
    pub(crate) fn admit_mirror(&self, request: Request) -> Result<(Handshake, Visitor), Refusal> {
        let headers = accept(request.headers()).map_err(|_| Refusal::NoHandshake)?;
        let (upgrade, visitor) = self.enter(request)?;
        Ok(((HeaderMap::from_iter(headers), upgrade), visitor))
    }

    /// Takes the share of a subscriber over plain HTTP of everything that is limited, or nothing.
    pub(crate) fn admit_to_stream(
        &self,
        request: &Request,
        wire: Wire,
    ) -> Result<Admitted, Refusal> {
        self.may_come(request)?;
        let text = request.uri().query().unwrap_or_default();
        let query = self.query(text, request.headers(), wire)?;
        let asked = Asked {
            pairs: Pairs::parse(text),
            headers: request.headers(),
            wire,
        };
        let query = asked.over_http(query);
        let query = query.map_err(refusal_of_v2)?.ok_or(Refusal::Ended)?;
        let visitor = self.visit(request)?;
        visitor
            .account
            .set(Purpose::Filter, query.settings.bytes)
            .map_err(|error| Refusal::no_room("memory", error.to_string()))?;
        let encoder = Encoder::new(query.format, None, Arc::clone(&self.recoder))
            .map_err(|error| Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?
            .framed(query.framing);
        if wire == Wire::V2 {
            cursor_requested(query.cursor_mode);
        }
        Ok(Admitted {
            query,
            encoder,
            visitor,
            streams: None,
        })
    }

    /// Refuses what is not asked for in the right way, or too late.
    pub(crate) fn may_come(&self, request: &Request) -> Result<(), Refusal> {
        if request.method() != Method::GET {
            return Err(Refusal::Method);
        }
        if self.closing.is_cancelled() {
            let body = "server shutting down".to_owned();
            return Err(Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, body));
        }
        Ok(())
    }

    /// Takes what every connection takes, and its socket.
    fn enter(&self, mut request: Request) -> Result<(OnUpgrade, Visitor), Refusal> {
        let upgrade = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or(Refusal::NoHandshake)?;
        Ok((upgrade, self.visit(&request)?))
    }

    /// Takes what every subscriber takes.
    fn visit(&self, request: &Request) -> Result<Visitor, Refusal> {
        let address = self.address(request);
        let share = self.share(address)?;
        // A child, because many tasks that wait for one token would contend for its lock.
        let account = self.memory.account(self.closing.child_token());
        Ok(Visitor {
            share,
            account: Arc::new(account),
            address: address.filter(|_| !self.options.hide_addresses),
        })
    }

    fn query(&self, text: &str, headers: &HeaderMap, wire: Wire) -> Result<Query, Refusal> {
        let bounds = self.jetstream.bounds();
        // The time after which a cursor is in the future. Events that arrive together get times
        // that run ahead of the clock, and all events may be ahead if the clock was set back.
        let newest = bounds.newest_time_us.unwrap_or_default();
        let now = SystemTime::now().max(newest.into());
        let log = bounds.into();
        match wire {
            Wire::V1 => Query::parse(text, headers, &self.options, log, now)
                .map_err(|error| Refusal::bad_request(error.to_string())),
            Wire::V2 => {
                let parsed = parse_events(text, headers, &self.options, log, now);
                parsed.map_err(refusal_of_v2)
            }
        }
    }

    /// The headers of the answer that makes a request a websocket.
    fn handshake(&self, request: &HeaderMap, wire: Wire) -> Result<HeaderMap, Refusal> {
        let headers = accept(request).map_err(|_| Refusal::NoHandshake)?;
        let mut headers = HeaderMap::from_iter(headers);
        if wire == Wire::V2 {
            let offer = offer_of(request, SUBPROTOCOL);
            subprotocol_negotiated(match offer {
                Offer::Absent => "absent",
                Offer::Made => "accepted",
                Offer::Other => "unsupported",
            });
            if offer == Offer::Made {
                let name = HeaderValue::from_static(SUBPROTOCOL);
                headers.insert(SEC_WEBSOCKET_PROTOCOL, name);
            }
        }
        Ok(headers)
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
        if query.format.shape == Shape::V2 {
            return match current {
                Some(current) if current.id() == id => Ok(Some(current)),
                current => Err(unknown_dictionary(id, current)),
            };
        }
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

/// Refuses a query in the words of version 2.
fn refusal_of_v2(error: EventsQueryError) -> Refusal {
    let name = match error {
        EventsQueryError::CursorTooOld { .. } => {
            cursor_requested("too_old");
            "CursorTooOld"
        }
        EventsQueryError::Invalid(_) => "InvalidRequest",
    };
    Refusal::Xrpc(StatusCode::BAD_REQUEST, name, error.to_string())
}

/// Refuses a dictionary that is not the one in use: version 2 has no other.
fn unknown_dictionary(id: u32, current: Option<Dictionary>) -> Refusal {
    let in_use = current.map_or_else(
        || "this server compresses without a dictionary".to_owned(),
        |current| format!("the one in use is {}", current.id()),
    );
    let message = format!("zstdDictionary {id} is not served: {in_use}");
    Refusal::Xrpc(StatusCode::BAD_REQUEST, "UnknownZstdDictionary", message)
}

/// The subprotocol of version 2.
const SUBPROTOCOL: &str = "xrpc.v1.json";
/// The bytes of events that are kept in formats which the log does not have: two dozen blocks of
/// text, which readers that began together are not further apart than.
const RECODED_BYTES: usize = 8 << 20;
