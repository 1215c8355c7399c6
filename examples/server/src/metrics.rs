use std::future::Future;
use std::io;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use jetwash::Jetstream;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// Makes this process's metrics go to a recorder that can be asked for them.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().install_recorder()
}

/// Serves `/metrics`, `/healthz` and `/readyz`.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    jetstream: Jetstream,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let render = move || {
        let metrics = metrics.clone();
        async move {
            metrics.run_upkeep();
            metrics.render()
        }
    };
    let ready = move || {
        let is_ready = jetstream.snapshot().events > 0;
        async move {
            if is_ready {
                (StatusCode::OK, "ready\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "no event has come yet\n")
            }
        }
    };
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    axum::serve(listener, router)
        .with_graceful_shutdown(stopped)
        .await
}
