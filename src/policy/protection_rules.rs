//! What GitLab's own rules protect in a project, as far as they are known. They only ever make a plan keep more: what
//! is not known is left to GitLab, which refuses what it protects.

use super::pattern::Pattern;

/// How much is known of the rules.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Known {
    /// All of them.
    All,
    /// All but the immutable ones.
    ButImmutable,
    /// Not all.
    No,
}

impl Known {
    /// What is said once of a plan, where something is not known.
    #[must_use]
    pub const fn remark(self) -> Option<&'static str> {
        match self {
            Self::All => None,
            Self::ButImmutable => {
                Some("immutable protection rules not known, so GitLab may keep some of the tags that would go")
            }
            Self::No => Some("protection rules not known, so GitLab may keep some of the tags that would go"),
        }
    }
}

/// The rules that keep this token from removing tags.
#[derive(Clone, Debug)]
pub struct ProtectionRules {
    effective: Vec<Pattern>,
    known: Known,
}

impl ProtectionRules {
    /// Nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { effective: Vec::new(), known: Known::No }
    }

    /// The rules with these patterns, which GitLab searches for in names. One that cannot be read here is not known.
    #[must_use]
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>, immutable_told: bool) -> Self {
        let mut known = if immutable_told { Known::All } else { Known::ButImmutable };
        let mut effective = Vec::new();
        for pattern in patterns {
            match found_anywhere(pattern) {
                Some(pattern) => effective.push(pattern),
                None => known = Known::No,
            }
        }
        Self { effective, known }
    }

    /// Whether they are known to protect a tag.
    #[must_use]
    pub fn protects(&self, name: &str) -> bool {
        self.effective.iter().any(|pattern| pattern.matches(name))
    }

    /// How much is known.
    #[must_use]
    pub const fn known(&self) -> Known {
        self.known
    }
}

/// A pattern that matches each name in which another one is found.
fn found_anywhere(pattern: &str) -> Option<Pattern> {
    // Parsed as it is first: `a)(b` would be another pattern once it is wrapped.
    Pattern::compile(pattern).ok()?;
    Pattern::compile(&format!("(?s:.*)(?:{pattern})(?s:.*)")).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::in_the_middle("stable", "1-stable-2", true)]
    #[case::at_the_beginning("^v", "v1", true)]
    #[case::not_at_the_beginning("^v", "dev1", false)]
    #[case::at_the_end("stable$", "1-stable", true)]
    #[case::an_alternative("^a|b$", "xb", true)]
    #[case::none_of_them("^a|b$", "xbx", false)]
    #[case::in_any_case("(?i)V", "dev", true)]
    #[case::in_this_case("V", "dev", false)]
    #[case::everything("", "x", true)]
    fn a_rule_protects_each_name_in_which_it_is_found(
        #[case] pattern: &str,
        #[case] name: &str,
        #[case] protected: bool,
    ) {
        let rules = ProtectionRules::new([pattern], true);
        assert_eq!((rules.protects(name), rules.known()), (protected, Known::All));
    }

    #[test]
    fn what_cannot_be_read_or_was_not_told_is_not_known() {
        let rules = ProtectionRules::new(["a)(b", "^v", "("], true);
        assert_eq!((rules.known(), rules.protects("v1"), rules.protects("x")), (Known::No, true, false));
        assert_eq!(ProtectionRules::new([], false).known(), Known::ButImmutable);
        assert_eq!(ProtectionRules::unknown().known().max(Known::All), Known::No);
    }
}
