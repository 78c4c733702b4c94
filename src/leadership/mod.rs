//! Which of several operators leads, as pure functions: only the holder of a Lease speaks to GitLab.
//!
//! Kubernetes keeps one object of kind Lease. Its holder renews it; whoever sees it unchanged for as long as it says,
//! by its own clock, takes it over. Every write names the version that was read, so of two that write only one
//! succeeds. Times of other machines are written and never compared.
//!
//! `timing` is how long what lasts and why the times add up. `identity` is who a process is, `record` what a Lease
//! says, `moment` an instant by two clocks. `step` says what to do about what was seen, for a process that does not
//! lead and for one that does. `term` says what the holder may still send.

pub mod identity;
pub mod moment;
pub mod record;
pub mod step;
pub mod term;
pub mod timing;
