//! Asks something of a policy as a person would with `kubectl annotate` and `kubectl patch`, and waits for what comes
//! of it.

use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use kube::ResourceExt;

use super::{Cluster, Error, Whereabouts};
use crate::api::{
    APPROVE, DRY_RUN_REQUESTED_AT, PendingApproval, PolicyStatus, RUN_REQUESTED_AT, RegistryCleanupPolicy, RunResult,
    RunStatus,
};
use crate::app::progress::Progress;
use crate::clock::{Clock, SystemClock};
use crate::cluster::ask;
use crate::plan_output::units;
use crate::policy::asked::{Answer, Asked, answer};

/// How often the policy is read while something is waited for.
const LOOK: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wish {
    /// A run.
    Run,
    /// A dry run.
    DryRun,
    /// That the plan that waits is carried out.
    Approve {
        /// The hash of the plan that is meant; `None` is the one that waits.
        plan: Option<String>,
        /// Whether it is carried out without asking once more.
        yes: bool,
    },
    /// That the policy is suspended, or is no longer.
    Suspend(bool),
}

/// Asks for something, and waits for so long.
#[derive(Debug)]
pub struct Request {
    /// Where.
    pub whereabouts: Whereabouts,
    /// The policy.
    pub policy: String,
    /// What.
    pub wish: Wish,
    /// How long it is waited for what comes of it; `None` = not at all.
    pub wait: Option<Duration>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// As it was wished, or nobody waited.
    Done,
    /// The run did not succeed, or none began.
    Failed,
}

/// Asks, waits, and prints what came of it.
///
/// # Errors
/// When it cannot be asked for, and when nothing came of it in time.
pub async fn ask(request: &Request) -> Result<Outcome, Error> {
    let cluster = Cluster::reach(&request.whereabouts).await?;
    let mut session = Session { cluster, name: request.policy.clone(), clock: SystemClock, progress: Progress::new() };
    let deadline = request.wait.map(|wait| (session.clock.elapsed() + wait, wait));
    match &request.wish {
        Wish::Suspend(suspend) => session.suspend(*suspend, deadline).await,
        Wish::Run => session.run(Asked::Run, RUN_REQUESTED_AT, deadline).await,
        Wish::DryRun => session.run(Asked::DryRun, DRY_RUN_REQUESTED_AT, deadline).await,
        Wish::Approve { plan, yes } => session.approve(plan.as_deref(), *yes, deadline).await,
    }
}

/// Until when is waited, by the clock that nobody sets, and how long that is in all.
type Deadline = Option<(Duration, Duration)>;

struct Session {
    cluster: Cluster,
    name: String,
    clock: SystemClock,
    progress: Progress,
}

impl Session {
    async fn run(
        &mut self,
        asked: fn(String) -> Asked,
        annotation: &str,
        deadline: Deadline,
    ) -> Result<Outcome, Error> {
        let policy = self.observed(deadline).await?;
        // A time, which is new as long as it is later than every other.
        let value = self.clock.now().to_string();
        ask::annotate(&self.cluster.client, &policy, annotation, &value).await?;
        self.follow(&policy, &asked(value), deadline).await
    }

    async fn approve(&mut self, plan: Option<&str>, yes: bool, deadline: Deadline) -> Result<Outcome, Error> {
        let policy = self.observed(deadline).await?;
        let pending = policy.status.as_ref().and_then(|status| status.pending_approval.as_ref());
        let Some(pending) = pending else {
            return Err(Error::No(format!("no plan of policy {} waits for an approval", self.name)));
        };
        match plan {
            Some(plan) if plan != pending.plan_hash => {
                let PendingApproval { plan_hash, .. } = pending;
                return Err(Error::No(format!("plan {plan} does not wait for an approval, plan {plan_hash} does")));
            }
            Some(_) => {}
            None if yes => {}
            None => self.confirm(pending)?,
        }
        ask::annotate(&self.cluster.client, &policy, APPROVE, &pending.plan_hash).await?;
        self.follow(&policy, &Asked::Approval(pending.plan_hash.clone()), deadline).await
    }

