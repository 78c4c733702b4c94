//! The plan as a comment on a merge request, in GitLab's Markdown: a summary, a table of repositories, and the tags of
//! each folded away.
//!
//! Names come from a registry and from a file that anybody may have written. They stand in code spans, where GitLab
//! makes neither links nor mentions of them, or are escaped.

use std::fmt::Write;

use super::text::{HEADS, amount, cells, kept, shown};
use super::{Listing, Planned, Repository, State, units};
use crate::terminal::plain;

/// GitLab behaviour: a note has at most 1,000,000 characters.
pub const MAX_CHARACTERS: usize = 1_000_000;
/// Kept free for what closes an unfinished part.
const RESERVE: usize = 300;

/// The whole comment, of at most so many characters. What does not fit is left away, and a line says so.
#[must_use]
pub fn comment(listing: &Listing, most: usize) -> String {
    let mut page = Page { text: String::new(), free: most.saturating_sub(RESERVE) };
    if !(head(listing, &mut page) && overview(listing, &mut page) && details(listing, &mut page)) {
        page.text
            .push_str("\nThe rest is left away, because a comment cannot be longer; `-o json` shows everything.\n");
    }
    page.text
}

/// Text that ends before it is too long.
struct Page {
    text: String,
    free: usize,
}

impl Page {
    /// Adds a piece as a whole, or says that it does not fit.
    fn add(&mut self, piece: &str) -> bool {
        let Some(free) = self.free.checked_sub(piece.chars().count()) else { return false };
        self.free = free;
        self.text.push_str(piece);
        true
    }
}

fn head(listing: &Listing, page: &mut Page) -> bool {
    let about = &listing.about;
    let mut text = format!("**Registry cleanup: {}.**\n\n", listing.summary());
    let _ = writeln!(
        text,
        "Policy {} on {}, method {}, mode {}, as of {}, plan {}.\n",
        code(&about.policy),
        code(&about.gitlab),
        about.method.as_str(),
        about.mode.as_str(),
        about.at.strftime("%Y-%m-%d %H:%M UTC"),
        code(&listing.plan_hash()),
    );
    for note in listing.notes() {
        let _ = writeln!(text, "- {}", escaped(&note.text));
    }
    page.add(&text)
}

/// A row for each repository of which there is something to tell.
fn overview(listing: &Listing, page: &mut Page) -> bool {
    let rows: Vec<String> = listing.repositories.iter().filter_map(|repository| row(listing, repository)).collect();
    let others = listing.repositories.len() - rows.len();
    let head = "\n| Repository | Remove | Keep | Size | Remark |\n|---|--:|--:|--:|---|\n";
    let whole = rows.is_empty() || (page.add(head) && rows.iter().all(|row| page.add(row)));
    if !whole {
        return false;
    }
    let more = if rows.is_empty() { "" } else { "more " };
    let places = units::of(others as u64, &format!("{more}repository"), &format!("{more}repositories"));
    others == 0 || page.add(&format!("\nNothing would be removed from {places}.\n"))
}

fn row(listing: &Listing, repository: &Repository) -> Option<String> {
    let remark = match &repository.state {
        State::Skipped(message) => Some(message.clone()),
        State::Planned(_) | State::Failed(_) => listing.error(repository),
    };
    let numbers = match repository.planned() {
        Some(planned) => {
            let removals = planned.tags.removals();
            if removals == 0 && remark.is_none() && !listing.about.everything {
                return None;
            }
            let keep = (planned.tags.len() as u64).saturating_sub(removals);
            let more = if planned.complete { "" } else { "+" };
            format!("{removals} | {keep}{more} | {}", units::size(planned.tags.bytes()))
        }
        None => "| |".to_owned(),
    };
    let remark = remark.map(|remark| cell(&escaped(&remark)) + " ").unwrap_or_default();
    Some(format!("| {} | {numbers} | {remark}|\n", cell(&code(&repository.path))))
}

