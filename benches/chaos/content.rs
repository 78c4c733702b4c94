//! What the registry holds, and what is known of each tag that decides whether it may go.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gitlab_simulator::{Push, Role, Simulator};
use jiff::SignedDuration;

use crate::random::Random;

/// The groups: one is cleaned tag by tag, the other by GitLab's own bulk deletion.
pub(crate) const GROUPS: [&str; 2] = ["exact", "bulk"];
/// Repositories of each group.
const REPOSITORIES: usize = 12;
/// Tags of each repository at the beginning.
const TAGS: u64 = 60;
/// What the policies spare by its name.
pub(crate) const PROTECTED: &str = "keep-";
/// Days after which the policies remove a tag.
pub(crate) const OLDER_THAN_DAYS: i64 = 7;

/// What is known of a tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Whether its push is told as younger than what the policies remove.
    pub(crate) young: bool,
    /// When it was really pushed, the last time.
    pub(crate) pushed: Instant,
    /// Since when a workload names it, if one does.
    pub(crate) used: Option<Instant>,
}

/// A repository.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    pub(crate) path: String,
}

/// The facts of all tags, by repository and name.
pub(crate) type Known = HashMap<(u64, String), Facts>;

/// The registry with what is known of it. Whoever changes it holds the lock over both.
pub(crate) struct Content {
    pub(crate) gitlab: Simulator,
    pub(crate) repositories: Vec<Repository>,
    known: Mutex<Known>,
}

impl Content {
    /// Fills a registry; answers it with a token.
    pub(crate) fn fill(gitlab: Simulator) -> (Arc<Self>, String) {
        let (repositories, token) = gitlab.edit(|registry| {
            let mut repositories = Vec::new();
            for group in GROUPS {
                registry.group(group);
                for number in 0..REPOSITORIES {
                    let path = format!("{group}/app{number}");
                    registry.project(&path);
                    repositories.push(Repository { id: registry.repository(&path), path });
                }
            }
            let user = registry.user("bot");
            for group in GROUPS {
                registry.set_role(group, user, Some(Role::Maintainer));
            }
            (repositories, registry.personal_token(user, &[gitlab_simulator::Scope::Api]))
        });
        let content = Self { gitlab, repositories, known: Mutex::default() };
        for index in 0..content.repositories.len() {
            for number in 0..TAGS {
                let days = if number % 3 == 0 { 1 } else { 8 + i64::try_from(number).unwrap_or_default() };
                let prefix = if number % 10 == 0 { PROTECTED } else { "mr-" };
                content.push(index, &format!("{prefix}{number}"), days);
            }
        }
        (Arc::new(content), token)
    }

    /// Pushes a tag that is told to be so many days old.
    pub(crate) fn push(&self, repository: usize, name: &str, days: i64) {
        let Some(repository) = self.repositories.get(repository) else { return };
        let mut known = self.known();
        self.gitlab.edit(|registry| {
            let date = registry.now() - SignedDuration::from_hours(24 * days) - SignedDuration::from_secs(1);
            registry.push(repository.id, name, Push::at(date));
        });
        let facts = known.entry((repository.id, name.to_owned())).or_insert(Facts {
            young: false,
            pushed: Instant::now(),
            used: None,
        });
        (facts.young, facts.pushed) = (days < OLDER_THAN_DAYS, Instant::now());
    }

    /// Notes that a workload names a tag, or names it no longer.
    pub(crate) fn note_use(&self, repository: u64, name: &str, since: Option<Instant>) {
        if let Some(facts) = self.known().get_mut(&(repository, name.to_owned())) {
            facts.used = since;
        }
    }

    /// A tag that is there.
    pub(crate) fn any_tag(&self, random: &mut Random) -> Option<(usize, String)> {
        let index = usize::try_from(random.below(self.repositories.len() as u64)).unwrap_or_default();
        let names = self.gitlab.read(|registry| registry.tag_names(self.repositories.get(index).map_or(0, |of| of.id)));
        random.pick(&names).map(|name| (index, name.clone()))
    }

    /// All tags that are there, with what is known of them at that moment.
    pub(crate) fn look<T>(&self, use_it: impl FnOnce(BTreeSet<(u64, String)>, &Known) -> T) -> T {
        let known = self.known();
        let there = self.gitlab.read(|registry| {
            let tags = |of: &Repository| registry.tag_names(of.id).into_iter().map(|name| (of.id, name)).collect();
            self.repositories.iter().flat_map(|of| -> Vec<_> { tags(of) }).collect()
        });
        use_it(there, &known)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
