//! Conditions of a policy: their types, every reason there is, and how one is set.
//!
//! The reasons are constants so that documentation, tests and code speak of the same set (`docs/conditions.md`).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The policy is understood, its credentials and targets work, and the next run is armed.
pub const READY: &str = "Ready";
/// The operator is still finding out whether the policy works.
pub const RECONCILING: &str = "Reconciling";
/// Something is wrong that only an edit of the policy can fix.
pub const STALLED: &str = "Stalled";
/// The last run ended with the result Succeeded.
pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
/// GitLab takes the access token.
pub const CREDENTIALS_VALID: &str = "CredentialsValid";

/// Other policies look after repositories of this one.
pub const OVERLAPPING: &str = "Overlapping";

/// Longest message of a condition, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// Every reason that a condition of a policy can have.
pub mod reason {
    /// Ready: the next run is armed.
    pub const SCHEDULED: &str = "Scheduled";
    /// Ready: the policy works and is suspended.
    pub const SUSPENDED: &str = "Suspended";
    /// Reconciling: a new generation is being looked at.
    pub const PROGRESSING: &str = "Progressing";
    /// Reconciling: something outside the policy is wrong, it is tried again.
    pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";

    /// Stalled: a pattern is not valid, or RE2 and this operator would read it differently.
    pub const INVALID_PATTERN: &str = "InvalidPattern";
    /// Stalled: the schedule cannot be read or never comes.
    pub const INVALID_SCHEDULE: &str = "InvalidSchedule";
    /// Stalled: the time zone is not known.
    pub const INVALID_TIME_ZONE: &str = "InvalidTimeZone";
    /// Stalled: another field has a value that the schema cannot rule out.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Stalled: the operator was not allowed to talk to this host.
    pub const HOST_NOT_ALLOWED: &str = "HostNotAllowed";
    /// Stalled: the address begins with http:// and the operator was not allowed to use it.
    pub const INSECURE_CONNECTIONS_DISALLOWED: &str = "InsecureConnectionsDisallowed";

    /// CredentialsValid: GitLab takes the token.
    pub const TOKEN_ACCEPTED: &str = "TokenAccepted";
    /// CredentialsValid: GitLab takes the token, which expires soon.
    pub const TOKEN_EXPIRING_SOON: &str = "TokenExpiringSoon";
    /// CredentialsValid: a Secret does not exist.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// CredentialsValid: a Secret lacks a key or holds something that cannot be used.
    pub const SECRET_INVALID: &str = "SecretInvalid";
    /// CredentialsValid: the operator may not read a Secret.
    pub const SECRET_FORBIDDEN: &str = "SecretForbidden";
    /// CredentialsValid: the Secret belongs to another address than the policy names, so the token was not sent.
    pub const SECRET_URL_MISMATCH: &str = "SecretURLMismatch";
    /// CredentialsValid: GitLab does not know the token.
    pub const TOKEN_REJECTED: &str = "TokenRejected";
    /// CredentialsValid: the token has expired.
    pub const TOKEN_EXPIRED: &str = "TokenExpired";
    /// CredentialsValid: the token was revoked.
    pub const TOKEN_REVOKED: &str = "TokenRevoked";
    /// CredentialsValid: the token lacks a scope that the policy's mode needs.
    pub const INSUFFICIENT_SCOPE: &str = "InsufficientScope";
    /// CredentialsValid, Ready: nothing is known, because GitLab was not reached.
    pub const UNKNOWN: &str = "Unknown";

    /// Ready: no target could be found with this token.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// Ready: GitLab could not be reached or answered with an error.
    pub const GITLAB_UNAVAILABLE: &str = "GitLabUnavailable";
    /// Ready: GitLab asked to be left alone for a while.
    pub const RATE_LIMITED: &str = "RateLimited";
    /// Ready: the certificate of the instance is not trusted.
    pub const CERTIFICATE_INVALID: &str = "CertificateInvalid";
    /// Ready: the credentials do not work; see CredentialsValid.
    pub const CREDENTIALS_INVALID: &str = "CredentialsInvalid";
    /// Ready: GitLab answered something that it should not.
    pub const UNEXPECTED_ANSWER: &str = "UnexpectedAnswer";

    /// Ready: the definition in the cluster lacks a field that guards, so nothing is removed.
    pub const DEFINITION_OUTDATED: &str = "DefinitionOutdated";

    /// Overlapping: other policies look after some of the same repositories.
    pub const POLICIES_OVERLAP: &str = "PoliciesOverlap";
    /// Overlapping: no other policy does.
    pub const NO_OVERLAP: &str = "NoOverlap";

