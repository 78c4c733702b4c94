//! Whether GitLab's bulk deletion is to be trusted with a repository.
//!
//! GitLab ranks equal dates by name and takes placeholders at their word. Over v1 to v10 of an imported registry,
//! `keepN: 5` keeps v9 to v5 and removes v10; an image that was pushed today and is dated 1970 is the first to go. It
//! cannot be told to do otherwise, so a repository in which that could cost a tag that is among the newest, or young,
//! is left alone.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::bulk::removable;
use super::ties::{CAUSE, Settled, Standing, pushed_once, rank, standings, to_read};
use crate::api::SortBy;
use crate::policy::compile::Rule;
use crate::policy::tag::{CLOCKS_MAY_DIFFER, Moment, TagView, to_the_second};

/// GitLab's job looks at ages when it begins, which may be so much later.
const JOB_MAY_WAIT: SignedDuration = SignedDuration::from_hours(1);

/// Why it is not known which tags GitLab's bulk deletion would take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Doubt {
    /// Tags share their date across the border of `keepN`.
    Tied {
        /// How many of those that were read, at least.
        tags: usize,
        /// The second that they share.
        moment: Timestamp,
    },
    /// Dates decide, and those of some tags say nothing.
    Undated {
        /// How many.
        tags: usize,
    },
}

/// What is known so far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Judgement {
    /// GitLab would keep what the policy keeps.
    Trusted,
    /// It is not known whether it would.
    Doubted(Doubt),
    /// The dates of these tags to the millisecond would tell more.
    Open(Vec<Box<str>>),
}

/// Judges the candidates of a repository: all of them, or the newest, at least `keepN` + 1 with all that share their
/// date with the last of these.
#[must_use]
pub fn judge(candidates: &[TagView<'_>], rule: &Rule, settled: &Settled, now: Timestamp) -> Judgement {
    let keep_n = candidates.len() - removable(candidates.len(), rule);
    let cutoff = rule.older_than.as_ref().map(|age| {
        let then = now.saturating_add(JOB_MAY_WAIT).unwrap_or(now);
        then.checked_sub(age.duration()).unwrap_or(Timestamp::MIN)
    });
    let may_go = |tag: &&TagView<'_>| match (cutoff, tag.pushed.stated()) {
        (None, _) => true,
        (Some(cutoff), date) => date.is_some_and(|date| date < cutoff),
    };
    if keep_n == candidates.len() || !candidates.iter().any(|tag| may_go(&tag)) {
        return Judgement::Trusted;
    }
    let placeholder = |tag: &&TagView<'_>| matches!(tag.pushed, Moment::Placeholder(_));
    let candidates: Vec<TagView<'_>> = candidates.iter().map(|tag| by_gitlabs_clock(*tag, now)).collect();
    let undated = match (keep_n, cutoff) {
        (0, None) => 0,
        (0, Some(_)) => candidates.iter().filter(placeholder).count(),
        _ => candidates.iter().filter(|tag| rank(tag, SortBy::PushedAt, settled).is_err()).count(),
    };
    if undated > 0 {
        return Judgement::Doubted(Doubt::Undated { tags: undated });
    }
    let ranks: Vec<_> = candidates.iter().filter_map(|tag| rank(tag, SortBy::PushedAt, settled).ok()).collect();
    if keep_n == 0 {
        return Judgement::Trusted;
    }
    let standings = standings(ranks.iter(), keep_n);
    let tied: Vec<_> = candidates.iter().zip(&ranks).zip(standings).filter(|(_, at)| *at == Standing::Tied).collect();
    let dates = tied.iter().filter(|((tag, _), _)| may_go(tag)).filter_map(|((tag, _), _)| tag.pushed.stated());
    let Some(moment) = dates.map(to_the_second).max() else { return Judgement::Trusted };
    let once = |tag| pushed_once(tag, SortBy::PushedAt);
    let open = to_read(tied.iter().map(|((tag, rank), _)| (tag.name, once(tag), *rank)), settled);
    if open.is_empty() { Judgement::Doubted(Doubt::Tied { tags: tied.len(), moment }) } else { Judgement::Open(open) }
}

