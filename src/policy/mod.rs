//! The deciding parts, all of them pure: what a policy means, what is due, which tags go and why, what was confirmed.
//!
//! Nothing here waits, asks a clock, does I/O or draws a random number: `now` and everything that was read come in as
//! parameters. It imports `api` (the data) and nothing else of the crate.

pub mod age;
pub mod answer;
pub mod approval;
pub mod asked;
pub mod attachment;
pub mod audit;
pub mod backtest;
pub mod bulk;
pub mod bulk_ledger;
pub mod bulk_remains;
pub mod bulk_verification;
pub mod compile;
pub mod compiled_cache;
pub mod definition;
pub mod doctor;
pub mod effect;
pub mod empty_repository;
pub mod events;
pub mod exclude_windows;
pub mod fair_queue;
pub mod families;
pub mod finished_run;
pub mod forced_dry_run;
pub mod gitlab_cleanup_policy;
pub mod handled_requests;
pub mod history;
#[cfg(any(test, fuzzing))]
pub mod hostile;
pub mod image;
pub mod import;
pub mod in_use;
pub mod inventory;
pub mod jitter;
pub mod label_selector;
pub mod limits;
pub mod metrics;
pub mod new_run;
pub mod newest;
pub mod next_action;
pub mod notifications;
pub mod of_age;
pub mod outcomes;
pub mod overlap;
pub mod paging;
pub mod pattern;
pub mod pause;
pub mod plan;
pub mod planning_width;
pub mod protection_rules;
pub mod read_ahead;
pub mod redact;
pub mod report;
pub mod repository_outcome;
pub mod request_budget;
pub mod reserved_hours;
pub mod resume;
pub mod run_order;
pub mod run_record;
pub mod schedule;
pub mod source;
pub mod status_conditions;
pub mod stretches;
pub mod tag;
pub mod tag_protection;
pub mod target;
pub mod token;
pub mod unchanged;

pub use compile::{CompileOptions, CompiledPolicy, Method, Problem, compile};