/// The tags of each repository, folded away.
fn details(listing: &Listing, page: &mut Page) -> bool {
    for repository in &listing.repositories {
        let Some(planned) = repository.planned() else { continue };
        if shown(&listing.about, planned).0.is_empty() {
            continue;
        }
        let path = html(&repository.path);
        let begin = format!("\n<details><summary><code>{path}</code>: {}</summary>\n\n", amount(planned));
        if !page.add(&begin) {
            return false;
        }
        let whole = tags(listing, planned, page) && page.add(&format!("\nKept: {}\n", escaped(&kept(planned))));
        // For this there is always room.
        page.text.push_str("\n</details>\n");
        if !whole {
            return false;
        }
    }
    true
}

fn tags(listing: &Listing, planned: &Planned, page: &mut Page) -> bool {
    let (tags, from) = shown(&listing.about, planned);
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let titles = HEADS.iter().skip(from).map(|head| title(head)).collect();
    let rules =
        HEADS.iter().skip(from).map(|head| if matches!(*head, "AGE" | "SIZE") { "--:" } else { "---" }.to_owned());
    if !(page.add(&line(titles)) && page.add(&line(rules.collect()))) {
        return false;
    }
    tags.iter().all(|tag| {
        let cells = cells(&listing.about, tag).into_iter().zip(HEADS).skip(from);
        let in_markdown = cells.map(|(text, head)| match head {
            "TAG" | "RULE" if text != "-" => cell(&code(&text)),
            _ => cell(&escaped(&text)),
        });
        page.add(&line(in_markdown.collect()))
    })
}

/// `TAG` as `Tag`.
fn title(head: &str) -> String {
    let mut letters = head.chars();
    letters.next().into_iter().chain(letters.flat_map(char::to_lowercase)).collect()
}

