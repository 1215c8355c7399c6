use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::{Parts, downcast};
use jetwash::Jetstream;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::form::dictionaries::Dictionaries;
use crate::form::format::{Format, Shape};
use crate::http::guarded::Guarded;
use crate::http::open::Open;
use crate::memory::Budget;
use crate::metrics::{Metrics, Sent};
use crate::options::ServeOptions;
use crate::subscriber::admission::{Admission, Admitted, Wire};
use crate::subscriber::allowance::Allowance;
use crate::subscriber::connection::Connection;
use crate::subscriber::end::End;
use crate::subscriber::inbound::{Common, Inbound};
use crate::subscriber::outbound::Outbound;
use crate::subscriber::refusal::Refusal;
use crate::subscriber::socket::Socket;
use crate::subscriber::updates::Updates;
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

impl Subscribers {
    pub(crate) fn new(
        jetstream: Jetstream,
        options: Arc<ServeOptions>,
        dictionaries: Dictionaries,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let batches = Live::gathering(options.batch_delay, Arc::clone(&metrics));
        Self {
            admission: Admission::new(jetstream.clone(), Arc::clone(&options), dictionaries),
            live: Arc::new(Live::new(options.max_delay, Arc::clone(&metrics))),
            batches: Arc::new(batches),
            updates: Arc::new(Updates::new(Arc::clone(&options))),
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
        let ((headers, upgrade), admitted) = self.admission.admit(request, wire)?;
        let subscribers = Arc::clone(&self);
        self.tasks.spawn(async move {
            let run = Arc::clone(&subscribers).run(upgrade, admitted);
            watched(&subscribers.jetstream, "subscriber", run).await;
        });
        Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
    }

    async fn run(self: Arc<Self>, upgrade: OnUpgrade, admitted: Admitted) {
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
                return self.serve(halves, &[], admitted).await;
            }
        };
        self.serve(stream.into_split(), &read_buf, admitted).await;
    }

    async fn serve<R: AsyncRead + Unpin, W: Socket>(
        &self,
        (read, write): (R, W),
        early: &[u8],
        admitted: Admitted,
    ) {
        let Admitted {
            query,
            encoder,
            share,
            account,
            address,
            streams: _streams,
        } = admitted;
        let metrics = &self.metrics;
        metrics.subscribers.increment(1);
        let sent = (query.format.shape == Shape::V2).then(|| Sent::new(query.format));
        let address = address.map(display);
        info!(address, "a subscriber has come");
        let common = Common {
            jetstream: self.jetstream.clone(),
            options: Arc::clone(&self.options),
            metrics: Arc::clone(metrics),
            updates: Arc::clone(&self.updates),
        };
        let allowance = Allowance::new(Arc::clone(&self.options), share.clone());
        let inbound = Inbound::new(read, early, &query, common, Arc::clone(&account), allowance);
        let outbound = Outbound::new(write, &query, encoder, share, account, sent.clone());
        let connection = Connection::new(inbound, &query, Arc::clone(metrics));
        let live = self.tail_of(query.format);
        let end = connection
            .run(outbound, &self.jetstream, live, &query)
            .await;
        metrics.subscribers.decrement(1);
        if let Some(sent) = sent {
            sent.leave(matches!(end, End::ClosedByClient(_)));
        }
        ::metrics::counter!("jetwash_subscribers_ended_total", "reason" => end.reason())
            .increment(1);
        // The reason is from a fixed list. The rest may quote the client, so it is for debugging.
        info!(address, reason = end.reason(), "a subscriber has gone");
        debug!(%end, "why it has gone");
    }

    fn tail_of(&self, format: Format) -> &Arc<Live> {
        if format.is_batched() {
            &self.batches
        } else {
            &self.live
        }
    }
}

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
