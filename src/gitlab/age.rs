//! How old the server is: by its version, or by what it can do where something in front of it, or the token, keeps the
//! version back.

use std::fmt;

use super::client::{Client, LIST_LIMIT};
use super::error::{Class, Error, Operation};
use super::pagination::Keyset;
use super::types::{Repository, Version};

/// Repositories in which a proof is looked for.
const LOOKED_AT: usize = 5;

/// What is known of a server's age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Age {
    /// Its version.
    Told(Version),
    /// It can do what came later than all that is asked of it here.
    Newer,
}

impl Age {
    /// As [`Version::supports_keep_regex`].
    #[must_use]
    pub fn supports_keep_regex(&self) -> bool {
        match self {
            Self::Told(version) => version.supports_keep_regex(),
            Self::Newer => true,
        }
    }

    /// As [`Version::removes_single_tags`].
    #[must_use]
    pub fn removes_single_tags(&self) -> bool {
        match self {
            Self::Told(version) => version.removes_single_tags(),
            Self::Newer => true,
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(version) => f.write_str(&version.text),
            Self::Newer => f.write_str("12.10 or newer"),
        }
    }
}

impl Client {
    /// How old the server is. Where it does not tell its version, one of these repositories proves that it is newer
    /// than 12.10: GraphQL knows repositories since 13.7, and keyset pages of tags came with 16.10.
    ///
    /// # Errors
    ///
    /// What [`Client::version`] fails with, where nothing proves it either.
    pub async fn age(&self, repositories: &[Repository]) -> Result<Age, Error> {
        let error = match self.version().await {
            Ok(version) => return Ok(Age::Told(version)),
            Err(error) => error,
        };
        if !matches!(error.class(), Class::Target | Class::Other | Class::Transient) {
            return Err(error);
        }
        for repository in repositories.iter().take(LOOKED_AT) {
            if self.capabilities(repository.id).await?.graphql || self.shows_a_cursor(repository).await? {
                return Ok(Age::Newer);
            }
        }
        Err(error)
    }

    /// Whether the link to a second page of tags is one of keyset paging. That there are no headers of other paging
    /// proves nothing: something in between may have taken them away.
    async fn shows_a_cursor(&self, repository: &Repository) -> Result<bool, Error> {
        let operation = Operation::ListTags;
        let mut url = self.tags_url(operation, &repository.reference())?;
        url.query_pairs_mut().append_pair("pagination", "keyset").append_pair("per_page", "1");
        let answer = self.get(operation, url, LIST_LIMIT).await?;
        Ok(answer.status.is_success() && matches!(Keyset::default().read(&answer.headers, 1), Ok(Some(_))))
    }
}
