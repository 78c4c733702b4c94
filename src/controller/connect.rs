//! Gets to GitLab for a policy: Secrets, connection, and what the token and the targets say. What goes wrong becomes
//! findings, which become conditions.

use std::sync::Arc;

use crate::api::conditions::Reason;
use crate::api::{GitLabSpec, Mode};
use crate::clock::Clock;
use crate::cluster::credentials::{self, Credentials};
use crate::gitlab::{
    Class, Client, Connection, Error as GitLabError, ErrorKind, Gate, GitLab, Namespace, TokenInfo, TokenProblem,
};
use crate::policy::CompiledPolicy;
use crate::policy::status_conditions::Findings;
use crate::policy::target::Target;
use crate::policy::token::{self, Token, bad_credentials, not_asked, token_findings};

use super::context::Context;
use super::error::Error;
use super::shared_answers::{Fingerprint, SharedAnswers, Sharing, Wish};

/// A way to GitLab that has been tried, with what the token says about itself.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) findings: Findings,
    /// What GitLab tells of the token, if it tells anything.
    pub(crate) token: Option<Token>,
    /// What the connection is known by.
    fingerprint: Fingerprint,
}

impl Session {
    /// What a look that was wanted at a moment shares with others, until its gate closes. `lists` is whether it needs
    /// the repositories.
    pub(crate) fn sharing<'a>(
        &self,
        answers: &'a SharedAnswers,
        (wanted, lists): (Wish, bool),
        gate: &'a dyn Gate,
    ) -> Sharing<'a> {
        Sharing { answers, of: self.fingerprint, wanted, lists, gate }
    }

    /// The same with a client that only reads.
    pub(crate) fn only_reading(self) -> Self {
        let Self { client, findings, token, fingerprint } = self;
        Self { client: client.only_reading(), findings, token, fingerprint }
    }
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

/// Opens a session with the credentials of a policy. A look that was wanted at a moment shares what others have asked
/// since.
///
/// # Errors
/// Says why there is none.
pub(crate) async fn open(
    context: &Context,
    namespace: &str,
    policy: (&GitLabSpec, &CompiledPolicy),
    mode: Mode,
    gate: Arc<dyn Gate>,
    wanted: Option<Wish>,
) -> Result<Session, NoSession> {
    let (spec, policy) = policy;
    let credentials = credentials::read(&context.kube, namespace, spec, &policy.base_url).await;
    let credentials = credentials.map_err(|error| match error.reason() {
        Some(reason) => NoSession::Findings(bad_credentials(reason, error.to_string())),
        None => NoSession::NotAsked(Error::Secret(error)),
    })?;
    let connection = connection(policy, credentials);
    let clock = &*context.clock;
    let Some(wanted) = wanted else { return Ok(connect(&context.gitlab, clock, &connection, mode, gate).await?) };
    let client = client(&context.gitlab, &connection, Arc::clone(&gate))?;
    let (answers, fingerprint) = (&context.answers, context.gitlab.fingerprint(&connection));
    let token = answers.tokens.get(answers, fingerprint, wanted, &*gate, client.token_self()).await;
    Ok(session(client, token, fingerprint, mode, clock)?)
}

/// The way to a policy's GitLab.
#[must_use]
pub fn connection(policy: &CompiledPolicy, credentials: Credentials) -> Connection {
    Connection {
        base_url: policy.base_url.clone(),
        token: credentials.token,
        ca_pem: credentials.ca_pem,
        identity_pem: credentials.identity_pem,
        proxy: credentials.proxy,
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
    let client = client(gitlab, connection, gate)?;
    let token = client.token_self().await;
    session(client, token, gitlab.fingerprint(connection), mode, clock)
}

fn client(gitlab: &GitLab, connection: &Connection, gate: Arc<dyn Gate>) -> Result<Client, Findings> {
    gitlab.connect(connection, gate).map_err(|error| match error.class() {
        Class::Host => from_error(&error),
        _ => bad_credentials(Reason::SecretInvalid, error.to_string()),
    })
}

/// A session, if what GitLab says of the token allows one.
fn session(
    client: Client,
    token: Result<Option<TokenInfo>, GitLabError>,
    fingerprint: Fingerprint,
    mode: Mode,
    clock: &dyn Clock,
) -> Result<Session, Findings> {
    let token = token.map_err(|error| from_error(&error))?.map(known);
    let findings = token_findings(token.as_ref(), mode, clock.now());
    if findings.trouble.is_none() { Ok(Session { client, findings, token, fingerprint }) } else { Err(findings) }
}

fn known(info: TokenInfo) -> Token {
    let TokenInfo { scopes, expires_at, revoked, active } = info;
    Token { scopes, expires_at, revoked, active }
}

/// Whether the targets can be listed; completes the findings of a session. A look shares what others have asked.
pub(crate) async fn check_targets(session: &Session, target: &Target, sharing: Option<&Sharing<'_>>) -> Findings {
    let mut findings = session.findings.clone();
    let namespaces = namespaces(target);
    let mut missing = Vec::new();
    for (name, namespace) in &namespaces {
        let listed = match sharing {
            Some(sharing) => sharing.check(&session.client, namespace).await,
            None => session.client.check(namespace).await,
        };
        match listed {
            Ok(()) => {}
            Err(error) if error.class() == Class::Target => missing.push(format!("{name}: {error}")),
            Err(error) => return from_error(&error),
        }
    }
    if missing.len() < namespaces.len() {
        token::answered(&mut findings);
    }
    let Some(first) = missing.first() else { return findings };
    if missing.len() == namespaces.len() {
        findings.trouble = Some((Reason::TargetNotFound, first.clone()));
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
                ErrorKind::Unauthorized(TokenProblem::Expired) => Reason::TokenExpired,
                ErrorKind::Unauthorized(TokenProblem::Revoked) => Reason::TokenRevoked,
                ErrorKind::InsufficientScope => Reason::InsufficientScope,
                _ => Reason::TokenRejected,
            };
            return bad_credentials(why, message);
        }
        Class::Tls => Reason::CertificateInvalid,
        Class::Host => Reason::HostNotAllowed,
        Class::Throttled | Class::Paused => Reason::RateLimited,
        Class::Target => Reason::TargetNotFound,
        Class::Transient | Class::Maintenance | Class::Stopped => Reason::GitLabUnavailable,
        Class::Other => Reason::UnexpectedAnswer,
    };
    Findings { trouble: Some((trouble, message)), ..not_asked("GitLab could not be asked".to_owned()) }
}
