//! What a run reports: the outcomes that its steps add, and what ended it early, if something did.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::api::conditions::Reason;
use crate::api::{EmptyRepository, RepositoryResult};
use crate::causes::chain;
use crate::controller::connect::{self, NoSession};
use crate::controller::gate::RunGate;
use crate::controller::plan::failure::Unknown;
use crate::controller::renewal::Progress;
use crate::gitlab::{Class, Error as GitLabError, ErrorKind, Repository};
use crate::policy::empty_repository;
use crate::policy::outcomes::end::{in_use_unknown, obstructed};
use crate::policy::overlap::Overlap;
use crate::policy::repository_outcome::{End, Outcome, Proposal, RepositoryReason, Stop};
use crate::policy::status_conditions::Findings;
use crate::policy::target::TargetSeen;
use crate::policy::token;

/// What ends a run early. Steps return it, and `?` hands it on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// There is no way to GitLab.
    NotConnected(Box<Findings>),
    /// An error of GitLab that concerns all of the run.
    GitLab(GitLabError),
    /// It is not known which images are in use.
    InUseUnknown(Unknown),
    /// What was found out at the beginning ends it.
    Ended(End),
    /// The policy was edited between the decision to run and the record of the run.
    Edited,
    /// All plans together are not what the policy, or an approval, allows. Nothing was removed.
    Refused {
        /// The reason of `LastRunSucceeded`.
        reason: Reason,
        /// Why, in a sentence.
        message: String,
    },
}

impl From<GitLabError> for Halt {
    fn from(error: GitLabError) -> Self {
        Self::GitLab(error)
    }
}

impl From<Unknown> for Halt {
    fn from(unknown: Unknown) -> Self {
        Self::InUseUnknown(unknown)
    }
}

impl From<NoSession> for Halt {
    fn from(none: NoSession) -> Self {
        Self::NotConnected(Box::new(match none {
            NoSession::Findings(findings) => findings,
            NoSession::NotAsked(error) => token::not_asked(chain(&error)),
        }))
    }
}

/// What a run came to.
pub(crate) struct Report {
    /// What became of each repository, and of each target that could not be listed.
    pub(crate) outcomes: Outcomes,
    pub(crate) end: End,
    /// How many requests were sent to GitLab, once there was a way to it.
    pub(crate) requests: Option<u64>,
    /// What the run found out about the token and the targets.
    pub(crate) findings: Findings,
    /// Host of the registry, where repositories could be listed.
    pub(crate) registry: Option<String>,
    /// Repositories that another policy has reserved: path and policy.
    pub(crate) overlaps: Vec<(String, String)>,
    /// What becomes of the plan that waits for an approval.
    pub(crate) proposal: Proposal,
    /// The repositories that are watched because they are empty; `None` where the run has nothing to say about it.
    pub(crate) watched: Option<Vec<EmptyRepository>>,
    /// The projects with a cleanup policy of GitLab's own; `None` where the run has nothing to say about it.
    pub(crate) conflicts: Option<Vec<String>>,
    /// What the patterns of the target match, where the repositories could be listed.
    pub(crate) target: Option<TargetSeen>,
    /// What the policy shares with others; `None` where the run has nothing to say about it.
    pub(crate) shared: Option<Overlap>,
    /// The registries of which the cluster uses no image; `None` where the run has nothing to say about it.
    pub(crate) unused_registries: Option<Vec<String>>,
}

/// What became of each repository. Whoever adds to it has made progress.
pub(crate) struct Outcomes {
    all: Vec<Outcome>,
    progress: Arc<Progress>,
}

impl Outcomes {
    pub(crate) fn push(&mut self, outcome: Outcome) {
        self.progress.done(1);
        self.all.push(outcome);
    }

    pub(crate) fn extend(&mut self, outcomes: impl IntoIterator<Item = Outcome>) {
        let before = self.all.len();
        self.all.extend(outcomes);
        self.progress.done(self.all.len() - before);
    }
}

impl Deref for Outcomes {
    type Target = [Outcome];

    fn deref(&self) -> &[Outcome] {
        &self.all
    }
}

impl DerefMut for Outcomes {
    fn deref_mut(&mut self) -> &mut [Outcome] {
        &mut self.all
    }
}

impl From<Outcomes> for Vec<Outcome> {
    fn from(outcomes: Outcomes) -> Self {
        outcomes.all
    }
}

impl Report {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        Self {
            outcomes: Outcomes { all: Vec::new(), progress },
            end: End::Completed,
            requests: None,
            findings: token::not_asked("GitLab was not asked".to_owned()),
            registry: None,
            overlaps: Vec::new(),
            proposal: Proposal::AsBefore,
            watched: None,
            conflicts: None,
            target: None,
            shared: None,
            unused_registries: None,
        }
    }

    /// Says of the repositories that have no outcome that their turn did not come.
    pub(crate) fn not_reached(&mut self, repositories: &[Repository]) {
        let reached: HashSet<u64> = self.outcomes.iter().map(|outcome| outcome.id).collect();
        let rest = repositories.iter().filter(|repository| !reached.contains(&repository.id));
        let reason = Some(RepositoryReason::NotReached);
        let skipped = |of: &Repository| Outcome::new(&of.path, of.id, RepositoryResult::Skipped, reason);
        self.outcomes.all.extend(rest.map(skipped));
    }

    /// Goes on watching repositories for their emptiness where the run did not get to look at them itself. `before` is
    /// what runs before this one saw.
    pub(crate) fn still_watched(&mut self, before: &[EmptyRepository]) {
        if self.watched.is_none() {
            self.watched = Some(empty_repository::still(before, &self.outcomes));
        }
    }

    /// Takes note of what ended the run early.
    pub(crate) fn halted(&mut self, halt: Halt, gate: &RunGate) {
        self.end = match halt {
            Halt::NotConnected(findings) => {
                self.findings = *findings;
                gate.stop().map_or_else(|| obstructed(&self.findings), End::Stopped)
            }
            // The client looks at the deadline as well, a moment ahead of the gate.
            Halt::GitLab(error) if error.class() == Class::Stopped => {
                End::Stopped(gate.stop().unwrap_or(Stop::Deadline))
            }
            Halt::GitLab(error) => {
                if let ErrorKind::Paused { until } = *error.kind() {
                    End::Paused { until }
                } else {
                    self.findings = connect::from_error(&error);
                    obstructed(&self.findings)
                }
            }
            // An operator that ends stops watching as well.
            Halt::InUseUnknown(unknown) => {
                gate.stop().map_or_else(|| in_use_unknown(unknown.to_string()), End::Stopped)
            }
            Halt::Ended(end) => end,
            Halt::Edited => {
                self.findings = token::not_asked("the policy was edited".to_owned());
                End::Stopped(Stop::PolicyChanged)
            }
            Halt::Refused { reason, message } => End::Aborted { reason, message },
        };
    }
}