    /// LastRunSucceeded: the run ended well.
    pub const SUCCEEDED: &str = "Succeeded";
    /// LastRunSucceeded: some repositories failed.
    pub const PARTIALLY_FAILED: &str = "PartiallyFailed";
    /// LastRunSucceeded: the run failed.
    pub const FAILED: &str = "Failed";
    /// LastRunSucceeded: the run was cut short by a shutdown, an edit or the removal of the policy.
    pub const INTERRUPTED: &str = "Interrupted";
    /// LastRunSucceeded: it was not known for certain which images are in use.
    pub const IN_USE_UNKNOWN: &str = "InUseUnknown";
    /// LastRunSucceeded: the clocks of GitLab and of the operator differ, so that ages cannot be told.
    pub const CLOCKS_DIFFER: &str = "ClocksDiffer";
    /// LastRunSucceeded: more would have been removed than a fuse of the policy allows.
    pub const DELETION_LIMIT_EXCEEDED: &str = "DeletionLimitExceeded";
    /// LastRunSucceeded: the plan that was approved is no longer what would be removed.
    pub const PLAN_CHANGED: &str = "PlanChanged";
    /// LastRunSucceeded: the run took longer than activeDeadlineSeconds.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

    /// All of them, for the test that compares them with the documentation.
    pub const ALL: &[&str] = &[
        SCHEDULED,
        SUSPENDED,
        PROGRESSING,
        PROGRESSING_WITH_RETRY,
        INVALID_PATTERN,
        INVALID_SCHEDULE,
        INVALID_TIME_ZONE,
        INVALID_SPEC,
        HOST_NOT_ALLOWED,
        INSECURE_CONNECTIONS_DISALLOWED,
        TOKEN_ACCEPTED,
        TOKEN_EXPIRING_SOON,
        SECRET_NOT_FOUND,
        SECRET_INVALID,
        SECRET_FORBIDDEN,
        SECRET_URL_MISMATCH,
        TOKEN_REJECTED,
        TOKEN_EXPIRED,
        TOKEN_REVOKED,
        INSUFFICIENT_SCOPE,
        UNKNOWN,
        TARGET_NOT_FOUND,
        GITLAB_UNAVAILABLE,
        RATE_LIMITED,
        CERTIFICATE_INVALID,
        CREDENTIALS_INVALID,
        UNEXPECTED_ANSWER,
        DEFINITION_OUTDATED,
        POLICIES_OVERLAP,
        NO_OVERLAP,
        SUCCEEDED,
        PARTIALLY_FAILED,
        FAILED,
        INTERRUPTED,
        IN_USE_UNKNOWN,
        CLOCKS_DIFFER,
        DELETION_LIMIT_EXCEEDED,
        PLAN_CHANGED,
        DEADLINE_EXCEEDED,
    ];
}

/// One condition, in the shape of Kubernetes' own (`meta/v1` Condition) with every string bounded.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which condition this is.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::condition_type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The generation of the spec that the condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::generation")]
    pub observed_generation: Option<i64>,
    /// When the status last changed from one value to another.
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Time,
    /// Why, as one of the documented reasons.
    #[schemars(schema_with = "schema::reason")]
    pub reason: String,
    /// Why, in a sentence.
    #[schemars(schema_with = "schema::message")]
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Finds a condition by its type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition is present and True.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Sets a condition. `lastTransitionTime` moves only when the status flips, so writing the same thing again changes nothing.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: impl Into<ConditionStatus>,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = status.into();
    let since = find(conditions, type_)
        .filter(|old| old.status == status)
        .map_or(Time(now), |old| old.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time: since,
        reason: reason.to_owned(),
        message: shorten(message, MAX_MESSAGE_BYTES),
    };
    match conditions.iter_mut().find(|old| old.type_ == type_) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// Removes a condition: its absence is how kstatus wants to hear "False" of Reconciling and Stalled.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// Cuts a text to at most `limit` bytes at a character boundary, with an ellipsis where something is missing.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let mut conditions = Vec::new();
        set(&mut conditions, READY, true, reason::SCHEDULED, "a", Some(1), at(10));
        set(&mut conditions, READY, true, reason::SUSPENDED, "b", Some(2), at(20));
        let ready = find(&conditions, READY).unwrap();
        assert_eq!(ready.last_transition_time, Time(at(10)));
        assert_eq!((ready.reason.as_str(), ready.observed_generation), (reason::SUSPENDED, Some(2)));

        set(&mut conditions, READY, false, reason::TARGET_NOT_FOUND, "c", Some(2), at(30));
        assert_eq!(find(&conditions, READY).unwrap().last_transition_time, Time(at(30)));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary_within_the_limit() {
        let text = "ä".repeat(20);
        for limit in 4..40 {
            let cut = shorten(&text, limit);
            assert!(cut.len() <= limit, "{limit}: {}", cut.len());
            assert!(cut.ends_with('…') || cut == text);
        }
        assert_eq!(shorten("short", 10), "short");
    }
}
