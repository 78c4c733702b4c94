//! `RegistryCleanupPolicy` and its spec, field by field; every doc comment is what `kubectl explain` shows.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::status::PolicyStatus;
use super::vocabulary::{Method, Mode, SortBy};

/// `gitlab.url` when the policy does not say.
pub const DEFAULT_GITLAB_URL: &str = "https://gitlab.com";
/// `gitlab.timeout` when the policy does not say.
pub const DEFAULT_TIMEOUT: &str = "30s";
/// `timeZone` when the policy does not say.
pub const DEFAULT_TIME_ZONE: &str = "Etc/UTC";
/// `startingDeadlineSeconds` when the policy does not say.
pub const DEFAULT_STARTING_DEADLINE_SECONDS: u32 = 3600;
/// `activeDeadlineSeconds` when the policy does not say.
pub const DEFAULT_ACTIVE_DEADLINE_SECONDS: u32 = 3600;
/// `historyLimit` when the policy does not say.
pub const DEFAULT_HISTORY_LIMIT: u32 = 5;

/// What to clean, by which rules, and when.
#[derive(CustomResource, Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(extend("x-kubernetes-validations" = schema::spec_rules()))]
#[kube(
    group = "registrycleanup.dev",
    version = "v1alpha1",
    kind = "RegistryCleanupPolicy",
    plural = "registrycleanuppolicies",
    namespaced,
    shortname = "rcp",
    category = "registry-cleanup",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Keeps the container registry of GitLab projects and groups clean, on a schedule, by rules that can be previewed tag by tag.",
    selectable = ".spec.mode",
    selectable = ".spec.gitlab.url",
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Suspend", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Last Run", type_ = "date", json_path = ".status.lastRun.startTime"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.lastRun.result"),
    printcolumn(name = "Tags", type_ = "string", json_path = ".status.lastRun.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Status", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#),
    printcolumn(name = "Next Run", type_ = "string", json_path = ".status.nextScheduleTime", priority = 1),
    printcolumn(name = "Method", type_ = "string", json_path = ".status.lastRun.method", priority = 1),
    printcolumn(
        name = "Effective",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Effective")].status"#,
        priority = 1
    ),
    printcolumn(name = "GitLab", type_ = "string", json_path = ".spec.gitlab.url", priority = 1),
    printcolumn(
        name = "Repositories",
        type_ = "integer",
        json_path = ".status.lastRun.repositories.total",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryCleanupPolicySpec {
    /// The GitLab instance and the credentials to use there.
    pub gitlab: GitLabSpec,

    /// Which container repositories the policy looks after.
    #[schemars(schema_with = "schema::target::<TargetSpec>")]
    pub target: TargetSpec,

    /// What to remove. The first rule whose nameRegexDelete matches a tag decides about it; a tag that no rule matches
    /// is kept. The method Bulk takes exactly one rule.
    #[schemars(schema_with = "schema::rules::<RuleSpec>")]
    pub rules: Vec<RuleSpec>,

    /// What no rule may remove. The tag `latest` is always kept, images that the cluster uses unless inUse is
    /// `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ProtectSpec")]
    pub protect: Option<ProtectSpec>,

    /// `Bulk`, if not given: GitLab is sent one request per repository and hour, evaluates it later by itself, and
    /// reports nothing. `Exact`: the plan is made here over the complete list of tags, exactly the planned tags are
    /// removed, and the result is known; without an hourly limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Method")]
    pub method: Option<Method>,

    /// What goes with an image: signatures, attestations, SBOMs and whatever else is tagged by the digest of the image
    /// it belongs to, or is known to refer to it. They never take one of the keepN slots, and stay while a tag of their
    /// image stays. `ByRule`, if not given: they go with its last tag if a rule's nameRegexDelete matches their own
    /// name, too. `WithSubject`: also without. The method Bulk removes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Attachments")]
    pub attachments: Option<Attachments>,

    /// `DryRun` plans and reports without removing anything. `RequireApproval` (Exact only) plans, and removes exactly
    /// what was planned once the annotation registrycleanup.dev/approve names the plan's hash. `Delete` removes.
    #[serde(default)]
    pub mode: Mode,

    /// Limits against a policy that removes more than it was meant to: what would exceed one is not done at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LimitsSpec")]
    pub limits: Option<LimitsSpec>,

    /// Deletes repositories that have no tags; off if not given. The list of tags, GitLab's own count and, where the
    /// registry tells it, the size must say so in two runs at least a day apart. In the mode Delete only; the others
    /// tell what would go. Takes a token with the role Maintainer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EmptyRepositoriesSpec")]
    pub empty_repositories: Option<EmptyRepositoriesSpec>,

    /// When to run: five cron fields, as a CronJob has them, whose minute is one number ("17 3 * * *"), or @hourly,
    /// @daily, @weekly, @monthly, @yearly.
    #[schemars(schema_with = "schema::schedule")]
    pub schedule: String,

    /// IANA name of the time zone in which the schedule is read, for example Europe/Berlin.
    #[serde(default = "default_time_zone")]
    #[schemars(schema_with = "schema::time_zone")]
    pub time_zone: String,

    /// When nothing is removed, for example while a release is frozen: no run that removes begins in a window, and one
    /// that is under way when it begins ends between two requests. Times of the schedule within one are left out. What
    /// GitLab has accepted before goes on. Dry runs and plans that wait for an approval are made at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::exclude_windows::<ExcludeWindowSpec>")]
    pub exclude_windows: Vec<ExcludeWindowSpec>,

    /// Stops runs: none begins, scheduled or requested, and one that is under way ends between two requests, as after
    /// every edit of the spec. A dry run can still be requested. A bulk deletion that GitLab has accepted goes on.
    #[serde(default)]
    pub suspend: bool,

    /// How late, in seconds, a run may start when its time was missed, for example because the operator was down.
    #[serde(default = "default_starting_deadline_seconds")]
    #[schemars(schema_with = "schema::starting_deadline_seconds")]
    pub starting_deadline_seconds: u32,

    /// How long, in seconds, a run may take. It then stops between two requests and says what it did not reach.
    #[serde(default = "default_active_deadline_seconds")]
    #[schemars(schema_with = "schema::active_deadline_seconds")]
    pub active_deadline_seconds: u32,

    /// How many finished runs `status.history` keeps.
    #[serde(default = "default_history_limit")]
    #[schemars(schema_with = "schema::history_limit")]
    pub history_limit: u32,
}

/// When nothing is removed: again and again by schedule and duration, or once, from and until.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(extend("x-kubernetes-validations" = schema::exclude_window_rules()))]
pub struct ExcludeWindowSpec {
    /// Name of the window, which is told while it is open.
    #[schemars(schema_with = "schema::window_name")]
    pub name: String,

    /// When it begins each time: as spec.schedule, in spec.timeZone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::schedule")]
    pub schedule: Option<String>,

    /// How long it lasts each time, by the clock of the time zone: one number with h, d (24 h) or w, for example 62h.
    /// One that begins at 22:00 and lasts 8h ends at 06:00, also in the night in which clocks change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::window_duration")]
    pub duration: Option<String>,

    /// When a window begins that comes once, with its offset from UTC: 2026-12-20T18:00:00+01:00.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::moment")]
    pub from: Option<String>,

    /// When it ends; this moment belongs to it no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::moment")]
    pub until: Option<String>,
}

/// A GitLab instance and how to reach it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::gitlab_rules()))]
pub struct GitLabSpec {
    /// Address of the GitLab instance, with a sub-path if it has one.
    #[serde(default = "default_gitlab_url")]
    #[schemars(schema_with = "schema::gitlab_url")]
    pub url: String,

    /// Allows an address that begins with http://, which sends the token readable by anybody on the way. The operator
    /// must be started with --allow-insecure-http as well.
    #[serde(default)]
    pub insecure: bool,

    /// The Secret, in the policy's namespace, that holds the access token: scope api; role Maintainer for the method
    /// Bulk and for emptyRepositories, Developer for Exact. For dry runs read_api is enough, and for those of Bulk the
    /// role Reporter. A key `url` in the Secret, when present, must equal the address above, or the token is not sent.
    pub secret_ref: SecretKeyRef,

    /// A Secret, in the policy's namespace, with the certificate authority of the instance in `ca.crt` and, for mutual
    /// TLS, a client certificate in `tls.crt` and its key in `tls.key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LocalSecretRef")]
    pub cert_secret_ref: Option<LocalSecretRef>,

    /// A Secret, in the policy's namespace, that describes the proxy to use: `address` and, if it wants them,
    /// `username` and `password`. Proxy variables of the environment are not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LocalSecretRef")]
    pub proxy_secret_ref: Option<LocalSecretRef>,

    /// How long one request may take, for example 30s.
    #[serde(default = "default_timeout")]
    #[schemars(schema_with = "schema::timeout")]
    pub timeout: String,
}

/// A key of a Secret in the policy's namespace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,

    /// Key that holds the token; `token` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::secret_key")]
    pub key: Option<String>,
}

/// A Secret in the policy's namespace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct LocalSecretRef {
    /// Name of the Secret.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,
}

