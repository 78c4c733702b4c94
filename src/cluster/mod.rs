//! Talking to Kubernetes: policies, Secrets and ConfigMaps that are read, a status that is written, a Lease, events
//! that are published, workloads that are watched.
//!
//! Knows nothing of GitLab and decides nothing about policies.

mod api_error;
pub mod ask;
pub mod config_maps;
pub mod credentials;
pub mod definition;
pub mod events;
pub mod evidence;
pub mod history;
pub mod installation;
pub mod lease;
pub mod pause;
pub mod policies;
pub mod rights;
pub mod status;
pub mod trace;
mod watch_one;
pub mod watched;
pub mod workloads;

use std::time::Duration;

pub use api_error::ApiError;

/// The operator's name, as field manager of the status and as the reporter of events.
pub const OPERATOR: &str = "registry-cleanup-operator";

/// How long one call to the API server may take, in all. The client repeats calls by itself, so this bounds the sum.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(20);
