//! GitLab's answers: its JSON, and what each status means.
//!
//! Pure. Bodies of errors are compared with known texts; of a refusal its reason is kept, cleaned.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::error::{Error, ErrorKind, Foreign, Grant, Operation, TokenProblem};
use super::lenient::lenient;
use super::maintenance::is_maintenance;
use super::pagination::Gap;
use super::said::Said;
use super::transport::Answer;
use super::types::{
    Closed, Namespace, Project, Repository, RepositoryNow, RepositoryStatus, TagDetails, is_repository_path,
};
use crate::model::{CleanupSettings, Digest, RepositoryContents};

/// Reads the JSON of a success; any other status becomes its error.
pub(super) fn read<T: DeserializeOwned>(operation: Operation, answer: &Answer) -> Result<T, Error> {
    if !answer.status.is_success() {
        return Err(refusal(operation, answer));
    }
    // The parser's own message would quote the body.
    serde_json::from_slice(&answer.body).map_err(|_| invalid(operation, "it is not the expected JSON"))
}

/// What a status that is no success means.
pub(super) fn refusal(operation: Operation, answer: &Answer) -> Error {
    let kind = match answer.status.as_u16() {
        // GitLab behaviour: its throttle is the one that answers in plain text.
        status @ 400..=499 if status != 429 && (is_page(answer) || is_challenge(answer)) => ErrorKind::Page { status },
        401 => ErrorKind::Unauthorized(ErrorAnswer::of(answer).token_problem()),
        403 | 503 if ErrorAnswer::of(answer).is_maintenance() => maintenance(answer),
        403 => ErrorAnswer::of(answer).forbidden(),
        404 => ErrorKind::NotFound,
        429 => {
            let retry_after = answer.hints.asked_to_wait();
            ErrorKind::RateLimited { retry_after, until: after(answer, retry_after) }
        }
        status @ 300..=399 => ErrorKind::Redirected { status },
        status @ (400 | 422) => ErrorKind::Refused { status, said: ErrorAnswer::of(answer).said() },
        status @ 400..=499 => ErrorKind::Refused { status, said: None },
        status if is_page(answer) && !is_by_rails(answer) => ErrorKind::Proxy { status },
        status => ErrorKind::Server { status },
    };
    Error::new(operation, kind)
}

/// Whether a success is GitLab's yes to a removal: the one status that it sends for it, and a body that is empty or
/// JSON.
///
/// GitLab behaviour: bulk deletions and those of repositories are accepted with 202, a single tag's is answered with
/// 200 (`lib/api/project_container_repositories.rs`); the body is the bare number. A sign-in page with 200, or a
/// proxy's 204, says nothing of what GitLab did.
pub(super) fn yes(operation: Operation, answer: &Answer, expected: u16) -> Result<(), Error> {
    let status = answer.status.as_u16();
    let foreign = if is_challenge(answer) {
        Foreign::Challenge
    } else if is_page(answer) {
        Foreign::Page
    } else if status != expected {
        Foreign::Status { status, expected }
    } else {
        return Ok(());
    };
    Err(Error::new(operation, ErrorKind::ForeignAnswer(foreign)))
}

/// Whether the body is neither empty nor JSON, as the API's always is.
pub(super) fn is_page(answer: &Answer) -> bool {
    let html = answer.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let body = answer.body.trim_ascii();
    html || !(body.is_empty() || serde_json::from_slice::<IgnoredAny>(body).is_ok())
}

/// Whether an answer has a header that GitLab's application sets, whatever its body is.
///
/// GitLab behaviour: `X-Gitlab-Meta` on every answer of the API, `X-Runtime` on every answer of Rails, `GitLab-LB` and
/// `GitLab-SV` on GitLab.com. A load balancer, or Workhorse while Rails is away, sends none of them.
fn is_by_rails(answer: &Answer) -> bool {
    ["x-gitlab-meta", "x-runtime", "gitlab-lb", "gitlab-sv"]
        .into_iter()
        .any(|header| answer.headers.contains_key(header))
}

