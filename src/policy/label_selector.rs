//! Label selectors as Kubernetes writes them, evaluated here: which policies an installation looks after.
//!
//! The grammar is that of `kubectl get --selector`
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>).

use std::collections::BTreeMap;

/// A selector; the empty one selects everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

/// What a label must be like.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

/// The text is no selector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no requirement of a label: write key, !key, key=value, key!=value, key in (a,b) or key notin (a,b)")]
pub struct InvalidSelector(String);

impl LabelSelector {
    /// Reads a selector: requirements with commas between them, all of which must hold.
    ///
    /// # Errors
    /// For the first requirement that is none.
    pub fn parse(text: &str) -> Result<Self, InvalidSelector> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut requirements = Vec::new();
        let (mut depth, mut begin) = (0_usize, 0);
        for (at, character) in text.char_indices().chain([(text.len(), ',')]) {
            match character {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                ',' if depth == 0 || at == text.len() => {
                    requirements.push(Requirement::parse(text.get(begin..at).unwrap_or_default().trim())?);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        Ok(Self(requirements))
    }

    /// Whether it leaves nothing out.
    #[must_use]
    pub fn selects_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels.and_then(|all| all.get(requirement.key()))))
    }

    /// Whether it asks for a label.
    #[must_use]
    pub fn names(&self, key: &str) -> bool {
        self.0.iter().any(|requirement| requirement.key() == key)
    }
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, InvalidSelector> {
        let invalid = || InvalidSelector(text.to_owned());
        let requirement = if let Some(key) = text.strip_prefix('!') {
            Self::Absent(key.trim().to_owned())
        } else if let Some((key, value)) = text.split_once("!=") {
            Self::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            Self::In(key.trim().to_owned(), vec![value.trim().to_owned()])
        } else if let Some((head, values)) = text.split_once('(') {
            let values = values.strip_suffix(')').ok_or_else(invalid)?;
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            match head.split_whitespace().collect::<Vec<_>>()[..] {
                [key, "in"] => Self::In(key.to_owned(), values),
                [key, "notin"] => Self::NotIn(key.to_owned(), values),
                _ => return Err(invalid()),
            }
        } else {
            Self::Exists(text.to_owned())
        };
        requirement.is_sound().then_some(requirement).ok_or_else(invalid)
    }

    fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::In(key, _) | Self::NotIn(key, _) => key,
        }
    }

    fn holds(&self, value: Option<&String>) -> bool {
        match self {
            Self::Exists(_) => value.is_some(),
            Self::Absent(_) => value.is_none(),
            Self::In(_, values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(_, values) => value.is_none_or(|value| !values.contains(value)),
        }
    }

    fn is_sound(&self) -> bool {
        let (prefix, name) = self.key().split_once('/').unwrap_or(("prefix", self.key()));
        let values = match self {
            Self::In(_, values) | Self::NotIn(_, values) => values.as_slice(),
            Self::Exists(_) | Self::Absent(_) => &[],
        };
        is_name(name) && is_name(prefix) && values.iter().all(|value| value.is_empty() || is_name(value))
    }
}

/// Whether a text is a name as those of labels are: letters, digits, `-`, `_` and `.`, beginning and ending with one of
/// the first two.
fn is_name(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace()
            .map(|label| label.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[rstest]
    #[case::everything("", "", true)]
    #[case::a_value("shard=a", "shard=a", true)]
    #[case::another_value("shard=a", "shard=b", false)]
    #[case::no_label("shard=a", "", false)]
    #[case::two_equal_signs("shard == a", "shard=a", true)]
    #[case::not_a_value("shard!=a", "shard=b", true)]
    #[case::not_a_value_without_a_label("shard!=a", "", true)]
    #[case::not_that_value("shard != a", "shard=a", false)]
    #[case::one_of("shard in (a, b)", "shard=b", true)]
    #[case::none_of("shard in (a,b)", "shard=c", false)]
    #[case::not_one_of("shard notin (a,b)", "shard=c", true)]
    #[case::not_one_of_without_a_label("shard notin (a,b)", "", true)]
    #[case::one_of_those("shard notin (a,b)", "shard=a", false)]
    #[case::a_label("example.com/shard", "example.com/shard=x", true)]
    #[case::an_absent_label("!shard", "shard=x", false)]
    #[case::an_absent_label_that_is("!shard", "other=x", true)]
    #[case::all_must_hold("shard in (a,b),!frozen", "shard=a", true)]
    #[case::one_does_not("shard in (a,b), !frozen", "shard=a frozen=yes", false)]
    #[case::an_empty_value("shard=", "shard=", true)]
    fn a_selector_selects_as_kubernetes_does(#[case] selector: &str, #[case] of: &str, #[case] selected: bool) {
        let selector = LabelSelector::parse(selector).unwrap();
        assert_eq!(selector.selects(Some(&labels(of))), selected);
        if of.is_empty() {
            assert_eq!(selector.selects(None), selected);
        }
    }

    #[rstest]
    #[case("shard=a,")]
    #[case(",")]
    #[case("=a")]
    #[case("!")]
    #[case("shard in a,b")]
    #[case("shard in (a")]
    #[case("shard within (a)")]
    #[case("shard > 3")]
    #[case("shard=a b")]
    #[case("-shard")]
    #[case("a/b/c=d")]
    fn what_is_no_selector_is_refused(#[case] selector: &str) {
        assert!(LabelSelector::parse(selector).is_err(), "{:?}", LabelSelector::parse(selector));
    }

    #[test]
    fn the_labels_that_it_asks_for_are_known() {
        let selector = LabelSelector::parse("shard in (a,b),!frozen").unwrap();
        assert!(selector.names("shard") && selector.names("frozen") && !selector.names("a"));
        assert!(!selector.selects_everything() && LabelSelector::default().selects_everything());
    }
}