/// The same tag, with a date that lies ahead a little taken for what it is: that of a push a moment ago.
fn by_gitlabs_clock(tag: TagView<'_>, now: Timestamp) -> TagView<'_> {
    let latest = now.saturating_add(CLOCKS_MAY_DIFFER).unwrap_or(now);
    match tag.pushed {
        Moment::Ahead(date) if date <= latest => TagView { pushed: Moment::At(date), ..tag },
        _ => tag,
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tied { tags, moment } => {
                write!(
                    f,
                    "{tags} tags share one moment, {moment}, across the border of keepN, and GitLab would go by their \
                           names: {CAUSE}"
                )
            }
            Self::Undated { tags } => {
                write!(
                    f,
                    "{tags} tags have no date, or one that says nothing (1970 or 1980: reproducible builds), and \
                           GitLab would go by it; keep them by name, or use method Exact, which keeps them"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::tag::{Manifest, Tag};
    use crate::policy::{CompileOptions, Method, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn judged(rule: &Value, dates: &[&str]) -> Judgement {
        let mut rule = rule.clone();
        (rule["name"], rule["nameRegexDelete"]) = (json!("r"), json!(".*"));
        let policy = compile(&spec(&json!({"rules": [rule]})), &CompileOptions::default(), now()).unwrap();
        let Method::Bulk(rule) = policy.method else { unreachable!() };
        let tags: Vec<Tag> = dates
            .iter()
            .enumerate()
            .map(|(place, date)| {
                let pushed = Moment::read(date.parse().ok(), now());
                Tag {
                    name: format!("t{place}").into(),
                    digest: None,
                    pushed,
                    push_told: false,
                    created: pushed,
                    single_image: false,
                    protected: false,
                    bytes: None,
                    manifest: Manifest::default(),
                }
            })
            .collect();
        let views: Vec<TagView<'_>> = tags.iter().map(Tag::view).collect();
        judge(&views, &rule, &Settled::new(), now())
    }

    const OLD: &str = "2026-10-01T00:00:00.5Z";
    const OLDER: &str = "2026-09-01T00:00:00.5Z";
    const YOUNG: &str = "2026-11-22T00:00:00.5Z";
    const NO_DATE: &str = "";

    fn tied(tags: usize) -> Judgement {
        Judgement::Doubted(Doubt::Tied { tags, moment: "2026-10-01T00:00:00Z".parse().unwrap() })
    }

    fn undated(tags: usize) -> Judgement {
        Judgement::Doubted(Doubt::Undated { tags })
    }

    #[rstest]
    #[case::the_order_is_known(json!({"keepN": 1}), &[YOUNG, OLD, OLDER], Judgement::Trusted)]
    #[case::the_border_is_shared(json!({"keepN": 1}), &[OLD, OLD, OLDER], tied(2))]
    #[case::the_border_is_beside(json!({"keepN": 2}), &[OLD, OLD, OLDER], Judgement::Trusted)]
    #[case::all_stay_by_number(json!({"keepN": 3}), &[OLD, OLD, NO_DATE], Judgement::Trusted)]
    #[case::the_border_is_shared_by_young_ones(
        json!({"keepN": 1, "olderThan": "7d"}),
        &[YOUNG, YOUNG, OLD],
        Judgement::Trusted,
    )]
    #[case::no_date_takes_a_slot(json!({"keepN": 1}), &[NO_DATE, OLD], undated(1))]
    #[case::no_date_and_no_slots(json!({"olderThan": "7d"}), &[NO_DATE, OLD], Judgement::Trusted)]
    #[case::dated_1970(json!({"olderThan": "7d"}), &["1970-01-01T00:00:00Z", OLD], undated(1))]
    #[case::dated_1980(json!({"olderThan": "7d"}), &["1980-01-01T00:00:01Z", YOUNG], undated(1))]
    #[case::dated_in_year_1(json!({"olderThan": "7d"}), &["0001-01-01T00:00:00Z", YOUNG], undated(1))]
    #[case::dates_decide_nothing(
        json!({"keepN": 0, "nameRegexKeep": "v.*"}),
        &["1970-01-01T00:00:00Z"],
        Judgement::Trusted,
    )]
    #[case::dated_ahead(json!({"keepN": 1}), &["2027-01-01T00:00:00Z", OLD], undated(1))]
    #[case::clocks_differ(json!({"keepN": 1}), &["2026-11-22T12:01:00Z", OLD], Judgement::Trusted)]
    #[case::of_age_when_the_job_begins(json!({"keepN": 1, "olderThan": "52d12h"}), &[OLD, OLD], tied(2))]
    fn a_repository_is_left_to_gitlab_only_where_it_can_lose_nothing(
        #[case] rule: Value,
        #[case] dates: &[&str],
        #[case] expected: Judgement,
    ) {
        assert_eq!(judged(&rule, dates), expected);
    }

    #[test]
    fn a_tie_of_whole_seconds_is_read_first() {
        let second = "2026-10-01T00:00:00Z";
        let open = Judgement::Open(vec!["t0".into(), "t1".into()]);
        assert_eq!(judged(&json!({"keepN": 1}), &[second, second, second]), open);
    }

    #[test]
    fn what_is_said_fits_into_a_status() {
        let Judgement::Doubted(doubt) = tied(12_345) else { unreachable!() };
        for doubt in [doubt, Doubt::Undated { tags: 12_345 }] {
            assert!(doubt.to_string().len() <= 256, "{} bytes: {doubt}", doubt.to_string().len());
        }
    }
}
