//! The custom resource as users write and read it: spec, status, conditions and the schema around them.
//!
//! Only data, its schema and what the schema allows live here (serde, schemars, the derive of kube): nothing in this
//! layer decides, waits or talks to anybody. What a spec *means* is worked out by `policy::compile`.

pub mod conditions;
pub mod crd;
pub mod limits;
pub mod manifest;
pub mod newer;
mod policy;
mod reasons;
pub mod reference;
mod rules;
mod run_status;
mod schema;
mod status;
pub mod validation;
mod vocabulary;

pub use policy::{
    Attachments, ConfigMapKeyRef, DEFAULT_ACTIVE_DEADLINE_SECONDS, DEFAULT_GITLAB_URL, DEFAULT_HISTORY_LIMIT,
    DEFAULT_STARTING_DEADLINE_SECONDS, DEFAULT_TIME_ZONE, DEFAULT_TIMEOUT, EmptyRepositoriesSpec, ExcludeWindowSpec,
    GitLabSpec, GroupTarget, InUse, InUseSource, LimitsSpec, LocalSecretRef, ProtectSpec, RegistryCleanupPolicy,
    RegistryCleanupPolicySpec, RepositorySelector, RuleSpec, SecretKeyRef, TargetSpec,
};
pub use reasons::Reason;
pub use rules::PATTERN_SENTENCE;
pub use run_status::{
    ApprovedPlan, InterruptedRun, RepositoryCounts, Resumed, RunProgress, RunResult, RunStatus, TagCounts, Trigger,
};
pub use status::{
    ComingOfAge, EmptyRepository, HistoryEntry, OverlapStatus, PendingApproval, PolicyStatus, RefusedRunRequest,
    RepositoryResult, RepositoryStatus, ReservedHour, ReservedHours,
};
pub use vocabulary::{Method, Mode, SortBy};

/// Annotation that asks for one run in the policy's own mode; a new value runs once, and `policy::handled_requests`
/// says which are new.
pub const RUN_REQUESTED_AT: &str = "registrycleanup.dev/run-requested-at";

/// Annotation that asks for one dry run whatever the policy's mode; a new value runs once.
pub const DRY_RUN_REQUESTED_AT: &str = "registrycleanup.dev/dry-run-requested-at";

/// Annotation that approves of the plan with this hash, which then is carried out; see [`PendingApproval`].
pub const APPROVE: &str = "registrycleanup.dev/approve";

/// The value of `status.observedGeneration` that the schema gives a policy nobody has looked at yet.
pub const UNOBSERVED_GENERATION: i64 = -1;
