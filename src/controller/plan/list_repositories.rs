//! Lists the repositories of a policy's projects and groups, and turns errors about one of them into outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::api::RepositoryResult;
use crate::api::conditions::Reason;
use crate::gitlab::{Class, Client, Error, ErrorKind, Namespace, Repository};
use crate::policy::effect::path_hint;
use crate::policy::repository_outcome::{Outcome, RepositoryName, RepositoryReason};
use crate::policy::status_conditions::Findings;
use crate::policy::target::{Target, TargetSeen, directly_in_group};
use crate::policy::token;

use crate::controller::connect::{from_error, namespaces};
use crate::controller::shared_answers::Sharing;

impl<'a> From<&'a Repository> for RepositoryName<'a> {
    fn from(repository: &'a Repository) -> Self {
        Self { path: &repository.path, id: repository.id }
    }
}

/// What was found under a target.
pub(crate) struct Found {
    /// The repositories that the target selects, by path, each once.
    pub(crate) repositories: Vec<Repository>,
    /// Projects and groups that could not be listed.
    pub(crate) failed: Vec<Outcome>,
    /// What an error that is not about a project or group says of the policy.
    why: Option<Reason>,
    /// How many projects and groups were asked for.
    pub(crate) asked: usize,
    /// What the patterns of the target match.
    pub(crate) target: TargetSeen,
}

impl Found {
    /// Completes what is known of the credentials and targets.
    pub(crate) fn note(&self, findings: &mut Findings) {
        let not_there = |outcome: &&Outcome| {
            matches!(outcome.reason, Some(RepositoryReason::NotFound | RepositoryReason::Forbidden))
        };
        if self.failed.len() < self.asked {
            token::answered(findings);
        }
        let Some(first) = self.failed.first() else { return };
        if self.failed.len() == self.asked {
            let all_missing = self.failed.iter().all(|outcome| not_there(&outcome));
            let why = if all_missing { Reason::TargetNotFound } else { self.why.unwrap_or(Reason::GitLabUnavailable) };
            let message = first.message.as_ref().map(|message| format!("{}: {message}", first.path));
            findings.trouble = Some((why, message.unwrap_or_default()));
        } else {
            let (failed, asked) = (self.failed.len(), self.asked);
            findings.remark = Some(format!("{failed} of {asked} targets cannot be listed, {}", first.path));
        }
    }
}

/// Lists everything. A project or group that cannot be listed does not keep the others from being handled. A look
/// shares what others have asked.
///
/// # Errors
/// What concerns the whole run: the token, the certificate, a stop.
pub(crate) async fn list(client: &Client, target: &Target, sharing: Option<&Sharing<'_>>) -> Result<Found, Error> {
    let namespaces = namespaces(target);
    let asked = namespaces.len();
    let mut found =
        Found { repositories: Vec::new(), failed: Vec::new(), why: None, asked, target: TargetSeen::default() };
    let (mut repositories, mut left_out) = (BTreeMap::new(), BTreeSet::new());
    for (name, namespace) in namespaces {
        let listed = match sharing {
            Some(sharing) => sharing.repositories(client, &namespace).await,
            None => client.repositories(&namespace).await.map(Arc::from),
        };
        let listed: Arc<[Repository]> = match listed {
            Ok(listed) => listed,
            Err(error) if concerns_all(&error) => return Err(error),
            Err(error) => {
                // Also when GitLab only asks for fewer requests: a target that nobody saw was not cleaned.
                if error.class() != Class::Target {
                    found.why = from_error(&error).trouble.map(|(why, _)| why);
                }
                let result = RepositoryResult::Failed;
                found.failed.push(Outcome { result, ..failure(&name, 0, &error) });
                continue;
            }
        };
        let direct_only = match &namespace {
            Namespace::Group { path } if !includes_subgroups(target, path) => Some(path.clone()),
            _ => None,
        };
        for repository in &*listed {
            let here = direct_only.as_ref().is_none_or(|group| directly_in_group(group, repository.project_path()));
            if here && target.selects(&repository.path) {
                repositories.insert(repository.id, repository.clone());
            } else if here {
                left_out.insert(repository.path.clone());
            }
        }
    }
    found.repositories = repositories.into_values().collect();
    let selected = found.repositories.iter().map(|repository| repository.path.as_str());
    let paths: Vec<&str> = selected.chain(left_out.iter().map(String::as_str)).collect();
    found.target = target.seen(&paths, found.failed.is_empty(), |pattern| path_hint(pattern, &paths.iter().copied()));
    found.repositories.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn includes_subgroups(target: &Target, group: &str) -> bool {
    target.groups.iter().any(|(path, subgroups)| path == group && *subgroups)
}

/// Whether an error says something about the whole run, not about one repository.
pub(crate) fn concerns_all(error: &Error) -> bool {
    use Class as C;
    matches!(error.class(), C::Credentials | C::Tls | C::Host | C::Paused | C::Maintenance | C::Stopped)
}

/// The outcome of a repository that an error stands in the way of.
pub(crate) fn failure(path: &str, id: u64, error: &Error) -> Outcome {
    let (result, reason) = match error.kind() {
        ErrorKind::NotFound | ErrorKind::Moved => (RepositoryResult::Failed, RepositoryReason::NotFound),
        ErrorKind::Forbidden | ErrorKind::MissingGrant(_) => (RepositoryResult::Failed, RepositoryReason::Forbidden),
        ErrorKind::Incomplete { .. } => (RepositoryResult::Failed, RepositoryReason::ListIncomplete),
        ErrorKind::AnswerLost | ErrorKind::ForeignAnswer(_) => (RepositoryResult::Failed, RepositoryReason::AnswerLost),
        ErrorKind::Refused { .. } => (RepositoryResult::Failed, RepositoryReason::Refused),
        ErrorKind::RateLimited { .. } => (RepositoryResult::Skipped, RepositoryReason::RateLimited),
        _ => (RepositoryResult::Failed, RepositoryReason::GitLabUnavailable),
    };
    Outcome { message: Some(error.to_string()), ..Outcome::new(path, id, result, Some(reason)) }
}
