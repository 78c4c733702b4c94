//! The parameters of GitLab's bulk deletion (`DELETE …/tags`) that say what a rule says.

use super::attachment;
use super::compile::Rule;
use super::pattern::Pattern;
use crate::model::BulkDelete;

/// The server is too old to be told what to keep, and would remove it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeepNotSupported;

/// The parameters for a rule and what is protected besides.
///
/// `knows_keep` says whether the server knows `name_regex_keep`: GitLab 11.8 to 12.8 silently ignores it, so a policy
/// that keeps anything by pattern must not be sent there. A `keep_n` of 0 is left out; it means the same to the server
/// and the documented examples are without it.
///
/// # Errors
/// When something is to be kept by pattern and the server would not hear of it.
pub fn parameters(rule: &Rule, protect: &[Pattern], knows_keep: bool) -> Result<BulkDelete, KeepNotSupported> {
    let keep: Vec<String> = rule.keep.iter().chain(protect).map(Pattern::grouped).collect();
    let name_regex_keep = match keep.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("(?:{})", several.join("|"))),
    };
    if name_regex_keep.is_some() && !knows_keep {
        return Err(KeepNotSupported);
    }
    let delete = Some(rule.delete.grouped());
    let (name_regex_delete, name_regex) = if knows_keep { (delete, None) } else { (None, delete) };
    Ok(BulkDelete {
        name_regex_delete,
        name_regex,
        name_regex_keep,
        keep_n: rule.keep_n.filter(|n| *n > 0),
        older_than: rule.older_than.as_ref().map(|age| age.as_str().to_owned()),
    })
}

/// The `name_regex_keep` that keeps attachments as well, for a repository that has some: GitLab takes them for images,
/// which `keep_n` would count, and knows nothing of what they belong to.
#[must_use]
pub fn keeping_attachments(keep: Option<&str>) -> String {
    match keep {
        None => attachment::NAMES.to_owned(),
        // Flags in the other pattern do not reach back.
        Some(keep) => format!("(?:{}|{keep})", attachment::NAMES),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, Method, compile};

    fn of(rule: &Value, protect: &[&str], knows_keep: bool) -> Result<BulkDelete, KeepNotSupported> {
        let spec = spec(&json!({"rules": [rule], "protect": {"nameRegex": protect}}));
        let policy = compile(&spec, &CompileOptions::default(), "2026-11-22T12:00:00Z".parse().unwrap()).unwrap();
        let Method::Bulk(rule) = &policy.method else { unreachable!() };
        parameters(rule, &policy.protect, knows_keep)
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    #[rstest]
    #[case::git_shas(
        json!({"name": "sha", "nameRegexDelete": "[0-9a-z]{40}", "keepN": 5, "olderThan": "2d"}),
        BulkDelete { name_regex_delete: Some(text("(?:[0-9a-z]{40})")), keep_n: Some(5), older_than: Some(text("2d")),
            ..BulkDelete::default() }
    )]
    #[case::five_of_everything(
        json!({"name": "five", "nameRegexDelete": ".*", "keepN": 5}),
        BulkDelete { name_regex_delete: Some(text("(?:.*)")), keep_n: Some(5), ..BulkDelete::default() }
    )]
    #[case::everything_but_stable(
        json!({"name": "stable", "nameRegexDelete": ".*", "nameRegexKeep": "stable.*", "keepN": 0}),
        BulkDelete { name_regex_delete: Some(text("(?:.*)")), name_regex_keep: Some(text("(?:stable.*)")),
            ..BulkDelete::default() }
    )]
    #[case::everything_over_a_month(
        json!({"name": "month", "nameRegexDelete": ".*", "olderThan": "1month"}),
        BulkDelete { name_regex_delete: Some(text("(?:.*)")), older_than: Some(text("1month")),
            ..BulkDelete::default() }
    )]
    fn the_examples_of_gitlabs_documentation_are_sent_as_they_stand(#[case] rule: Value, #[case] expected: BulkDelete) {
        assert_eq!(of(&rule, &[], true), Ok(expected));
    }

    #[test]
    fn protected_names_travel_with_what_the_rule_keeps() {
        let rule = json!({"name": "r", "nameRegexDelete": "a|b", "nameRegexKeep": "v.+|main", "keepN": 1});
        let parameters = of(&rule, &["stable", "release-.*"], true).unwrap();
        assert_eq!(parameters.name_regex_delete.unwrap(), "(?:a|b)");
        assert_eq!(parameters.name_regex_keep.unwrap(), "(?:(?:v.+|main)|(?:stable)|(?:release-.*))");
    }

    #[test]
    fn what_keeps_attachments_keeps_the_rest_as_well() {
        let signature = format!("sha256-{}.sig", "a".repeat(64));
        for (keep, others) in [(None, &[][..]), (Some("(?:(?i)V.*)"), &["v1", "V2"])] {
            let pattern = Pattern::compile(&keeping_attachments(keep)).unwrap();
            assert!(
                pattern.matches(&signature) && !pattern.matches("w1") && !pattern.matches(&signature.to_uppercase())
            );
            assert!(others.iter().all(|name| pattern.matches(name)));
        }
    }

    #[test]
    fn an_old_server_gets_the_name_it_knows() {
        let rule = json!({"name": "r", "nameRegexDelete": "mr-.*", "olderThan": "14d"});
        let parameters = of(&rule, &[], false).unwrap();
        assert_eq!(
            parameters,
            BulkDelete { name_regex: Some(text("(?:mr-.*)")), older_than: Some(text("14d")), ..BulkDelete::default() }
        );
    }

    #[rstest]
    #[case(json!({"name": "r", "nameRegexDelete": ".*", "nameRegexKeep": "v.*", "keepN": 1}), &[])]
    #[case(json!({"name": "r", "nameRegexDelete": ".*", "keepN": 1}), &["v.*"])]
    fn what_an_old_server_would_remove_against_the_policy_is_never_sent(#[case] rule: Value, #[case] protect: &[&str]) {
        assert_eq!(of(&rule, protect, false), Err(KeepNotSupported));
    }
}
