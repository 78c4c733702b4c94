//! Every reason that a condition can have. `docs/conditions.md` explains each.

use crate::words::words;

words! {
/// Why a condition is as it is.
pub enum Reason {
    /// Ready: the next run is armed.
    Scheduled,
    /// Ready: the policy works and is suspended.
    Suspended,
    /// Reconciling: a new generation is being looked at.
    Progressing,
    /// Reconciling: something outside the policy is wrong, it is tried again.
    ProgressingWithRetry,
    /// Stalled: a pattern is not valid, or RE2 and this operator would read it differently.
    InvalidPattern,
    /// Stalled: the schedule cannot be read or never comes.
    InvalidSchedule,
    /// Stalled: the time zone is not known.
    InvalidTimeZone,
    /// Stalled: another field has a value that the schema cannot rule out.
    InvalidSpec,
    /// Stalled: the operator was not allowed to talk to this host.
    HostNotAllowed,
    /// Stalled: the address begins with http:// and the operator was not allowed to use it.
    InsecureConnectionsDisallowed,
    /// CredentialsValid: GitLab takes the token.
    TokenAccepted,
    /// CredentialsValid: GitLab takes the token, which expires soon.
    TokenExpiringSoon,
    /// CredentialsValid: a Secret does not exist.
    SecretNotFound,
    /// CredentialsValid: a Secret lacks a key or holds something that cannot be used.
    SecretInvalid,
    /// CredentialsValid: the operator may not read a Secret.
    SecretForbidden,
    /// CredentialsValid: the Secret belongs to another address than the policy names, so the token was not sent.
    SecretURLMismatch,
    /// CredentialsValid: GitLab does not know the token.
    TokenRejected,
    /// CredentialsValid: the token has expired.
    TokenExpired,
    /// CredentialsValid: the token was revoked.
    TokenRevoked,
    /// CredentialsValid: the token lacks a scope that the policy's mode needs.
    InsufficientScope,
    /// CredentialsValid, Ready: nothing is known, because GitLab was not reached.
    Unknown,
    /// Ready: no target could be found with this token.
    TargetNotFound,
    /// Ready: GitLab could not be reached or answered with an error.
    GitLabUnavailable,
    /// Ready, LastRunSucceeded: GitLab asked to be left alone for a while.
    RateLimited,
    /// Ready: the certificate of the instance is not trusted.
    CertificateInvalid,
    /// Ready: the credentials do not work; see CredentialsValid.
    CredentialsInvalid,
    /// Ready: GitLab answered something that it should not.
    UnexpectedAnswer,
    /// Ready: the definition in the cluster lacks a field that guards, so nothing is removed.
    DefinitionOutdated,
    /// Overlapping: other policies look after some of the same repositories.
    PoliciesOverlap,
    /// Overlapping: no other policy does.
    NoOverlap,
    /// `RunQueued`: as many runs as may work at the same time are at work.
    WaitingForTurn,
    /// LastRunSucceeded: the run ended well.
    Succeeded,
    /// LastRunSucceeded: some repositories failed.
    PartiallyFailed,
    /// LastRunSucceeded: the run failed.
    Failed,
    /// LastRunSucceeded: the run was cut short by a shutdown, an edit or the removal of the policy.
    Interrupted,
    /// Effective: every pattern that has to match something does.
    PatternsMatch,
    /// Effective: nobody knows, since no run has looked at every tag.
    NotEvaluated,
    /// Effective: `nameRegexDelete` of a rule matches no tag.
    DeletePatternMatchesNothing,
    /// Effective: a pattern to include matches no repository.
    IncludeMatchesNothing,
    /// Effective: a pattern to exclude can match no repository of the target.
    ExcludeMatchesNothing,
    /// Effective: patterns keep every tag that a rule matches.
    KeepPatternKeepsEverything,
    /// Effective: GitLab lets the token remove no tag at all.
    TagsProtectedByGitLab,
    /// `ApprovalPending`: a plan waits for an approval.
    PlanWaits,
    /// `ApprovalPending`: the plan was approved.
    PlanApproved,
    /// `DryRunForced`: the operator runs with --force-dry-run.
    ForcedByOperator,
    /// `Paused`: the ConfigMap that pauses the installation exists.
    PausedByAdministrator,
    /// `Paused`: it is not known whether that ConfigMap exists, so nothing is removed.
    PauseUnknown,
    /// `WithinExcludeWindow`: a window of `excludeWindows` is open, so nothing is removed.
    ExcludeWindowOpen,
    /// `InUseKnown`: everything that may use images is watched, and every image can be read.
    WorkloadsWatched,
    /// `InUseKnown`: everything is watched, but a list of another cluster counts no more soon.
    ListExpiringSoon,
    /// `InUseKnown`: an image cannot be read that may be one of the policy's repositories.
    ImageUnreadable,
    /// LastRunSucceeded, `InUseKnown`: it is not known for certain which images are in use.
    InUseUnknown,
    /// LastRunSucceeded: the clocks of GitLab and of the operator differ, so that ages cannot be told.
    ClocksDiffer,
    /// LastRunSucceeded: it is not known what other installations requested within the hour.
    OthersUnknown,
    /// LastRunSucceeded: more would have been removed than a limit of the policy allows.
    DeletionLimitExceeded,
    /// LastRunSucceeded: the plan that was approved is no longer what would be removed.
    PlanChanged,
    /// LastRunSucceeded: the run took longer than activeDeadlineSeconds.
    DeadlineExceeded,
}
}
