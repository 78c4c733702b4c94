//! Approvals: what names a plan, and what changed when it is no longer the one that was approved.
//!
//! A plan is named by what it would remove and by the generation of the spec, and by nothing else: made again over the
//! same registry as of the same moment it has the same name, whatever was pushed meanwhile.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::api::RepositoryStatus;

use super::repository_outcome::Outcome;

/// Characters of a plan's hash: 128 bits, so that nobody finds another plan for it, and short enough to be typed.
const HASH_CHARACTERS: usize = 32;
/// Most repositories that an explanation of a difference names.
const MAX_DIFFERENCES: usize = 3;

/// One tag that a plan removes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Item<'a> {
    /// Full path of the repository.
    pub repository: &'a str,
    /// Name of the tag.
    pub name: &'a str,
    /// The digest it points at, if that is known.
    pub digest: Option<&'a str>,
}

/// The hash of a plan: 32 hexadecimal digits, the same for every order of the tags.
#[must_use]
pub fn plan_hash<'a>(generation: i64, items: impl IntoIterator<Item = Item<'a>>) -> String {
    let mut items: Vec<Item<'_>> = items.into_iter().collect();
    items.sort_unstable();
    let mut hasher = Sha256::new();
    hasher.update(generation.to_be_bytes());
    for item in items {
        // Neither paths, names nor digests can contain a line feed or a space.
        for part in [item.repository, " ", item.name, " ", item.digest.unwrap_or("-"), "\n"] {
            hasher.update(part.as_bytes());
        }
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(HASH_CHARACTERS);
    text
}

/// What is different from when the plan was proposed, as far as the status from then tells: "shop/api: 12 → 11 tags".
#[must_use]
pub fn differences(before: &[RepositoryStatus], now: &[Outcome]) -> String {
    let mut found = Vec::new();
    for outcome in now {
        let was = before.iter().find(|old| old.id == outcome.id).map(|old| old.tags.matched);
        match was {
            Some(was) if was != outcome.tags.matched => {
                found.push(format!("{}: {was} → {} tags", outcome.path, outcome.tags.matched));
            }
            None if outcome.tags.matched > 0 => found.push(format!("{}: {} tags", outcome.path, outcome.tags.matched)),
            _ => {}
        }
    }
    let gone = before.iter().filter(|old| old.tags.matched > 0 && !now.iter().any(|outcome| outcome.id == old.id));
    found.extend(gone.map(|old| format!("{}: {} → 0 tags", old.path, old.tags.matched)));
    let more = found.len().saturating_sub(MAX_DIFFERENCES);
    found.truncate(MAX_DIFFERENCES);
    match (found.is_empty(), more) {
        (true, _) => "as many tags as before, but not the same, or other digests".to_owned(),
        (false, 0) => found.join(", "),
        (false, more) => format!("{}, and {more} more", found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::{RepositoryResult, TagCounts};

    fn item<'a>(repository: &'a str, name: &'a str, digest: Option<&'a str>) -> Item<'a> {
        Item { repository, name, digest }
    }

    #[test]
    fn everything_that_would_be_removed_and_the_generation_are_part_of_the_name() {
        let one = [item("a/b", "v1", Some("sha256:1"))];
        let hash = plan_hash(1, one);
        assert_eq!(hash.len(), HASH_CHARACTERS);
        for other in [
            plan_hash(2, one),
            plan_hash(1, [item("a/c", "v1", Some("sha256:1"))]),
            plan_hash(1, [item("a/b", "v2", Some("sha256:1"))]),
            plan_hash(1, [item("a/b", "v1", Some("sha256:2"))]),
            plan_hash(1, [item("a/b", "v1", None)]),
            plan_hash(1, [one[0], item("a/b", "v2", None)]),
            plan_hash(1, []),
        ] {
            assert_ne!(other, hash);
        }
    }

    proptest! {
        #[test]
        fn the_order_of_the_tags_is_no_part_of_the_name(mut names in proptest::collection::vec("[a-z]{1,3}", 0..20), turn in 0_usize..20) {
            let before = plan_hash(7, names.iter().map(|name| item("a/b", name, None)));
            if !names.is_empty() {
                let by = turn % names.len();
                names.rotate_left(by);
            }
            names.reverse();
            prop_assert_eq!(plan_hash(7, names.iter().map(|name| item("a/b", name, None))), before);
        }
    }

    fn before(id: u64, matched: u64) -> RepositoryStatus {
        serde_json::from_value(
            json!({"path": format!("shop/r{id}"), "id": id, "result": "Changed", "tags": {"matched": matched}}),
        )
        .unwrap()
    }

    fn now(id: u64, matched: u64) -> Outcome {
        let tags = TagCounts { matched, ..TagCounts::default() };
        Outcome { tags, ..Outcome::new(&format!("shop/r{id}"), id, RepositoryResult::Changed, None) }
    }

    #[test]
    fn a_difference_names_the_repositories_with_their_numbers() {
        let text = differences(&[before(1, 12), before(2, 5), before(3, 1)], &[now(1, 11), now(2, 5), now(4, 2)]);
        assert_eq!(text, "shop/r1: 12 → 11 tags, shop/r4: 2 tags, shop/r3: 1 → 0 tags");
        let many: Vec<Outcome> = (0..9).map(|id| now(id, 1)).collect();
        assert!(differences(&[], &many).ends_with(", and 6 more"));
        assert!(differences(&[before(1, 3)], &[now(1, 3)]).starts_with("as many tags"));
    }
}
