//! Approvals: what names a plan, and what changed when it is no longer the one that was approved.
//!
//! A plan is named by what it would remove and by the generation of the spec, and by nothing else: made again over the
//! same registry as of the same moment it has the same name, whatever was pushed meanwhile.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use sha2::{Digest as _, Sha256};

use crate::api::conditions::shorten;
use crate::api::limits::{MARK_DIGITS, MAX_MARKS};
use crate::api::{APPROVE, ApprovedPlan, RepositoryStatus};
use crate::model::Digest;

use super::repository_outcome::Outcome;

/// Characters of a plan's hash: 128 bits, so that nobody finds another plan for it, and short enough to be typed.
const HASH_CHARACTERS: usize = 32;
/// Longest name of a field manager that is told, in bytes; Kubernetes allows no more characters.
const MAX_MANAGER: usize = 128;
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
    pub digest: Option<&'a Digest>,
}

/// The hash of a plan: 32 hexadecimal digits, the same for every order of the tags.
#[must_use]
pub fn plan_hash<'a>(generation: i64, items: impl IntoIterator<Item = Item<'a>>) -> String {
    let mut items: Vec<Item<'_>> = items.into_iter().collect();
    items.sort_unstable();
    let mut hasher = Sha256::new();
    hasher.update(generation.to_be_bytes());
    for item in items {
        let digest = item.digest.map(Digest::text);
        // Neither paths, names nor digests can contain a line feed or a space.
        for part in [item.repository, " ", item.name, " ", digest.as_deref().unwrap_or("-"), "\n"] {
            hasher.update(part.as_bytes());
        }
    }
    hexadecimal(&hasher.finalize(), HASH_CHARACTERS)
}

/// What tells later whether a tag belongs to a plan, when some of it are gone: a mark of each. `None` where there are
/// too many.
#[must_use]
pub fn tag_marks<'a>(hash: &str, items: impl IntoIterator<Item = Item<'a>>) -> Option<String> {
    let mut marks: Vec<String> = items.into_iter().map(|item| mark(hash, item)).collect();
    if marks.len() > MAX_MARKS {
        return None;
    }
    marks.sort_unstable();
    Some(marks.concat())
}

/// Whether all of these tags belong to an approved plan of which some may be gone. Of a plan without marks nothing is
/// known but its hash.
#[must_use]
pub fn is_within<'a>(plan: &ApprovedPlan, items: impl IntoIterator<Item = Item<'a>>) -> bool {
    let marks = plan.tag_marks.as_deref().unwrap_or_default();
    let known: BTreeSet<&[u8]> = marks.as_bytes().chunks_exact(MARK_DIGITS).collect();
    items.into_iter().all(|item| known.contains(mark(&plan.plan_hash, item).as_bytes()))
}

fn mark(hash: &str, item: Item<'_>) -> String {
    let mut hasher = Sha256::new();
    let digest = item.digest.map(Digest::text);
    for part in [hash, " ", item.repository, " ", item.name, " ", digest.as_deref().unwrap_or("-")] {
        hasher.update(part.as_bytes());
    }
    hexadecimal(&hasher.finalize(), MARK_DIGITS)
}

fn hexadecimal(bytes: &[u8], characters: usize) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(characters);
    text
}

/// Who approved of a plan, as far as the API server tells: which tool, and when. Who used it is in the API server's own
/// audit log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approver {
    /// The field manager of the annotation: `kubectl-annotate`, `argocd-server`.
    pub manager: String,
    /// When it wrote last.
    pub time: Option<Timestamp>,
}

impl Approver {
    /// From an object's `metadata.managedFields`.
    #[must_use]
    pub fn of(managed: &[ManagedFieldsEntry]) -> Option<Self> {
        // https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
        let key = format!("/f:metadata/f:annotations/f:{}", APPROVE.replace('/', "~1"));
        let has_it = |entry: &&ManagedFieldsEntry| {
            entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&key).is_some())
        };
        let entry = managed.iter().filter(has_it).max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
        let name = entry.manager.as_deref().filter(|name| !name.is_empty())?;
        Some(Self { manager: shorten(name, MAX_MANAGER), time: entry.time.as_ref().map(|time| time.0) })
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.manager)?;
        self.time.map_or(Ok(()), |time| write!(f, " at {time}"))
    }
}

