//! The plan of one repository: every tag with what is decided about it, how the tags were read, and what is in use.
//! Here is what GitLab's bulk deletion has to be told of it, and what a message says of it.

use std::collections::BTreeSet;

use super::leftover::Leftover;
use super::{KeepReason, PlannedTag, TagPlan, Verdict, decide_by_name};
use crate::policy::compile::Rule;
use crate::policy::in_use::keep_regex::keep_pattern;
use crate::policy::pattern::Pattern;
use crate::policy::protection_rules::Known;
use crate::policy::source::Source;
use crate::policy::tag_protection::Claims;

/// Every tag of a repository with what is decided about it.
#[derive(Clone, Debug)]
pub struct RepositoryPlan {
    /// The tags and decisions.
    pub tags: TagPlan,
    /// How the tags were read.
    pub source: Source,
    /// What is in use of it.
    pub claims: Claims,
    /// What GitLab's bulk deletion is told to keep though the rule matches it.
    pub leftover: Option<Leftover>,
    /// How much is known of GitLab's protection rules, where they were asked for.
    pub rules: Option<Known>,
}

/// What a bulk deletion has to spare because it is in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spared {
    /// The tags of the repository that are in use.
    pub in_use: BTreeSet<Box<str>>,
    /// The pattern that makes GitLab keep them, and what the policy keeps.
    pub keep: Option<String>,
}

impl RepositoryPlan {
    /// What GitLab has to be told to keep; or why it cannot be told. `keep` is the pattern of what the policy keeps,
    /// `knows_keep` says whether GitLab obeys such a pattern.
    ///
    /// # Errors
    /// Why GitLab cannot be told, in a sentence.
    pub fn spared(
        &self,
        rule: &Rule,
        protect: &[Pattern],
        keep: Option<&str>,
        knows_keep: bool,
    ) -> Result<Spared, String> {
        let mut in_use = BTreeSet::new();
        let told = |name: &str| decide_by_name(name, rule, protect, &BTreeSet::new()).is_none();
        // Also those that the repository does not have, or not yet: they may be pushed before GitLab gets to work.
        let mut to_tell: Vec<&str> = self.claims.of().tags().map(|(name, _)| name).filter(|name| told(name)).collect();
        for PlannedTag { tag, decision, .. } in &self.tags.read {
            if decision.verdict == Verdict::Keep(KeepReason::InUse) {
                in_use.insert(tag.name.clone());
                if told(&tag.name) {
                    to_tell.push(&tag.name);
                }
            } else if self.claims.possible(&tag.name, tag.digest.as_ref(), tag.single_image) && told(&tag.name) {
                let doubt = self.claims.doubt();
                let advice = if self.claims.all_possible() { "" } else { "; method: Exact keeps those alone" };
                return Err(format!("{} and others may be in use: {doubt}{advice}", tag.name));
            }
        }
        if !to_tell.is_empty() && !knows_keep {
            return Err("GitLab before 12.10 cannot be told to keep the tags in use; upgrade it".to_owned());
        }
        match keep_pattern(to_tell, keep) {
            Ok(keep) => Ok(Spared { in_use, keep }),
            Err(error) => Err(format!("{error}; method: Exact keeps them")),
        }
    }

    /// Who uses tags that would go otherwise or not, the first few: `v1.2 by prod/Deployment/web`.
    #[must_use]
    pub fn users(&self) -> Option<String> {
        self.claims.users_message(self.tags.read.iter().map(|PlannedTag { tag, .. }| (&*tag.name, tag.digest.as_ref())))
    }

    /// How many tags stay because they may be in use, and why it is not known.
    #[must_use]
    pub fn doubted(&self) -> Option<(usize, String)> {
        let doubt = Verdict::Keep(KeepReason::MayBeInUse);
        let perhaps = self.tags.iter().filter(|(_, decision)| decision.verdict == doubt).count();
        (perhaps > 0).then(|| (perhaps, self.claims.doubt()))
    }

