//! How many of the newest tags have to be known, so that none of the old ones can be among those that stay by their
//! number.
//!
//! A tag that is old enough goes by its number if `keepN` others are newer for certain. Which ones does not matter, and
//! knowing of fewer only keeps more. So it is enough to know as many of the newest as take all places of every rule,
//! and nothing of those in between. Whoever relies on that looks at the plan: where an old tag stays by its number
//! nevertheless, since one in use took no place for example, all names are needed.

use super::attachment;
use super::compile::Rule;
use super::pattern::Pattern;

/// The places of all rules.
pub struct Places<'a> {
    rules: &'a [Rule],
    protect: &'a [Pattern],
    /// Those that are free, by the position of the rule.
    free: Vec<u32>,
}

impl<'a> Places<'a> {
    /// All are free.
    #[must_use]
    pub fn new(rules: &'a [Rule], protect: &'a [Pattern]) -> Self {
        Self { rules, protect, free: rules.iter().map(|rule| rule.keep_n.unwrap_or_default()).collect() }
    }

    /// How many tags have to be known at least.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.free.iter().copied().max().unwrap_or_default()
    }

    /// Takes note of a tag that is newer than every one that is old enough, and takes a place by its name.
    pub fn note(&mut self, name: &str) {
        let stays = name == "latest" || self.protect.iter().any(|pattern| pattern.matches(name));
        if stays || attachment::subject(name).is_some() {
            return;
        }
        let of = self.rules.iter().position(|rule| rule.delete.matches(name));
        let Some((rule, free)) = of.and_then(|of| self.rules.get(of).zip(self.free.get_mut(of))) else { return };
        if !rule.keep.as_ref().is_some_and(|pattern| pattern.matches(name)) {
            *free = free.saturating_sub(1);
        }
    }

    /// Whether all are taken.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.free.iter().all(|free| *free == 0)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, CompiledPolicy, compile};

    fn policy() -> CompiledPolicy {
        let rules = json!([
            {"name": "a", "nameRegexDelete": "a.*", "nameRegexKeep": "a-keep.*", "olderThan": "7d", "keepN": 2},
            {"name": "b", "nameRegexDelete": ".*", "olderThan": "7d", "keepN": 1},
            {"name": "c", "nameRegexDelete": "c.*", "olderThan": "7d"},
        ]);
        let spec = spec(&json!({"method": "Exact", "rules": rules, "protect": {"nameRegex": ["main.*"]}}));
        compile(&spec, &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap()
    }

    const SIGNATURE: &str = "sha256-3333333333333333333333333333333333333333333333333333333333333333.sig";

    #[rstest]
    #[case::none(&[], false)]
    #[case::one_of_two(&["a1", "b1"], false)]
    #[case::each_of_its_rule(&["a1", "a2", "b1"], true)]
    #[case::another_rule_has_none_left(&["a1", "a2", "a3"], false)]
    #[case::kept_by_a_pattern(&["a1", "a-keep-2", "b1"], false)]
    #[case::latest(&["a1", "a2", "latest"], false)]
    #[case::protected(&["a1", "a2", "main-1"], false)]
    #[case::an_attachment(&["a1", "a2", SIGNATURE], false)]
    fn places_are_taken_by_tags_that_compete_for_them(#[case] names: &[&str], #[case] taken: bool) {
        let policy = policy();
        let mut places = Places::new(policy.method.rules(), &policy.protect);
        assert_eq!(places.most(), 2);
        for name in names {
            places.note(name);
        }
        assert_eq!(places.are_taken(), taken);
    }
}
