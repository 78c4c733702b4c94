//! The time that one request may take (gitlab-api reference 11).
//!
//! GitLab looks at it before each field that it resolves, also those of what a mutation answers. So the field during
//! which the time runs out is carried out to its end, and its answer is null all the same.

use jiff::SignedDuration;

/// `graphql_timeout`.
const LIMIT: SignedDuration = SignedDuration::from_secs(30);

/// Simulated time, spent by one request.
#[derive(Debug, Default)]
pub(super) struct Time(SignedDuration);

impl Time {
    /// Spends some.
    pub(super) fn spend(&mut self, time: SignedDuration) {
        self.0 = self.0.saturating_add(time);
    }

    /// Spends the same several times.
    pub(super) fn spend_each(&mut self, time: SignedDuration, times: usize) {
        self.spend(time.saturating_mul(i32::try_from(times).unwrap_or(i32::MAX)));
    }

    pub(super) fn spent(&self) -> SignedDuration {
        self.0
    }

    /// Whether nothing more is resolved.
    pub(super) fn is_over(&self) -> bool {
        self.0 > LIMIT
    }
}
