//! Policies as a person wants to see them: all in a table, one on a page.

use std::fmt::Write;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::{Cluster, Error, Whereabouts};
use crate::api::conditions::{
    APPROVAL_PENDING, CREDENTIALS_VALID, Condition, ConditionStatus, EFFECTIVE, IN_USE_KNOWN, LAST_RUN_SUCCEEDED, READY,
};
use crate::api::{PolicyStatus, RegistryCleanupPolicy, RepositoryResult, RunStatus};
use crate::app::columns::aligned;
use crate::clock::{Clock, SystemClock};
use crate::cluster::policies;
use crate::plan_output::units;
use crate::terminal::plain;

/// Conditions that are True when all is well; the others are False or absent then.
const WELL: [&str; 5] = [READY, LAST_RUN_SUCCEEDED, CREDENTIALS_VALID, EFFECTIVE, IN_USE_KNOWN];

/// Which policies.
#[derive(Debug)]
pub enum Which {
    /// This one, on a page.
    One(String),
    /// Those of the namespace, in a table.
    Namespace,
    /// Those of all namespaces, in a table.
    Everywhere,
}

/// What a person is to see of them.
///
/// # Errors
/// When they cannot be had.
pub async fn show(whereabouts: &Whereabouts, which: &Which) -> Result<String, Error> {
    let cluster = Cluster::reach(whereabouts).await?;
    let now = SystemClock.now();
    match which {
        Which::One(name) => Ok(page(&cluster.policy(name).await?, now)),
        Which::Namespace => {
            let all = policies::list_in(&cluster.client, Some(&cluster.namespace)).await?;
            Ok(table(&all, false, now))
        }
        Which::Everywhere => Ok(table(&policies::list_in(&cluster.client, None).await?, true, now)),
    }
}

/// A line for each policy.
#[must_use]
pub fn table(policies: &[RegistryCleanupPolicy], namespaces: bool, now: Timestamp) -> String {
    if policies.is_empty() {
        return "There are no policies.\n".to_owned();
    }
    let heads = ["NAMESPACE", "NAME", "READY", "MODE", "LAST RUN", "RESULT", "NEXT RUN", "WAITS FOR"];
    let from = usize::from(!namespaces);
    let rows = policies.iter().map(|policy| {
        let cells = row(policy, now).into_iter();
        cells.skip(from).collect()
    });
    aligned(heads.get(from..).unwrap_or_default(), rows)
}

fn row(policy: &RegistryCleanupPolicy, now: Timestamp) -> [String; 8] {
    let status = status_of(policy);
    let run = status.last_run.as_ref();
    let waits = match (policy.spec.suspend, &status.pending_approval) {
        (true, _) => "the end of suspend",
        (false, Some(_)) => "an approval",
        (false, None) => "-",
    };
    [
        policy.namespace().unwrap_or_default(),
        policy.name_any(),
        ready(&status).map_or("Unknown", |ready| word(ready.status)).to_owned(),
        policy.spec.mode.as_str().to_owned(),
        run.map_or_else(|| "-".to_owned(), |run| ago(run.completion_time.as_ref().unwrap_or(&run.start_time), now)),
        run.map_or_else(|| "-".to_owned(), result),
        status.next_schedule_time.as_ref().map_or_else(|| "-".to_owned(), |next| ahead(next, now)),
        waits.to_owned(),
    ]
}

/// What there is to say of one policy.
#[must_use]
pub fn page(policy: &RegistryCleanupPolicy, now: Timestamp) -> String {
    let status = status_of(policy);
    let (namespace, name) = (policy.namespace().unwrap_or_default(), policy.name_any());
    let ready = ready(&status).map_or_else(
        || "nobody has looked at it yet; is the operator running?".to_owned(),
        |ready| match ready.status {
            ConditionStatus::True => "Ready".to_owned(),
            ConditionStatus::False | ConditionStatus::Unknown => format!("not Ready ({})", ready.reason),
        },
    );
    let mut text = format!("{namespace}/{name}: {}\n", plain(&ready));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<11}{}", plain(&value));
    };
    let spec = &policy.spec;
    let suspended = if spec.suspend { ", suspended" } else { "" };
    line("Mode", format!("{}, schedule {} ({}){suspended}", spec.mode.as_str(), spec.schedule, spec.time_zone));
    if let Some(next) = &status.next_schedule_time {
        line("Next run", format!("{}, {}", moment(next), ahead(next, now)));
    }
    if let Some(run) = &status.last_run {
        line("Last run", last_run(run, now));
        run.message.iter().for_each(|message| line("", message.clone()));
    }
    if let Some(pending) = &status.pending_approval {
        let tags = units::of(pending.tags, "tag", "tags");
        line("Waits", format!("plan {}, {tags}: kubectl rcp approve -n {namespace} {name}", pending.plan_hash));
    }
    if let Some(refused) = &status.refused_run_request {
        line("Refused", refused.message.clone());
    }
    if let Some(expires) = &status.token_expiration_time {
        line("Token", format!("expires {}", ahead(expires, now)));
    }
    for condition in status.conditions.iter().filter(|condition| is_news(condition)) {
        line("Condition", format!("{} is {}: {}", condition.type_, word(condition.status), condition.message));
    }
    for repository in status.repositories.iter().filter(|one| one.result == RepositoryResult::Failed) {
        line("Failed", format!("{}: {}", repository.path, repository.message.as_deref().unwrap_or_default()));
    }
    text
}

/// Whether a condition says something that is not as usual. A plan that waits has a line of its own.
fn is_news(condition: &Condition) -> bool {
    let usual = if WELL.contains(&&*condition.type_) { ConditionStatus::True } else { ConditionStatus::False };
    condition.status != usual && condition.type_ != APPROVAL_PENDING
}

