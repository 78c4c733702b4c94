//! What is known of a token and of the way to GitLab: findings, which become conditions.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::api::Mode;
use crate::api::conditions::{ConditionStatus, Reason};

use super::status_conditions::{EXPIRES_SOON, Findings};

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

/// What GitLab tells of a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The day on which it expires, at 00:00 UTC.
    pub expires_at: Option<Date>,
    /// Somebody revoked it.
    pub revoked: bool,
    /// It works.
    pub active: bool,
}

/// Whether a token has scopes of another kind than the usual ones: permissions that somebody chose one by one.
#[must_use]
pub fn is_fine_grained(token: &Token) -> bool {
    !token.scopes.iter().all(|scope| CLASSIC_SCOPES.contains(&scope.as_str()))
}

/// The usual scopes among those of a token, in words of our own.
#[must_use]
pub fn known_scopes(token: &Token) -> Vec<&'static str> {
    let has = |scope: &&&'static str| token.scopes.iter().any(|told| told == **scope);
    CLASSIC_SCOPES.iter().filter(has).copied().collect()
}

/// What stands in the way of anything being done: reason and message.
#[must_use]
pub fn obstacle(findings: &Findings) -> (Reason, String) {
    let (credentials, why, message) = &findings.credentials;
    if *credentials == ConditionStatus::False {
        return (*why, message.clone());
    }
    findings.trouble.clone().unwrap_or((Reason::UnexpectedAnswer, "nothing could be begun".to_owned()))
}

/// Nothing is known, because GitLab was not asked.
#[must_use]
pub fn not_asked(message: String) -> Findings {
    Findings {
        credentials: (ConditionStatus::Unknown, Reason::Unknown, message.clone()),
        trouble: Some((Reason::CredentialsInvalid, message)),
        remark: None,
        expires: None,
    }
}

/// The token, or the way to it, is no good: reason and message.
#[must_use]
pub fn bad_credentials(why: Reason, message: String) -> Findings {
    Findings {
        credentials: (ConditionStatus::False, why, message.clone()),
        trouble: Some((Reason::CredentialsInvalid, message)),
        remark: None,
        expires: None,
    }
}

/// What a token says about itself. Nothing known is no error: old servers and some kinds of token say nothing.
#[must_use]
pub fn token_findings(token: Option<&Token>, mode: Mode, now: Timestamp) -> Findings {
    let accepted = |why, message: String, expires| Findings {
        credentials: (ConditionStatus::True, why, message),
        trouble: None,
        remark: None,
        expires,
    };
    let Some(token) = token else {
        let message = "GitLab says nothing about the token; whether it takes it shows when something is listed";
        let credentials = (ConditionStatus::Unknown, Reason::Unknown, message.to_owned());
        return Findings { credentials, trouble: None, remark: None, expires: None };
    };
    if token.revoked {
        return bad_credentials(Reason::TokenRevoked, "the token was revoked".to_owned());
    }
    if !token.active {
        return bad_credentials(Reason::TokenExpired, "the token is no longer active".to_owned());
    }
    let has = |scope: &str| token.scopes.iter().any(|known| known == scope);
    let enough = has("api") || (mode == Mode::DryRun && has("read_api"));
    if !is_fine_grained(token) && !token.scopes.is_empty() && !enough {
        let needed = if mode == Mode::DryRun { "api or read_api" } else { "api" };
        let message =
            format!("the token has the scopes {}, mode {} needs {needed}", token.scopes.join(", "), mode.as_str());
        return bad_credentials(Reason::InsufficientScope, message);
    }
    let expires = token.expires_at.and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|moment| moment.timestamp());
    match (expires, token.expires_at) {
        (Some(moment), Some(day)) if moment.duration_since(now) < EXPIRES_SOON => {
            accepted(Reason::TokenExpiringSoon, format!("GitLab takes the token until {day}"), expires)
        }
        (_, Some(day)) => accepted(Reason::TokenAccepted, format!("GitLab takes the token until {day}"), expires),
        (_, None) => accepted(Reason::TokenAccepted, "GitLab takes the token, which does not expire".to_owned(), None),
    }
}

/// Takes note that GitLab answered a request with this token: where it said nothing about it, that it takes it.
pub fn answered(findings: &mut Findings) {
    if findings.credentials.0 == ConditionStatus::Unknown && findings.trouble.is_none() {
        let message = "GitLab takes the token, about which it says nothing".to_owned();
        findings.credentials = (ConditionStatus::True, Reason::TokenAccepted, message);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn token(scopes: &[&str], expires_at: Option<&str>) -> Token {
        Token {
            scopes: scopes.iter().map(ToString::to_string).collect(),
            expires_at: expires_at.map(|day| day.parse().unwrap()),
            revoked: false,
            active: true,
        }
    }

    fn findings(token: &Token, mode: Mode) -> (ConditionStatus, Reason) {
        let findings = token_findings(Some(token), mode, "2026-11-22T12:00:00Z".parse().unwrap());
        (findings.credentials.0, findings.credentials.1)
    }

    #[rstest]
    #[case(&["api"], Mode::Delete, Reason::TokenAccepted)]
    #[case(&["read_api"], Mode::DryRun, Reason::TokenAccepted)]
    #[case(&["read_api"], Mode::Delete, Reason::InsufficientScope)]
    #[case(&["read_registry"], Mode::DryRun, Reason::InsufficientScope)]
    #[case::a_kind_of_scope_that_is_not_known_is_tried(&["granular"], Mode::Delete, Reason::TokenAccepted)]
    #[case::no_scopes_say_nothing(&[], Mode::Delete, Reason::TokenAccepted)]
    fn a_token_needs_the_scope_of_the_mode(#[case] scopes: &[&str], #[case] mode: Mode, #[case] expected: Reason) {
        assert_eq!(findings(&token(scopes, None), mode).1, expected);
    }

    #[rstest]
    #[case("2027-11-22", Reason::TokenAccepted)]
    #[case("2026-12-06", Reason::TokenExpiringSoon)]
    #[case("2026-12-07", Reason::TokenAccepted)]
    fn a_token_that_expires_within_two_weeks_is_worth_a_warning(#[case] day: &str, #[case] expected: Reason) {
        let found = findings(&token(&["api"], Some(day)), Mode::Delete);
        assert_eq!(found, (ConditionStatus::True, expected));
    }

    #[test]
    fn a_token_of_which_nothing_is_said_is_taken_once_something_was_listed() {
        let mut found = token_findings(None, Mode::Delete, Timestamp::UNIX_EPOCH);
        assert_eq!((found.credentials.0, found.trouble.clone()), (ConditionStatus::Unknown, None));
        answered(&mut found);
        assert_eq!((found.credentials.0, found.credentials.1), (ConditionStatus::True, Reason::TokenAccepted));
        let mut failed = not_asked("no".to_owned());
        answered(&mut failed);
        assert_eq!(failed.credentials.0, ConditionStatus::Unknown);
    }

    #[test]
    fn a_token_that_is_not_active_is_not_used() {
        let revoked = Token { revoked: true, active: false, ..token(&["api"], None) };
        assert_eq!(findings(&revoked, Mode::DryRun), (ConditionStatus::False, Reason::TokenRevoked));
        let expired = Token { active: false, ..token(&["api"], None) };
        assert_eq!(findings(&expired, Mode::DryRun), (ConditionStatus::False, Reason::TokenExpired));
    }
}