    /// Why tags stay, with how many: `kept: 12 TooYoung, 5 WithinKeepN, 1 Latest`.
    #[must_use]
    pub fn kept(&self) -> String {
        let reasons = self.tags.kept();
        if reasons.is_empty() { "nothing is kept".to_owned() } else { format!("kept: {reasons}") }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::model::Digest;
    use crate::policy::compile::tests::spec;
    use crate::policy::in_use::tests::{SHA_1, of_shop_web};
    use crate::policy::plan::bulk;
    use crate::policy::source::Extent;
    use crate::policy::tag::{Manifest, Moment, Tag};
    use crate::policy::{CompileOptions, CompiledPolicy, Method, compile};

    fn policy() -> (CompiledPolicy, Rule) {
        let rules = json!([{"name": "old", "nameRegexDelete": "v.*", "keepN": 0}]);
        let spec = spec(&json!({"method": "Bulk", "rules": rules, "protect": {"nameRegex": ["v9"]}}));
        let policy = compile(&spec, &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap();
        let Method::Bulk(rule) = policy.method.clone() else { unreachable!() };
        (policy, *rule)
    }

    fn tag(name: &str, digest: Option<&str>) -> Tag {
        Tag {
            name: name.into(),
            digest: digest.map(Digest::new),
            pushed: Moment::Unknown,
            push_told: false,
            created: Moment::Unknown,
            single_image: false,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
        }
    }

    /// The plan of `v1` to `v3`, `v9` and `main`, where these images are in use.
    fn plan(images: &[&str]) -> RepositoryPlan {
        let (policy, rule) = policy();
        let tags: Vec<Tag> = ["v1", "v2", "v3", "v9", "main"].map(|name| tag(name, None)).into();
        let images: Vec<(&str, &str)> = images.iter().map(|image| (*image, "prod/Pod/a")).collect();
        let claims = Claims::new(of_shop_web(&images), tags.iter().map(|tag| (&*tag.name, None)), false);
        let in_use = tags.iter().map(|tag| tag.name.clone()).filter(|name| claims.certain(name, None).is_some());
        let in_use: BTreeSet<_> = in_use.collect();
        let source =
            Source { graphql: true, ages: None, sorts_by_push: true, extent: Extent::All, at: Timestamp::UNIX_EPOCH };
        let tags = bulk::plan(tags, &rule, &policy.protect, &in_use, source.at);
        RepositoryPlan { tags, source, claims, leftover: None, rules: None }
    }

    fn spared(images: &[&str], keep: Option<&str>, knows_keep: bool) -> Result<Spared, String> {
        let (policy, rule) = policy();
        plan(images).spared(&rule, &policy.protect, keep, knows_keep)
    }

    fn image(tag: &str) -> String {
        format!("registry.example.com/shop/web:{tag}")
    }

    #[test]
    fn where_nothing_is_in_use_gitlab_is_told_what_the_policy_keeps() {
        let nothing = |keep: Option<&str>| Spared { in_use: BTreeSet::new(), keep: keep.map(str::to_owned) };
        assert_eq!(spared(&[], None, true), Ok(nothing(None)));
        assert_eq!(spared(&[], Some("x.*"), false), Ok(nothing(Some("x.*"))));
    }

    #[test]
    fn gitlab_is_told_of_tags_in_use_that_the_rule_would_take_also_of_those_that_are_not_there_yet() {
        let (used, coming, kept_anyway) = (image("v2"), image("v7"), image("main"));
        let spared = spared(&[&used, &coming, &kept_anyway], None, true).unwrap();
        assert_eq!(spared.in_use, BTreeSet::from(["v2".into(), "main".into()]));
        let keep = spared.keep.unwrap();
        assert!(keep.contains("v2") && keep.contains("v7") && !keep.contains("main"), "{keep}");
    }

    #[test]
    fn a_server_that_cannot_be_told_is_left_alone_where_something_is_in_use() {
        assert!(spared(&[&image("v2")], None, false).unwrap_err().contains("before 12.10"));
        assert!(spared(&[&image("main"), &image("v9")], None, false).is_ok(), "the rule takes neither");
    }

    #[test]
    fn what_may_be_in_use_and_would_go_cannot_be_told() {
        let why = spared(&[&format!("registry.example.com/shop/web@{SHA_1}")], None, true).unwrap_err();
        assert!(why.starts_with("v1 and others may be in use: sha256:1111"), "{why}");
        assert!(why.ends_with("; method: Exact keeps those alone"), "{why}");
    }

    #[test]
    fn a_message_names_users_doubts_and_reasons() {
        let plan = plan(&[&image("v2"), &image("main")]);
        assert_eq!(plan.users().unwrap(), "v2 by prod/Pod/a, main by prod/Pod/a");
        assert_eq!(plan.doubted(), None);
        assert_eq!(plan.kept(), "kept: 2 InUse, 1 Protected");
        let none = RepositoryPlan { tags: TagPlan::default(), ..plan };
        assert_eq!((none.kept().as_str(), none.users()), ("nothing is kept", None));
    }
}
