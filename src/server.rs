//! The probes: `/livez` and `/readyz` over plain HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whether the operator watches its policies; shared between the watch, which sets it, and the probe.
pub type Readiness = Arc<AtomicBool>;

/// Serves until `stop` is cancelled.
///
/// # Errors
/// When the connection can no longer be served.
pub async fn serve(listener: TcpListener, ready: Readiness, stop: CancellationToken) -> std::io::Result<()> {
    let routes = Router::new().route("/livez", get(live)).route("/readyz", get(readyz)).with_state(ready);
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Takes the port.
///
/// # Errors
/// When it cannot be had.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answering at all is the proof: the runtime that answers is the one that reconciles, and it has no other thread to
/// hang in.
async fn live() -> &'static str {
    "ok"
}

async fn readyz(State(ready): State<Readiness>) -> (StatusCode, &'static str) {
    if ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the policies have not been listed yet")
    }
}
