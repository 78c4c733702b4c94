//! The rows of the table: what neighbours an innocent policy has.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::stage::Stage;
use crate::support::Failure;

/// How long to wait until all were looked at.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

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
}

impl Row {
    const ALL: [Self; 6] =
        [Self::Alone, Self::Patterns, Self::Refused, Self::Annotation, Self::Annotations, Self::Overlapping];

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
        }
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
                    json!({"target": {"groups": [{"path": "shop"}], "repositories": {"exclude": exclude}}})
                };
                stage.gitlab.edit(|registry| {
                    registry.project("shop/app");
                    registry.repository("shop/app/web");
                });
                stage.neighbours(1_000, |n| (json!({}), target(n))).await
            }
        }
    }
}
