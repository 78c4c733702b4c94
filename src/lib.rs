//! registry-cleanup-operator: keeps GitLab container registries clean from inside Kubernetes.
//!
//! Folders are layers and imports go one way (`tests/it/layers` enforces it):
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`clock`] | time as a parameter | everything else |
//! | [`hosts`] | which hosts may be connected to, as pure functions | everything else |
//! | [`proxy`] | the proxy on the way to GitLab | everything else |
//! | [`metrics`] | counters, and the formats in which Prometheus reads them | everything else |
//! | [`causes`] | an error as one line of text | everything else |
//! | [`terminal`] | what may not reach a terminal | everything else |
//! | [`leadership`] | which of several operators leads, as pure functions | waiting, clocks, I/O, everything else |
//! | [`model`] | plain data that two sides speak of | everything else |
//! | `words` | how a closed set of words is declared | everything else |
//! | [`api`] | the custom resource | what it means |
//! | [`policy`] | what is to be done, as pure functions | waiting, clocks, I/O, tokio, kube's client, reqwest |
//! | [`plan_output`] | how a plan looks as text, as pure functions | waiting, clocks, I/O, Kubernetes, GitLab |
//! | [`cluster`] | Kubernetes: Secrets, statuses, events | GitLab, decisions |
//! | [`gitlab`] | HTTP and GitLab's registry API | Kubernetes, policies |
//! | [`notifications`] | one receiver outside, and how to send to it | Kubernetes, what is worth telling |
//! | [`controller`] | all of these | command line, environment |
//! | [`app`], [`server`], [`telemetry`] | how the parts are put together and run | what policies mean |
//! | [`cli`] | flags and environment | |
//!
//! `make mutants` builds with `core_only`: the pure layers and their tests alone, in a fraction of the time.

#![warn(clippy::disallowed_methods)]

pub mod api;
#[cfg(not(core_only))]
pub mod app;
pub mod causes;
#[cfg(not(core_only))]
pub mod cli;
pub mod clock;
#[cfg(not(core_only))]
pub mod cluster;
#[cfg(not(core_only))]
pub mod controller;
#[cfg(not(core_only))]
pub mod gitlab;
pub mod hosts;
pub mod leadership;
pub mod metrics;
pub mod model;
#[cfg(not(core_only))]
pub mod notifications;
pub mod plan_output;
pub mod policy;
#[cfg(not(core_only))]
pub mod proxy;
#[cfg(not(core_only))]
pub mod server;
#[cfg(not(core_only))]
pub mod telemetry;
pub mod terminal;
mod words;