    /// Asks the person once more, who may have seen an earlier plan.
    fn confirm(&self, pending: &PendingApproval) -> Result<(), Error> {
        let question = waiting_plan(pending);
        if !std::io::stdin().is_terminal() {
            return Err(Error::No(format!("{question}; name the plan, or give --yes, to approve of it")));
        }
        // Where it cannot be written, nobody answers.
        let _ = write!(std::io::stderr(), "{question}. Remove them? [y/N] ");
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let agreed = read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes");
        if agreed { Ok(()) } else { Err(Error::No(format!("nothing was approved for policy {}", self.name))) }
    }

    async fn suspend(&mut self, suspend: bool, deadline: Deadline) -> Result<Outcome, Error> {
        let policy = self.cluster.policy(&self.name).await?;
        if let Some(manager) = ask::suspend_is_applied_by(policy.managed_fields()) {
            self.progress.say(&format!("note: {manager} applies spec.suspend as well, and may set it back"));
        }
        let written = ask::suspend(&self.cluster.client, &policy, suspend).await?;
        let generation = written.metadata.generation;
        let word = if suspend { "suspended" } else { "no longer suspended" };
        let Some(_) = deadline else { return Ok(self.tell(word, Outcome::Done)) };
        loop {
            let policy = self.cluster.policy(&self.name).await?;
            let status = policy.status.unwrap_or_default();
            let known = status.observed_generation >= generation;
            let under_way = status.last_run.as_ref().is_some_and(|run| run.result.is_under_way());
            if known && !(suspend && under_way) {
                return Ok(self.tell(word, Outcome::Done));
            }
            let why = if under_way { "a run awaits what it has sent" } else { "the operator takes note" };
            self.pause(why, deadline).await?;
        }
    }

    /// The policy once the operator has looked at it as it is: a request that comes before is refused.
    async fn observed(&mut self, deadline: Deadline) -> Result<RegistryCleanupPolicy, Error> {
        loop {
            let policy = self.cluster.policy(&self.name).await?;
            let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
            if deadline.is_none() || observed == policy.metadata.generation {
                return Ok(policy);
            }
            self.pause("the operator looks at the policy", deadline).await?;
        }
    }

    /// Waits for what comes of a request.
    async fn follow(
        &mut self,
        before: &RegistryCleanupPolicy,
        asked: &Asked,
        deadline: Deadline,
    ) -> Result<Outcome, Error> {
        if deadline.is_none() {
            return Ok(self.tell("asked for", Outcome::Done));
        }
        let last = before.status.as_ref().and_then(|status| status.last_run.as_ref()).map(|run| run.id.clone());
        loop {
            let policy = self.cluster.policy(&self.name).await?;
            if policy.uid() != before.uid() {
                return Err(Error::No(format!("policy {} was deleted and created anew", self.name)));
            }
            let status = policy.status.unwrap_or_default();
            let line = match answer(&status, asked, last.as_deref()) {
                Answer::Over(run) => return Ok(self.over(&status, run)),
                Answer::Refused(why) => return Ok(self.tell(&format!("refused: {why}"), Outcome::Failed)),
                Answer::UnderWay(run) => under_way(run),
                Answer::None(why) => why.unwrap_or("the operator has not answered yet").to_owned(),
            };
            self.pause(&line, deadline).await?;
        }
    }

    fn over(&mut self, status: &PolicyStatus, run: &RunStatus) -> Outcome {
        let outcome = if run.result == RunResult::Succeeded { Outcome::Done } else { Outcome::Failed };
        let outcome = self.tell(&told(run), outcome);
        if let Some(pending) = &status.pending_approval {
            let namespace = &self.cluster.namespace;
            let text = format!("{}: kubectl rcp approve -n {namespace} {}", waiting_plan(pending), self.name);
            self.progress.say(&text);
        }
        outcome
    }

