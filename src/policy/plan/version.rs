//! Versions as people write them in tags: `1.10`, `v2`, `V4.0.0`, `2024.01.15`, `104.1.1_up57.0.3`.
//!
//! Their order is that of [Semantic Versioning](https://semver.org/#spec-item-11) wherever a name is a version by its
//! rules. Beyond it there may be one to four numbers, of which missing ones count as 0, leading zeros, which do not
//! count, any `v` in front, and `_` where tags cannot have the `+` of build metadata.

/// A version that a name stands for. What is equal by [`Ord`] is one version, whatever its build metadata.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NamedVersion {
    numbers: [u64; 4],
    stage: Stage,
}

/// Pre-releases come before the release.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Before(Vec<Identifier>),
    Release,
}

/// A part of what names a pre-release. Numbers come before texts, and are compared by their digits: the longer the
/// larger, without leading zeros.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Identifier {
    Number(usize, String),
    Text(String),
}

impl NamedVersion {
    /// The version that a name stands for, if it is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let plain = name.strip_prefix(['v', 'V']).unwrap_or(name);
        let (version, build) = match plain.split_once(['+', '_']) {
            Some((version, build)) => (version, Some(build)),
            None => (plain, None),
        };
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return None;
        }
        let (core, before) = match version.split_once('-') {
            Some((core, before)) => (core, Some(before)),
            None => (version, None),
        };
        let stage = match before {
            None => Stage::Release,
            Some(before) => Stage::Before(before.split('.').map(Identifier::parse).collect::<Option<_>>()?),
        };
        Some(Self { numbers: numbers(core)?, stage })
    }
}

impl Identifier {
    fn parse(text: &str) -> Option<Self> {
        if !is_identifier(text) {
            return None;
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Text(text.to_owned()));
        }
        let digits = text.trim_start_matches('0');
        Some(Self::Number(digits.len(), digits.to_owned()))
    }
}

/// One to four numbers. What is too large for one is rather something else than a version.
fn numbers(core: &str) -> Option<[u64; 4]> {
    let mut numbers = [0; 4];
    let mut places = numbers.iter_mut();
    for part in core.split('.') {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *places.next()? = part.parse().ok()?;
    }
    Some(numbers)
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn version(name: &str) -> NamedVersion {
        NamedVersion::parse(name).unwrap_or_else(|| panic!("{name} is no version"))
    }

    #[rstest]
    #[case("1.9", "1.10")]
    #[case("v1", "v2")]
    #[case("V3.9.9", "V4.0.0")]
    #[case("2023.12.31", "2024.01.15")]
    #[case("104.1.0_up57.0.3", "104.1.1_up57.0.2")]
    #[case("1.2.3", "1.2.3.1")]
    #[case("1.10-rc1", "1.10")]
    #[case("1.10-rc.9", "1.10-rc.10")]
    #[case("1.10-rc.09", "1.10-rc.10")]
    #[case("1.10-1", "1.10-alpha")]
    #[case("1.10-alpha", "1.10-alpha.1")]
    #[case("9", "10.0.0.0")]
    fn versions_are_ordered_as_their_numbers_are(#[case] lower: &str, #[case] higher: &str) {
        assert!(version(lower) < version(higher), "{lower} < {higher}");
    }

    #[rstest]
    #[case("1.10", "v1.10.0")]
    #[case("v2", "V2.0.0.0")]
    #[case("2024.01.15", "2024.1.15")]
    #[case("104.1.1_up57.0.3", "104.1.1+up57.0.4")]
    #[case("104.1.1", "104.1.1_up57.0.3")]
    #[case("1.0-rc.01", "1.0.0-rc.1")]
    fn what_differs_in_zeros_prefix_or_build_alone_is_one_version(#[case] one: &str, #[case] other: &str) {
        assert_eq!(version(one), version(other));
    }

    #[rstest]
    #[case("")]
    #[case("v")]
    #[case("main")]
    #[case("vv1")]
    #[case("1.2.3.4.5")]
    #[case("1..2")]
    #[case("1.2.")]
    #[case("1.2.x")]
    #[case("1.2-")]
    #[case("1.2-rc..1")]
    #[case("1.2_")]
    #[case("sha-0a1b2c3")]
    #[case("0a1b2c3")]
    #[case("99999999999999999999")]
    fn other_names_are_no_versions(#[case] name: &str) {
        assert_eq!(NamedVersion::parse(name), None);
    }

    const NAMES: &str =
        "[vV]?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(-(rc|alpha|[0-9]{1,2}|x-y)(\\.([0-9]{1,3}|b)){0,2})?([+_]b1)?";

    proptest! {
        #[test]
        fn the_order_is_total(one in NAMES, two in NAMES, three in NAMES) {
            let [one, two, three] = [one, two, three].map(|name| version(&name));
            prop_assert_eq!(one.cmp(&two), two.cmp(&one).reverse());
            prop_assert_eq!(one.cmp(&two) == Ordering::Equal, one == two);
            if one <= two && two <= three {
                prop_assert!(one <= three);
            }
        }

        /// Names that are versions by the rules of Semantic Versioning are, and have its order.
        #[test]
        fn where_both_are_strict_the_order_is_that_of_semver(
            one in "(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){2}(-(rc|[1-9][0-9]?|0|a-b)(\\.(0|[1-9][0-9]{0,2}|b)){0,2})?(\\+b[.]1)?",
            two in "(0|[1-9][0-9]{0,2})(\\.(0|[1-9][0-9]{0,2})){2}(-(rc|[1-9][0-9]?|0|a-b)(\\.(0|[1-9][0-9]{0,2}|b)){0,2})?(\\+b[.]1)?",
        ) {
            let strict = |name: &str| semver::Version::parse(name).unwrap();
            prop_assert_eq!(version(&one).cmp(&version(&two)), strict(&one).cmp_precedence(&strict(&two)));
        }
    }
}
