//! The probes `/livez` and `/readyz`, and `/metrics`, over plain HTTP.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Format, write};

/// How often the loop says that it turns.
const BEAT: Duration = Duration::from_secs(5);
/// How long it may say nothing before the operator counts as stuck.
const SILENCE: Duration = Duration::from_secs(60);

/// What the probes tell; shared with those who know.
#[derive(Clone)]
pub struct Probes {
    ready: Arc<AtomicBool>,
    beat: Arc<Mutex<Instant>>,
    scrape: Arc<OnceLock<Scrape>>,
}

/// Writes all metrics.
type Scrape = Box<dyn Fn(Format) -> String + Send + Sync>;

impl Default for Probes {
    fn default() -> Self {
        Self { ready: Arc::default(), beat: Arc::new(Mutex::new(Instant::now())), scrape: Arc::default() }
    }
}

impl Probes {
    /// The operator watches its policies.
    pub fn is_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// How the metrics are written from now on; before it is known there are none.
    pub fn measure(&self, scrape: impl Fn(Format) -> String + Send + Sync + 'static) {
        // Whoever comes second changes nothing.
        let _ = self.scrape.set(Box::new(scrape));
    }

    /// Beats without end. To be polled by the task that does the work, so that it stops when that one is stuck: the
    /// runtime has another thread, which would go on answering.
    pub async fn beat(&self) {
        loop {
            *self.beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            tokio::time::sleep(BEAT).await;
        }
    }

    fn silence(&self) -> Duration {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Serves until `stop` is cancelled: the probes, and the metrics if they are wanted.
///
/// # Errors
/// When the connection can no longer be served.
pub async fn serve(
    listener: TcpListener,
    probes: Probes,
    with_metrics: bool,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, routes(probes, with_metrics)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn routes(probes: Probes, with_metrics: bool) -> Router {
    let routes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz));
    let routes = if with_metrics { routes.route("/metrics", get(metrics)) } else { routes };
    routes.with_state(probes)
}

/// Takes the port. `[::]` takes it for IPv4 as well, and for IPv4 alone where there is no IPv6.
///
/// # Errors
/// When it cannot be had.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) => match without_ipv6(address, error.kind(), error.raw_os_error()) {
            Some(other) => TcpListener::bind(other).await,
            None => Err(error),
        },
        bound => bound,
    }
}

/// Where to listen instead, if what is wrong with an address is that there is no IPv6.
fn without_ipv6(address: SocketAddr, kind: ErrorKind, code: Option<i32>) -> Option<SocketAddr> {
    // Built without IPv6 (or started with ipv6.disable=1) the kernel knows no such sockets, which the library has no
    // kind for; with the sysctl disable_ipv6 it has no such address.
    const EAFNOSUPPORT: i32 = 97;
    let is_off = kind == ErrorKind::AddrNotAvailable || kind == ErrorKind::Unsupported || code == Some(EAFNOSUPPORT);
    let every = address.is_ipv6() && address.ip().is_unspecified();
    (every && is_off).then(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
}

async fn livez(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    if probes.silence() <= SILENCE {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the operator is stuck: nothing was done for a minute")
    }
}

async fn readyz(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    if probes.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the policies have not been listed yet")
    }
}

async fn metrics(State(probes): State<Probes>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    let format = Format::accepted(&accepted);
    let text = probes.scrape.get().map_or_else(|| write(&[], format), |scrape| scrape(format));
    ([(CONTENT_TYPE, format.content_type())], text)
}

#[cfg(test)]
mod tests {
    use futures::future;
    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::advance;

    use super::*;

    async fn status(probes: &Probes) -> u16 {
        livez(State(probes.clone())).await.0.as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_is_alive_while_its_loop_turns_and_not_once_it_has_been_stuck_for_a_minute() {
        let probes = Probes::default();
        let mut beating = Box::pin(probes.beat());
        for _ in 0..100 {
            // Polled, as it is while the task beside it makes progress.
            let _ = future::select(&mut beating, future::ready(())).await;
            advance(Duration::from_secs(50)).await;
            assert_eq!(status(&probes).await, 200);
        }
        advance(Duration::from_secs(11)).await;
        assert_eq!(status(&probes).await, 503, "nobody has polled it for a minute");
        let _ = future::select(&mut beating, future::ready(())).await;
        assert_eq!(status(&probes).await, 200, "it turns again");
    }

    #[tokio::test]
    async fn every_address_is_one_of_ipv4_as_well() {
        let listener = bind("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    }

    #[rstest]
    #[case::wanted(true, "HTTP/1.1 200")]
    #[case::not_wanted(false, "HTTP/1.1 404")]
    #[tokio::test]
    async fn metrics_are_served_unless_they_are_not_wanted(#[case] wanted: bool, #[case] answer: &str) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(serve(listener, Probes::default(), wanted, CancellationToken::new()));
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answered = String::new();
        stream.read_to_string(&mut answered).await.unwrap();
        assert!(answered.starts_with(answer), "{answered}");
    }

    #[rstest]
    #[case::no_such_sockets("[::]:8080", ErrorKind::Other, Some(97), Some("0.0.0.0:8080"))]
    #[case::no_such_address("[::]:8080", ErrorKind::AddrNotAvailable, Some(99), Some("0.0.0.0:8080"))]
    #[case::taken("[::]:8080", ErrorKind::AddrInUse, Some(98), None)]
    #[case::this_one_is_meant("[::1]:8080", ErrorKind::AddrNotAvailable, Some(99), None)]
    #[case::no_ipv6_at_all("0.0.0.0:8080", ErrorKind::AddrNotAvailable, Some(99), None)]
    fn where_there_is_no_ipv6_every_address_is_one_of_ipv4(
        #[case] address: &str,
        #[case] kind: ErrorKind,
        #[case] code: Option<i32>,
        #[case] other: Option<&str>,
    ) {
        let expected = other.map(|other| other.parse().unwrap());
        assert_eq!(without_ipv6(address.parse().unwrap(), kind, code), expected);
    }
}
