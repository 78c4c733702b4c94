//! Who is calling: tokens, their ends and their scopes (gitlab-api reference 5, errors in 1.4).

use serde_json::json;

use super::{answer::Answer, call::Call};
use crate::{
    Endpoint,
    config::Version,
    state::{Registry, Scope, Token, TokenKind, is_within},
};

/// The caller of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `None` is anonymous.
    pub(crate) user: Option<u64>,
    /// Whether the token has the scope `api`, or may delete images.
    pub(crate) writes: bool,
    /// Whether it is a fine-grained token: GraphQL's queries tell it nothing.
    pub(crate) granular: bool,
    /// The project a job token belongs to; it works on no other.
    pub(super) job_project: Option<u64>,
}

/// The token a request uses, whatever it is worth: the one place that decides which of several counts.
fn presented<'r>(registry: &'r Registry, call: &Call) -> Option<Result<&'r Token, Answer>> {
    let (text, kinds) = text_and_kinds(call, registry.settings.version)?;
    let token = registry.find_token(text).filter(|token| kinds(token.kind));
    Some(token.ok_or_else(Answer::unauthorized))
}

type Kinds = fn(TokenKind) -> bool;

/// The credential that counts and the kinds of token accepted there.
fn text_and_kinds(call: &Call, version: Version) -> Option<(&str, Kinds)> {
    let access: Kinds = |kind| matches!(kind, TokenKind::Personal | TokenKind::Project | TokenKind::Group);
    let bearer: Kinds =
        |kind| matches!(kind, TokenKind::Personal | TokenKind::Project | TokenKind::Group | TokenKind::OAuth);
    let job: Kinds = |kind| matches!(kind, TokenKind::Job(_));
    let credentials = &call.credentials;
    if let Some(text) = credentials.job.as_deref()
        && allows_job_tokens(call.endpoint, version)
    {
        return Some((text, job));
    }
    let private = credentials.private.as_deref().map(|text| (text, access));
    private.or_else(|| credentials.bearer.as_deref().map(|text| (text, bearer)))
}

/// Project routes only, since 13.12; elsewhere the token is overlooked and the caller anonymous.
fn allows_job_tokens(endpoint: Endpoint, version: Version) -> bool {
    match endpoint {
        Endpoint::ListProjectRepositories
        | Endpoint::DeleteRepository
        | Endpoint::ListTags
        | Endpoint::GetTag
        | Endpoint::DeleteTag
        | Endpoint::BulkDeleteTags => version >= Version::new(13, 12),
        // It is no access token, which its own route says with something else than 401.
        Endpoint::TokenSelf => true,
        _ => false,
    }
}

/// The scopes that open a call, as the 403 lists them.
fn scopes(call: &Call) -> &'static [Scope] {
    match call.endpoint {
        // A token may always look at itself.
        Endpoint::TokenSelf => {
            &[Scope::Api, Scope::ReadApi, Scope::ReadUser, Scope::ReadRegistry, Scope::WriteRegistry]
        }
        Endpoint::Version => &[Scope::Api, Scope::ReadApi, Scope::ReadUser],
        // Mutations look at the scope themselves.
        Endpoint::GraphqlQuery | Endpoint::GraphqlMutation => &[Scope::Api, Scope::ReadApi],
        _ if call.get => &[Scope::Api, Scope::ReadApi],
        _ => &[Scope::Api],
    }
}

/// What a fine-grained token needs for a call, and how the refusal names it (gitlab-api reference 10).
fn granular(call: &Call) -> Option<(Scope, &'static str)> {
    match call.endpoint {
        Endpoint::Version => Some((Scope::GranularMetadata, "instance permissions: [Metadata: Read]")),
        Endpoint::DeleteRepository | Endpoint::DeleteTag | Endpoint::BulkDeleteTags => {
            Some((Scope::GranularDelete, "project permissions: [Container Repository: Delete]"))
        }
        Endpoint::ListProjectRepositories
        | Endpoint::ListGroupRepositories
        | Endpoint::GetRepository
        | Endpoint::ListTags
        | Endpoint::GetTag => Some((Scope::GranularRead, "project permissions: [Container Repository: Read]")),
        _ => None,
    }
}