fn last_run(run: &RunStatus, now: Timestamp) -> String {
    let began = || format!("began {}", ago(&run.start_time, now));
    let when = run.completion_time.as_ref().map_or_else(began, |end| ago(end, now));
    let parts = [Some(run.result.as_str().to_owned()), Some(when), run.summary.clone(), run.bytes.map(units::size)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}: {}", run.id, parts.join(", "))
}

fn result(run: &RunStatus) -> String {
    let summary = run.summary.as_deref().map(|summary| format!(", {}", plain(summary))).unwrap_or_default();
    format!("{}{summary}", run.result.as_str())
}

fn status_of(policy: &RegistryCleanupPolicy) -> PolicyStatus {
    policy.status.clone().unwrap_or_default()
}

fn ready(status: &PolicyStatus) -> Option<&Condition> {
    crate::api::conditions::find(&status.conditions, READY)
}

fn word(status: ConditionStatus) -> &'static str {
    match status {
        ConditionStatus::True => "True",
        ConditionStatus::False => "False",
        ConditionStatus::Unknown => "Unknown",
    }
}

fn moment(time: &Time) -> String {
    time.0.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How long ago.
fn ago(time: &Time, now: Timestamp) -> String {
    format!("{} ago", units::age(now.duration_since(time.0)))
}

/// In how long.
fn ahead(time: &Time, now: Timestamp) -> String {
    let left = time.0.duration_since(now);
    if left.is_positive() { format!("in {}", units::age(left)) } else { "now".to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(status: &Value) -> RegistryCleanupPolicy {
        let rules = json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"}]);
        let gitlab = json!({"url": "https://gitlab.test", "secretRef": {"name": "token"}});
        let spec = json!({"gitlab": gitlab, "target": {"groups": [{"path": "shop"}]}, "schedule": "17 3 * * *",
            "mode": "Delete", "rules": rules});
        serde_json::from_value(json!({
            "apiVersion": "registrycleanup.dev/v1alpha1", "kind": "RegistryCleanupPolicy",
            "metadata": {"name": "shop", "namespace": "team-shop"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn condition(type_: &str, status: &str, message: &str) -> Value {
        json!({"type": type_, "status": status, "reason": "Why", "message": message,
            "lastTransitionTime": "2026-11-22T12:00:00Z"})
    }

    fn told() -> Value {
        json!({
            "observedGeneration": 1,
            "conditions": [
                condition("Ready", "True", "next run at"), condition("Overlapping", "True", "as policy b"),
                condition("Stalled", "False", ""), condition("CredentialsValid", "False", "GitLab answered 401"),
                condition("ApprovalPending", "True", "a plan waits"),
            ],
            "nextScheduleTime": "2026-11-23T03:17:00Z",
            "tokenExpirationTime": "2026-12-22T12:00:00Z",
            "lastRun": {"id": "a", "trigger": "Schedule", "mode": "RequireApproval", "gitlab": "https://gitlab.test",
                "observedGeneration": 1, "startTime": "2026-11-22T03:17:00Z", "completionTime": "2026-11-22T03:18:00Z",
                "result": "PartiallyFailed", "summary": "3 to approve", "message": "one failed", "bytes": 1024},
            "pendingApproval": {"planHash": "2c91", "tags": 3, "repositories": 1, "time": "2026-11-22T03:17:00Z"},
            "repositories": [
                {"path": "shop/web", "id": 1, "result": "Failed", "message": "GitLab answered 502\u{1b}[2J"},
                {"path": "shop/api", "id": 2, "result": "Changed"},
            ],
        })
    }

    fn now() -> Timestamp {
        "2026-11-22T15:18:00Z".parse().unwrap()
    }

    #[test]
    fn a_page_tells_what_is_not_as_usual_and_what_to_do() {
        let expected = "\
team-shop/shop: Ready
  Mode       Delete, schedule 17 3 * * * (Etc/UTC)
  Next run   2026-11-23 03:17:00 UTC, in 11h
  Last run   a: PartiallyFailed, 12h ago, 3 to approve, 1.0 KiB
             one failed
  Waits      plan 2c91, 3 tags: kubectl rcp approve -n team-shop shop
  Token      expires in 29d
  Condition  Overlapping is True: as policy b
  Condition  CredentialsValid is False: GitLab answered 401
  Failed     shop/web: GitLab answered 502";
        let page = page(&policy(&told()), now());
        assert!(page.starts_with(expected), "{page}");
        assert!(!crate::terminal::is_odd(&page), "{page:?}");
    }

    #[test]
    fn a_policy_at_which_nobody_has_looked_says_so() {
        let page = page(&policy(&json!({})), now());
        assert!(page.starts_with("team-shop/shop: nobody has looked at it yet; is the operator running?\n"), "{page}");
    }

    #[test]
    fn a_table_has_a_line_for_each_policy_and_its_namespace_where_there_are_several() {
        let expected = "\
NAMESPACE   NAME   READY     MODE     LAST RUN   RESULT                          NEXT RUN   WAITS FOR
team-shop   shop   True      Delete   12h ago    PartiallyFailed, 3 to approve   in 11h     an approval
team-shop   shop   Unknown   Delete   -          -                               -          -
";
        let all = [policy(&told()), policy(&json!({}))];
        assert_eq!(table(&all, true, now()), expected);
        assert!(table(&all, false, now()).starts_with("NAME   READY "));
        assert_eq!(table(&[], true, now()), "There are no policies.\n");
    }
}
