//! What GitLab's bulk deletion leaves although the rule matches it: attachments, all of which it is told to keep.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::Digest;
use crate::policy::attachment::{self, Subject};
use crate::policy::compile::Rule;
use crate::policy::pattern::Pattern;
use crate::policy::tag::Tag;

/// Whether a tag is an attachment that GitLab's bulk deletion would take for an image if it were not told to keep it.
#[must_use]
pub fn spared(name: &str, rule: &Rule, protect: &[Pattern]) -> bool {
    let kept = || protect.iter().chain(&rule.keep).any(|pattern| pattern.matches(name));
    attachment::subject(name).is_some() && rule.delete.matches(name) && !kept()
}

/// How many of these tags are [`spared`] and have a subject that none of them has. `None` where the digest of a tag is
/// not known.
#[must_use]
pub fn orphans(tags: &[Tag], rule: &Rule, protect: &[Pattern]) -> Option<usize> {
    let digests: BTreeSet<&Digest> = tags.iter().map(|tag| tag.digest.as_ref()).collect::<Option<_>>()?;
    let spared = tags.iter().filter(|tag| spared(&tag.name, rule, protect));
    let there = |of: &Subject<'_>| attachment::one_begins(&digests, &of.beginning());
    Some(spared.filter_map(|tag| attachment::subject(&tag.name)).filter(|of| !there(of)).count())
}

/// What GitLab's bulk deletion leaves though the rule matches it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leftover {
    /// Attachments.
    pub attachments: usize,
    /// Those of them whose image is not there, if that is known.
    pub orphans: Option<usize>,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: usize| format!("{number} attachment{}", if number == 1 { "" } else { "s" });
        match self.orphans {
            Some(orphans) => write!(
                f,
                "{} of images that are here and {orphans} of others stay",
                count(self.attachments.saturating_sub(orphans))
            )?,
            None if self.attachments == 1 => f.write_str("1 attachment stays, whether its image is here or not")?,
            None => write!(f, "{} stay, whether their image is here or not", count(self.attachments))?,
        }
        f.write_str(": Bulk keeps all of them, method: Exact removes them with their image")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::tag::{Manifest, Moment};
    use crate::policy::{CompileOptions, compile};

    fn tag(name: &str, digest: Option<String>) -> Tag {
        Tag {
            name: name.into(),
            digest: digest.map(Digest::from),
            pushed: Moment::Unknown,
            push_told: false,
            created: Moment::Unknown,
            single_image: false,
            protected: false,
            bytes: None,
            manifest: Manifest::default(),
        }
    }

    #[test]
    fn attachments_that_the_rule_matches_are_spared_and_those_without_an_image_are_counted() {
        let rules = json!([{"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": ".*att", "keepN": 1}]);
        let changes = json!({"rules": rules, "protect": {"nameRegex": [".*sbom"]}});
        let policy =
            compile(&spec(&changes), &CompileOptions::default(), "2026-11-22T12:00:00Z".parse().unwrap()).unwrap();
        let [rule] = policy.method.rules() else { unreachable!() };
        let sha = |number: u32| format!("sha256:{number:0>64}");
        let of = |number, suffix: &str| tag(&format!("{}{suffix}", sha(number).replace(':', "-")), Some(sha(70)));
        let tags = [tag("v1", Some(sha(1))), of(1, ".sig"), of(8, ".sig"), of(8, ".att"), of(8, ".sbom")];
        let names: Vec<bool> = tags.iter().map(|tag| spared(&tag.name, rule, &policy.protect)).collect();
        assert_eq!(names, [false, true, true, false, false]);
        assert_eq!(orphans(&tags, rule, &policy.protect), Some(1));
        assert_eq!(orphans(&[tag("v1", None), of(1, ".sig")], rule, &policy.protect), None);
    }

    #[test]
    fn what_is_left_is_told_with_what_would_remove_it() {
        let told = |attachments, orphans| Leftover { attachments, orphans }.to_string();
        let why = ": Bulk keeps all of them, method: Exact removes them with their image";
        assert_eq!(told(3, Some(1)), format!("2 attachments of images that are here and 1 of others stay{why}"));
        assert_eq!(told(1, None), format!("1 attachment stays, whether its image is here or not{why}"));
        assert_eq!(told(2, None), format!("2 attachments stay, whether their image is here or not{why}"));
    }
}
