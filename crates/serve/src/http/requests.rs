use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::http::clock::Clock;
use crate::http::guarded::Guarded;
use crate::http::headers::{has_one_host, host_refusal};
use crate::http::refusal::{MOST_HEAD, Refusal, count_refused};

/// Serves the requests of one connection, until it ends, takes too long or becomes a websocket.
pub(crate) async fn serve_requests(
    io: Guarded,
    peer: SocketAddr,
    clock: Arc<Clock>,
    router: Router,
    stop: CancellationToken,
) {
    let ending = io.ending().clone();
    let service = &TowerToHyperService::new(router);
    let service = service_fn(|request: Request<Incoming>| {
        clock.begin();
        answer(request, peer, EndOfAnswer(Arc::clone(&clock)), service)
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MOST_HEAD);
    let mut serving = builder
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut timer = pin!(sleep_until(clock.due()));
    let mut stopping = pin!(ending.cancelled());
    let mut is_stopping = false;
    let is_late = poll_fn(|context| {
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut serving).poll(context) {
                if let Err(error) = outcome {
                    debug!(%error, "a connection failed");
                }
                return Poll::Ready(false);
            }
            if !is_stopping && stopping.as_mut().poll(context).is_ready() {
                if !stop.is_cancelled() {
                    count_refused("memory");
                    return Poll::Ready(false);
                }
                is_stopping = true;
                clock.stop();
                Pin::new(&mut serving).graceful_shutdown();
                continue;
            }
            // Nothing moves the deadline except polling the connection, as above: so it is enough
            // to look here, and no other task has to wake this one.
            let due = clock.due();
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if let Some(stage) = clock.overdue() {
                ::metrics::counter!("jetwash_connections_timed_out_total", "stage" => stage)
                    .increment(1);
                return Poll::Ready(!is_stopping);
            }
        }
    })
    .await;
    let is_reset = clock.is_reset();
    if (is_late || is_reset)
        && let Some(parts) = serving.into_parts()
    {
        let mut io = parts.io.into_inner();
        if is_reset {
            io.reset_on_drop();
        } else if let Some(stream) = io.unanswered() {
            Refusal::LATE.send(stream).await;
        }
    }
}

/// Passes a request to the router, unless it names no host or two.
async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    end: EndOfAnswer,
    service: &TowerToHyperService<Router>,
) -> Result<Response<Answer>, Infallible> {
    let is_right = has_one_host(&request);
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    // For answers that take as long as the client likes.
    request.extensions_mut().insert(Arc::clone(&end.0));
    let response = if is_right {
        service.call(request).await?
    } else {
        host_refusal()
    };
    Ok(response.map(|body| Answer { body, _end: end }))
}

/// The body of an answer. When the client has taken all of it, the connection waits for a request.
struct Answer {
    body: Body,
    _end: EndOfAnswer,
}

/// Tells the clock, when it is dropped, that the router has given all of the answer.
struct EndOfAnswer(Arc<Clock>);

impl Drop for EndOfAnswer {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
