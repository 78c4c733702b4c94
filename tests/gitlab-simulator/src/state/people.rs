//! Users, roles and tokens.

use std::str::FromStr;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

/// A role of a member, from least to most (gitlab-api reference 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees the project, not its registry.
    Guest,
    /// Reads the registry.
    Reporter,
    /// Removes single tags.
    Developer,
    /// Removes in bulk, and whole repositories.
    Maintainer,
    /// As a maintainer, and above rules made for one.
    Owner,
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "guest" => Ok(Self::Guest),
            "reporter" => Ok(Self::Reporter),
            "developer" => Ok(Self::Developer),
            "maintainer" => Ok(Self::Maintainer),
            "owner" => Ok(Self::Owner),
            _ => Err(format!("`{text}` is not a role")),
        }
    }
}

/// A user, or the bot behind a project or group token.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// Numeric id.
    pub id: u64,
    /// Login name.
    pub username: String,
    /// An instance administrator may do everything.
    pub admin: bool,
}

/// What kind of credential a token is (gitlab-api reference 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TokenKind {
    /// A personal access token.
    Personal,
    /// A project access token, acting as a bot.
    Project,
    /// A group access token, acting as a bot.
    Group,
    /// An OAuth token: only as `Bearer` or `access_token`.
    OAuth,
    /// A CI job token of the project with this id: only its own project's routes.
    Job(u64),
    /// A deploy token: never accepted by these endpoints.
    Deploy,
}

/// What a token may be used for (gitlab-api reference 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything.
    Api,
    /// GET and HEAD.
    ReadApi,
    /// The user's own profile; enough for `/version`.
    ReadUser,
    /// Pulling images; irrelevant for REST.
    ReadRegistry,
    /// Pushing images; irrelevant for REST.
    WriteRegistry,
    /// Of a fine-grained token: Container Repository: Read (gitlab-api reference 10).
    GranularRead,
    /// Of a fine-grained token: Container Repository: Delete.
    GranularDelete,
    /// Of a fine-grained token: Metadata: Read.
    GranularMetadata,
}

impl Scope {
    /// Whether it is of a fine-grained token.
    #[must_use]
    pub fn is_granular(self) -> bool {
        matches!(self, Self::GranularRead | Self::GranularDelete | Self::GranularMetadata)
    }

    /// The name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ReadApi => "read_api",
            Self::ReadUser => "read_user",
            Self::ReadRegistry => "read_registry",
            Self::WriteRegistry => "write_registry",
            Self::GranularRead | Self::GranularDelete | Self::GranularMetadata => "granular",
        }
    }
}

/// A token without its text; the text is the key under which the registry keeps it.
#[derive(Clone, Debug)]
pub struct Token {
    /// Numeric id.
    pub id: u64,
    /// The name its owner gave it; this is what the request log shows.
    pub name: String,
    /// Its kind.
    pub kind: TokenKind,
    /// The user it acts as.
    pub user: u64,
    /// Its scopes.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first day on which it no longer works.
    pub expires_at: Option<Date>,
    /// Taken back by its owner.
    pub revoked: bool,
    /// The last time it was used.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether it is a fine-grained one.
    #[must_use]
    pub fn is_granular(&self) -> bool {
        self.scopes.iter().any(|scope| scope.is_granular())
    }

    /// Whether the token has passed its day of expiry. GitLab's tokens end at midnight UTC on that day.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|day| now.to_zoned(jiff::tz::TimeZone::UTC).date() >= day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_midnight_of_its_day() -> Result<(), Box<dyn std::error::Error>> {
        let token = Token {
            id: 1,
            name: "t".into(),
            kind: TokenKind::Personal,
            user: 1,
            scopes: vec![Scope::Api],
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: Some("2025-03-02".parse()?),
            revoked: false,
            last_used_at: None,
        };
        assert!(!token.expired("2025-03-01T23:59:59Z".parse()?));
        assert!(token.expired("2025-03-02T00:00:00Z".parse()?));
        Ok(())
    }
}
