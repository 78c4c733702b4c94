//! Spreads runs over time: how much later than its schedule says a policy runs.
//!
//! Many policies say 03:00. Each gets a share of the jitter that the operator was told, always the same, so that the
//! slots of one policy are as far apart as its schedule says.

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

/// The share of a policy with this uid, in whole seconds, from nothing to the whole jitter.
#[must_use]
pub fn share(uid: &str, jitter: SignedDuration) -> SignedDuration {
    let digest = Sha256::digest(uid);
    let number = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
    let seconds = u64::try_from(jitter.as_secs()).unwrap_or_default();
    SignedDuration::from_secs(i64::try_from(number % seconds.saturating_add(1)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_policy_always_has_the_same_share_and_many_have_many() {
        let jitter = SignedDuration::from_mins(10);
        let shares: BTreeSet<i64> = (0..1000).map(|uid| share(&format!("uid-{uid}"), jitter).as_secs()).collect();
        assert!(shares.len() > 400, "{}", shares.len());
        assert!(shares.first().is_some_and(|least| *least >= 0) && shares.last().is_some_and(|most| *most <= 600));
        assert_eq!(share("uid-1", jitter), share("uid-1", jitter));
    }

    #[test]
    fn without_jitter_a_policy_runs_when_its_schedule_says() {
        assert!((0..100).all(|uid| share(&uid.to_string(), SignedDuration::ZERO).is_zero()));
    }
}
