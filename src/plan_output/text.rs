//! What is said of plans in more than one form: the cells of a table of tags, and the sentences about a repository.

use std::fmt::Write;

use super::{PlanHeader, Planned, Tag, units};
use crate::policy::tag::{Ages, Moment};
use crate::terminal::plain;

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
    let read = planned.tags.read.iter().map(|read| (&*read.tag.name, read.tag.digest.as_ref()));
    if let Some(users) = planned.claims.users_message(read) {
        let _ = write!(text, "; in use: {}", plain(&users));
    }
    for remark in remarks(planned) {
        let _ = write!(text, "; {remark}");
    }
    if let Some(ages) = planned.ages.filter(|ages| ages.remark().is_none() && *ages != Ages::LastPush) {
        let _ = write!(text, "; {}", ages.as_str());
    }
    text
}

/// What there is to say of the tags that stay in a repository, besides why each does.
pub(super) fn remarks(planned: &Planned) -> impl Iterator<Item = String> {
    planned.remarks.iter().cloned().chain(planned.leftover.map(|leftover| leftover.to_string()))
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
