//! `/version` and `/personal_access_tokens/self` (gitlab-api reference 8b).

use serde_json::json;

use super::{
    answer::Answer,
    auth::{self, Caller},
    call::Call,
    entities::zulu,
};
use crate::state::{Registry, TokenKind};

pub(super) fn version(registry: &Registry, caller: &Caller) -> Result<Answer, Answer> {
    if caller.user.is_none() {
        return Err(Answer::unauthorized());
    }
    let version = format!("{}.0-ee", registry.settings.version);
    Ok(Answer::json(200, &json!({ "version": version, "revision": "0123456789a" })))
}

pub(super) fn token_self(registry: &Registry, call: &Call) -> Result<Answer, Answer> {
    let Some(token) = auth::token(registry, call)? else { return Err(Answer::unauthorized()) };
    if !matches!(token.kind, TokenKind::Personal | TokenKind::Project | TokenKind::Group) {
        let text = "400 Bad request - This endpoint requires token type to be a personal access token";
        return Err(Answer::message(400, text));
    }
    let mut scopes: Vec<_> = token.scopes.iter().map(|scope| scope.name()).collect();
    scopes.dedup();
    Ok(Answer::json(
        200,
        &json!({
            "id": token.id,
            "name": token.name,
            "revoked": token.revoked,
            "created_at": zulu(token.created_at),
            "scopes": scopes,
            "granular": token.is_granular(),
            "user_id": token.user,
            "last_used_at": token.last_used_at.map(zulu),
            "active": true,
            "expires_at": token.expires_at.map(|day| day.to_string()),
        }),
    ))
}
