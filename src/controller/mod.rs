//! The shell around the deciding parts: the only layer that sees both Kubernetes and GitLab.
//!
//! `watch` listens for policies and keeps everything going, `looks` has a task for each that is looked at. `reconcile`
//! asks `policy::next_action` what to do, does it, and writes and publishes what changed through `notify`; only the
//! record that a run has begun is written by the run itself. `connect` gets to GitLab with a policy's credentials.
//! `run` is one run on a page, with a file for each of its steps. `plan` finds out which tags would be removed, for a
//! run and for `plan_command`, which answers at a command line and has no part in anything that removes;
//! `backtest_command` reads for it what a backtest plays. `gate` says when a run must stop, `currency` what the watch
//! knows of that, `changes` who is told of it, `leadership` until when this process may send at all, `check_state` is
//! what one process knows of policies beyond their statuses. `renewal` is what a run shares with whoever renews its
//! record. `neighbours` are policies that may look after the same repositories, `sightings` notices when any of them
//! changes. `permits` are what policies are worked on with and `turns` the wait for them. `pause` knows whether the
//! installation is paused. `statuses` reads what all policies say of the hour. `hours` keeps what would be lost of the
//! hour with a status, `traces` what is known of its traces in the cluster. `history` keeps what runs removed.
//! `compiled` keeps what was compiled, and `definition` what is known of the definition in the cluster. `counts` is
//! what is counted, and `metrics` all that is told of it.
//!
//! ```text
//! metrics → context
//! watch → looks, reconcile → turns, run → notify → history, hours → statuses, plan → connect → compiled →
//!     context → currency → changes, gate → leadership, pause, renewal, permits, check_state, counts, sightings,
//!     traces → neighbours, error
//! ```

mod backtest_command;
mod changes;
mod check_state;
mod compiled;
mod connect;
mod context;
mod counts;
mod currency;
mod definition;
mod error;
mod gate;
mod history;
mod hours;
mod leadership;
mod looks;
mod metrics;
mod neighbours;
mod notify;
mod pause;
mod permits;
mod plan;
mod plan_command;
mod readings;
mod reconcile;
mod renewal;
mod run;
mod shared_answers;
mod sightings;
mod statuses;
mod traces;
mod turns;
mod until_answered;
mod watch;

pub use backtest_command::{Reading, ReadingState};
pub use connect::connection;
pub(crate) use connect::{Session, check_targets, connect as session, namespaces};
pub use context::{Context, identity};
pub use definition::{Error as DefinitionError, dropped_fields};
pub use error::Error;
pub use leadership::Leadership;
pub use metrics::{scrape, scrape_follower};
pub use neighbours::neighbours_among;
pub use pause::PauseSwitch;
pub use plan::in_use::Cluster;
pub use plan_command::{Forecast, Question, Unavailable};
pub(crate) use renewal::moment;
pub use run::{NEWEST_PUSHES_HOLD, TAGS_NOW_HOLD};
pub use until_answered::until_answered;
pub use watch::{Nudges, Scope, run as watch};
