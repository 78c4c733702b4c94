//! What the steps of a run come to: how each is judged, counted and worded, as the outcome of a repository or the end
//! of the run.

pub mod bulk;
pub mod empty_repository;
pub mod end;
pub mod passes;
pub mod plan;
pub mod removal;