/// What is said of a plan that was approved.
#[must_use]
pub fn approved_sentence(plan_hash: &str, approver: Option<&Approver>) -> String {
    let by = approver.map_or_else(|| "somebody".to_owned(), ToString::to_string);
    format!("plan {plan_hash} was approved by {by}")
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
    use crate::policy::in_use::tests::some;

    fn item<'a>(repository: &'a str, name: &'a str, digest: Option<&str>) -> Item<'a> {
        Item { repository, name, digest: digest.and_then(some) }
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
        fn the_order_of_the_tags_is_no_part_of_the_name(mut names in proptest::collection::vec("[a-z]{1,3}", 0..20),
            turn in 0_usize..20) {
            let before = plan_hash(7, names.iter().map(|name| item("a/b", name, None)));
            if !names.is_empty() {
                let by = turn % names.len();
                names.rotate_left(by);
            }
            names.reverse();
            prop_assert_eq!(plan_hash(7, names.iter().map(|name| item("a/b", name, None))), before);
        }
    }

    #[test]
    fn the_approver_is_the_manager_that_wrote_the_annotation_last() {
        let entry = |manager: &str, time: Option<&str>, key: &str| -> ManagedFieldsEntry {
            let fields = json!({"f:metadata": {"f:annotations": {key: {}}}});
            serde_json::from_value(json!({"manager": manager, "time": time, "fieldsV1": fields})).unwrap()
        };
        let approve = "f:registrycleanup.dev/approve";
        let entries = [
            entry("argocd", Some("2026-11-22T12:00:00Z"), approve),
            entry("kubectl-annotate", Some("2026-11-22T13:00:00Z"), approve),
            entry("flux", Some("2026-11-22T14:00:00Z"), "f:registrycleanup.dev/run-requested-at"),
        ];
        let told = |entries: &[ManagedFieldsEntry]| Approver::of(entries).map(|approver| approver.to_string());
        assert_eq!(told(&entries).as_deref(), Some("kubectl-annotate at 2026-11-22T13:00:00Z"));
        assert_eq!(told(&entries[2..]), None);
        assert_eq!(told(&[entry("curl", None, approve)]).as_deref(), Some("curl"));
        assert_eq!(told(&[entry("", None, approve)]), None);
        assert_eq!(approved_sentence("4f2a", None), "plan 4f2a was approved by somebody");
    }

    #[test]
    fn a_tag_belongs_to_an_approved_plan_by_repository_name_and_digest_and_by_nothing_less() {
        let all = [item("a/b", "v1", Some("sha256:1")), item("a/b", "v2", Some("sha256:2")), item("a/c", "v1", None)];
        let plan = |tag_marks| ApprovedPlan {
            plan_hash: "4f2a".to_owned(),
            time: serde_json::from_value(json!("1970-01-01T00:00:00Z")).unwrap(),
            tag_marks,
        };
        let marked = plan(tag_marks("4f2a", all));
        assert_eq!(marked.tag_marks.as_ref().unwrap().len(), all.len() * MARK_DIGITS);
        assert!(is_within(&marked, all));
        assert!(is_within(&marked, [all[2], all[0]]));
        assert!(is_within(&marked, []));
        for other in [
            item("a/c", "v2", Some("sha256:2")),
            item("a/b", "v3", Some("sha256:1")),
            item("a/b", "v1", Some("sha256:2")),
            item("a/b", "v1", None),
        ] {
            assert!(!is_within(&marked, [all[0], other]), "{other:?}");
        }
        assert!(!is_within(&plan(tag_marks("another", all)), all), "marks of another plan");
        assert!(!is_within(&plan(None), all), "nothing is known");
        assert!(is_within(&plan(None), []), "nothing is left");
        let names: Vec<String> = (0..=MAX_MARKS).map(|number| number.to_string()).collect();
        assert_eq!(tag_marks("4f2a", names.iter().map(|name| item("a/b", name, None))), None, "too many");
        let most = tag_marks("4f2a", names.iter().skip(1).map(|name| item("a/b", name, None)));
        assert_eq!(most.map(|marks| marks.len()), Some(30_000));
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
        assert!(
            differences(&[before(1, 0)], &[now(2, 0)]).starts_with("as many tags"),
            "nothing was or is to go there"
        );
    }
}
