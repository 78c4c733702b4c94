//! What has to be read of a repository's tags for a plan, and what may be concluded from what was read.
//!
//! A plan over everything is always right, and reading everything takes one request for every 20 tags. Where the server
//! sorts by push and every rule has an age, less is enough: the oldest pushes up to the youngest cut-off. What was not
//! read is too young for every rule, and stays. `keepN` needs the names of the others besides, since they take slots.
//!
//! Why this never removes more than the plan over everything:
//!
//! - A tag that was read but is not among the names, which are listed later, is gone. It is left out: it cannot be
//!   removed, and it takes no slot, so that another one stays in its stead.
//! - A name that was not read was pushed later than everything that was read: the pages came in ascending order, each
//!   full, up to the cut-off, and prove that they skipped none of the names (`policy::paging`; registries before 3.87
//!   do skip some). Without that proof everything is read by name, and names and tags must agree: a skipped tag is old,
//!   and would take the slot of one of the newest. Where no names are needed nothing competes, and a tag that was
//!   skipped merely stays. A tag that comes twice proves the pages wrong as well. It takes a slot, as it does in the
//!   plan over everything, and stays. That GitLab may protect it makes no difference, since such a tag takes a slot as
//!   well.
//! - A name that was not read and whose date lies ahead, or that was pushed while the reading went on, takes no slot in
//!   the plan over everything. So the newest pushes are read after the names, back to the moment at which the reading
//!   began, and those found there take none. Of these pages, too, the first is right by itself, and further ones must
//!   prove it.
//! - Should the pages have come to their end before the cut-off, everything claims to have been read. The names are
//!   listed then in any case, and one beyond proves the opposite: the repository fails. So it does where names are
//!   missing altogether.
//! - A name that is missing from the list takes no slot, so that another tag stays in its stead. Fewer competitors
//!   never remove more.
//! - A plan that is made again, as of an earlier moment, keeps what was pushed since; it takes no slot, so that nothing
//!   else loses its own by it.
//! - Dates in whole seconds: a tag goes by its age if all of its second is older, and by its rank if `keepN` others are
//!   newer for certain (`plan::ties`). A name that was not read was pushed no earlier than the cut-off, so that it is
//!   newer for certain than any tag that is old enough to go.
//! - Attachments take no slots, whether they were read or not: their names tell what they are. One goes only where
//!   every tag is known with its digest, so that none can have its subject; a newer tag may. Then reading everything is
//!   what decides ([`TagPlan::wants_all`](super::plan::TagPlan::wants_all)). A tag that was read but is not among the
//!   names is no tag that is known to be gone, as far as attachments are concerned. What GitLab tells of referrers
//!   under other names it tells of tags that are read only: where one of those has some, nothing goes before everything
//!   was read.
//! - A tag that was pushed again in between is ranked as older than it is, so that it keeps no other tag from its
//!   place; that it stays itself is seen to before anything is removed.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::api::SortBy;

use super::age::Age;
use super::compile::Rule;
use super::limits::Limits;
use super::tag::{Manifest, Moment, Tag, to_the_second};

/// What to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Need {
    /// Read in the order of the pushes, the oldest first, up to this moment; `None` = read everything.
    pub until: Option<Timestamp>,
    /// List the names besides.
    pub names: bool,
}

/// Decides what to read. `sorts_by_push` says whether the server can. A limit that is a share of all tags needs the
/// names, too.
#[must_use]
pub fn need(rules: &[Rule], limits: Limits, sorts_by_push: bool, now: Timestamp) -> Need {
    let everything = Need { until: None, names: true };
    let ranked = |rule: &Rule| rule.keep_n.is_some_and(|n| n > 0);
    let by_creation = rules.iter().any(|rule| ranked(rule) && rule.sort_by == SortBy::CreatedAt);
    let cutoff = |age: &Age| to_the_second(now.checked_sub(age.duration()).unwrap_or(Timestamp::MIN));
    let cutoffs: Option<Vec<Timestamp>> = rules.iter().map(|rule| rule.older_than.as_ref().map(cutoff)).collect();
    match cutoffs {
        Some(cutoffs) if sorts_by_push && !by_creation => {
            Need { until: cutoffs.into_iter().max(), names: limits.of_all() || rules.iter().any(ranked) }
        }
        _ => everything,
    }
}

/// What a plan can be made of.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inventory {
    /// Tags that were read.
    pub read: Vec<Tag>,
    /// Names of tags that were not read, because they are newer than every cut-off.
    pub newer: Vec<Box<str>>,
    /// Some tag that was read was not among the names. It is left out: it is probably gone.
    pub lacking: bool,
}

