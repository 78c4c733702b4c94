//! The definition takes what the definitions of all versions before took, and fills in what they filled in.

use std::collections::BTreeSet;
use std::fs;

use registry_cleanup_operator::api::crd;
use rstest::rstest;
use serde_json::{Value, json};

use super::breaks::{Break, What, of_definitions};
use super::definitions;
use crate::world::path;

/// Rules that the page of upgrades names: the field, and the sentence by which it is refused.
fn told() -> BTreeSet<(String, String)> {
    let page = fs::read_to_string(path("docs/upgrades.md")).unwrap();
    let section = page.split("\n### Rules that are new\n").nth(1).expect("a section of rules").split("\n##").next();
    let rows = section.unwrap().lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    rows.map(|row| {
        let (field, sentence) = row.split_once("` | ").expect("two cells");
        (field.to_owned(), sentence.replace("\\|", "|").replace("\\*", "*"))
    })
    .collect()
}

#[test]
fn crd_stays_compatible_with_every_one_that_was_published_but_for_rules_that_are_told() {
    let (definitions, now) = (definitions(), crd::definition().unwrap());
    assert!(definitions.len() >= 2, "{:?}", definitions.keys());
    let mut new_rules = BTreeSet::new();
    for (version, before) in definitions {
        for Break { path, what } in of_definitions(&before, &now) {
            match what {
                What::Rule(sentence) => new_rules.insert((path, sentence)),
                what => panic!("{path} breaks policies of {version}: {what:?}"),
            };
        }
    }
    assert_eq!(new_rules, told(), "docs/upgrades.md names each rule that refuses what was taken before");
}

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

#[rstest]
#[case::a_field_that_is_gone("/properties/limits", json!(null), "spec.limits", What::Gone)]
#[case::a_field_of_a_list_item("/properties/rules/items/properties/keepN", json!(null), "spec.rules[].keepN", What::Gone)]
#[case::a_field_that_became_required("/required", json!(["gitlab", "mode", "rules", "schedule", "target"]), "spec", What::Required("mode".to_owned()))]
#[case::a_shorter_text("/properties/schedule/maxLength", json!(127), "spec.schedule", What::Changed("maxLength"))]
#[case::a_shorter_list("/properties/rules/maxItems", json!(9), "spec.rules", What::Changed("maxItems"))]
#[case::a_smaller_number("/properties/historyLimit/maximum", json!(19), "spec.historyLimit", What::Changed("maximum"))]
#[case::a_larger_number("/properties/historyLimit/minimum", json!(1), "spec.historyLimit", What::Changed("minimum"))]
#[case::a_longer_text("/properties/schedule/minLength", json!(5), "spec.schedule", What::Changed("minLength"))]
#[case::a_bound_where_none_was("/properties/rules/items/minProperties", json!(3), "spec.rules[]", What::Changed("minProperties"))]
#[case::another_default("/properties/mode/default", json!("Delete"), "spec.mode", What::Changed("default"))]
#[case::a_default_where_none_was("/properties/method/default", json!("Exact"), "spec.method", What::Changed("default"))]
#[case::a_default_that_is_gone("/properties/timeZone/default", json!(null), "spec.timeZone", What::Changed("default"))]
#[case::another_type("/properties/suspend/type", json!("string"), "spec.suspend", What::Changed("type"))]
#[case::a_pattern("/properties/schedule/pattern", json!("^@"), "spec.schedule", What::Changed("pattern"))]
#[case::a_value_that_is_not_taken("/properties/mode/enum", json!(["DryRun", "Delete"]), "spec.mode", What::NotTaken("\"RequireApproval\"".to_owned()))]
#[case::values_where_any_was("/properties/timeZone/enum", json!(["Etc/UTC"]), "spec.timeZone", What::Changed("enum"))]
#[case::a_list_that_merges_otherwise("/properties/rules/x-kubernetes-list-type", json!("atomic"), "spec.rules", What::Changed("x-kubernetes-list-type"))]
#[case::a_rule("/properties/limits/x-kubernetes-validations", json!([{"rule": "false", "message": "no"}]), "spec.limits", What::Rule("no".to_owned()))]
#[test]
fn what_breaks_policies_is_found(#[case] at: &str, #[case] value: Value, #[case] place: &str, #[case] what: What) {
    let before = crd::definition().unwrap();
    let mut now = before.clone();
    let (parent, name) = at.rsplit_once('/').unwrap();
    let parent = now.pointer_mut(&format!("{SPEC}{parent}")).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name)
    } else {
        parent.insert(name.to_owned(), value)
    };
    let found = of_definitions(&before, &now);
    assert!(found.contains(&Break { path: place.to_owned(), what }), "{found:?}");
}

#[rstest]
#[case::a_version_that_is_not_served("/spec/versions/0/served", json!(false))]
#[case::another_short_name("/spec/names/shortNames", json!(["policy"]))]
#[case::a_field_that_selectors_may_not_name("/spec/versions/0/selectableFields", json!([]))]
#[case::a_status_that_anybody_may_write("/spec/versions/0/subresources", json!({}))]
#[test]
fn what_breaks_clients_is_found(#[case] at: &str, #[case] value: Value) {
    let before = crd::definition().unwrap();
    let mut now = before.clone();
    *now.pointer_mut(at).unwrap() = value;
    assert_ne!(of_definitions(&before, &now), []);
}

#[test]
fn what_adds_or_loosens_breaks_nothing() {
    let before = crd::definition().unwrap();
    assert_eq!(of_definitions(&before, &before), []);
    let mut now = before.clone();
    let spec = now.pointer_mut(SPEC).unwrap();
    spec["properties"]["more"] = json!({"type": "string", "maxLength": 5});
    spec["properties"]["schedule"]["maxLength"] = json!(500);
    spec["properties"]["historyLimit"]["maximum"] = json!(100);
    spec["properties"]["mode"]["enum"].as_array_mut().unwrap().push(json!("Ask"));
    spec["properties"]["schedule"]["x-kubernetes-validations"] = json!([]);
    spec["properties"]["schedule"]["description"] = json!("When.");
    assert_eq!(of_definitions(&before, &now), []);
}
