//! Takes out of texts what is nobody's business who looks into a fault: tokens always, hosts and paths of projects
//! unless they may stay. The same name becomes the same pseudonym everywhere.
//!
//! What is taken for a name is too much rather than too little: each part of whatever has a slash, and whatever looks
//! like a host. Words that were learned go wherever they stand alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What stands for a token.
const TOKEN: &str = "[token]";

/// Hosts and first parts of paths that are no secret: ours, and Kubernetes' own.
const PUBLIC: [&str; 4] = ["registrycleanup.dev", "k8s.io", "kubernetes.io", "registry-cleanup-operator"];

/// Words that stand between slashes without being a name.
const USUAL: [&str; 12] =
    ["api", "apis", "docs", "healthz", "livez", "readyz", "metrics", "namespaces", "openapi", "v1", "v1alpha1", "v4"];

/// What fields of policies and values of the chart begin with, which have dots as hosts have.
const FIELDS: [&str; 10] =
    ["crds", "inuse", "limits", "metadata", "protect", "rbac", "rules", "spec", "status", "target"];

/// What names of files end with.
const FILES: [&str; 6] = ["crt", "gz", "json", "key", "md", "yaml"];

/// The names that were met so far.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    /// Whether names stay, so that only tokens go.
    keep_names: bool,
    /// Words that stay, unless they are a name as well.
    kept: BTreeSet<String>,
    parts: BTreeMap<String, String>,
    hosts: BTreeMap<String, String>,
}

impl Redaction {
    /// Takes out tokens; with `keep_names` nothing else.
    #[must_use]
    pub fn new(keep_names: bool) -> Self {
        Self { keep_names, ..Self::default() }
    }

    /// Learns a path of a project, group or repository: each of its parts is a name wherever it stands alone.
    pub fn learn_path(&mut self, path: &str) {
        path.split('/').filter(|part| !part.is_empty()).for_each(|part| {
            self.part(part);
        });
    }

    /// Learns a host, with or without its port.
    pub fn learn_host(&mut self, host: &str) {
        let host = host.split([':', '/']).next().unwrap_or_default();
        if !host.is_empty() {
            self.host(host);
        }
    }

    /// Lets a word stay, such as the name of a policy, unless it is learned as another name.
    pub fn keep(&mut self, word: &str) {
        self.kept.insert(word.to_ascii_lowercase());
    }

    /// A text without what must not be in it.
    #[must_use]
    pub fn text(&mut self, text: &str) -> String {
        let text = without_tokens(text);
        if self.keep_names { text } else { self.without_names(&text) }
    }

    /// The same for each text in a document. Names of fields stay.
    #[must_use]
    pub fn json(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, self.json(value))).collect(),
            other => other,
        }
    }

    /// Replaces word by word: what is no part of a word stays as it is.
    fn without_names(&mut self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_of_word) {
            let (between, word) = rest.split_at(begin);
            safe.push_str(between);
            let end = word.find(|c| !is_of_word(c)).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            // A sentence ends with a dot, and so may a word.
            let bare = word.trim_end_matches(['.', '-']);
            let beside = safe.ends_with('/') || (after.starts_with('/') && bare.len() == word.len());
            safe.push_str(&self.word(bare, beside));
            safe.push_str(word.get(bare.len()..).unwrap_or_default());
            rest = after;
        }
        safe + rest
    }

    /// What stands for a word; `beside` says that a slash is next to it.
    fn word(&mut self, word: &str, beside: bool) -> String {
        let lower = word.to_ascii_lowercase();
        if let Some(known) = self.hosts.get(&lower).or_else(|| self.parts.get(&lower)) {
            return known.clone();
        }
        let is_public = PUBLIC.iter().any(|public| lower == *public || lower.ends_with(&format!(".{public}")));
        if word.is_empty() || is_public || self.kept.contains(&lower) {
            return word.to_owned();
        }
        if looks_like_a_host(&lower) {
            return self.host(word);
        }
        // Ports and ids are no names.
        let is_number = lower.bytes().all(|byte| byte.is_ascii_digit());
        if beside && !is_number && !USUAL.contains(&&*lower) { self.part(word) } else { word.to_owned() }
    }

    fn part(&mut self, part: &str) -> String {
        let number = self.parts.len() + 1;
        self.parts.entry(part.to_ascii_lowercase()).or_insert_with(|| format!("name{number}")).clone()
    }

    fn host(&mut self, host: &str) -> String {
        let number = self.hosts.len() + 1;
        self.hosts.entry(host.to_ascii_lowercase()).or_insert_with(|| format!("host{number}.example")).clone()
    }
}

/// Whether a character is part of a name of a host, a project or a tag.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Whether a word is an address, or names with dots between them of which the last may be that of a domain.
fn looks_like_a_host(word: &str) -> bool {
    let labels: Vec<&str> = word.split('.').collect();
    let (Some(first), Some(last)) = (labels.first(), labels.last()) else { return false };
    let numeric = labels.len() == 4 && labels.iter().all(|label| label.parse::<u8>().is_ok());
    let top = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic()) && !FILES.contains(last);
    let named = labels.len() >= 2 && labels.iter().all(|label| !label.is_empty());
    numeric || (named && top && !FIELDS.contains(first))
}

