//! The deciding parts, all of them pure: what a policy means, what is due, which tags go and why, what was confirmed.
//!
//! Nothing here waits, asks a clock, does I/O or draws a random number: `now` and everything that was read come in as
//! parameters. It imports `api` (the data) and nothing else of the crate.

pub mod announce;
pub mod approval;
pub mod attachment;
pub mod bulk;
pub mod claims;
pub mod compile;
pub mod conflict;
pub mod definition;
pub mod duration;
pub mod empty;
pub mod handled;
pub mod hour;
pub mod image;
pub mod in_use;
pub mod inventory;
pub mod limits;
pub mod next_action;
pub mod of_age;
pub mod outcome;
pub mod overlap;
pub mod paging;
pub mod pattern;
pub mod plan;
pub mod report;
pub mod schedule;
pub mod settle;
pub mod standing;
pub mod tag;
pub mod target;
pub mod token;

pub use compile::{CompiledPolicy, Method, Problem, Settings, compile};
