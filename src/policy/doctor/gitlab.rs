//! Verdicts on one policy and its GitLab: Secrets, token, role, version, GraphQL, clock.

use jiff::SignedDuration;

use crate::api::Mode;
use crate::api::conditions::{ConditionStatus, Reason};
use crate::policy::status_conditions::Findings;
use crate::policy::tag::CLOCKS_MAY_DIFFER;
use crate::policy::token::{Token, is_fine_grained, known_scopes};
use crate::policy::{CompiledPolicy, Method, Problem};

use super::cluster::{CLOCKS_AGREE, apart};
use super::{Check, CheckName};

const TOKENS: &str = "docs/gitlab-administrators.md#scope-and-role says which token a policy needs";

/// Whether a policy can be carried out as it is written.
#[must_use]
pub fn policy(compiled: Result<&CompiledPolicy, &Problem>) -> Check {
    match compiled {
        Ok(policy) if policy.suspended => Check::ok(CheckName::Policy, "it can be carried out, and is suspended"),
        Ok(policy) => Check::ok(CheckName::Policy, format!("it can be carried out, in mode {}", policy.mode.as_str())),
        Err(problem) => {
            let message = format!("{} ({})", problem.message, problem.reason);
            Check::failed(CheckName::Policy, message, "docs/conditions.md#reasons-of-conditions")
        }
    }
}

/// What was seen of a policy's Secrets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretSeen {
    /// They hold what is needed.
    Whole,
    /// Something is wrong with them.
    Wrong(String),
    /// They could not be read, and why.
    Unread(String),
}

/// A policy's Secrets.
#[must_use]
pub fn secret(seen: &SecretSeen) -> Check {
    let name = CheckName::Secret;
    match seen {
        SecretSeen::Whole => Check::ok(name, "the Secrets hold what is needed"),
        SecretSeen::Wrong(why) => Check::failed(name, why.clone(), "docs/getting-started.md shows what a Secret holds"),
        SecretSeen::Unread(why) => Check::unknown(name, why.clone()),
    }
}

/// What was seen of the way to GitLab.
#[derive(Clone, Debug)]
pub enum Way<'a> {
    /// Nobody asked it, and why.
    NotAsked(&'a str),
    /// What came of asking.
    Asked(&'a Findings),
}

impl Way<'_> {
    /// Why nothing was asked with the token, if that is so.
    fn closed(&self) -> Option<&str> {
        match self {
            Self::NotAsked(why) => Some(why),
            Self::Asked(findings) => match &findings.trouble {
                Some((Reason::TargetNotFound, _)) | None => None,
                Some(_) if findings.credentials.0 == ConditionStatus::False => Some("GitLab does not take the token"),
                Some(_) => Some("GitLab does not answer"),
            },
        }
    }
}

/// Whether GitLab answers.
#[must_use]
pub fn reached(way: &Way<'_>, host: &str) -> Check {
    let name = CheckName::GitLab;
    let findings = match way {
        Way::NotAsked(why) => return Check::unknown(name, *why),
        Way::Asked(findings) => findings,
    };
    let answers = || Check::ok(name, format!("{host} answers"));
    match &findings.trouble {
        // Whoever refuses a token, or a target, has answered.
        None | Some((Reason::TargetNotFound | Reason::CredentialsInvalid, _)) => answers(),
        Some((Reason::RateLimited, message)) => Check::unknown(name, message.clone()),
        Some((Reason::HostNotAllowed, message)) => {
            Check::failed(name, message.clone(), "gitlab.allowedHosts of the chart")
        }
        Some((_, message)) => Check::failed(name, message.clone(), "docs/troubleshooting.md#reach-gitlab"),
    }
}

