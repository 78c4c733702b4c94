//! What is known of the rules by which projects protect tags, and remembered for the life of a connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// A role by the number that GitLab gives it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AccessLevel(u64);

impl AccessLevel {
    /// Who sees the rules has at least this one.
    pub const MAINTAINER: Self = Self(40);
    const OWNER: Self = Self(50);
    const ADMIN: Self = Self(60);
    /// One that later versions invented is nobody's.
    const UNKNOWN: Self = Self(u64::MAX);

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// That with this number.
    pub(super) const fn of(number: u64) -> Self {
        Self(number)
    }

    /// That with this name.
    pub(super) fn read(name: &str) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "MAINTAINER" => Self::MAINTAINER,
            "OWNER" => Self::OWNER,
            "ADMIN" => Self::ADMIN,
            _ => Self::UNKNOWN,
        }
    }
}

/// A rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TagRule {
    /// What it protects: a pattern of RE2 that is searched for in names.
    pub pattern: String,
    /// From which role on its tags may be removed all the same; `None` from none.
    pub delete_level: Option<AccessLevel>,
}

/// What is known of the rules of a project.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TagRules {
    /// The rules.
    pub rules: Vec<TagRule>,
    /// The role of the token there, or the least that it can be.
    pub level: AccessLevel,
    /// Whether immutable rules would be among them.
    pub immutable_told: bool,
}

impl TagRules {
    /// The patterns of what this token may not remove.
    pub fn effective(&self) -> impl Iterator<Item = &str> {
        let denies = |rule: &&TagRule| rule.delete_level.is_none_or(|level| level > self.level);
        self.rules.iter().filter(denies).map(|rule| rule.pattern.as_str())
    }
}

/// What was told of projects, for all clones of a client. `None` where nothing is known.
#[derive(Clone, Debug, Default)]
pub(super) struct ToldRules(Arc<Mutex<HashMap<String, Told>>>);

pub(super) type Told = Arc<OnceCell<Option<Arc<TagRules>>>>;

impl ToldRules {
    pub(super) fn of(&self, project: &str) -> Told {
        // The map is valid between any two statements.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(told.entry(project.to_owned()).or_default())
    }
}
