//! What ends a run early, as its end: which reason it has, and what is said.

use jiff::SignedDuration;

use crate::api::conditions::Reason;
use crate::policy::repository_outcome::End;
use crate::policy::status_conditions::Findings;
use crate::policy::tag::CLOCKS_MAY_DIFFER;
use crate::policy::token;

/// Credentials or targets that are no good.
#[must_use]
pub fn obstructed(findings: &Findings) -> End {
    let (reason, message) = token::obstacle(findings);
    End::Aborted { reason, message }
}

/// Images in use that are not known.
#[must_use]
pub fn in_use_unknown(why: String) -> End {
    End::Aborted { reason: Reason::InUseUnknown, message: why }
}

/// What other installations asked of GitLab within the hour, which nobody knows.
#[must_use]
pub fn others_unknown(why: &str) -> End {
    let message = format!("it is not known what other installations have asked GitLab for within the hour: {why}");
    End::Aborted { reason: Reason::OthersUnknown, message }
}

/// Whether GitLab's clock, which is this far ahead of ours, is too far away for ages to be told.
#[must_use]
pub fn clocks_differ(ahead: SignedDuration) -> Option<End> {
    if ahead.abs() <= CLOCKS_MAY_DIFFER {
        return None;
    }
    let by = SignedDuration::from_mins((ahead.abs().as_secs() + 30) / 60);
    let whose = if ahead.is_negative() { "behind" } else { "ahead of" };
    let message =
        format!("GitLab's clock is {by:#} {whose} the operator's, so ages cannot be told: set the clock that is wrong");
    Some(End::Aborted { reason: Reason::ClocksDiffer, message })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::api::conditions::ConditionStatus;

    #[rstest]
    #[case::the_same(0, None)]
    #[case::ahead_by_as_much_as_may_be(300, None)]
    #[case::behind_by_as_much_as_may_be(-300, None)]
    #[case::ahead(301, Some("5m ahead of"))]
    #[case::behind(-301, Some("5m behind"))]
    #[case::rounded(330, Some("6m ahead of"))]
    #[case::by_days(-72 * 3600, Some("72h behind"))]
    fn clocks_differ_from_more_than_five_minutes_on(#[case] seconds: i64, #[case] told: Option<&str>) {
        let end = clocks_differ(SignedDuration::from_secs(seconds));
        let expected = told.map(|told| End::Aborted {
            reason: Reason::ClocksDiffer,
            message: format!(
                "GitLab's clock is {told} the operator's, so ages cannot be told: set the clock that is wrong"
            ),
        });
        assert_eq!(end, expected);
    }

    #[test]
    fn what_is_wrong_with_the_token_comes_before_what_is_wrong_with_targets() {
        let trouble = Some((Reason::TargetNotFound, "no such group".to_owned()));
        let of = |credentials| Findings { credentials, trouble: trouble.clone(), remark: None, expires: None };
        let good = of((ConditionStatus::True, Reason::TokenAccepted, "ok".to_owned()));
        let bad = of((ConditionStatus::False, Reason::TokenExpired, "expired".to_owned()));
        let aborted = |reason, message: &str| End::Aborted { reason, message: message.to_owned() };
        assert_eq!(obstructed(&good), aborted(Reason::TargetNotFound, "no such group"));
        assert_eq!(obstructed(&bad), aborted(Reason::TokenExpired, "expired"));
    }
}
