//! Integration tests, one binary: the operator with a real API server and a GitLab that behaves like one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers as well"
)]

mod acceptance;
mod admission;
mod approval;
mod attachments;
mod audit;
mod careful;
mod conflict;
mod definition;
mod docs;
mod doctor;
mod documents;
mod effective;
mod empty;
mod exact;
mod exclude_windows;
mod failures;
mod fairness;
mod field_cases;
mod forced_dry_run;
mod gitlab_client;
mod going_on;
mod history;
mod hour;
mod hour_edges;
mod import_command;
mod in_use;
mod in_use_command;
mod init_command;
mod install;
mod layers;
mod leadership;
mod limits;
mod logs;
mod metrics;
mod newer;
mod notifications;
mod overlap;
mod passes;
mod pause;
mod plan;
mod plugin;
mod protection_rules;
mod proxy;
mod rate_limits;
mod records;
mod refusals;
mod released;
mod report;
mod requests;
mod resource;
mod robustness;
mod run_order;
mod runs;
mod shards;
mod side_by_side;
mod stretches;
mod support;
mod ties;
mod together;
mod unchanged;
mod window;
mod workloads;
mod world;
