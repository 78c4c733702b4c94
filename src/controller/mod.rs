//! The thin shell around the deciding parts: the only layer that sees both Kubernetes and GitLab.
//!
//! `reconcile` asks `policy::next_action` what to do and does it; `session` gets to GitLab; `run` carries a run out, with
//! `targets` to find the repositories. `planner` plans one of them, from what `inventory` reads and `usage` knows (with
//! `other_clusters`), and `plans` all of them; `preview` ends there, `exact` goes on with `removal`, `bulk` leaves it to GitLab. Then `empty` sees to
//! repositories without tags, and `conflicts` to cleanup policies of GitLab's own. `forecast` plans all of them as well, for
//! somebody at a command line; it has no part in anything that removes. `gate` says when a run must stop; `memory` is what one
//! process knows beyond the statuses; `watch` listens and keeps all of it going.

mod bulk;
mod conflicts;
mod context;
mod empty;
mod exact;
mod forecast;
mod gate;
mod inventory;
mod last_look;
mod memory;
mod other_clusters;
mod planner;
mod plans;
mod preview;
mod reconcile;
mod removal;
mod run;
mod session;
mod targets;
mod usage;
mod watch;

pub use context::Context;
pub use forecast::{Forecast, Question, Unavailable};
pub use session::connection;
pub use usage::{Cluster, used_images};
pub use watch::{Nudges, Scope, chain, run as watch};

use crate::cluster;

/// Why a reconciliation has to be tried again. What GitLab does wrong is no error here: it becomes a condition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy could not be read or its status not be written.
    #[error(transparent)]
    Status(#[from] cluster::status::Error),
    /// A Secret could not be read for a reason that says nothing about the Secret.
    #[error(transparent)]
    Secret(cluster::credentials::Error),
    /// An object came without a name or a namespace, which the API server does not do.
    #[error("failed to tell which policy this is")]
    Nameless,
}