/// Whether a firewall in front of GitLab wants to see a browser first. Its answer can have any status and no body.
///
/// AWS: <https://docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-how-it-works.html>;
/// Cloudflare:
/// <https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/>.
pub(super) fn is_challenge(answer: &Answer) -> bool {
    ["x-amzn-waf-action", "cf-mitigated"].into_iter().any(|header| answer.headers.contains_key(header))
}

/// What a GitLab that changes nothing just now is told as.
pub(super) fn maintenance(answer: &Answer) -> ErrorKind {
    ErrorKind::Maintenance { until: after(answer, answer.hints.asked_to_wait()) }
}

/// The moment so long after an answer.
fn after(answer: &Answer, wait: Option<Duration>) -> Option<Timestamp> {
    answer.at.checked_add(SignedDuration::try_from(wait?).ok()?).ok()
}

/// What an answer to a removal means that is neither a yes nor known by its text: a word that GitLab did nothing, or
/// the words of a gateway that gave up, or of nobody we know, which say nothing of what GitLab did.
pub(super) fn unfulfilled(operation: Operation, answer: &Answer) -> Error {
    match answer.status.as_u16() {
        503 if ErrorAnswer::of(answer).is_maintenance() => refusal(operation, answer),
        300..=399 | 408 | 500.. => Error::new(operation, ErrorKind::AnswerLost),
        _ => refusal(operation, answer),
    }
}

pub(super) const fn invalid(operation: Operation, what: &'static str) -> Error {
    Error::new(operation, ErrorKind::InvalidAnswer { what })
}

pub(super) const fn incomplete(operation: Operation, why: Gap) -> Error {
    Error::new(operation, ErrorKind::Incomplete { why })
}

/// Takes repositories over that belong to what was asked for.
///
/// GitLab behaviour: a group named by digits is read as the *id* of a group, so the answer can be about another one.
/// Every repository's path shows its group. A project that was asked for by its path may have moved: reading requests
/// are redirected to where it is now. Patterns over paths and images named by the old path would no longer fit, so that
/// is an error.
pub(super) fn accept(
    operation: Operation,
    namespace: &Namespace,
    answers: Vec<RepositoryAnswer>,
) -> Result<Vec<Repository>, Error> {
    let within = |repository: &Repository| match namespace {
        Namespace::Project(Project::Id(_)) => Ok(()),
        Namespace::Project(Project::Path(path)) if is_below(repository, path) || repository.path == lower(path) => {
            Ok(())
        }
        Namespace::Project(Project::Path(_)) => Err(Error::new(operation, ErrorKind::Moved)),
        Namespace::Group { path } if is_below(repository, path) => Ok(()),
        Namespace::Group { .. } => Err(invalid(operation, "a repository is outside the group")),
    };
    answers
        .into_iter()
        .map(|answer| match answer.accept() {
            Some(repository) => within(&repository).map(|()| repository),
            None => Err(invalid(operation, "a repository does not say whose it is, or has a path that none can have")),
        })
        .collect()
}

/// Paths of repositories are in lower case, those of projects and groups need not be.
fn lower(path: &str) -> String {
    path.to_lowercase()
}

fn is_below(repository: &Repository, path: &str) -> bool {
    repository.path.strip_prefix(&lower(path)).is_some_and(|rest| rest.starts_with('/'))
}

/// A repository in GitLab's JSON.
#[derive(Debug, Deserialize)]
pub(super) struct RepositoryAnswer {
    id: u64,
    path: String,
    name: Option<String>,
    project_id: Option<u64>,
    location: String,
    created_at: Timestamp,
    status: Option<RepositoryStatus>,
    #[serde(default, deserialize_with = "lenient")]
    cleanup_policy_started_at: Option<Timestamp>,
}