/// A text without what is, or may be, a token.
///
/// GitLab behaviour: its tokens have prefixes such as `glpat-`
/// (<https://docs.gitlab.com/security/tokens/#token-prefixes>).
fn without_tokens(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    // Whether the next word is one, by what stands before it.
    let mut follows = false;
    for piece in text.split_inclusive(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '&' | '?')) {
        let end =
            piece.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '&' | '?'));
        let lower = end.to_ascii_lowercase();
        let announces = ["bearer", "private-token", "private-token:", "authorization:", "token:", "password:"];
        if follows && !end.is_empty() && !announces.contains(&&*lower) {
            safe.push_str(TOKEN);
            follows = false;
        } else {
            safe.push_str(&word_without_token(end, &lower));
            follows = announces.contains(&&*lower) || (follows && end.is_empty());
        }
        safe.push_str(piece.get(end.len()..).unwrap_or_default());
    }
    safe
}

fn word_without_token(word: &str, lower: &str) -> String {
    if has_prefix(lower) || ["token=", "password=", "secret="].iter().any(|key| lower.contains(key)) {
        return TOKEN.to_owned();
    }
    // Whoever stands before a host, and what he says.
    match (word.find("://"), word.rfind('@')) {
        (Some(begin), Some(at)) if begin < at => {
            let (scheme, host) = (word.get(..begin + 3), word.get(at..));
            format!("{}{TOKEN}{}", scheme.unwrap_or_default(), host.unwrap_or_default())
        }
        _ => word.to_owned(),
    }
}

/// Whether somewhere in a word a token begins as GitLab's do: `gl`, some letters, a hyphen.
fn has_prefix(lower: &str) -> bool {
    lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|part| (4..=7).contains(&part.len()) && part.starts_with("gl") && lower.contains(&format!("{part}-")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn learned() -> Redaction {
        let mut redaction = Redaction::new(false);
        redaction.learn_path("shop/backend");
        redaction.learn_host("gitlab.acme.com:8443");
        for word in ["team-a", "nightly", "shop"] {
            redaction.keep(word);
        }
        redaction
    }

    #[rstest]
    #[case("group shop: 404", "group name1: 404")]
    #[case("Group Shop: 404", "Group name1: 404")]
    #[case("cannot reach registry.acme.com.", "cannot reach host2.example.")]
    #[case("shop/backend/api:v1 stays.", "name1/name2/api:v1 stays.")]
    #[case("Shop/Backend/Billing", "name1/name2/name3")]
    #[case("https://gitlab.acme.com:8443/shop", "https://host1.example:8443/name1")]
    #[case("registry.acme.com/shop/x", "host2.example/name1/name3")]
    #[case("10.2.3.4 refused", "host2.example refused")]
    #[case("workshop and shopping stay", "workshop and shopping stay")]
    #[case("0.1.0 of registrycleanup.dev/v1alpha1", "0.1.0 of registrycleanup.dev/v1alpha1")]
    #[case("gl-sast-report stays", "gl-sast-report stays")]
    #[case("It ends. Then more", "It ends. Then more")]
    #[case("team-a/nightly: spec.limits, ca.crt", "team-a/nightly: spec.limits, ca.crt")]
    fn names_become_pseudonyms_and_other_words_stay(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(learned().text(text), expected);
    }

    #[test]
    fn a_name_has_the_same_pseudonym_everywhere() {
        let mut redaction = learned();
        let first = redaction.text("secret-customer/app");
        let second = redaction.text("nothing in secret-customer");
        assert_eq!((first.as_str(), second.as_str()), ("name3/name4", "nothing in name3"));
        let document = json!({"shop": ["shop", 1, {"path": "shop/backend"}]});
        assert_eq!(redaction.json(document), json!({"shop": ["name1", 1, {"path": "name1/name2"}]}));
    }

    #[rstest]
    #[case("the token glpat-marker-7f is wrong", "the token [token] is wrong")]
    #[case("PRIVATE-TOKEN: abc, next", "PRIVATE-TOKEN: [token], next")]
    #[case("Bearer  abc", "Bearer  [token]")]
    #[case("Authorization: Bearer abc", "Authorization: Bearer [token]")]
    #[case("https://me:abc@gitlab.test/x", "https://[token]@gitlab.test/x")]
    #[case("?private_token=abc&per_page=1", "?[token]&per_page=1")]
    #[case("\"glrt-abc\"", "\"[token]\"")]
    fn tokens_go_also_where_names_may_stay(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Redaction::new(true).text(text), expected);
    }

    proptest! {
        #[test]
        fn no_token_and_no_part_of_a_path_is_left(before in "[a-z :/.\"]{0,12}", after in "[ /:.,\"]{1,4}[a-z]{0,5}") {
            let text = format!("{before} glpat-marker{after} shop/hidden{after}backend");
            let safe = learned().text(&text);
            prop_assert!(!safe.contains("marker"), "{text}: {safe}");
            prop_assert!(!safe.contains("hidden") && !safe.contains("shop/"), "{text}: {safe}");
        }
    }
}
