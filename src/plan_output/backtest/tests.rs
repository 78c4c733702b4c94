//! The forms in which a backtest is told: they say the same, and nothing where nothing is known.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::plan_output::tests::about;
use crate::policy::backtest::{Outcome, Regret};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn report() -> Report {
    let run = |day: &str, tags: u64, regret: u64, exceeded: bool| Run {
        at: at(&format!("2026-11-{day}T03:17:00Z")),
        tags,
        bytes: tags * 1024 * 1024,
        regret,
        exceeded,
    };
    let image = RegrettedImage {
        repository: "shop/api".to_owned(),
        tag: "t12".to_owned(),
        rule: Some(0),
        removed: at("2026-11-20T03:17:00Z"),
        deployed: at("2026-11-21T10:00:00Z"),
        again: true,
        user: "team/ReplicaSet/web".to_owned(),
        times: 3,
    };
    let advice = |value, removed| Some(Advice { value, removed });
    let about = about(&json!({}));
    Report {
        period: "3d".to_owned(),
        from: about.at - SignedDuration::from_hours(72),
        schedule: "17 3 * * *".to_owned(),
        zone: "Etc/UTC".to_owned(),
        keeps_in_use: true,
        findings: Findings {
            runs: vec![run("20", 12, 1, true), run("21", 0, 0, false), run("22", 1, 0, false)],
            repositories: vec![Outcome {
                path: "shop/api".to_owned(),
                scanned: 30,
                removed: 13,
                bytes: 13 * 1024 * 1024,
            }],
            regret: Regret { images: vec![image], kept_in_use: 2, unmatched: 1 },
            rules: vec![OfRule { removed: 13, regret: 1, tested: true, older_than: advice(33, 4), keep_n: None }],
        },
        not_played: vec![NotPlayed {
            path: "shop/odd".to_owned(),
            why: "GitLab answered 502".to_owned(),
            skipped: false,
        }],
        unknown: None,
        unreadable: 0,
        ages: None,
        about,
    }
}

#[test]
fn a_table_lists_the_runs_that_remove_something_what_is_regretted_and_what_would_keep_it() {
    let expected = "\
team/shop on https://gitlab.example.com: method Exact, backtest of 3d
3 runs of the schedule 17 3 * * * (Etc/UTC) from 2026-11-19 12:00 UTC to 2026-11-22 12:00 UTC, over 30 tags in 1 repository

  RUN                   TAGS      SIZE  REGRET  LIMIT
  2026-11-20 03:17 UTC    12  12.0 MiB       1  exceeded
  2026-11-22 03:17 UTC     1   1.0 MiB       0

  REGRETTED     RULE  REMOVED               DEPLOYED                    BY
  shop/api:t12  old   2026-11-20 03:17 UTC  after 2026-11-21 10:00 UTC  team/ReplicaSet/web and 2 more

  RULE  REMOVED  REGRET  OLDERTHAN WITHOUT REGRET  KEEPN WITHOUT REGRET
  old        13       1  33d (4 removed)           none

shop/odd: failed: GitLab answered 502

Together: 13 of 30 tags would have gone in 2 of 3 runs, 13.0 MiB; 1 of them was deployed later.
";
    let text = table(&report());
    assert_eq!(text.split_once("Note: ").unwrap().0, expected);
}

#[test]
fn where_it_is_not_known_what_was_deployed_no_number_says_that_nothing_was() {
    let known = report();
    let regret = Regret { images: Vec::new(), kept_in_use: 0, unmatched: 0 };
    let findings = Findings { regret, ..known.findings.clone() };
    let report = Report { unknown: Some("jobs: list is forbidden".to_owned()), findings, ..known };
    let shape: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    let rule = &shape["rules"][0];
    for value in
        [&shape["regret"], &shape["totals"]["regret"], &shape["totals"]["keptInUse"], &shape["runs"][0]["regret"]]
    {
        assert_eq!(value, &Value::Null);
    }
    assert_eq!((&rule["regret"], &rule["olderThan"], &rule["keepN"]), (&Value::Null, &Value::Null, &Value::Null));
    for text in [table(&report), comment(&report)] {
        assert!(text.contains("it is not known what of them was deployed later"), "{text}");
        assert!(text.contains("regret is not known: jobs: list is forbidden"), "{text}");
        assert!(!text.contains("33d"), "{text}");
    }
    assert!(table(&report).contains("1.0 MiB  unknown\n"), "{}", table(&report));
}

#[test]
fn what_nothing_was_deployed_of_has_no_smallest_value() {
    let mut report = report();
    report.findings.rules[0].tested = false;
    (report.findings.rules[0].older_than, report.findings.rules[0].keep_n) = (None, None);
    assert!(table(&report).contains("nothing was deployed"), "{}", table(&report));
}

#[test]
fn json_yaml_and_markdown_say_what_the_table_says() {
    let report = report();
    let shape: Value = serde_json::from_str(&json(&report).unwrap()).unwrap();
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml(&report).unwrap()).unwrap(), shape);
    let totals =
        json!({"scanned": 30, "remove": 13, "bytes": 13 * 1024 * 1024, "runs": 3, "regret": 1, "keptInUse": 2});
    assert_eq!(shape["totals"], totals);
    let image = json!({"repository": "shop/api", "tag": "t12", "rule": "old", "removedAt": "2026-11-20T03:17:00Z",
        "deployedAt": "2026-11-21T10:00:00Z", "rolledBack": true, "by": "team/ReplicaSet/web", "times": 3});
    assert_eq!(shape["regret"], json!([image]));
    assert_eq!(shape["rules"][0]["olderThan"], json!({"value": "33d", "remove": 4}));
    assert_eq!(
        shape["repositories"][1],
        json!({"path": "shop/odd", "error": "GitLab answered 502",
        "scanned": null, "remove": null, "bytes": null})
    );
    let kinds: Vec<&str> =
        shape["notes"].as_array().unwrap().iter().map(|note| note["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["GoneNotSeen", "RepositoriesFailed", "LimitExceeded", "InUseKept", "ImagesNotFound"]);
    let comment = comment(&report);
    for part in
        ["backtest of 3d: 13 of 30 tags", "| `shop/api:t12` | 2026-11-20 03:17 UTC | after ", "33d (4 removed) | none"]
    {
        assert!(comment.contains(part), "{part}: {comment}");
    }
    for note in shape["notes"].as_array().unwrap() {
        assert!(table(&report).contains(&format!("\nNote: {}.\n", note["message"].as_str().unwrap())), "{note}");
    }
}

#[test]
fn runs_that_come_more_seldom_than_the_nights_are_told() {
    let report = report();
    let mut rare = report.clone();
    rare.findings.runs.truncate(1);
    let told = |report: &Report| report.notes().iter().any(|(kind, _)| *kind == BacktestNote::RunsAreRare);
    assert!(told(&rare) && !told(&report));
}

#[test]
fn nothing_that_a_terminal_would_obey_gets_there() {
    let mut report = report();
    report.findings.regret.images[0].tag = "a\u{1b}[2Jb".to_owned();
    report.findings.regret.images[0].user = "a\u{202e}b".to_owned();
    report.not_played[0].why = "x\u{1b}[2J".to_owned();
    assert!(!crate::terminal::is_odd(&table(&report)));
    assert!(!crate::terminal::is_odd(&json(&report).unwrap()));
    assert!(!crate::terminal::is_odd(&yaml(&report).unwrap()));
}
