//! The rows of the table: what neighbours an innocent policy has.

use std::time::Duration;

use gitlab_simulator::{Action, Fault, Matcher, Push, Registry};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::stage::{GROUP, Stage};
use crate::support::Failure;

/// How long to wait until all were looked at.
const PATIENCE: Duration = Duration::from_secs(300);
/// How far away the minute is in which runs begin: longer than it takes to make their policies and to start the
/// operator.
const DUE_IN: SignedDuration = SignedDuration::from_secs(90);
/// After so long they have begun.
const UNTIL_DUE: Duration = Duration::from_secs(150);
/// How long to look at neighbours that run.
const RUNNING: Duration = Duration::from_secs(120);

/// How a row is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// From the operator's first answer until the innocent policy is made.
    pub(crate) before: Duration,
    /// How long to look after that; a row without runs is over as soon as everything was seen.
    pub(crate) then: Duration,
    /// Whether the neighbours run, so that one of them is suspended.
    pub(crate) runs: bool,
}

/// One kind of neighbours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Row {
    /// None.
    Alone,
    /// The largest patterns that are allowed, as many of them as fit.
    Patterns,
    /// Patterns that are refused, each another one.
    Refused,
    /// One annotation of 200 KB.
    Annotation,
    /// Many small annotations, 200 KB together, of which each is recorded by the API server as well.
    Annotations,
    /// All with the same group, and with patterns for its repositories.
    Overlapping,
    /// Of two instances: one takes 12 s for each answer, the other never answers.
    Slow,
    /// All due in the same minute, over a registry of 250 repositories with 500 tags each.
    Due,
}

impl Row {
    const ALL: [Self; 8] = [
        Self::Alone,
        Self::Patterns,
        Self::Refused,
        Self::Annotation,
        Self::Annotations,
        Self::Overlapping,
        Self::Slow,
        Self::Due,
    ];

    pub(crate) fn chosen(words: &[&str]) -> Result<Vec<Self>, Failure> {
        if let Some(word) = words.iter().find(|word| Self::ALL.iter().all(|row| row.word() != **word)) {
            let all = Self::ALL.map(Self::word).join(", ");
            return Err(format!("{word:?} is none of {all} and --write=FILE").into());
        }
        Ok(Self::ALL.into_iter().filter(|row| words.is_empty() || words.contains(&row.word())).collect())
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Patterns => "patterns",
            Self::Refused => "refused",
            Self::Annotation => "annotation",
            Self::Annotations => "annotations",
            Self::Overlapping => "overlapping",
            Self::Slow => "slow",
            Self::Due => "due",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "none",
            Self::Patterns => "1,000 with the largest patterns",
            Self::Refused => "1,000 with patterns that are refused",
            Self::Annotation => "400 with an annotation of 200 KB",
            Self::Annotations => "100 with 25,000 annotations",
            Self::Overlapping => "1,000 with the same group and the largest patterns for its repositories",
            Self::Slow => "50 whose GitLab answers after 12 s or never",
            Self::Due => "200 due in the same minute, 125,000 tags",
        }
    }

    pub(crate) fn course(self) -> Course {
        let runs = matches!(self, Self::Slow | Self::Due);
        let (before, then) = if runs { (UNTIL_DUE, RUNNING) } else { (Duration::ZERO, PATIENCE) };
        Course { before, then, runs }
    }

    pub(crate) async fn fill(self, stage: &Stage) -> Result<(), Failure> {
        match self {
            Self::Alone => Ok(()),
            Self::Patterns => {
                // Each takes some 25 KiB, and all of them most of what a policy may.
                let rule = |n: usize, rule: usize| {
                    let delete = format!("(?:[\\w.-]{{1,200}}|x{n}r{rule})");
                    json!({"name": format!("r{rule}"), "nameRegexDelete": delete, "olderThan": "30d"})
                };
                let rules = |n| {
                    json!({"method": "Exact", "rules": (0..8).map(|r| rule(n, r)).collect::<Vec<_>>(),
                                       "target": {"projects": [format!("team-{n}/app")]}})
                };
                stage.neighbours(1_000, |n| (json!({}), rules(n))).await
            }
            Self::Refused => {
                let rule = |n| json!([{"name": "r", "nameRegexDelete": format!("\\p{{L}}{{22}}|u{n}"), "keepN": 1}]);
                stage.neighbours(1_000, |n| (json!({}), json!({ "rules": rule(n) }))).await
            }
            Self::Annotation => {
                let target = |n| json!({"target": {"projects": [format!("team-{n}/app")]}});
                stage.neighbours(400, |n| (json!({"example.com/note": "x".repeat(200_000)}), target(n))).await
            }
            Self::Annotations => {
                let many: Map<String, Value> = (0..25_000).map(|n| (format!("a{n:05}"), json!("xx"))).collect();
                let target = |n| json!({"target": {"projects": [format!("team-{n}/app")]}});
                stage.neighbours(100, |n| (Value::Object(many.clone()), target(n))).await
            }
            Self::Overlapping => {
                let target = |n| {
                    let exclude: Vec<String> = (0..4).map(|p| format!("[\\w./-]{{1,200}}/x{n}p{p}")).collect();
                    json!({"target": {"groups": [{"path": GROUP}], "repositories": {"exclude": exclude}}})
                };
                stage.gitlab.edit(|registry| {
                    registry.project(&format!("{GROUP}/app"));
                    registry.repository(&format!("{GROUP}/app/web"));
                });
                stage.neighbours(1_000, |n| (json!({}), target(n))).await
            }
            Self::Slow => {
                let slow = stage.slow_gitlab("slow", Duration::from_secs(12)).await?;
                let silent = stage.slow_gitlab("silent", Duration::from_secs(24 * 60 * 60)).await?;
                let spec = |n| {
                    let gitlab = if n % 2 == 0 { &slow } else { &silent };
                    json!({"gitlab": gitlab, "method": "Exact", "mode": "Delete", "schedule": due()})
                };
                stage.neighbours(50, |n| (json!({}), spec(n))).await
            }
            Self::Due => {
                stage.gitlab.edit(fill);
                stage.gitlab.fault(Fault::new(Matcher::any(), Action::Delay(Duration::from_millis(20))));
                let rule = json!([{"name": "old", "nameRegexDelete": ".*", "olderThan": "30d"}]);
                let spec = |_| {
                    json!({"target": {"groups": [{"path": GROUP}]}, "method": "Exact", "mode": "Delete",
                           "rules": rule, "schedule": due()})
                };
                stage.neighbours(200, |n| (json!({}), spec(n))).await
            }
        }
    }
}

/// As much as row M of the other benchmark: 250 repositories with 500 tags each, of which half are old.
fn fill(registry: &mut Registry) {
    let now = registry.now();
    for number in 0..250 {
        let project = format!("{GROUP}/project-{}", number / 5);
        registry.project(&project);
        let repository = registry.repository(&format!("{project}/image-{number}"));
        for tag in 0..500_i32 {
            let at = now - SignedDuration::from_hours(3 * i64::from(500 - tag));
            registry.push(repository, &format!("mr-{tag}-{number}"), Push::at(at));
        }
    }
}

/// A schedule that is due soon, in one minute of the hour, which is all that a schedule may have.
fn due() -> String {
    let at = Timestamp::now().saturating_add(DUE_IN).unwrap_or(Timestamp::MAX);
    format!("{} * * * *", at.to_zoned(TimeZone::UTC).minute())
}