/// Text in which nothing is Markdown.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in plain(text).chars() {
        match c {
            // The last line: GitLab makes references and mentions of them, unless a backslash stands before.
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '@' | '!' | '#' | '$' | '%' | '^' | '&' | '~' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// A code span, whatever is in it.
pub(super) fn code(text: &str) -> String {
    let text = plain(text);
    if text.is_empty() {
        return text;
    }
    let fence = "`".repeat(longest_run(&text) + 1);
    let space = if fence.len() > 1 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// Markdown in a cell of a table, where a bar ends the cell even inside a code span.
pub(super) fn cell(markdown: &str) -> String {
    let mut safe = String::new();
    let mut escaped = false;
    for c in markdown.chars() {
        if c == '|' && !escaped {
            safe.push('\\');
        }
        escaped = c == '\\' && !escaped;
        safe.push(c);
    }
    safe
}

/// Text inside of HTML.
fn html(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::tests::{GOES, YOUNG, about, listing, planned, repository, tag};
    use super::super::{PlanHeader, Retain};
    use super::*;

    #[test]
    fn a_comment_has_a_summary_a_table_of_repositories_and_the_tags_folded_away() {
        let text = comment(&listing(about(&json!({})), Retain::Everything), MAX_CHARACTERS);
        let hash = listing(about(&json!({})), Retain::Everything).plan_hash();
        let expected = format!(
            "**Registry cleanup: 2 of 4 tags in 1 of 4 repositories would be removed, 2.0 MiB.**

Policy `team/shop` on `https://gitlab.example.com`, method Exact, mode Delete, as of 2026-11-22 12:00 UTC, plan `{hash}`.

- 1 of 4 repositories failed

| Repository | Remove | Keep | Size | Remark |
|---|--:|--:|--:|---|
| `shop/api` | 2 | 1 | 2.0 MiB | |
| `shop/old` | | | | it is about to be deleted |
| `shop/odd` | | | | GitLab answered 502 |

Nothing would be removed from 1 more repository.

<details><summary><code>shop/api</code>: 2 of 3 tags would be removed, 2.0 MiB</summary>

| Tag | Reason | Rule | Age | Size |
| --- | --- | --- | --: | --: |
| `t10` | RuleMatches | `old` | 10d | 1.0 MiB |
| `t2` | RuleMatches | `old` | 20d | 1.0 MiB |

Kept: 1 Latest

</details>
"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn with_everything_the_kept_tags_are_there_as_well() {
        let about = PlanHeader { everything: true, ..about(&json!({})) };
        let text = comment(&listing(about, Retain::Everything), MAX_CHARACTERS);
        assert!(text.contains("| Keep | `latest` | Latest | - | 90d | 1.0 MiB |"), "{text}");
        assert!(text.contains("<code>shop/web</code>: none of 1 tag would be removed"), "{text}");
        assert!(!text.contains("more repositor"), "{text}");
    }

    #[test]
    fn where_nothing_goes_a_comment_is_short() {
        let mut nothing = Listing::new(about(&json!({})));
        nothing.add(repository(1, "shop/api", State::Planned(planned(vec![tag("t1", 1, YOUNG)]))), Retain::Everything);
        let text = comment(&nothing, MAX_CHARACTERS);
        assert!(text.starts_with("**Registry cleanup: none of 1 tag in 1 repository would be removed.**\n"), "{text}");
        assert!(text.ends_with("\nNothing would be removed from 1 repository.\n"), "{text}");
        assert!(!text.contains("| Repository"), "{text}");
    }

    #[rstest]
    #[case("a|b", "a\\|b")]
    #[case("*a* _b_ `c` <i>&amp;", "\\*a\\* \\_b\\_ \\`c\\` \\<i\\>\\&amp;")]
    #[case("@all #1 !2 ~bug %m $s ^", "\\@all \\#1 \\!2 \\~bug \\%m \\$s \\^")]
    #[case("[x](y)\n- z", "\\[x\\](y) - z")]
    fn text_stays_text(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(escaped(text), expected);
        assert_eq!(cell(&escaped(text)), expected, "what is escaped is not escaped again");
    }

    #[rstest]
    #[case("v1", "`v1`")]
    #[case("a`b", "`` a`b ``")]
    #[case("``", "``` `` ```")]
    #[case("a|b", "`a\\|b`")]
    #[case("a\\|b", "`a\\|b`")]
    #[case("a\\\\|b", "`a\\\\\\|b`")]
    #[case("a\nb", "`a b`")]
    #[case("", "")]
    fn a_name_in_a_cell_stays_a_name(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(cell(&code(text)), expected);
    }

    #[test]
    fn names_from_outside_cannot_end_what_they_stand_in() {
        let path = "a</code></summary><b>`|`\n\n# x";
        let mut odd = Listing::new(PlanHeader { policy: "x`\n\n# y @all".to_owned(), ..about(&json!({})) });
        odd.add(repository(1, path, State::Planned(planned(vec![tag("t1", 9, GOES)]))), Retain::Everything);
        let text = comment(&odd, MAX_CHARACTERS);
        assert!(text.contains("<code>a&lt;/code&gt;&lt;/summary&gt;&lt;b&gt;`|`  # x</code>"), "{text}");
        assert!(text.contains("Policy `` x`  # y @all ``"), "{text}");
        assert!(text.contains("| `` a</code></summary><b>`\\|`  # x `` | 1 |"), "{text}");
        assert!(!text.contains("\n# "), "{text}");
    }

    #[test]
    fn a_comment_that_would_be_too_long_is_cut_between_two_rows_and_says_so() {
        let mut long = Listing::new(about(&json!({})));
        for number in 0..30 {
            let tags = (0..40).map(|tag_number| tag(&format!("t{tag_number}"), 9, GOES)).collect();
            long.add(repository(number, &format!("shop/r{number}"), State::Planned(planned(tags))), Retain::Everything);
        }
        let whole = comment(&long, MAX_CHARACTERS);
        assert!(!whole.contains("The rest is left away"));
        for most in [600, 1_000, 2_000, 2_500, 5_000, 20_000] {
            let text = comment(&long, most);
            assert!(text.chars().count() <= most, "{} of {most}", text.chars().count());
            assert!(text.ends_with(
                "\nThe rest is left away, because a comment cannot be longer; `-o json` shows everything.\n"
            ));
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
            assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| line.ends_with('|')), "{text}");
        }
        assert!(comment(&long, 5_000).contains("shop/r29"), "the overview comes first");
    }
}
