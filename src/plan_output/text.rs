//! What is said of plans in more than one form: the cells of a table of tags, and the sentences about a repository.

use std::fmt::Write;

use super::{PlanHeader, Planned, Tag, units};
use crate::policy::tag::{Ages, Moment};

/// Text from outside on one line of a terminal: without characters that would do something there, turn the direction of
/// what follows, or be there without being seen.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_unseen(c) { ' ' } else { c }).collect()
}

/// The characters of Unicode's category Cf, and others that take no place.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The heads of a table of tags; the first one only where tags of both verdicts are in it.
pub(super) const HEADS: [&str; 6] = ["VERDICT", "TAG", "REASON", "RULE", "AGE", "SIZE"];

/// What a table says of a tag, in the order of the heads.
pub(super) fn cells(about: &PlanHeader, tag: &Tag<'_>) -> [String; 6] {
    let age = match tag.pushed {
        Moment::At(date) => units::age(about.at.duration_since(date)),
        Moment::Unknown | Moment::Placeholder(_) | Moment::Ahead(_) => "unknown".to_owned(),
        Moment::Newer => "-".to_owned(),
    };
    let reason = tag.decision.verdict.reason();
    [
        tag.decision.verdict.as_str().to_owned(),
        plain(tag.name),
        tag.users
            .as_ref()
            .map_or_else(|| reason.to_owned(), |users| format!("{reason} by {}", plain(&users.to_string()))),
        about.rule(tag.decision).map_or_else(|| "-".to_owned(), plain),
        age,
        tag.bytes.map_or_else(|| "-".to_owned(), units::size),
    ]
}

/// Which tags of a repository a table shows, and from which column on.
pub(super) fn shown<'a>(about: &PlanHeader, planned: &'a Planned) -> (Vec<Tag<'a>>, usize) {
    let mut tags = planned.tags();
    if !about.everything {
        tags.retain(Tag::goes);
    }
    (tags, usize::from(!about.everything))
}

/// Why tags stay, who uses them, what was not looked at, and what ages are by.
pub(super) fn kept(planned: &Planned) -> String {
    let mut parts = vec![planned.tags.kept()];
    if !planned.complete {
        parts.push("all younger ones, which were not read".to_owned());
    }
    parts.retain(|part| !part.is_empty());
    let mut text = if parts.is_empty() { "none".to_owned() } else { parts.join(", and ") };
    let read = planned.tags.read.iter().map(|read| (&*read.tag.name, read.tag.digest.as_deref()));
    if let Some(users) = planned.claims.users_message(read) {
        let _ = write!(text, "; in use: {}", plain(&users));
    }
    for remark in &planned.remarks {
        let _ = write!(text, "; {remark}");
    }
    if let Some(leftover) = planned.leftover {
        let _ = write!(text, "; {leftover}");
    }
    if let Some(ages) = planned.ages.filter(|ages| ages.remark().is_none() && *ages != Ages::LastPush) {
        let _ = write!(text, "; {}", ages.as_str());
    }
    text
}

/// How much of a repository would go: "6 of 50 tags would be removed, 70.0 MiB".
pub(super) fn amount(planned: &Planned) -> String {
    let scanned = planned.tags.len() as u64;
    let of = if planned.complete {
        units::of(scanned, "tag", "tags")
    } else {
        units::of(scanned, "oldest tag", "oldest tags")
    };
    match (planned.tags.removals(), planned.complete) {
        (0, true) => format!("none of {of} would be removed"),
        (0, false) => "nothing would be removed".to_owned(),
        (removals, true) => format!("{removals} of {of} would be removed, {}", units::size(planned.tags.bytes())),
        (removals, false) => format!("{removals} of the {of} would be removed, {}", units::size(planned.tags.bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_or_hides_reaches_a_terminal() {
        for odd in
            ["\u{1b}", "\n", "\u{7f}", "\u{9b}", "\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "\u{ad}", "\u{e0041}"]
        {
            assert_eq!(plain(&format!("a{odd}b")), "a b", "{odd:?}");
        }
        assert_eq!(plain("größe – v1.0 日本"), "größe – v1.0 日本");
    }
}
