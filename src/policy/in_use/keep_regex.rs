//! The names in use as a pattern for GitLab's bulk deletion, which removes nothing that `name_regex_keep` matches.

/// Longest `name_regex_keep`, in bytes: some 120 of the longest names, or a thousand short ones.
///
/// GitLab documents no limit. The pattern travels in the body of the request, in the arguments of a background job, and
/// is compiled by RE2 with its default budget of 8 MiB, which takes literal text of this length many times over. What
/// is longer would work somewhere and fail elsewhere, after GitLab has said yes.
pub const MAX_KEEP_PATTERN: usize = 16 * 1024;

/// There are more names than a pattern should hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the {names} tags in use make a name_regex_keep of {bytes} bytes, more than {MAX_KEEP_PATTERN}")]
pub struct TooLong {
    /// How many names there are.
    pub names: usize,
    /// How long the pattern would be, in bytes.
    pub bytes: usize,
}

/// The `name_regex_keep` that keeps what `existing` matches, as `policy::bulk` made it, and these names besides. It is
/// the same for the same names in any order; `None` when there is nothing to keep.
///
/// # Errors
/// When it would be longer than [`MAX_KEEP_PATTERN`].
pub fn keep_pattern<'n>(
    names: impl IntoIterator<Item = &'n str>,
    existing: Option<&str>,
) -> Result<Option<String>, TooLong> {
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(existing.map(ToOwned::to_owned));
    }
    // What `regex` escapes is punctuation, which RE2 takes behind a backslash as well. Of the characters of tags that
    // is the dot and the dash.
    let alternatives: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
    let own = format!("(?:{})", alternatives.join("|"));
    let pattern = match existing {
        // The names come first: flags in the existing pattern do not reach back.
        Some(existing) => format!("(?:{own}|{existing})"),
        None => own,
    };
    if pattern.len() > MAX_KEEP_PATTERN {
        return Err(TooLong { names: names.len(), bytes: pattern.len() });
    }
    Ok(Some(pattern))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::policy::pattern::Pattern;

    #[rstest]
    #[case(&[], None, None)]
    #[case(&[], Some("(?:v.*)"), Some("(?:v.*)"))]
    #[case(&["v1"], None, Some("(?:v1)"))]
    #[case(&["v2", "v1", "v2"], None, Some("(?:v1|v2)"))]
    #[case(&["1.27-alpine"], Some("(?:v.*)"), Some(r"(?:(?:1\.27\-alpine)|(?:v.*))"))]
    fn names_join_what_is_kept_already(
        #[case] names: &[&str],
        #[case] existing: Option<&str>,
        #[case] pattern: Option<&str>,
    ) {
        assert_eq!(keep_pattern(names.iter().copied(), existing).unwrap().as_deref(), pattern);
    }

    #[test]
    fn a_pattern_that_is_too_long_is_not_made() {
        // "(?:" and ")" around names of 127 characters with a bar between two of them: 128 of them fit exactly.
        let names: Vec<String> = (0..128).map(|n| format!("{n:0>127}")).collect();
        let fits = keep_pattern(names.iter().take(127).map(String::as_str), None).unwrap().unwrap();
        assert_eq!(fits.len(), 3 + 127 * 128);
        let error = keep_pattern(names.iter().map(String::as_str), None).unwrap_err();
        assert_eq!(error, TooLong { names: 128, bytes: MAX_KEEP_PATTERN + 3 });
        assert!(keep_pattern(["v1"], Some(&"x".repeat(MAX_KEEP_PATTERN))).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_pattern_keeps_the_names_and_what_was_kept_and_nothing_else(
            names in prop::collection::vec("[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", 1..6),
            other in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}",
            existing in prop::option::of(Just("(?:(?i)~keep.*)")),
        ) {
            let pattern = keep_pattern(names.iter().map(String::as_str), existing).unwrap().unwrap();
            let pattern = Pattern::compile(&pattern).unwrap();
            for name in &names {
                prop_assert!(pattern.matches(name));
                // The dot is a dot, and case counts.
                prop_assert_eq!(pattern.matches(&name.replace('.', "x")),
                    !name.contains('.') || names.contains(&name.replace('.', "x")));
            }
            prop_assert_eq!(pattern.matches(&other), names.contains(&other));
            prop_assert_eq!(pattern.matches("~Keep-me"), existing.is_some());
            let reversed = keep_pattern(names.iter().rev().map(String::as_str), existing).unwrap().unwrap();
            prop_assert_eq!(pattern.source(), reversed);
        }
    }
}
