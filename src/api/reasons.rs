//! Every reason that a condition can have. `docs/conditions.md` explains each.

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

/// `RunQueued`: as many runs as may work at the same time are at work.
pub const WAITING_FOR_TURN: &str = "WaitingForTurn";

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
/// LastRunSucceeded: more would have been removed than a limit of the policy allows.
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
    WAITING_FOR_TURN,
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
