//! GitLab's answers: its JSON, and what each status means.
//!
//! Pure. Bodies of errors are only compared with known texts; nothing of them is kept.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{Error, ErrorKind, Foreign, Grant, Operation, TokenProblem};
use super::lenient::lenient;
use super::maintenance::is_maintenance;
use super::pagination::Gap;
use super::transport::Answer;
use super::types::{Closed, Namespace, Project, Repository, RepositoryContents, RepositoryStatus, TagDetails};

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
        429 => ErrorKind::RateLimited { retry_after: answer.hints.asked_to_wait() },
        status @ 300..=399 => ErrorKind::Redirected { status },
        status @ 400..=499 => ErrorKind::Refused { status },
        status => ErrorKind::Server { status },
    };
    Error::new(operation, kind)
}

/// Whether a success is GitLab's yes to a removal: the one status that it sends for it, and a body that is empty or JSON.
///
/// GitLab behaviour: bulk deletions and those of repositories are accepted with 202, a single tag's is answered with 200
/// (`lib/api/project_container_repositories.rs`); the body is the bare number. A sign-in page with 200, or a proxy's 204,
/// says nothing of what GitLab did.
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

/// Whether a firewall in front of GitLab wants to see a browser first. Its answer can have any status and no body.
///
/// AWS: <https://docs.aws.amazon.com/waf/latest/developerguide/waf-captcha-and-challenge-how-it-works.html>; Cloudflare:
/// <https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/>.
pub(super) fn is_challenge(answer: &Answer) -> bool {
    ["x-amzn-waf-action", "cf-mitigated"].into_iter().any(|header| answer.headers.contains_key(header))
}

