//! Looks for projects in which GitLab's own cleanup policy is enabled. A courtesy: whatever goes wrong is passed over,
//! and nothing depends on it.

use std::collections::{BTreeMap, BTreeSet};

use crate::gitlab::{Class, Project, Repository};

use super::job::Job;

/// Asks about those projects of the run whose turn it is, and answers which are to be named. `named` are those that
/// were.
pub(super) async fn look(job: &Job<'_>, repositories: &[Repository], named: &[String]) -> Vec<String> {
    let uid = &job.uid;
    let projects: BTreeMap<&str, Project> =
        repositories.iter().map(|repository| (repository.project_path(), repository.reference().project)).collect();
    let paths: BTreeSet<&str> = projects.keys().copied().collect();
    let due = job.context.memory().cleanup_policies(uid, job.generation).due(&paths, job.context.clock.now());
    for path in due {
        let Some(project) = projects.get(path.as_str()) else { continue };
        let answer = job.client.cleanup_policy_enabled(project).await;
        let class = answer.as_ref().err().map(crate::gitlab::Error::class);
        if class == Some(Class::Stopped) {
            break;
        }
        let mut memory = job.context.memory();
        let known = answer.ok().flatten();
        memory.cleanup_policies(uid, job.generation).note(&path, known, job.context.clock.now());
        if !matches!(class, None | Some(Class::Other | Class::Target)) {
            break;
        }
    }
    job.context.memory().cleanup_policies(uid, job.generation).named(&paths, named)
}