/// GraphQL takes every token, and tells a fine-grained one nothing; a token may always look at itself.
fn open_to_granular(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::TokenSelf | Endpoint::GraphqlQuery | Endpoint::GraphqlMutation)
}

fn insufficient(permission: &str) -> Answer {
    let text = format!("Access denied: the token lacks the following {permission}.");
    Answer::json(403, &json!({ "error": "insufficient_granular_scope", "error_description": text }))
}

/// What a token of another kind gets where a group takes fine-grained ones only.
pub(super) fn enforced(registry: &Registry, call: &Call, caller: &Caller) -> Option<Answer> {
    if caller.granular || registry.settings.granular_groups.is_empty() {
        return None;
    }
    let named = call.namespace.parse().ok().and_then(|id| registry.find_project(id));
    let repository = call.repository_id().and_then(|id| registry.find_repository(id));
    let project = named.or_else(|| repository.and_then(|found| registry.find_project(found.project)));
    let path = project.map_or(call.namespace.as_str(), |project| project.path.as_str());
    let within = registry.settings.granular_groups.iter().any(|group| is_within(path, group));
    within.then(|| insufficient(granular(call).map_or("project permissions: [Project: Read]", |(_, text)| text)))
}

/// The name of the token a request uses, for the log.
pub(crate) fn token_name(registry: &Registry, call: &Call) -> Option<String> {
    presented(registry, call)?.ok().map(|token| token.name.clone())
}

/// The user of a request as the rate limiter sees it, before anything is checked.
pub(super) fn throttled_user(registry: &Registry, call: &Call) -> Option<u64> {
    presented(registry, call)?.ok().map(|token| token.user)
}

/// The token behind a request, checked: 401 or 403 if it is not good for the call.
pub(super) fn token<'r>(registry: &'r Registry, call: &Call) -> Result<Option<&'r Token>, Answer> {
    let Some(presented) = presented(registry, call) else { return Ok(None) };
    let token = presented?;
    if registry.find_user(token.user).is_none() {
        return Err(Answer::unauthorized());
    }
    let invalid = |text: &str| Answer::json(401, &json!({ "error": "invalid_token", "error_description": text }));
    if token.expired(registry.now()) {
        return Err(invalid("Token is expired. You can either do re-authorization or token refresh."));
    }
    if token.revoked {
        return Err(invalid("Token was revoked. You have to re-authorize from the user."));
    }
    if token.is_granular() {
        return match granular(call) {
            Some((scope, permission)) if !token.scopes.contains(&scope) => Err(insufficient(permission)),
            None if !open_to_granular(call.endpoint) => Err(insufficient("project permissions: [Project: Read]")),
            _ => Ok(Some(token)),
        };
    }
    let accepted = scopes(call);
    // Job tokens have no scopes: the route decides.
    let job = matches!(token.kind, TokenKind::Job(_));
    if !job && !accepted.iter().any(|scope| token.scopes.contains(scope)) {
        let names: Vec<_> = accepted.iter().map(|scope| scope.name()).collect();
        return Err(Answer::json(
            403,
            &json!({
                "error": "insufficient_scope",
                "error_description": "The request requires higher privileges than provided by the access token.",
                "scope": names.join(" "),
            }),
        ));
    }
    Ok(Some(token))
}

/// Authenticates a request and notes the use of its token.
pub(super) fn authenticate(registry: &mut Registry, call: &Call) -> Result<Caller, Answer> {
    let caller = token(registry, call)?.map_or_else(Caller::default, |token| Caller {
        user: Some(token.user),
        writes: token.scopes.contains(&Scope::Api) || token.scopes.contains(&Scope::GranularDelete),
        granular: token.is_granular(),
        job_project: match token.kind {
            TokenKind::Job(project) => Some(project),
            _ => None,
        },
    });
    let now = registry.now();
    if let Some((text, _)) = text_and_kinds(call, registry.settings.version)
        && let Some(token) = registry.token_mut(text)
    {
        token.last_used_at = Some(now);
    }
    Ok(caller)
}
