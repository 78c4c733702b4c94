//! How much fits into the fields of the resource. The schema says so to the API server, and whoever fills a status
//! keeps to it.

/// Longest pattern, in bytes. Long enough for dozens of alternatives, short enough for the server's CEL cost limit.
pub const MAX_PATTERN: usize = 512;
/// Most patterns in one list.
pub const MAX_PATTERNS: usize = 20;
/// Most rules of a policy.
pub const MAX_RULES: usize = 10;
/// Most exclude windows of a policy.
pub const MAX_EXCLUDE_WINDOWS: usize = 20;
/// Most projects of a policy.
pub const MAX_PROJECTS: usize = 100;
/// Longest path of a project or group, in bytes.
pub const MAX_PROJECT_PATH: usize = 255;
/// Longest address, in bytes.
pub const MAX_URL: usize = 512;

/// Most repositories named in a status.
pub const MAX_REPOSITORIES: usize = 50;
/// Longest repository path, in bytes (GitLab: a path of at most 255 for the project and 255 for the image name).
pub const MAX_REPOSITORY_PATH: usize = 512;
/// Most sample tags of a repository.
pub const MAX_SAMPLES: usize = 10;
/// Longest tag name, in bytes (OCI distribution specification: 128 characters).
pub const MAX_TAG: usize = 128;
/// Most repositories without tags in a status.
pub const MAX_EMPTY_REPOSITORIES: usize = 50;
/// Most projects with a cleanup policy of GitLab's own in a status.
pub const MAX_PROJECTS_WITH_CLEANUP_POLICY: usize = 20;
/// Most policies with the same repositories in a status.
pub const MAX_OVERLAPPING_POLICIES: usize = 20;
/// Longest namespace/name of a policy, in bytes (Kubernetes: 63 for the namespace, 253 for the name).
pub const MAX_POLICY_NAME: usize = 317;
/// Most registries in a status of which the cluster uses no image.
pub const MAX_UNUSED_REGISTRIES: usize = 5;
/// Longest registry host in a status, in bytes: a host name of 253 characters and a port.
pub const MAX_HOST: usize = 260;
/// Most instances of GitLab in a status whose hours are kept.
pub const MAX_RESERVED_HOURS: usize = 5;
/// Most finished runs in a status.
pub const MAX_HISTORY: usize = 20;

/// Longest message of a condition or of the last run, in bytes.
pub const MAX_MESSAGE: usize = 1024;
/// Longest message of a repository or of a finished run, in bytes.
pub const MAX_SHORT_MESSAGE: usize = 256;
/// Longest summary of a run, in bytes.
pub const MAX_SHORT_TEXT: usize = 64;
/// Longest part of an annotation's value that a status takes, in bytes.
pub const MAX_TOKEN: usize = 256;
/// Most values of requests that are no times and are remembered as handled.
pub const MAX_HANDLED_TEXTS: usize = 10;
/// Most tags of an approved plan that a status tells by a mark.
pub const MAX_MARKS: usize = 2500;
/// How long such a mark is, in hexadecimal digits: 48 bits, so that among all tags that a registry may have none passes
/// for one of a plan by chance, and all of them fit into a status with the rest.
pub const MARK_DIGITS: usize = 12;
