//! How long a test waits for a request that does not come before it fails: what would hang names nobody.

use std::time::Duration;

/// Long enough for the slowest machine: nothing here is a measurement.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for something that happens by itself.
///
/// # Panics
/// If it does not happen for two minutes.
#[allow(clippy::panic, reason = "a test fails by panicking")]
pub(crate) async fn in_time<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what} did not come within {PATIENCE:?}"))
}