impl Inventory {
    /// Takes note of when some of the tags that were not read were pushed.
    pub fn date(&mut self, pushes: &HashMap<Box<str>, Timestamp>) {
        let (dated, newer) = std::mem::take(&mut self.newer).into_iter().partition(|name| pushes.contains_key(name));
        self.newer = newer;
        self.read.extend(Vec::into_iter(dated).map(|name| Tag {
            pushed: pushes.get(&name).map_or(Moment::Unknown, |pushed| Moment::At(*pushed)),
            push_told: true,
            created: Moment::Unknown,
            digest: None,
            single_image: false,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
            name,
        }));
    }

    /// How many tags are known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read.len() + self.newer.len()
    }

    /// Whether no tag is known of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The names show tags that the reading, which claims to be complete, does not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incomplete;

/// Puts together what was read and the names that were listed after it, if they were. `to_the_end` says that the pages
/// came to their end, not to the cut-off.
///
/// # Errors
/// When the names prove that something was missed, or are missing themselves.
pub fn assemble(read: Vec<Tag>, to_the_end: bool, names: Option<Vec<Box<str>>>) -> Result<Inventory, Incomplete> {
    let Some(names) = names else { return Ok(Inventory { read, ..Inventory::default() }) };
    if names.is_empty() && !read.is_empty() {
        return Err(Incomplete);
    }
    let all = read.len();
    let read: Vec<Tag> = {
        let listed: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
        read.into_iter().filter(|tag| listed.contains(&*tag.name)).collect()
    };
    let newer: Vec<Box<str>> = {
        let known: HashSet<&str> = read.iter().map(|tag| &*tag.name).collect();
        names.into_iter().filter(|name| !known.contains(&**name)).collect()
    };
    if to_the_end && !newer.is_empty() {
        return Err(Incomplete);
    }
    let lacking = read.len() < all;
    Ok(Inventory { read, newer, lacking })
}