/// Whether GitLab takes the token, for what, and until when.
#[must_use]
pub fn token(way: &Way<'_>, token: Option<&Token>) -> Check {
    let name = CheckName::Token;
    let findings = match way {
        Way::NotAsked(why) => return Check::unknown(name, *why),
        Way::Asked(findings) => findings,
    };
    let (status, why, message) = &findings.credentials;
    match (status, why) {
        (ConditionStatus::False, _) => Check::failed(name, message.clone(), TOKENS),
        (ConditionStatus::True, Reason::TokenExpiringSoon) => {
            let action = "rotate it in GitLab, and write the new value into the Secret";
            Check::warning(name, format!("{message}{}", kind(token)), action)
        }
        (ConditionStatus::True, _) => Check::ok(name, format!("{message}{}", kind(token))),
        (ConditionStatus::Unknown, _) => Check::unknown(name, message.clone()),
    }
}

/// What a token is, as far as it tells.
fn kind(token: Option<&Token>) -> String {
    let Some(token) = token else { return String::new() };
    if is_fine_grained(token) {
        return "; it is fine-grained".to_owned();
    }
    let scopes = known_scopes(token);
    if scopes.is_empty() { String::new() } else { format!("; its scopes are {}", scopes.join(", ")) }
}

/// Whether the projects and groups of a policy can be listed.
#[must_use]
pub fn targets(way: &Way<'_>) -> Check {
    let name = CheckName::Targets;
    if let Some(why) = way.closed() {
        return Check::unknown(name, why);
    }
    let Way::Asked(findings) = way else { return Check::unknown(name, "GitLab was not asked") };
    if let Some((_, message)) = &findings.trouble {
        return Check::failed(name, message.clone(), "open it in GitLab as the user of the token");
    }
    match &findings.remark {
        Some(remark) => Check::warning(name, remark.clone(), "open it in GitLab as the user of the token"),
        None => Check::ok(name, "every project and group can be listed"),
    }
}

/// A role in a project, from least to most. GitLab behaviour: roles have numbers, and later versions put others
/// between them (<https://docs.gitlab.com/api/members/#roles>).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// None: an administrator need not have one.
    None,
    /// Less than reading images takes.
    BelowReporter,
    /// Reads images.
    Reporter,
    /// Removes single tags.
    Developer,
    /// Removes in bulk, and repositories.
    Maintainer,
    /// Everything.
    Owner,
}

impl Role {
    /// The role with a number.
    #[must_use]
    pub const fn of(number: u64) -> Self {
        match number {
            0 => Self::None,
            1..20 => Self::BelowReporter,
            20..30 => Self::Reporter,
            30..40 => Self::Developer,
            40..50 => Self::Maintainer,
            _ => Self::Owner,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::None => "no role",
            Self::BelowReporter => "a role below Reporter",
            Self::Reporter => "the role Reporter",
            Self::Developer => "the role Developer",
            Self::Maintainer => "the role Maintainer",
            Self::Owner => "the role Owner",
        }
    }

    /// What a policy takes, by the table in `docs/gitlab-administrators.md`.
    #[must_use]
    pub fn needed(policy: &CompiledPolicy) -> Self {
        let removes = policy.mode != Mode::DryRun;
        match &policy.method {
            _ if removes && policy.empty_repositories.is_some() => Self::Maintainer,
            Method::Bulk(_) if removes => Self::Maintainer,
            Method::Bulk(_) => Self::Reporter,
            Method::Exact(_) => Self::Developer,
        }
    }
}

/// The role of the token in a project; `None` where GitLab does not tell it.
#[must_use]
pub fn role(way: &Way<'_>, seen: Option<(&str, Role)>, needed: Role) -> Check {
    let name = CheckName::Role;
    if let Some(why) = way.closed() {
        return Check::unknown(name, why);
    }
    let Some((project, role)) = seen else {
        return Check::unknown(name, "GitLab does not tell the role of the token");
    };
    let message = format!("the token has {} in {project}, and the policy needs {}", role.name(), needed.name());
    if role >= needed {
        return Check::ok(name, format!("the token has {} in {project}", role.name()));
    }
    if role == Role::None {
        return Check::warning(name, message, "give the token a role, unless it is an administrator's");
    }
    Check::failed(name, message, TOKENS)
}

/// What is known of GitLab's age.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionSeen {
    /// Its version, as major and minor number.
    Told(u32, u32),
    /// It can do what came later than all that is asked of it.
    Newer,
}

