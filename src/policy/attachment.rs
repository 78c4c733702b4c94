//! Names of tags that say what image the tag belongs to: signatures, attestations, SBOMs and other referrers.
//!
//! cosign names them by the digest of their subject: `sha256-<hex>.sig`, `.att`, `.sbom`
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>), behind a prefix if it is told one
//! (`--attachment-tag-prefix`). Registries without the referrers API have a list of them at `sha256-<hex>`, the digits
//! cut after 64 (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>).

use std::borrow::Borrow;
use std::collections::BTreeSet;

use super::image::ALGORITHMS;
use crate::model::Digest;

/// How much of a digest is in the name of a tag at least: the OCI distribution specification cuts it there.
const DIGITS: usize = 64;

/// The names as a pattern of RE2, for whole names: those of which [`subject`] tells something.
pub const NAMES: &str = "(?:.*(?:(?:sha256|blake3)-[0-9a-f]{64}|sha384-[0-9a-f]{64}(?:[0-9a-f]{32})?|\
                         sha512-[0-9a-f]{64}(?:[0-9a-f]{64})?)(?:[^0-9A-Za-z].*)?)";

/// The digest to which the name of a tag refers, or the beginning of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Subject<'n> {
    algorithm: &'static str,
    digits: &'n str,
}

impl Subject<'_> {
    /// Whether a digest (`sha256:…`) is the one.
    #[must_use]
    pub fn is(self, digest: &Digest) -> bool {
        let text = digest.text();
        let digits = text.strip_prefix(self.algorithm).and_then(|rest| rest.strip_prefix(':'));
        digits.is_some_and(|digits| digits.starts_with(self.digits))
    }

    /// How the digest begins, as it is written.
    #[must_use]
    pub fn beginning(self) -> String {
        format!("{}:{}", self.algorithm, self.digits)
    }
}

/// Whether one of these digests begins like this. In their order, it is the first from there on.
#[must_use]
pub fn one_begins<D: Borrow<Digest> + Ord>(digests: &BTreeSet<D>, beginning: &str) -> bool {
    let first = digests.range::<Digest, _>(Digest::new(beginning)..).next();
    first.is_some_and(|digest| digest.borrow().text().starts_with(beginning))
}

/// The image to which a tag refers by its name. `None` for a name that refers to none.
#[must_use]
pub fn subject(name: &str) -> Option<Subject<'_>> {
    if name.len() < DIGITS {
        return None;
    }
    ALGORITHMS.iter().find_map(|(algorithm, length)| {
        name.match_indices(algorithm).find_map(|(at, _)| {
            let rest = name.get(at + algorithm.len()..)?.strip_prefix('-')?;
            let digits = rest.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
            let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let fits = digits.len() == DIGITS || digits.len() == *length;
            (fits && is_hex).then_some(Subject { algorithm, digits })
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::policy::pattern::Pattern;

    fn hex(digits: usize) -> String {
        "0123456789abcdef".chars().cycle().take(digits).collect()
    }

    #[rstest]
    #[case::a_list_of_referrers("sha256-{}", 64, true)]
    #[case::a_signature("sha256-{}.sig", 64, true)]
    #[case::an_attestation("sha256-{}.att", 64, true)]
    #[case::an_sbom("sha256-{}.sbom", 64, true)]
    #[case::with_a_prefix("signed-sha256-{}.sig", 64, true)]
    #[case::something_else_of_it("sha256-{}-provenance", 64, true)]
    #[case::another_algorithm("blake3-{}", 64, true)]
    #[case::cut("sha512-{}.sig", 64, true)]
    #[case::cut("sha384-{}", 64, true)]
    #[case::whole("sha384-{}", 96, true)]
    #[case::neither_cut_nor_whole("sha384-{}", 65, false)]
    #[case::too_short("sha256-{}.sig", 63, false)]
    #[case::too_long("sha256-{}.sig", 65, false)]
    #[case::digits_go_on("sha256-{}x.sig", 64, false)]
    #[case::no_dash("sha256{}.sig", 64, false)]
    #[case::no_algorithm("{}", 64, false)]
    #[case::unknown_algorithm("md5-{}", 64, false)]
    fn a_name_refers_to_an_image_by_a_digest(#[case] name: &str, #[case] digits: usize, #[case] refers: bool) {
        let name = name.replace("{}", &hex(digits));
        assert_eq!(subject(&name).is_some(), refers, "{name}");
        assert_eq!(Pattern::compile(NAMES).unwrap().matches(&name), refers, "{name}");
    }

    #[test]
    fn a_subject_is_the_digest_that_begins_like_it_and_no_other() {
        let name = format!("sha512-{}.sig", hex(64));
        let of = subject(&name).unwrap();
        assert!(of.is(&format!("sha512:{}", hex(128)).into()));
        assert!(!of.is(&format!("sha256:{}", hex(64)).into()));
        assert!(!of.is(&format!("sha512:{}", "0".repeat(128)).into()));
        assert_eq!(of.beginning(), format!("sha512:{}", hex(64)));
    }

    proptest! {
        #[test]
        fn a_search_for_a_beginning_finds_what_looking_at_each_digest_would(
            digests in prop::collection::btree_set("(sha256:[ab]{64}|sha512:[ab]{1,3}|[st:]{0,3})", 0..5),
            beginning in "(sha256:[ab]{64}|sha512:[ab]{0,3}|sha256|s?)",
        ) {
            let expected = digests.iter().any(|digest| digest.starts_with(&beginning));
            let digests: BTreeSet<Digest> = digests.iter().map(|digest| Digest::new(digest)).collect();
            prop_assert_eq!(one_begins(&digests, &beginning), expected);
        }

        #[test]
        fn the_pattern_for_gitlab_matches_just_the_names_that_refer_to_an_image(
            before in "([a-z-]{0,3}|sha256-|sha512-)",
            algorithm in prop::sample::select(vec!["sha256", "sha384", "sha512", "blake3", "sha1"]),
            digits in prop::sample::select(vec![32_usize, 63, 64, 65, 96, 128]),
            odd in proptest::option::of(0_usize..64),
            after in r"([A-Za-z0-9._-]{0,3}|\.sig|\.att|\.sbom)",
        ) {
            let mut hex = hex(digits);
            if let Some(at) = odd.filter(|at| *at < digits) {
                hex.replace_range(at..=at, "G");
            }
            let name = format!("{before}{algorithm}-{hex}{after}");
            prop_assert_eq!(Pattern::compile(NAMES).unwrap().matches(&name), subject(&name).is_some(), "{}", name);
        }
    }
}
