use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::{Parts, downcast};
use jetwash::Jetstream;
use jetwash::store::LogStream;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::events::body::EventsBody;
use crate::events::pipe::Pipe;
use crate::events::request::content_type;
use crate::form::dictionaries::Dictionaries;
use crate::form::format::{Format, Shape};
use crate::http::clock::Clock;
use crate::http::guarded::Guarded;
use crate::http::open::Open;
use crate::memory::{Account, Budget};
use crate::metrics::{Metrics, Mirrored, Sent};
use crate::options::ServeOptions;
use crate::subscriber::addresses::Share;
use crate::subscriber::admission::{Admission, Admitted, Handshake, Visitor};
use crate::subscriber::allowance::Allowance;
use crate::subscriber::connection::Connection;
use crate::subscriber::end::End;
use crate::subscriber::inbound::{Common, Inbound, Terms};
use crate::subscriber::mirror::connection::MirrorConnection;
use crate::subscriber::mirror::query::{MirrorQuery, disabled};
use crate::subscriber::outbound::Outbound;
use crate::subscriber::output::Output;
use crate::subscriber::refusal::Refusal;
use crate::subscriber::register::Register;
use crate::subscriber::socket::Socket;
use crate::subscriber::updates::Updates;
use crate::subscriber::wire::Wire;
use crate::supervise::watched;
use crate::tail::live::Live;

/// All subscribers of a server, each of which runs in a task.
pub(crate) struct Subscribers {
    jetstream: Jetstream,
    options: Arc<ServeOptions>,
    admission: Admission,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    /// The same for subscribers that ask for batches.
    batches: Arc<Live>,
    updates: Arc<Updates>,
    register: Arc<Register>,
    tasks: TaskTracker,
}

/// The route `/subscribe`.
pub(crate) async fn subscribe(
    State(subscribers): State<Arc<Subscribers>>,
    request: Request,
) -> Response {
    subscribers
        .accept(request, Wire::V1)
        .unwrap_or_else(IntoResponse::into_response)
}

/// The route `network.bsky.jetstream.subscribeEvents`.
pub(crate) async fn subscribe_events(
    State(subscribers): State<Arc<Subscribers>>,
    request: Request,
) -> Response {
    subscribers
        .accept(request, Wire::V2)
        .unwrap_or_else(IntoResponse::into_response)
}

/// The route `/events`.
pub(crate) async fn events(
    State(subscribers): State<Arc<Subscribers>>,
    request: Request,
) -> Response {
    subscribers.stream(&request, Wire::V1)
}

/// The route `/v2/events`.
pub(crate) async fn events_of_v2(
    State(subscribers): State<Arc<Subscribers>>,
    request: Request,
) -> Response {
    subscribers.stream(&request, Wire::V2)
}

/// The route `/mirror`.
pub(crate) async fn mirror(
    State(subscribers): State<Arc<Subscribers>>,
    request: Request,
) -> Response {
    let accepted = subscribers.accept_mirror(request).await;
    accepted.unwrap_or_else(|refusal| refusal.into_xrpc().into_response())
}

/// A connection that has been let in.
enum Guest {
    Subscriber(Box<Admitted>),
    Mirror(Box<LogStream>, Visitor),
}

impl Subscribers {
    pub(crate) fn new(
        jetstream: Jetstream,
        options: Arc<ServeOptions>,
        dictionaries: Dictionaries,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let batches = Live::new(
            options.batch_delay..=options.batch_delay,
            Arc::clone(&metrics),
        );
        let live = Live::new(Duration::ZERO..=options.max_delay, Arc::clone(&metrics));
        Self {
            admission: Admission::new(jetstream.clone(), Arc::clone(&options), dictionaries),
            live: Arc::new(live),
            batches: Arc::new(batches),
            updates: Arc::new(Updates::new(Arc::clone(&options))),
            register: Arc::default(),
            tasks: TaskTracker::new(),
            jetstream,
            options,
            metrics,
        }
    }

    /// The memory that they share with requests.
    pub(crate) const fn memory(&self) -> &Arc<Budget> {
        self.admission.memory()
    }

