//! The plan as a comment on a merge request, in GitLab's Markdown: a summary, a table of repositories, and the tags of each
//! folded away.
//!
//! Names come from a registry and from a file that anybody may have written. They stand in code spans, where GitLab makes
//! neither links nor mentions of them, or are escaped.

use std::fmt::Write;

use super::{HEADS, Listing, Planned, State, amount, cells, kept, plain, shown, units};

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
    for remark in listing.remarks() {
        let _ = writeln!(text, "- {}", escaped(&remark));
    }
    page.add(&text)
}

/// A row for each repository of which there is something to tell.
fn overview(listing: &Listing, page: &mut Page) -> bool {
    let mut others = 0;
    let mut begun = false;
    for repository in &listing.repositories {
        let numbers = repository.planned().map(|planned| (planned.removals(), planned.inventory.len() as u64, planned));
        let remark = match &repository.state {
            State::Skipped(message) => Some(message.clone()),
            State::Planned(_) | State::Failed(_) => listing.error(repository),
        };
        let cells = match numbers {
            Some((0, ..)) if remark.is_none() && !listing.about.everything => {
                others += 1;
                continue;
            }
            Some((removals, scanned, planned)) => {
                let keep = scanned.saturating_sub(removals);
                let more = if planned.complete { "" } else { "+" };
                format!("{removals} | {keep}{more} | {}", units::size(planned.bytes()))
            }
            None => "| |".to_owned(),
        };
        if !begun {
            begun = true;
            if !page.add("\n| Repository | Remove | Keep | Size | |\n|---|--:|--:|--:|---|\n") {
                return false;
            }
        }
        let remark = remark.map(|remark| cell(&escaped(&remark))).unwrap_or_default();
        if !page.add(&format!("| {} | {cells} | {remark} |\n", cell(&code(&repository.path)))) {
            return false;
        }
    }
    let more = if begun { "more " } else { "" };
    others == 0
        || page.add(&format!(
            "\nNothing would be removed from {}.\n",
            units::of(others, &format!("{more}repository"), &format!("{more}repositories"))
        ))
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
        let whole = tags(listing, planned, page) && page.add(&format!("\nKept: {}\n", kept(planned)));
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
fn escaped(text: &str) -> String {
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
fn code(text: &str) -> String {
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
fn cell(markdown: &str) -> String {
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
