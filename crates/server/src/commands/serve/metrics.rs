use std::array;
use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use jetwash::Jetstream;
use jetwash_serve::{HttpLimits, serve_http};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::time::interval;

use crate::commands::serve::descriptions;
use crate::commands::serve::figures::Figures;

/// Makes this process's metrics go to a recorder that can be asked for them.
///
/// Durations are counted in the buckets of Jetstream v1, which begin at 0.1 ms, and in finer ones
/// below. Quantiles, which the recorder would estimate otherwise, took megabytes.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let bounds: [_; 25] = array::from_fn(|index| 0.1e-3 * 2_f64.powi(index as i32 - 7));
    let handle = PrometheusBuilder::new()
        .set_buckets(&bounds)?
        .install_recorder()?;
    descriptions::describe();
    Ok(handle)
}

/// Serves `/metrics`, `/healthz`, `/readyz` and the page.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    jetstream: Jetstream,
    page: Router,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let upkeep = tokio::spawn(keep_up(metrics.clone()));
    let figures = Figures::new(jetstream.clone());
    let render = move || {
        let (metrics, figures) = (metrics.clone(), figures.clone());
        async move {
            let text = metrics.render() + &figures.render();
            ([(CONTENT_TYPE, TEXT_FORMAT)], text)
        }
    };
    let ready = move || {
        let readiness = jetstream.readiness();
        async move {
            match readiness {
                Ok(()) => (StatusCode::OK, "ready: events flow\n".to_owned()),
                Err(why) => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("not ready: {why}\n"),
                ),
            }
        }
    };
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .merge(page);
    let limits = HttpLimits::default()
        .max_connections(MOST_CONNECTIONS)
        .max_connections_per_address(MOST_OF_AN_ADDRESS);
    let outcome = serve_http(listener, router, limits, stopped).await;
    upkeep.abort();
    outcome
}

/// Sums up what has been measured, now and then: until then each value of a histogram takes
/// memory, whether or not anybody ever asks for it.
async fn keep_up(metrics: PrometheusHandle) {
    let mut tick = interval(UPKEEP);
    loop {
        tick.tick().await;
        metrics.run_upkeep();
    }
}

/// As Prometheus asks for it.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Enough for a few monitors and viewers, and no more files than subscribers can spare.
const MOST_CONNECTIONS: usize = 48;
/// So that nobody who opens connections and says nothing keeps the monitors out.
const MOST_OF_AN_ADDRESS: usize = 16;
const UPKEEP: Duration = Duration::from_secs(5);