    /// Who is connected, for those who look.
    pub(crate) const fn register(&self) -> &Arc<Register> {
        &self.register
    }

    pub(crate) const fn jetstream(&self) -> &Jetstream {
        &self.jetstream
    }

    /// How many are connected.
    pub(crate) fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Closes them all, and waits until they have gone or the time is over.
    pub(crate) async fn close(&self, within: Duration) {
        self.admission.close();
        self.tasks.close();
        if timeout(within, self.tasks.wait()).await.is_err() {
            warn!(left = self.tasks.len(), "subscribers did not go in time");
        }
    }

    /// Answers a request, and starts the subscriber's task if it is let in.
    fn accept(self: Arc<Self>, request: Request, wire: Wire) -> Result<Response, Refusal> {
        let (handshake, admitted) = self.admission.admit(request, wire)?;
        Ok(self.begin(handshake, Guest::Subscriber(Box::new(admitted))))
    }

    /// Answers a request for events over plain HTTP, and starts the subscriber's task if it is let in.
    fn stream(self: Arc<Self>, request: &Request, wire: Wire) -> Response {
        let admitted = match self.admission.admit_to_stream(request, wire) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal.into_xrpc().into_response(),
        };
        let headers = [
            (CONTENT_TYPE, content_type(admitted.query.framing)),
            (CACHE_CONTROL, "no-store"),
            (VARY, "Accept"),
            // Some proxies gather an answer before they pass it on, unless they are told not to.
            (X_ACCEL_BUFFERING, "no"),
        ];
        let clock = request.extensions().get::<Arc<Clock>>().cloned();
        let pipe = Pipe::new(Arc::clone(&admitted.visitor.account), clock);
        let halves = pipe.halves();
        let subscribers = Arc::clone(&self);
        self.tasks.spawn(async move {
            let guest = Guest::Subscriber(Box::new(admitted));
            let run = subscribers.serve(halves, &[], guest);
            watched(&subscribers.jetstream, "subscriber", run).await;
        });
        (headers, Body::new(EventsBody::new(pipe))).into_response()
    }

    /// Answers a mirror's request, once it has been held against the log, and starts its task.
    async fn accept_mirror(self: Arc<Self>, request: Request) -> Result<Response, Refusal> {
        self.admission.may_come(&request)?;
        if !self.options.serve_mirrors {
            return Err(disabled());
        }
        let query = MirrorQuery::parse(request.uri().query().unwrap_or_default())?;
        // Before the disk is looked at for it.
        let (handshake, visitor) = self.admission.admit_mirror(request)?;
        let stream = query.open(self.jetstream.store()).await?;
        Ok(self.begin(handshake, Guest::Mirror(Box::new(stream), visitor)))
    }

    fn begin(self: Arc<Self>, (headers, upgrade): Handshake, guest: Guest) -> Response {
        let subscribers = Arc::clone(&self);
        self.tasks.spawn(async move {
            let run = Arc::clone(&subscribers).run(upgrade, guest);
            watched(&subscribers.jetstream, "subscriber", run).await;
        });
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }

    async fn run(self: Arc<Self>, upgrade: OnUpgrade, guest: Guest) {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                debug!(%error, "a connection ended before it became a websocket");
                return;
            }
        };
        // Without the layers of HTTP around it, a plain socket is split without a lock, and can be
        // reset.
        let (stream, read_buf, _open) = match plain(upgraded) {
            Ok(plain) => plain,
            Err(upgraded) => {
                let halves = tokio::io::split(TokioIo::new(upgraded));
                return self.serve(halves, &[], guest).await;
            }
        };
        self.serve(stream.into_split(), &read_buf, guest).await;
    }

    async fn serve<R: AsyncRead + Unpin, W: Socket>(
        &self,
        halves: (R, W),
        early: &[u8],
        guest: Guest,
    ) {
        self.metrics.subscribers.increment(1);
        let (address, end) = match guest {
            Guest::Subscriber(admitted) => {
                let address = admitted.visitor.address.map(display);
                info!(address, "a subscriber has come");
                (address, self.subscribe(halves, early, *admitted).await)
            }
            Guest::Mirror(stream, visitor) => {
                let address = visitor.address.map(display);
                info!(address, "a mirror has come");
                // In a box, because there are few, and subscribers do not need the room.
                let mirror = Box::pin(self.mirror(halves, early, *stream, visitor));
                (address, mirror.await)
            }
        };
        self.metrics.subscribers.decrement(1);
        ::metrics::counter!("jetwash_subscribers_ended_total", "reason" => end.reason())
            .increment(1);
        // The reason is from a fixed list. The rest may quote the client, so it is for debugging.
        info!(address, reason = end.reason(), "a subscriber has gone");
        debug!(%end, "why it has gone");
    }

    async fn subscribe<R: AsyncRead + Unpin, W: Socket>(
        &self,
        (read, write): (R, W),
        early: &[u8],
        admitted: Admitted,
    ) -> End {
        let Admitted {
            query,
            encoder,
            visitor:
                Visitor {
                    share,
                    account,
                    address,
                },
            streams: _streams,
        } = admitted;
        let sent = (query.format.shape == Shape::V2).then(|| Sent::new(query.format));
        let inbound = self.inbound(read, early, Terms::of(&query), share.clone(), &account);
        let settings = Arc::clone(&query.settings);
        let listed = self.register.enter(address, Some(query.format), settings);
        let report = Arc::clone(listed.report());
        let outbound = Outbound::new(write, &query, encoder, share, account, sent.clone(), report);
        let connection = Connection::new(inbound, &query, Arc::clone(&self.metrics));
        let live = self.tail_of(query.format);
        let end = connection
            .run(outbound, &self.jetstream, live, &query)
            .await;
        if let Some(sent) = sent {
            sent.leave(matches!(end, End::ClosedByClient(_)));
        }
        end
    }

    async fn mirror<R: AsyncRead + Unpin, W: Socket>(
        &self,
        (read, write): (R, W),
        early: &[u8],
        stream: LogStream,
        visitor: Visitor,
    ) -> End {
        let Visitor {
            share,
            account,
            address,
        } = visitor;
        let listed = self.register.enter(address, None, Arc::default());
        let inbound = self.inbound(read, early, Terms::default(), share.clone(), &account);
        let connection = MirrorConnection {
            inbound,
            output: Output::new(write, account),
            share,
            metrics: Arc::clone(&self.metrics),
            mirrored: Mirrored::new(),
            report: Arc::clone(listed.report()),
        };
        connection.run(stream, self.jetstream.store()).await
    }

    fn inbound<R: AsyncRead + Unpin>(
        &self,
        read: R,
        early: &[u8],
        terms: Terms,
        share: Option<Arc<Share>>,
        account: &Arc<Account>,
    ) -> Inbound<R> {
        let common = Common {
            jetstream: self.jetstream.clone(),
            options: Arc::clone(&self.options),
            metrics: Arc::clone(&self.metrics),
            updates: Arc::clone(&self.updates),
        };
        let allowance = Allowance::new(Arc::clone(&self.options), share);
        Inbound::new(read, early, terms, common, Arc::clone(account), allowance)
    }

    fn tail_of(&self, format: Format) -> &Arc<Live> {
        if format.is_batched() {
            &self.batches
        } else {
            &self.live
        }
    }
}

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The socket of a connection, the bytes already read from it, and its count, if it came through
/// this crate's server or axum's.
fn plain(upgraded: Upgraded) -> Result<(TcpStream, Bytes, Option<Open>), Upgraded> {
    match upgraded.downcast::<TokioIo<Guarded>>() {
        Ok(parts) => {
            let (stream, open) = parts.io.into_inner().into_parts();
            Ok((stream, parts.read_buf, Some(open)))
        }
        Err(upgraded) => downcast::<TokioIo<TcpStream>>(upgraded)
            .map(|Parts { io, read_buf, .. }| (io.into_inner(), read_buf, None)),
    }
}