impl RepositoryAnswer {
    /// `None` when nothing tells which project it belongs to, so that no request could name it safely.
    pub(super) fn accept(self) -> Option<Repository> {
        let repository = Repository {
            id: self.id,
            path: self.path,
            name: self.name.unwrap_or_default(),
            project_id: self.project_id,
            location: self.location,
            created_at: self.created_at,
            status: self.status,
            cleanup_policy_started_at: self.cleanup_policy_started_at,
        };
        let known = repository.project_id.is_some()
            || repository.name.is_empty()
            || repository.project_path().len() < repository.path.len();
        // Both are shown, and names of images are compared with the place.
        let plain =
            is_repository_path(&repository.path) && repository.location.bytes().all(|byte| byte.is_ascii_graphic());
        (known && plain).then_some(repository)
    }
}

/// What a repository holds, in GitLab's JSON.
#[derive(Debug, Deserialize)]
pub(super) struct ContentsAnswer {
    id: u64,
    #[serde(default)]
    tags_count: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    size: Option<u64>,
    #[serde(default)]
    status: Option<RepositoryStatus>,
}

impl ContentsAnswer {
    /// `None` when this is another repository than the one asked for.
    pub(super) fn accept(self, id: u64) -> Option<RepositoryNow> {
        let Self { tags_count: tags, size: bytes, status, .. } = self;
        (self.id == id).then_some(RepositoryNow { contents: RepositoryContents { tags, bytes }, status })
    }
}

/// A tag in GitLab's lists. GitLab behaviour: lists have no dates.
#[derive(Debug, Deserialize)]
pub(super) struct TagAnswer {
    pub(super) name: Box<str>,
}

/// A tag's details in GitLab's JSON.
#[derive(Debug, Deserialize)]
pub(super) struct TagDetailsAnswer {
    name: Box<str>,
    #[serde(default)]
    digest: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    revision: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    total_size: Option<u64>,
}

/// The digest of a configuration. GitLab behaviour: told as `revision`, without its algorithm; empty for what has none,
/// such as an index.
pub(super) fn configuration(revision: &str) -> Option<Digest> {
    (!revision.is_empty()).then(|| format!("sha256:{revision}").into())
}

impl TagDetailsAnswer {
    /// `None` when these are the details of another tag than the one asked for.
    pub(super) fn accept(self, name: &str) -> Option<TagDetails> {
        (&*self.name == name).then_some(TagDetails {
            name: self.name,
            digest: self.digest.as_deref().and_then(Digest::told),
            configuration: self.revision.as_deref().and_then(configuration),
            created_at: self.created_at,
            total_size: self.total_size,
        })
    }
}

/// A project in GitLab's JSON, as far as its own cleanup policy is concerned.
#[derive(Debug, Deserialize)]
pub(super) struct ProjectAnswer {
    pub(super) id: u64,
    #[serde(default)]
    container_expiration_policy: Value,
    #[serde(default, deserialize_with = "lenient")]
    archived: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    marked_for_deletion_on: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    marked_for_deletion_at: Option<String>,
}

impl ProjectAnswer {
    /// Why nobody may change the project's images, if that is so. An archived group does not show in its projects.
    pub(super) const fn closed(&self) -> Option<Closed> {
        match (self.archived, &self.marked_for_deletion_on, &self.marked_for_deletion_at) {
            (_, Some(_), _) | (_, _, Some(_)) => Some(Closed::PendingDeletion),
            (Some(true), None, None) => Some(Closed::Archived),
            _ => None,
        }
    }

    /// `None` when the server does not say.
    pub(super) fn cleanup_policy_enabled(&self) -> Option<bool> {
        self.container_expiration_policy.get("enabled")?.as_bool()
    }

    /// `None` when the server does not say, or says it in a way that is not known.
    pub(super) fn cleanup_settings(self) -> Option<CleanupSettings> {
        serde_json::from_value(self.container_expiration_policy).ok()
    }
}