/// What a GitLab that changes nothing just now is told as.
pub(super) fn maintenance(answer: &Answer) -> ErrorKind {
    let wait = answer.hints.asked_to_wait().and_then(|wait| SignedDuration::try_from(wait).ok());
    ErrorKind::Maintenance { until: wait.and_then(|wait| answer.at.checked_add(wait).ok()) }
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
            None => Err(invalid(operation, "a repository does not say whose it is")),
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
        known.then_some(repository)
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
    pub(super) fn accept(self, id: u64) -> Option<RepositoryContents> {
        let Self { tags_count, size, status, .. } = self;
        (self.id == id).then_some(RepositoryContents { tags_count, size, status })
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
    digest: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    revision: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    total_size: Option<u64>,
}

/// The digest of a configuration. GitLab behaviour: told as `revision`, without its algorithm; empty for what has none,
/// such as an index.
pub(super) fn configuration(revision: &str) -> Option<Box<str>> {
    (!revision.is_empty()).then(|| format!("sha256:{revision}").into())
}

impl TagDetailsAnswer {
    /// `None` when these are the details of another tag than the one asked for.
    pub(super) fn accept(self, name: &str) -> Option<TagDetails> {
        (&*self.name == name).then_some(TagDetails {
            name: self.name,
            digest: self.digest.filter(|digest| !digest.is_empty()),
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
    #[serde(default, deserialize_with = "lenient")]
    container_expiration_policy: Option<PolicyAnswer>,
    #[serde(default, deserialize_with = "lenient")]
    archived: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    marked_for_deletion_on: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    marked_for_deletion_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PolicyAnswer {
    #[serde(default, deserialize_with = "lenient")]
    enabled: Option<bool>,
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
        self.container_expiration_policy.as_ref()?.enabled
    }
}

/// The version in GitLab's JSON.
#[derive(Debug, Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) version: String,
}

/// The two shapes of GitLab's error bodies. Only compared with known texts, never shown.
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
mod tests {
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::rate_limit_headers::Hints;
    use super::super::types::Project;
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            hints: Hints::default(),
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[rstest]
    #[case::unknown(401, r#"{"message":"401 Unauthorized"}"#, ErrorKind::Unauthorized(TokenProblem::Rejected))]
    #[case::expired(
        401,
        r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#,
        ErrorKind::Unauthorized(TokenProblem::Expired)
    )]
    #[case::revoked(
        401,
        r#"{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}"#,
        ErrorKind::Unauthorized(TokenProblem::Revoked)
    )]
    #[case::nothing(401, "", ErrorKind::Unauthorized(TokenProblem::Rejected))]
    #[case::a_sign_in_page(401, "<html>", ErrorKind::Page { status: 401 })]
    #[case::a_challenge(403, "<!DOCTYPE html><title>Just a moment...</title>", ErrorKind::Page { status: 403 })]
    #[case::a_firewall(403, "Request blocked.", ErrorKind::Page { status: 403 })]
    #[case::a_web_server(404, "<html><h1>404 Not Found</h1></html>", ErrorKind::Page { status: 404 })]
    #[case::a_gateway(502, "<html>", ErrorKind::Server { status: 502 })]
    #[case::scope(
        403,
        r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}"#,
        ErrorKind::InsufficientScope
    )]
    #[case::a_permission_of_the_instance(
        403,
        r#"{"error":"insufficient_granular_scope","error_description":"… instance permissions: [Metadata: Read]."}"#,
        ErrorKind::MissingGrant(Grant::ReadMetadata)
    )]
    #[case::a_permission_to_delete(
        403,
        r#"{"error":"insufficient_granular_scope","error_description":"… project permissions: [Container Repository: Delete]."}"#,
        ErrorKind::MissingGrant(Grant::DeleteRepositories)
    )]
    #[case::a_permission_that_is_not_named(
        403,
        r#"{"error":"insufficient_granular_scope"}"#,
        ErrorKind::MissingGrant(Grant::Other)
    )]
    #[case::role(403, r#"{"message":"403 Forbidden"}"#, ErrorKind::Forbidden)]
    #[case::read_only(
        403,
        r#"{"message":"You cannot perform write operations on a read-only instance"}"#,
        ErrorKind::Maintenance { until: None }
    )]
    #[case::maintenance(
        503,
        r#"{"message":"This organization is temporarily unavailable due to maintenance."}"#,
        ErrorKind::Maintenance { until: None }
    )]
    #[case::another_503(503, r#"{"message":"503 Service Unavailable"}"#, ErrorKind::Server { status: 503 })]
    #[case::missing(404, r#"{"message":"404 Project Not Found"}"#, ErrorKind::NotFound)]
    #[case::throttled(429, "Retry later", ErrorKind::RateLimited { retry_after: None })]
    #[case::parameters(400, r#"{"error":"per_page is invalid"}"#, ErrorKind::Refused { status: 400 })]
    #[case::broken(500, r#"{"message":"500 Internal Server Error"}"#, ErrorKind::Server { status: 500 })]
    #[case::redirected(303, "", ErrorKind::Redirected { status: 303 })]
    #[case::messages_of_another_shape(403, r#"{"message":{"base":["no"]},"error":7}"#, ErrorKind::Forbidden)]
    fn a_status_and_a_known_text_make_an_error(#[case] status: u16, #[case] body: &str, #[case] kind: ErrorKind) {
        let error = read::<Value>(Operation::ListTags, &answer(status, body)).unwrap_err();
        assert_eq!(error.kind(), &kind);
    }

    #[rstest]
    #[case::a_number("202", None)]
    #[case::nothing("", None)]
    #[case::spaces("\n", None)]
    #[case::null("null", None)]
    #[case::an_object("{}", None)]
    #[case::a_page("<html>Sign in</html>", Some(Foreign::Page))]
    #[case::a_text("Accepted", Some(Foreign::Page))]
    #[case::json_that_breaks_off("{\"a\":", Some(Foreign::Page))]
    fn gitlabs_yes_has_one_status_and_json_or_no_body(#[case] body: &str, #[case] foreign: Option<Foreign>) {
        let told = |answer: &Answer| yes(Operation::RemoveTag, answer, 202).err().map(|error| error.foreign().unwrap());
        assert_eq!(told(&answer(202, body)), foreign);
        for status in [200, 201, 203, 204, 206] {
            let expected = foreign.unwrap_or(Foreign::Status { status, expected: 202 });
            assert_eq!(told(&answer(status, body)), Some(expected));
        }
        for (name, value, expected) in [
            ("content-type", "text/html; charset=utf-8", Some(Foreign::Page)),
            ("content-type", "application/json", foreign),
            ("x-amzn-waf-action", "challenge", Some(Foreign::Challenge)),
            ("cf-mitigated", "challenge", Some(Foreign::Challenge)),
        ] {
            let mut answer = answer(202, body);
            answer.headers.insert(name, value.parse().unwrap());
            assert_eq!(told(&answer), expected, "{name}: {value}");
        }
    }

    #[rstest]
    #[case::the_lease(
        r#"{"message":"This request has already been made. You can run this at most once an hour for a given container repository"}"#,
        true
    )]
    #[case::a_parameter(r#"{"error":"keep_n is invalid"}"#, false)]
    #[case::another_message(r#"{"message":"400 Bad request"}"#, false)]
    #[case::a_bare_number("400", false)]
    fn the_hourly_refusal_is_told_from_others(#[case] body: &str, #[case] lease: bool) {
        assert_eq!(ErrorAnswer::of(&answer(400, body)).is_lease(), lease);
    }

    #[rstest]
    #[case::a_route(r#"{"error":"404 Not Found"}"#, true)]
    #[case::an_object(r#"{"message":"404 Not found"}"#, false)]
    #[case::another_server(r#"{"error":"no backend"}"#, false)]
    #[case::a_page("<html>404</html>", false)]
    fn a_missing_route_is_told_from_a_missing_object(#[case] body: &str, #[case] route: bool) {
        assert_eq!(ErrorAnswer::of(&answer(404, body)).is_missing_route(), route);
    }

    #[rstest]
    #[case::protected(r#"{"message":"403 Forbidden - Deleting protected container repository forbidden."}"#, true)]
    #[case::a_role(r#"{"message":"403 Forbidden"}"#, false)]
    #[case::a_tag(r#"{"message":"403 Forbidden - cannot delete protected tag(s)"}"#, false)]
    fn a_protected_repository_is_told_from_other_refusals(#[case] body: &str, #[case] protected: bool) {
        assert_eq!(ErrorAnswer::of(&answer(403, body)).is_about_protected_repository(), protected);
    }

    #[test]
    fn a_body_that_does_not_fit_is_not_quoted() {
        let error = read::<VersionAnswer>(Operation::ReadVersion, &answer(200, r#"{"version":["marker"]}"#));
        assert!(!format!("{:?}", error.unwrap_err()).contains("marker"));
    }

    #[rstest]
    #[case::open(json!({"archived": false, "marked_for_deletion_on": null}), None)]
    #[case::archived(json!({"archived": true}), Some(Closed::Archived))]
    #[case::pending(json!({"archived": false, "marked_for_deletion_on": "2026-12-31"}), Some(Closed::PendingDeletion))]
    #[case::pending_by_its_older_name(json!({"marked_for_deletion_at": "2026-12-31"}), Some(Closed::PendingDeletion))]
    #[case::not_told(json!({}), None)]
    #[case::of_another_shape(json!({"archived": "yes", "marked_for_deletion_on": 7}), None)]
    fn a_project_is_closed_only_where_gitlab_says_so(#[case] mut told: Value, #[case] closed: Option<Closed>) {
        told["id"] = json!(7);
        assert_eq!(serde_json::from_value::<ProjectAnswer>(told).unwrap().closed(), closed);
    }

    fn repository(change: &serde_json::Value) -> Option<Repository> {
        let mut answer = json!({
            "id": 7, "name": "web", "path": "shop/backend/web", "location": "registry.example.com/shop/backend/web",
            "created_at": "2019-01-10T13:38:57.391Z",
        });
        for (key, value) in change.as_object().unwrap() {
            answer[key] = value.clone();
        }
        serde_json::from_value::<RepositoryAnswer>(answer).unwrap().accept()
    }

    #[rstest]
    #[case::by_its_id(json!({"project_id": 4}), Some(Project::Id(4)))]
    #[case::by_the_path_without_the_name(json!({}), Some(Project::Path("shop/backend".to_owned())))]
    #[case::the_root_image(json!({"name": "", "path": "shop/backend"}), Some(Project::Path("shop/backend".to_owned())))]
    #[case::a_name_of_two_parts(json!({"name": "backend/web"}), Some(Project::Path("shop".to_owned())))]
    #[case::a_name_that_is_not_in_the_path(json!({"name": "other"}), None)]
    #[case::a_name_that_only_ends_like_it(json!({"name": "eb"}), None)]
    fn a_repository_names_its_project(#[case] change: serde_json::Value, #[case] project: Option<Project>) {
        assert_eq!(repository(&change).map(|repository| repository.reference().project), project);
    }

    #[test]
    fn a_status_of_a_later_version_is_not_mistaken_for_none() {
        let status = |value| repository(&json!({"status": value})).unwrap().status;
        assert_eq!(status(json!(null)), None);
        assert_eq!(status(json!("delete_ongoing")), Some(RepositoryStatus::DeleteOngoing));
        assert_eq!(status(json!("being_copied")), Some(RepositoryStatus::Other));
    }

    #[test]
    fn details_that_cannot_be_read_are_unknown() {
        let answer = json!({"name": "a", "digest": "", "created_at": "long ago", "total_size": "12"});
        let details = serde_json::from_value::<TagDetailsAnswer>(answer).unwrap().accept("a").unwrap();
        assert_eq!((details.digest, details.created_at, details.total_size), (None, None, None));
        assert_eq!(details.configuration, None);
    }

    #[test]
    fn the_digest_of_a_configuration_is_told_without_its_algorithm_or_not_at_all() {
        for (revision, expected) in [("d7a5", Some("sha256:d7a5")), ("", None)] {
            let answer = json!({"name": "a", "revision": revision});
            let details = serde_json::from_value::<TagDetailsAnswer>(answer).unwrap().accept("a").unwrap();
            assert_eq!(details.configuration.as_deref(), expected);
        }
    }

    #[test]
    fn both_ways_gitlab_writes_dates_are_read() {
        for date in ["2023-11-22T10:00:00.000+00:00", "2023-11-22T10:00:00.000Z"] {
            let answer = json!({"name": "a", "created_at": date});
            let details = serde_json::from_value::<TagDetailsAnswer>(answer).unwrap().accept("a").unwrap();
            assert_eq!(details.created_at, Some("2023-11-22T10:00:00Z".parse().unwrap()));
        }
    }

    #[test]
    fn the_details_of_another_tag_are_not_taken() {
        let answer = serde_json::from_value::<TagDetailsAnswer>(json!({"name": "v1.10"})).unwrap();
        assert_eq!(answer.accept("v1.1"), None);
    }

    #[rstest]
    #[case::in_the_group("shop", "shop/backend/web", true)]
    #[case::in_upper_case("Shop", "shop/backend/web", true)]
    #[case::in_a_subgroup("shop/eu", "shop/eu/backend", true)]
    #[case::a_group_whose_name_is_a_number("2024", "other/backend", false)]
    #[case::a_group_that_starts_the_same("shop", "shopping/backend", false)]
    fn repositories_outside_the_group_are_refused(#[case] group: &str, #[case] path: &str, #[case] inside: bool) {
        let answer = json!([{
            "id": 7, "name": "", "path": path, "project_id": 4, "location": "x", "created_at": "2019-01-10T13:38:57.391Z",
        }]);
        let namespace = Namespace::Group { path: group.to_owned() };
        let accepted = accept(Operation::ListRepositories, &namespace, serde_json::from_value(answer).unwrap());
        assert_eq!(accepted.is_ok(), inside);
    }
}
