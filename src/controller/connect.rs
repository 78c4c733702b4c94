//! Gets to GitLab for a policy: Secrets, connection, and what the token and the targets say. What goes wrong becomes
//! findings, which become conditions.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::api::conditions::{ConditionStatus, reason};
use crate::api::{GitLabSpec, Mode};
use crate::clock::Clock;
use crate::cluster::credentials::{self, Credentials};
use crate::gitlab::{
    Class, Client, Connection, Error as GitLabError, ErrorKind, Gate, GitLab, Namespace, Proxy, TokenInfo, TokenProblem,
};
use crate::policy::CompiledPolicy;
use crate::policy::standing::{EXPIRES_SOON, Findings};
use crate::policy::target::Target;

use super::context::Context;
use super::error::Error;

/// Scopes that say something about the API; a token with scopes of another kind is simply tried.
const CLASSIC_SCOPES: &[&str] = &[
    "api",
    "read_api",
    "read_user",
    "read_repository",
    "write_repository",
    "read_registry",
    "write_registry",
    "create_runner",
    "manage_runner",
    "ai_features",
    "k8s_proxy",
    "self_rotate",
    "sudo",
    "admin_mode",
    "read_service_ping",
];

/// A way to GitLab that has been tried, with what the token says about itself.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) findings: Findings,
}

/// Why there is no session.
pub(crate) enum NoSession {
    /// Credentials or GitLab are in the way.
    Findings(Findings),
    /// The API server could not be asked for a Secret, which says nothing about the policy.
    NotAsked(Error),
}

impl From<Findings> for NoSession {
    fn from(findings: Findings) -> Self {
        Self::Findings(findings)
    }
}

/// Opens a session with the credentials of a policy.
///
/// # Errors
/// Says why there is none.
pub(crate) async fn open(
    context: &Context,
    namespace: &str,
    spec: &GitLabSpec,
    policy: &CompiledPolicy,
    mode: Mode,
    gate: Arc<dyn Gate>,
) -> Result<Session, NoSession> {
    let credentials = credentials::read(&context.kube, namespace, spec, &policy.base_url).await;
    let credentials = credentials.map_err(|error| match error.reason() {
        Some(reason) => NoSession::Findings(bad_credentials(reason, error.to_string())),
        None => NoSession::NotAsked(Error::Secret(error)),
    })?;
    let connection = connection(policy, credentials);
    Ok(connect(&context.gitlab, &*context.clock, &connection, mode, gate).await?)
}

/// The way to a policy's GitLab.
#[must_use]
pub fn connection(policy: &CompiledPolicy, credentials: Credentials) -> Connection {
    Connection {
        base_url: policy.base_url.clone(),
        token: credentials.token,
        ca_pem: credentials.ca_pem,
        identity_pem: credentials.identity_pem,
        proxy: credentials.proxy.map(|proxy| Proxy {
            address: proxy.address,
            username: proxy.username,
            password: proxy.password,
        }),
        timeout: policy.timeout,
    }
}

/// Opens a session by itself, without Kubernetes, or says as findings why there is none.
pub(crate) async fn connect(
    gitlab: &GitLab,
    clock: &dyn Clock,
    connection: &Connection,
    mode: Mode,
    gate: Arc<dyn Gate>,
) -> Result<Session, Findings> {
    let client =
        gitlab.connect(connection, gate).map_err(|error| bad_credentials(reason::SECRET_INVALID, error.to_string()))?;
    let info = client.token_self().await.map_err(|error| from_error(&error))?;
    let findings = token_findings(info.as_ref(), mode, clock.now());
    if findings.trouble.is_none() { Ok(Session { client, findings }) } else { Err(findings) }
}

/// Whether the targets can be listed; completes the findings of a session.
pub(crate) async fn check_targets(session: Session, target: &Target) -> Findings {
    let mut findings = session.findings;
    let namespaces = namespaces(target);
    let mut missing = Vec::new();
    for (name, namespace) in &namespaces {
        match session.client.check(namespace).await {
            Ok(()) => {}
            Err(error) if error.class() == Class::Target => missing.push(format!("{name}: {error}")),
            Err(error) => return from_error(&error),
        }
    }
    let Some(first) = missing.first() else { return findings };
    if missing.len() == namespaces.len() {
        findings.trouble = Some((reason::TARGET_NOT_FOUND, first.clone()));
    } else {
        findings.remark = Some(format!("{} of {} targets cannot be listed, {first}", missing.len(), namespaces.len()));
    }
    findings
}

/// The projects and groups of a target as GitLab's API names them, each with how messages name it.
pub(crate) fn namespaces(target: &Target) -> Vec<(String, Namespace)> {
    let projects = target
        .projects
        .iter()
        .map(|project| (format!("project {project}"), Namespace::Project(project.as_str().into())));
    let groups =
        target.groups.iter().map(|(path, _)| (format!("group {path}"), Namespace::Group { path: path.clone() }));
    projects.chain(groups).collect()
}

/// What an error says about credentials and readiness.
pub(crate) fn from_error(error: &GitLabError) -> Findings {
    let message = error.to_string();
    let trouble = match error.class() {
        Class::Credentials => {
            let why = match error.kind() {
                ErrorKind::Unauthorized(TokenProblem::Expired) => reason::TOKEN_EXPIRED,
                ErrorKind::Unauthorized(TokenProblem::Revoked) => reason::TOKEN_REVOKED,
                ErrorKind::InsufficientScope => reason::INSUFFICIENT_SCOPE,
                _ => reason::TOKEN_REJECTED,
            };
            return bad_credentials(why, message);
        }
        Class::Tls => reason::CERTIFICATE_INVALID,
        Class::Throttled => reason::RATE_LIMITED,
        Class::Target => reason::TARGET_NOT_FOUND,
        Class::Transient | Class::Stopped => reason::GITLAB_UNAVAILABLE,
        Class::Other => reason::UNEXPECTED_ANSWER,
    };
    Findings { trouble: Some((trouble, message)), ..not_asked("GitLab could not be asked".to_owned()) }
}