    fn tell(&mut self, text: &str, outcome: Outcome) -> Outcome {
        self.progress.clear();
        let text = format!("policy {}/{}: {text}", self.cluster.namespace, self.name);
        // Whoever closed the pipe knows; the exit code tells as well.
        let _ = writeln!(std::io::stdout(), "{}", crate::terminal::plain(&text));
        outcome
    }

    /// Says what is waited for, and waits a moment.
    async fn pause(&mut self, why: &str, deadline: Deadline) -> Result<(), Error> {
        if let Some((_, wait)) = deadline.filter(|(until, _)| self.clock.elapsed() >= *until) {
            let wait = humantime::format_duration(wait);
            return Err(Error::No(format!("not over after {wait}: {why}; it goes on without you")));
        }
        self.progress.show(why);
        self.clock.sleep(LOOK).await;
        Ok(())
    }
}

/// How far a run has come.
fn under_way(run: &RunStatus) -> String {
    let progress = run.progress.unwrap_or_default();
    let repositories = match progress.repositories {
        0 => "looking for repositories".to_owned(),
        all => format!("{} of {all} repositories", progress.repositories_done),
    };
    let tags = progress.tags_removed;
    let removed = (tags > 0).then(|| format!("{} removed", units::of(tags, "tag", "tags")));
    sentence(run, [Some(repositories), removed])
}

/// What a run came to.
fn told(run: &RunStatus) -> String {
    let parts = [Some(run.result.as_str().to_owned()), run.summary.clone(), run.bytes.map(units::size)];
    sentence(run, parts)
}

/// What is said of a run, its own message last.
fn sentence(run: &RunStatus, parts: impl IntoIterator<Item = Option<String>>) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let message = run.message.as_ref().map(|message| format!("; {message}")).unwrap_or_default();
    format!("{}: {}{message}", run.id, parts.join(", "))
}

/// A plan that waits.
fn waiting_plan(pending: &PendingApproval) -> String {
    let tags = units::of(pending.tags, "tag", "tags");
    let repositories = units::of(u64::from(pending.repositories), "repository", "repositories");
    let at = pending.time.0.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("plan {} of {at} would remove {tags} in {repositories}", pending.plan_hash)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(more: &serde_json::Value) -> RunStatus {
        let mut run = json!({"id": "a", "trigger": "RunRequested", "mode": "Delete", "gitlab": "https://gitlab.test",
            "observedGeneration": 1, "startTime": "2026-11-22T12:00:00Z", "result": "Running"});
        for (name, value) in more.as_object().unwrap() {
            run[name] = value.clone();
        }
        serde_json::from_value(run).unwrap()
    }

    #[test]
    fn a_run_under_way_tells_how_far_it_has_come() {
        assert_eq!(under_way(&run(&json!({}))), "a: looking for repositories");
        let progress =
            json!({"repositories": 7, "repositoriesDone": 2, "tagsRequested": 9, "tagsRemoved": 1, "bytes": 5});
        let text = under_way(&run(&json!({"progress": progress, "message": "it takes 3h"})));
        assert_eq!(text, "a: 2 of 7 repositories, 1 tag removed; it takes 3h");
    }

    #[test]
    fn a_run_that_is_over_tells_its_result_first() {
        let ended = json!({"result": "PartiallyFailed", "summary": "41 removed", "bytes": 1024, "message": "a failed"});
        assert_eq!(told(&run(&ended)), "a: PartiallyFailed, 41 removed, 1.0 KiB; a failed");
    }

    #[test]
    fn a_plan_that_waits_says_what_it_would_remove() {
        let pending = json!({"planHash": "2c91", "tags": 1, "repositories": 2, "time": "2026-11-22T12:00:00Z"});
        let text = waiting_plan(&serde_json::from_value(pending).unwrap());
        assert_eq!(text, "plan 2c91 of 2026-11-22 12:00:00 UTC would remove 1 tag in 2 repositories");
    }
}