/// Which container repositories a policy looks after; the schema asks for at least one project or group.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Projects, each by its full path or its numeric id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::projects")]
    pub projects: Vec<String>,

    /// Groups, with all their projects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::groups::<GroupTarget>")]
    pub groups: Vec<GroupTarget>,

    /// Narrows the repositories of the projects and groups down by their path. Each pattern must match the whole path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RepositorySelector")]
    pub repositories: Option<RepositorySelector>,
}

/// One group of a target.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupTarget {
    /// Full path of the group.
    #[schemars(schema_with = "schema::group_path")]
    pub path: String,

    /// Whether projects of its subgroups belong to it; true if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub include_subgroups: Option<bool>,
}

/// Patterns over repository paths. Each must match the whole path ("shop/backend/api"), which GitLab writes in lower
/// case.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct RepositorySelector {
    /// Only repositories whose path one of these matches; all if there is none. RE2 patterns, each for the whole path,
    /// which GitLab writes in lower case: shop/backend/api is matched by shop/.*/api, not by api.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::patterns")]
    pub include: Vec<String>,

    /// Not the repositories whose path one of these matches, whatever `include` says. RE2 patterns, each for the whole
    /// path: .*/cache leaves shop/backend/cache out, cache does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::patterns")]
    pub exclude: Vec<String>,
}