/// What stands in the way of anything being done: reason and message.
pub(crate) fn obstacle(findings: &Findings) -> (&'static str, String) {
    let (credentials, why, message) = &findings.credentials;
    if *credentials == ConditionStatus::False {
        return (why, message.clone());
    }
    findings.trouble.clone().unwrap_or((reason::UNEXPECTED_ANSWER, "nothing could be begun".to_owned()))
}

/// Nothing is known, because GitLab was not asked.
pub(crate) fn not_asked(message: String) -> Findings {
    Findings {
        credentials: (ConditionStatus::Unknown, reason::UNKNOWN, message.clone()),
        trouble: Some((reason::CREDENTIALS_INVALID, message)),
        remark: None,
        expires: None,
    }
}

fn bad_credentials(why: &'static str, message: String) -> Findings {
    Findings {
        credentials: (ConditionStatus::False, why, message.clone()),
        trouble: Some((reason::CREDENTIALS_INVALID, message)),
        remark: None,
        expires: None,
    }
}

/// What a token says about itself. Nothing known is no error: old servers and some kinds of token say nothing.
fn token_findings(info: Option<&TokenInfo>, mode: Mode, now: Timestamp) -> Findings {
    let accepted = |why, message: String, expires| Findings {
        credentials: (ConditionStatus::True, why, message),
        trouble: None,
        remark: None,
        expires,
    };
    let Some(info) = info else {
        return accepted(reason::TOKEN_ACCEPTED, "GitLab takes the token and says nothing about it".to_owned(), None);
    };
    if info.revoked {
        return bad_credentials(reason::TOKEN_REVOKED, "the token was revoked".to_owned());
    }
    if !info.active {
        return bad_credentials(reason::TOKEN_EXPIRED, "the token is no longer active".to_owned());
    }
    let classic = info.scopes.iter().all(|scope| CLASSIC_SCOPES.contains(&scope.as_str()));
    let has = |scope: &str| info.scopes.iter().any(|known| known == scope);
    let enough = has("api") || (mode == Mode::DryRun && has("read_api"));
    if classic && !info.scopes.is_empty() && !enough {
        let needed = if mode == Mode::DryRun { "api or read_api" } else { "api" };
        let message =
            format!("the token has the scopes {}, mode {} needs {needed}", info.scopes.join(", "), mode.as_str());
        return bad_credentials(reason::INSUFFICIENT_SCOPE, message);
    }
    let expires = info.expires_at.and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|moment| moment.timestamp());
    match (expires, info.expires_at) {
        (Some(moment), Some(day)) if moment.duration_since(now) < EXPIRES_SOON => {
            accepted(reason::TOKEN_EXPIRING_SOON, format!("GitLab takes the token until {day}"), expires)
        }
        (_, Some(day)) => accepted(reason::TOKEN_ACCEPTED, format!("GitLab takes the token until {day}"), expires),
        (_, None) => accepted(reason::TOKEN_ACCEPTED, "GitLab takes the token, which does not expire".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn info(scopes: &[&str], expires_at: Option<&str>) -> TokenInfo {
        TokenInfo {
            scopes: scopes.iter().map(ToString::to_string).collect(),
            expires_at: expires_at.map(|day| day.parse().unwrap()),
            revoked: false,
            active: true,
        }
    }

    fn findings(info: &TokenInfo, mode: Mode) -> (ConditionStatus, &'static str) {
        let findings = token_findings(Some(info), mode, "2026-11-22T12:00:00Z".parse().unwrap());
        (findings.credentials.0, findings.credentials.1)
    }

    #[rstest]
    #[case(&["api"], Mode::Delete, reason::TOKEN_ACCEPTED)]
    #[case(&["read_api"], Mode::DryRun, reason::TOKEN_ACCEPTED)]
    #[case(&["read_api"], Mode::Delete, reason::INSUFFICIENT_SCOPE)]
    #[case(&["read_registry"], Mode::DryRun, reason::INSUFFICIENT_SCOPE)]
    #[case::a_kind_of_scope_that_is_not_known_is_tried(&["granular"], Mode::Delete, reason::TOKEN_ACCEPTED)]
    #[case::no_scopes_say_nothing(&[], Mode::Delete, reason::TOKEN_ACCEPTED)]
    fn a_token_needs_the_scope_of_the_mode(#[case] scopes: &[&str], #[case] mode: Mode, #[case] expected: &str) {
        assert_eq!(findings(&info(scopes, None), mode).1, expected);
    }

    #[rstest]
    #[case("2027-11-22", reason::TOKEN_ACCEPTED)]
    #[case("2026-12-06", reason::TOKEN_EXPIRING_SOON)]
    #[case("2026-12-07", reason::TOKEN_ACCEPTED)]
    fn a_token_that_expires_within_two_weeks_is_worth_a_warning(#[case] day: &str, #[case] expected: &str) {
        let found = findings(&info(&["api"], Some(day)), Mode::Delete);
        assert_eq!(found, (ConditionStatus::True, expected));
    }

    #[test]
    fn a_token_that_is_not_active_is_not_used() {
        let revoked = TokenInfo { revoked: true, active: false, ..info(&["api"], None) };
        assert_eq!(findings(&revoked, Mode::DryRun), (ConditionStatus::False, reason::TOKEN_REVOKED));
        let expired = TokenInfo { active: false, ..info(&["api"], None) };
        assert_eq!(findings(&expired, Mode::DryRun), (ConditionStatus::False, reason::TOKEN_EXPIRED));
    }
}