/// The version in GitLab's JSON.
#[derive(Debug, Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) version: String,
}

/// The two shapes of GitLab's error bodies. Compared with known texts; shown as [`Said`] only.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorAnswer {
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    error: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    error_description: Option<String>,
}

impl ErrorAnswer {
    /// The body of an answer, empty when it is no JSON.
    pub(super) fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// GitLab behaviour: 401 bodies are `{"message":"401 Unauthorized"}` or OAuth's, whose description tells more.
    fn token_problem(&self) -> TokenProblem {
        match self.error_description.as_deref() {
            Some(text) if text.contains("expired") => TokenProblem::Expired,
            Some(text) if text.contains("revoked") => TokenProblem::Revoked,
            _ => TokenProblem::Rejected,
        }
    }

    /// GitLab behaviour: `insufficient_scope`; fine-grained tokens have an error of their own, which names the
    /// permission in brackets.
    fn forbidden(&self) -> ErrorKind {
        let told = self.error_description.as_deref().unwrap_or_default();
        match self.error.as_deref() {
            Some("insufficient_granular_scope") => ErrorKind::MissingGrant(match told.split_once('[') {
                Some((_, named)) if named.contains("Metadata") => Grant::ReadMetadata,
                Some((_, named)) if named.contains("Container Repositor") && named.contains("Delete") => {
                    Grant::DeleteRepositories
                }
                Some((_, named)) if named.contains("Container Repositor") => Grant::ReadRepositories,
                _ => Grant::Other,
            }),
            Some(error) if error.starts_with("insufficient") => ErrorKind::InsufficientScope,
            _ => ErrorKind::Forbidden,
        }
    }

    /// Why a request was refused. GitLab behaviour: parameters that are not taken are told by `error`.
    fn said(&self) -> Option<Said> {
        self.error.as_deref().or(self.message.as_deref()).and_then(Said::of)
    }

    pub(super) fn is_maintenance(&self) -> bool {
        self.message.as_deref().is_some_and(is_maintenance)
    }

    /// GitLab behaviour: a missing route is told by `error`, a missing object by `message`. Any other text is not
    /// GitLab's, and says nothing about what the server can do.
    pub(super) fn is_missing_route(&self) -> bool {
        self.error.as_deref() == Some("404 Not Found")
    }

    /// GitLab behaviour: "This request has already been made. You can run this at most once an hour for a given
    /// container repository", as `message`; parameters that are not taken are told by `error`.
    pub(super) fn is_lease(&self) -> bool {
        let lease = |text: &str| text.contains("already been made") || text.contains("once an hour");
        self.error.is_none() && self.message.as_deref().is_some_and(lease)
    }

    /// GitLab behaviour: "404 Tag Not Found"; projects and repositories have other texts.
    pub(super) fn is_missing_tag(&self) -> bool {
        self.message.as_deref() == Some("404 Tag Not Found")
    }

    /// GitLab behaviour: "403 Forbidden - cannot delete protected tag(s)" up to 17, later only "403 Forbidden".
    pub(super) fn is_about_protected_tags(&self) -> bool {
        self.message.as_deref().is_some_and(|text| text.contains("protected tag"))
    }

    /// GitLab behaviour: "403 Forbidden - Deleting protected container repository forbidden."
    pub(super) fn is_about_protected_repository(&self) -> bool {
        self.message.as_deref().is_some_and(|text| text.contains("protected container repository"))
    }

    /// GitLab behaviour: parameters that are not taken are told by `error`.
    pub(super) const fn is_about_parameters(&self) -> bool {
        self.error.is_some()
    }

    /// GitLab behaviour: 405 to a deletion says "Non GET methods are not allowed for moved projects".
    pub(super) fn is_moved(&self) -> bool {
        self.message.as_deref().is_some_and(|text| text.contains("moved"))
    }
}

#[cfg(test)]
mod tests;