/// One rule, in the terms of GitLab's bulk deletion of tags. At least one of keepN and olderThan is required.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rule_rules()))]
pub struct RuleSpec {
    /// Name of the rule, quoted in reports.
    #[schemars(schema_with = "schema::rule_name")]
    pub name: String,

    /// Tags that may go: an RE2 pattern that matches the whole tag name (GitLab's name_regex_delete).
    #[schemars(schema_with = "schema::pattern")]
    pub name_regex_delete: String,

    /// Tags that stay although nameRegexDelete matches them: an RE2 pattern for the whole tag name (GitLab's
    /// name_regex_keep). They take no slot among the keepN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::keep_pattern")]
    pub name_regex_keep: Option<String>,

    /// How many of the newest matching tags stay in each repository (GitLab's keep_n). 0 says on purpose that none
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::keep_n")]
    pub keep_n: Option<u32>,

    /// Only tags older than this go: numbers with h, d, w, month (30 days) or y, for example 14d or 1month (GitLab's
    /// older_than).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::older_than")]
    pub older_than: Option<String>,

    /// Exact only: an RE2 pattern with one capture group; keepN then counts per captured value, for example per branch.
    /// A tag that it does not match is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pattern")]
    pub group_by: Option<String>,

    /// Exact only: what makes a tag one of the keepN newest: `PushedAt` (if not given), `CreatedAt`, `SemVer` (the
    /// highest version by the rules of Semantic Versioning; other names are kept), `Version` (the highest of one to
    /// four numbers, such as 1.10, v2 or 2024.01.15; other names are kept) or `Name` (the last in the alphabet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SortBy")]
    pub sort_by: Option<SortBy>,
}