/// GitLab's version.
#[must_use]
pub fn version(way: &Way<'_>, seen: Option<VersionSeen>, policy: &CompiledPolicy) -> Check {
    let name = CheckName::GitLabVersion;
    if let Some(why) = way.closed() {
        return Check::unknown(name, why);
    }
    let (major, minor) = match seen {
        None => return Check::unknown(name, "GitLab does not tell its version"),
        Some(VersionSeen::Newer) => {
            return Check::ok(name, "GitLab does not tell its version, which is 12.10 or newer");
        }
        Some(VersionSeen::Told(major, minor)) => (major, minor),
    };
    let told = format!("GitLab is of version {major}.{minor}");
    // As the client has it: removals by name, and patterns that keep.
    if (major, minor) >= (12, 10) {
        return Check::ok(name, told);
    }
    let keeps = policy.method.rules().iter().any(|rule| rule.keep.is_some());
    let lacks = match &policy.method {
        Method::Exact(_) => Some("removing tags by name takes 12.10"),
        Method::Bulk(_) if keeps || policy.protection.in_use || !policy.protect.is_empty() => {
            Some("keeping tags by a pattern takes 12.10")
        }
        Method::Bulk(_) => None,
    };
    match lacks {
        Some(lacks) => Check::failed(name, format!("{told}; {lacks}"), "upgrade GitLab: docs/supported.md"),
        None => Check::warning(name, told, "upgrade GitLab: docs/supported.md"),
    }
}

/// What GraphQL can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field that a server has or has not")]
pub struct GraphQLSeen {
    /// Container repositories at all.
    pub there: bool,
    /// When tags were pushed.
    pub pushes: bool,
    /// Tags in the order of their pushes.
    pub order: bool,
    /// Whether this token may remove a tag.
    pub permissions: bool,
}

/// What GitLab's GraphQL can be asked for.
#[must_use]
pub fn graphql(way: &Way<'_>, seen: Option<GraphQLSeen>) -> Check {
    const COSTS: &str = "nothing has to be done; a newer GitLab takes fewer requests, and knows more";
    let name = CheckName::GraphQL;
    if let Some(why) = way.closed() {
        return Check::unknown(name, why);
    }
    let Some(seen) = seen else { return Check::unknown(name, "GraphQL gives no answer that can be used") };
    if !seen.there {
        return Check::warning(name, "there is no GraphQL, so each tag takes a request of its own", COSTS);
    }
    let lacks: Vec<&str> = [
        (seen.pushes, "when a tag was pushed"),
        (seen.order, "tags in the order of their pushes"),
        (seen.permissions, "whether the token may remove a tag"),
    ]
    .into_iter()
    .filter_map(|(known, what)| (!known).then_some(what))
    .collect();
    if lacks.is_empty() {
        return Check::ok(name, "GraphQL knows every field that is asked for");
    }
    Check::warning(name, format!("GraphQL does not tell {}", lacks.join(", ")), COSTS)
}

/// GitLab's clock: how far it is ahead of this machine's, and how far the API server's is.
#[must_use]
pub fn clock(way: &Way<'_>, ahead: Option<SignedDuration>, cluster: Option<SignedDuration>) -> Check {
    let name = CheckName::GitLabClock;
    let Some(ahead) = ahead else {
        return Check::unknown(name, way.closed().unwrap_or("GitLab does not tell the time"));
    };
    // What counts is the operator's clock, which is one of the cluster.
    let (ahead, whose) = match cluster {
        Some(cluster) => (ahead.saturating_sub(cluster), "the API server's"),
        None => (ahead, "this machine's"),
    };
    if ahead.abs() < CLOCKS_AGREE {
        return Check::ok(name, format!("GitLab's clock and {whose} agree"));
    }
    let message = format!("GitLab's clock is {} {whose}", apart(ahead));
    if ahead.abs() > CLOCKS_MAY_DIFFER {
        let message = format!("{message}, so ages cannot be told and nothing is removed");
        return Check::failed(name, message, "set the clock that is wrong");
    }
    Check::warning(name, message, "set the clock that is wrong; from five minutes on nothing is removed")
}

#[cfg(test)]
mod tests;
