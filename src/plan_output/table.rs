//! The table for a terminal, repository by repository, so that it can be printed as it comes.

use std::fmt::Write;

use super::text::{HEADS, amount, cells, kept, shown};
use super::{Listing, PlanHeader, Planned, Repository, State, Tag};
use crate::terminal::plain;

/// Columns of numbers, which are aligned at their end.
const NUMBERS: [&str; 2] = ["AGE", "SIZE"];

/// What stands above everything.
#[must_use]
pub fn head(about: &PlanHeader) -> String {
    let PlanHeader { policy, gitlab, method, mode, at, .. } = about;
    let (method, mode, at) = (method.as_str(), mode.as_str(), at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    format!("{} on {}: method {method}, mode {mode}, as of {at}\n\n", plain(policy), plain(gitlab))
}

/// One repository.
#[must_use]
pub fn repository(about: &PlanHeader, repository: &Repository) -> String {
    let path = plain(&repository.path);
    match &repository.state {
        State::Failed(message) => format!("{path}: failed: {}\n\n", plain(message)),
        State::Skipped(message) => format!("{path}: skipped: {}\n\n", plain(message)),
        State::Planned(planned) => {
            let mut text = format!("{path}: {}\n", amount(planned));
            if let Some(exceeded) = &planned.exceeded {
                let _ = writeln!(text, "  A run would remove nothing here: {}", exceeded.numbers());
            }
            tags(about, planned, &mut text);
            let _ = writeln!(text, "  Kept: {}\n", kept(planned));
            text
        }
    }
}

/// What stands below everything.
#[must_use]
pub fn foot(listing: &Listing) -> String {
    let mut text = format!("Together: {}.\n", listing.summary());
    for note in listing.notes() {
        let _ = writeln!(text, "Note: {}.", plain(&note.text));
    }
    let _ = writeln!(text, "Plan: {}", listing.plan_hash());
    text
}

fn tags(about: &PlanHeader, planned: &Planned, text: &mut String) {
    let (tags, from) = shown(about, planned);
    if tags.is_empty() {
        return;
    }
    let width_of = |tag: &Tag<'_>| cells(about, tag).map(|cell| cell.chars().count());
    let mut widths = HEADS.map(str::len);
    for tag in &tags {
        for (width, own) in widths.iter_mut().zip(width_of(tag)) {
            *width = own.max(*width);
        }
    }
    row(&HEADS.map(str::to_owned), &widths, from, text);
    for tag in &tags {
        row(&cells(about, tag), &widths, from, text);
    }
}

fn row(cells: &[String; 6], widths: &[usize; 6], from: usize, text: &mut String) {
    for ((cell, width), head) in cells.iter().zip(widths).zip(HEADS).skip(from) {
        let _ =
            if NUMBERS.contains(&head) { write!(text, "  {cell:>width$}") } else { write!(text, "  {cell:<width$}") };
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Retain;
    use super::super::tests::{GOES, YOUNG, about, listing, planned, repository as of, tag};
    use super::*;
    use crate::policy::limits::Exceeded;
    use crate::policy::tag::{Ages, Moment};

    fn table(about: &PlanHeader) -> String {
        let listing = listing(about.clone(), Retain::Everything);
        let repositories: String = listing.repositories.iter().map(|one| repository(about, one)).collect();
        format!("{}{repositories}{}", head(about), foot(&listing))
    }

    #[test]
    fn a_table_lists_what_goes_and_counts_what_stays() {
        let expected = "\
team/shop on https://gitlab.example.com: method Exact, mode Delete, as of 2026-11-22 12:00:00 UTC

shop/api: 2 of 3 tags would be removed, 2.0 MiB
  TAG  REASON       RULE  AGE     SIZE
  t10  RuleMatches  old   10d  1.0 MiB
  t2   RuleMatches  old   20d  1.0 MiB
  Kept: 1 Latest

shop/web: none of 1 tag would be removed
  Kept: 1 TooYoung

shop/old: skipped: it is about to be deleted

shop/odd: failed: GitLab answered 502

Together: 2 of 4 tags in 1 of 4 repositories would be removed, 2.0 MiB.
Note: 1 of 4 repositories failed.
Plan: ";
        let text = table(&about(&json!({})));
        let (before, hash) = text.rsplit_once(": ").unwrap();
        assert_eq!(format!("{before}: "), expected);
        assert_eq!(hash.trim_end().len(), 32);
    }

    #[test]
    fn with_everything_every_tag_is_listed_with_its_verdict() {
        let about = PlanHeader { everything: true, ..about(&json!({})) };
        let text = table(&about);
        let expected = "
  VERDICT  TAG     REASON       RULE  AGE     SIZE
  Remove   t10     RuleMatches  old   10d  1.0 MiB
  Remove   t2      RuleMatches  old   20d  1.0 MiB
  Keep     latest  Latest       -     90d  1.0 MiB
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_was_not_read_or_is_not_known_is_told() {
        let mut plan = planned(vec![tag("t1", 9, GOES), tag("t3", 1, YOUNG)]);
        plan.tags.read[0].tag.pushed = Moment::Unknown;
        plan.tags.read[0].tag.bytes = None;
        plan.complete = false;
        plan.ages = Some(Ages::FirstPush);
        let text = repository(&about(&json!({})), &of(1, "shop/api", State::Planned(plan.clone())));
        assert!(text.starts_with("shop/api: 1 of the 2 oldest tags would be removed, 0 B\n"), "{text}");
        assert!(text.contains("unknown     -\n"), "{text}");
        assert!(
            text.contains("Kept: 1 TooYoung, and all younger ones, which were not read; ages by the first push"),
            "{text}"
        );
        plan.tags.read[0].decision = plan.tags.read[1].decision;
        let text = repository(&about(&json!({})), &of(1, "shop/api", State::Planned(plan)));
        assert!(text.starts_with("shop/api: nothing would be removed\n  Kept: 2 TooYoung, and all younger"), "{text}");
    }

    #[test]
    fn a_fuse_that_would_blow_is_told_where_it_is() {
        let mut plan = planned(vec![tag("t1", 9, GOES)]);
        plan.exceeded = Some(Exceeded::Percent { tags: 1, of: 1, limit: 50 });
        let text = repository(&about(&json!({})), &of(1, "shop/api", State::Planned(plan)));
        let expected =
            "A run would remove nothing here: 1 of 1 tags would go, limits.maxPercentPerRepository allows 50 %";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_gets_there() {
        let path = "shop/\x1b[2J\x07api\r\n";
        let text = repository(&about(&json!({})), &of(1, path, State::Failed("a\x1b[31m".to_owned())));
        assert!(text.trim_end().chars().all(|c| !c.is_control()), "{text:?}");
    }
}
