//! registry-cleanup-operator: keeps GitLab container registries clean from inside Kubernetes.
//!
//! Folders are layers and imports go one way (`tests/it/layers.rs` enforces it):
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`clock`] | time as a parameter | everything else |
//! | [`api`] | the custom resource | what it means |
//! | [`policy`] | what is to be done, as pure functions | waiting, clocks, I/O, tokio, kube's client, reqwest |
//! | [`gitlab`] | HTTP and GitLab's registry API | Kubernetes, policies |

pub mod api;
pub mod clock;
pub mod gitlab;
pub mod policy;