/// What no rule may remove.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectSpec {
    /// Tags to keep: RE2 patterns, each for the whole tag name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::keep_patterns")]
    pub name_regex: Vec<String>,

    /// `Required`, if not given: an image that the cluster uses is never removed, and nothing is removed while it is
    /// not known for certain which images that are. `Disabled`: nobody looks, not into inUseFrom either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "InUse")]
    pub in_use: Option<InUse>,

    /// Other hosts, with the leading part of a path if need be, under which the cluster pulls from this registry: a
    /// mirror or a proxy. With mirror.example.com/gitlab, mirror.example.com/gitlab/shop/backend is the repository
    /// shop/backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::registry_aliases")]
    pub registry_aliases: Vec<String>,

    /// Images that other clusters use, as `registry-cleanup-operator in-use -o json` prints them there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::in_use_from::<InUseSource>")]
    pub in_use_from: Vec<InUseSource>,
}

/// Whether images that the cluster uses are looked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum InUse {
    /// They are, and nothing is removed while the answer is not complete.
    #[default]
    Required,
    /// They are not.
    Disabled,
}

/// Where images that another cluster uses are listed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InUseSource {
    /// The ConfigMap, in the policy's namespace, that holds the list.
    pub config_map_ref: ConfigMapKeyRef,

    /// How old the list may be: numbers with h, d, w, month or y; 1d if not given. Beyond it nothing is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::older_than")]
    pub max_age: Option<String>,

    /// The list is that of this cluster, with all its namespaces. It stands in for the namespaces that the operator may
    /// not look into, where it watches some only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub this_cluster: bool,
}

/// A key of a ConfigMap in the policy's namespace.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(schema_with = "schema::object_name")]
    pub name: String,

    /// Key that holds the list; `images.json` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::config_map_key")]
    pub key: Option<String>,
}

/// Limits. A plan that exceeds one is not shortened: nothing of it is carried out, and the next run tries again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Most tags that a run may remove from one repository; above it, nothing is removed from that repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tag_limit")]
    pub max_tags_per_repository: Option<u32>,

    /// Most tags that a run may remove altogether; above it, the run removes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::tag_limit")]
    pub max_tags_per_run: Option<u32>,

    /// Largest share of a repository's tags, in percent, that a run may remove; above it, nothing is removed from that
    /// repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::percent")]
    pub max_percent_per_repository: Option<u32>,
}

/// Which repositories without tags are deleted.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmptyRepositoriesSpec {
    /// Only repositories that were created longer ago than this: numbers with h, d, w, month or y, for example 30d.
    #[schemars(schema_with = "schema::older_than")]
    pub delete_older_than: String,

    /// Whether a project's root repository, which has the path of the project itself, may be deleted; false if not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub include_root: Option<bool>,
}

/// Which signatures, attestations and SBOMs go with the last tag of their image.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Attachments {
    /// Those whose own name a rule matches.
    #[default]
    ByRule,
    /// All that nothing else keeps.
    WithSubject,
}

fn default_gitlab_url() -> String {
    DEFAULT_GITLAB_URL.to_owned()
}

fn default_timeout() -> String {
    DEFAULT_TIMEOUT.to_owned()
}

fn default_time_zone() -> String {
    DEFAULT_TIME_ZONE.to_owned()
}

fn default_starting_deadline_seconds() -> u32 {
    DEFAULT_STARTING_DEADLINE_SECONDS
}

fn default_active_deadline_seconds() -> u32 {
    DEFAULT_ACTIVE_DEADLINE_SECONDS
}

fn default_history_limit() -> u32 {
    DEFAULT_HISTORY_LIMIT
}