/// Whether pushes come in ascending order and are all known, which reading up to a cut-off depends on. `last` is the
/// last push of the page before.
#[must_use]
pub fn ascends(last: Option<Timestamp>, pushes: impl IntoIterator<Item = Option<Timestamp>>) -> bool {
    let mut last = last;
    pushes.into_iter().all(|push| {
        let fits = push.is_some_and(|push| last.is_none_or(|last| last <= push));
        last = push;
        fits
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::Attachments;
    use crate::policy::compile::tests::spec;
    use crate::policy::in_use::tests::{SHA_1, SHA_2, of_shop_web};
    use crate::policy::plan::attachments::{Children, Context};
    use crate::policy::plan::exact::plan;
    use crate::policy::tag_protection::Claims;
    use crate::policy::{CompileOptions, Method, compile};

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn days_ago(days: i64) -> Timestamp {
        Timestamp::from_second(now().as_second() - days * 86_400).unwrap()
    }

    fn rules(rules: &Value) -> Vec<Rule> {
        let spec = spec(&json!({"method": "Exact", "rules": rules}));
        match compile(&spec, &CompileOptions::default(), now()).unwrap().method {
            Method::Exact(rules) => rules,
            Method::Bulk(_) => unreachable!(),
        }
    }

    #[rstest]
    #[case::ages_only(json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d"}]), Some(7), false)]
    #[case::the_youngest_cut_off_counts(
        json!([{"name": "a", "nameRegexDelete": "a.*", "olderThan": "7d"},
            {"name": "b", "nameRegexDelete": ".*", "olderThan": "3d"}]),
        Some(3),
        false,
    )]
    #[case::places_need_names(
        json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 5}]),
        Some(7),
        true,
    )]
    #[case::no_slots_need_no_names(
        json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 0}]),
        Some(7),
        false,
    )]
    #[case::a_rule_without_an_age(json!([{"name": "a", "nameRegexDelete": ".*", "keepN": 5}]), None, true)]
    #[case::ranks_by_creation(
        json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 5, "sortBy": "CreatedAt"}]),
        None,
        true,
    )]
    fn no_more_is_read_than_the_rules_need(#[case] list: Value, #[case] days: Option<i64>, #[case] names: bool) {
        let rules = rules(&list);
        let none = Limits::default();
        assert_eq!(need(&rules, none, true, now()), Need { until: days.map(days_ago), names });
        assert_eq!(need(&rules, none, false, now()), Need { until: None, names: true });
    }

    #[test]
    fn a_share_of_all_tags_can_only_be_told_when_all_are_known() {
        let rules = rules(&json!([{"name": "a", "nameRegexDelete": ".*", "olderThan": "7d"}]));
        let limits = |spec: Value| Limits::new(Some(&serde_json::from_value(spec).unwrap()));
        let names = |spec: Value| need(&rules, limits(spec), true, now()).names;
        assert!(names(json!({"maxPercentPerRepository": 50})));
        assert!(!names(json!({"maxTagsPerRepository": 50, "maxTagsPerRun": 50})));
    }

    #[test]
    fn pages_that_do_not_ascend_or_lack_a_date_are_noticed() {
        let days = |days: &[i64]| days.iter().map(|day| Some(days_ago(*day))).collect::<Vec<_>>();
        assert!(ascends(None, days(&[9, 5, 5, 1])));
        assert!(!ascends(None, days(&[5, 9])));
        assert!(!ascends(Some(days_ago(1)), days(&[5])));
        assert!(!ascends(None, [None]));
    }

    fn tag(name: &str, pushed: i64) -> Tag {
        Tag {
            name: name.into(),
            digest: None,
            pushed: Moment::At(days_ago(pushed)),
            push_told: true,
            created: Moment::At(days_ago(pushed)),
            single_image: false,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
        }
    }

    #[test]
    fn lists_that_contradict_each_other_are_an_error() {
        let names = vec![Box::from("a"), Box::from("b")];
        assert_eq!(assemble(vec![tag("a", 9)], true, Some(names.clone())), Err(Incomplete));
        assert_eq!(assemble(vec![tag("a", 9)], false, Some(names)).unwrap().newer, [Box::from("b")]);
        assert_eq!(assemble(vec![tag("a", 9)], true, Some(Vec::new())), Err(Incomplete));
        assert_eq!(assemble(Vec::new(), true, Some(Vec::new())).unwrap(), Inventory::default());
    }

    #[test]
    fn what_was_read_and_what_was_only_named_are_known_of_and_a_tag_that_is_not_named_is_missed() {
        let of = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect::<Vec<_>>();
        let whole = assemble(vec![tag("a", 9)], false, Some(of(&["a", "b", "c"]))).unwrap();
        assert_eq!((whole.len(), whole.is_empty(), whole.lacking), (3, false, false));
        let lacking = assemble(vec![tag("a", 9), tag("gone", 8)], false, Some(of(&["a", "b"]))).unwrap();
        assert_eq!((lacking.len(), lacking.is_empty(), lacking.lacking), (2, false, true));
        assert!(Inventory::default().is_empty());
    }

    fn removed(inventory: &Inventory, rules: &[Rule], claims: &Claims, with: Attachments) -> HashSet<String> {
        let (children, complete) = (Children::new(), !inventory.lacking);
        let context = Context { with, children: &children, complete };
        plan(inventory.clone(), rules, &[], claims, context, now()).removed().map(|tag| tag.name.to_string()).collect()
    }

    /// Digests of images: the first one is that in use.
    const IMAGES: [&str; 3] = [SHA_1, SHA_2, SHA_3];
    const SHA_3: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";

    /// A tag as the registry has it. Negative days lie ahead.
    #[derive(Clone, Debug)]
    struct There {
        name: String,
        days: i64,
        protected: bool,
        digest: String,
    }

    impl There {
        fn pushed(&self) -> Timestamp {
            days_ago(self.days)
        }

        fn tag(&self) -> Tag {
            let pushed = Moment::read(Some(self.pushed()), now());
            let digest = Some(self.digest.as_str().into());
            let protected = self.protected;
            Tag { pushed, created: pushed, protected, digest, single_image: true, ..tag(&self.name, self.days) }
        }

        /// A signature or the like of one of the images, or of the signature of it.
        fn attached((image, suffix, chained): &(usize, &'static str, bool), days: i64) -> Self {
            let own = |image: usize, suffix: &str| format!("sha256:{:0>64x}", 16 * (image + 1) + suffix.len());
            let of = if *chained { own(*image, ".sig") } else { IMAGES[*image].to_owned() };
            let digest = own(*image, if *chained { "chained" } else { suffix });
            Self { name: format!("{}{suffix}", of.replace(':', "-")), days, protected: false, digest }
        }
    }

    prop_compose! {
        fn registry()(tags in proptest::collection::btree_map("[ab][0-9]{1,2}|v[0-3][.][0-9][.][0-9]",
            (-2_i64..30, any::<bool>(), 0_usize..8), 0..60)) -> Vec<There> {
            // One in eight is the image that may be in use.
            let digest = |image: usize| IMAGES[if image == 0 { 0 } else { 1 + image % 2 }].to_owned();
            let there = |(name, (days, protected, image))| There { name, days, protected, digest: digest(image) };
            tags.into_iter().map(there).collect()
        }
    }

    prop_compose! {
        fn attachments()(tags in proptest::collection::btree_map((0_usize..3,
            prop::sample::select(vec![".sig", ".att", ""]), any::<bool>()), -2_i64..30, 0..10)) -> Vec<There> {
            tags.iter().map(|(what, days)| There::attached(what, *days)).collect()
        }
    }

    proptest! {
        // Each case compiles patterns, which takes most of its time.
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Reads the old end, lets tags vanish, names go missing and new tags appear, and compares with the plan over
        /// what is really there. Some tags are protected by GitLab, or in use by name or digest; some dates lie ahead.
        #[test]
        fn reading_less_never_removes_more(
            images in registry(),
            attachments in attachments(),
            with in prop::sample::select(vec![Attachments::ByRule, Attachments::WithSubject]),
            few in any::<bool>(),
            keep_n in 0_u32..6,
            age in 1_i64..20,
            vanish in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
            missing in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
            meanwhile in proptest::collection::btree_set("[ab][0-9]{3}|v[4-5][.]0[.]0", 0..4),
            sort in prop::sample::select(vec!["PushedAt", "SemVer", "Name"]),
            used in prop::sample::select(vec!["", ":a1", "@"]),
        ) {
            // With few of them it happens that all go.
            let images = images.into_iter().take(if few { 6 } else { usize::MAX });
            let tags: Vec<There> = images.chain(attachments).collect();
            let rules = rules(&json!([
                {"name": "s", "nameRegexDelete": "sha256-.*(sig|att)", "olderThan": format!("{age}d"), "keepN": 1},
                {"name": "a", "nameRegexDelete": "a.*", "olderThan": format!("{age}d"), "keepN": keep_n,
                    "sortBy": sort},
                {"name": "v", "nameRegexDelete": "v.*", "olderThan": format!("{age}d"), "keepN": keep_n, "sortBy": "SemVer"},
                {"name": "b", "nameRegexDelete": "b.*", "olderThan": format!("{age}d"), "keepN": 1,
                    "groupBy": "b([0-9]).*"},
            ]));
            let Need { until, names } = need(&rules, Limits::default(), true, now());
            let until = until.unwrap();
            prop_assert!(names);
            let mut ordered = tags.clone();
            ordered.sort_by_key(|tag| (tag.pushed(), tag.name.clone()));
            let cut = ordered.iter().position(|tag| tag.pushed() >= until);
            let read: Vec<Tag> = ordered.iter().take(cut.map_or(ordered.len(), |cut| cut + 1)).map(There::tag)
                .collect();

            // Some tags vanish between the reading and the list of names, and others appear; some names are missing
            // from it for no reason.
            let chosen = |indices: &[prop::sample::Index]| -> HashSet<&str> {
                indices.iter().filter(|_| !tags.is_empty()).map(|index| tags[index.index(tags.len())].name.as_str())
                    .collect()
            };
            let (gone, lost) = (chosen(&vanish), chosen(&missing));
            let new = meanwhile.into_iter().map(|name|
                There { name, days: 0, protected: false, digest: SHA_2.to_owned() });
            let mut there: Vec<There> = tags.iter().filter(|tag| !gone.contains(tag.name.as_str())).cloned().collect();
            // Where everything was read, a name that nobody read is an error, whatever the reason.
            there.extend(new.filter(|_| cut.is_some()));
            let listed: Vec<Box<str>> =
                there.iter().filter(|tag| !lost.contains(tag.name.as_str())).map(|tag| tag.name.as_str().into())
                    .collect();
            let nothing_left = listed.is_empty() && !read.is_empty();
            let Ok(mut partial) = assemble(read, cut.is_none(), Some(listed)) else {
                prop_assert!(nothing_left);
                return Ok(());
            };
            let since = there.iter().filter(|tag| tag.pushed() >= now())
                .map(|tag| (tag.name.as_str().into(), tag.pushed()));
            partial.date(&since.collect());

            let full = Inventory { read: there.iter().map(There::tag).collect(), ..Inventory::default() };
            let reference = match used {
                "" => None,
                "@" => Some(format!("registry.example.com/shop/web@{SHA_1}")),
                name => Some(format!("registry.example.com/shop/web{name}")),
            };
            let users: Vec<(&str, &str)> = reference.iter().map(|reference| (reference.as_str(), "prod/Pod/a"))
                .collect();
            let decided = |inventory: &Inventory| {
                let known = inventory.read.iter().map(|tag| (&*tag.name, tag.digest.as_deref()));
                removed(inventory, &rules, &Claims::new(of_shop_web(&users), known, false), with)
            };
            let (partial, full) = (decided(&partial), decided(&full));
            prop_assert!(partial.is_subset(&full), "{:?} is more than {:?}", partial, full);
            if gone.is_empty() && lost.is_empty() && used.is_empty() {
                let images = |names: &HashSet<String>| -> HashSet<String> {
                    names.iter().filter(|name| !name.starts_with("sha256-")).cloned().collect()
                };
                prop_assert_eq!(images(&partial), images(&full));
            }
        }
    }
}
