//! GitLab's own words about a refusal, as far as they may be shown.
//!
//! They end up in statuses, events, logs and on terminals, so that they are short, on one line and of plain characters,
//! and nothing in them may be a token: whatever looks like one is left out.

/// Longest quotation, in characters.
const LONGEST: usize = 120;
/// What is at least this long without a break, with letters and digits in it, may be a token.
const LIKE_A_TOKEN: usize = 16;

/// Words of GitLab's, cleaned and shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said(Box<str>);

impl Said {
    /// What may be shown of a text; `None` where nothing is left of it.
    pub(super) fn of(text: &str) -> Option<Self> {
        let plain: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
        let words: Vec<&str> =
            plain.split_whitespace().map(|word| if is_secret(word) { "..." } else { word }).collect();
        let mut said = words.join(" ");
        if said.len() > LONGEST {
            said.truncate(LONGEST);
            said.push_str("...");
        }
        let tells = said.bytes().any(|byte| byte.is_ascii_alphabetic());
        tells.then(|| Self(said.into()))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Whether a word may be, or have in it, a token.
///
/// GitLab behaviour: its tokens have prefixes such as `glpat-`
/// (<https://docs.gitlab.com/security/tokens/#token-prefixes>), unless an administrator chose another one.
fn is_secret(word: &str) -> bool {
    let within = |c: char| !(c.is_ascii_alphanumeric() || "-_.~+/=".contains(c));
    let long = word.split(within).any(|part| {
        part.len() >= LIKE_A_TOKEN
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    });
    let lower = word.to_ascii_lowercase();
    let prefixed = lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| {
        part.len() >= 4 && part.len() <= 7 && part.starts_with("gl") && lower.contains(&format!("{part}-"))
    });
    long || prefixed || lower.contains("token=") || lower.contains("://")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("older_than is invalid", "\"older_than is invalid\"")]
    #[case("  name_regex_keep\tis\r\n invalid ", "\"name_regex_keep is invalid\"")]
    #[case("no \u{1b}[31mred\u{202e} or \u{200b}hidden", "\"no [31mred or hidden\"")]
    #[case("the token glpat-abc is wrong", "\"the token ... is wrong\"")]
    #[case("no such thing: 0123456789abcdef0123", "\"no such thing: ...\"")]
    #[case("see https://user:pass@gitlab.example.com/x", "\"see ...\"")]
    #[case("400 Bad request - Tag is protected", "\"400 Bad request - Tag is protected\"")]
    fn what_is_quoted_is_plain_and_has_no_secret(#[case] text: &str, #[case] quoted: &str) {
        assert_eq!(Said::of(text).unwrap().to_string(), quoted);
    }

    #[rstest]
    #[case("")]
    #[case("\u{200b}")]
    #[case("glpat-MARKER-0123456789")]
    fn where_nothing_is_left_nothing_is_quoted(#[case] text: &str) {
        assert_eq!(Said::of(text), None);
    }

    #[test]
    fn a_long_text_is_cut() {
        let said = Said::of(&"word ".repeat(100)).unwrap().to_string();
        assert!(said.len() < 130 && said.ends_with("...\""), "{said}");
    }
}
