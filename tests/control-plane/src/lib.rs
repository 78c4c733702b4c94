//! A real Kubernetes control plane on loopback, for tests and for the demo: etcd, the API server and the controller
//! manager, without nodes. Pods are created and stay `Pending`; everything else behaves as in a cluster.
//!
//! ```no_run
//! let cluster = control_plane::shared()?;
//! let status = cluster.kubectl().args(["get", "namespaces"]).status();
//! # Ok::<(), control_plane::Error>(())
//! ```

mod access;
mod certificates;
mod cluster;
mod error;
mod files;
mod go_module;
mod kubeconfig;
mod kubernetes;
mod processes;
mod programs;
mod shared;
mod supervised;
mod tools;

pub use cluster::{Cluster, Options};
pub use error::{Error, Result};
pub use kubernetes::Kubernetes;
pub use shared::shared;
pub use tools::{Tool, Toolbox};
