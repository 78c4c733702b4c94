//! Reads a policy from a file, as strictly as the API server reads it: what the schema does not know or does not allow
//! is an error, not something to leave out.
//!
//! Whether patterns are valid is left to `policy::compile`, which knows more of RE2.

use serde_json::{Map, Value};

use super::{RegistryCleanupPolicy, validation};

/// What the definition calls a policy.
const API_VERSION: &str = "registrycleanup.dev/v1alpha1";
const KIND: &str = "RegistryCleanupPolicy";

/// Why there is no policy to be had from a text. Nothing of other documents in it is quoted: there may be Secrets among
/// them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read at all.
    #[error("it is not valid YAML: {0}")]
    Yaml(String),
    /// No document is a policy.
    #[error("there is no {KIND} in it")]
    None,
    /// No policy has the name that was asked for.
    #[error("there is no {KIND} {name} in it, but {others}")]
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        others: String,
    },
    /// Several could be meant.
    #[error("there are several in it: say which one of {0}")]
    Several(String),
    /// The API server would not take it.
    #[error("{KIND} {name} is refused:\n  {}", .faults.join("\n  "))]
    Refused {
        /// Its name.
        name: String,
        /// Everything that is wrong with it, each with the field it is about.
        faults: Vec<String>,
    },
}

/// Reads the one policy in a text of one or several YAML or JSON documents, or the one with this name: `NAME`, or
/// `NAMESPACE/NAME`. Other objects are passed over. What is left out has the value that the schema gives it.
///
/// # Errors
/// When there is none, or more than one, or when the API server would refuse it for its fields.
pub fn read(text: &str, name: Option<&str>) -> Result<RegistryCleanupPolicy, Error> {
    accept(choose(policies(text)?, name)?)
}

/// The other policies in such a text than the one that was read from it, as far as the API server would take them.
#[must_use]
pub fn others(text: &str, than: &RegistryCleanupPolicy) -> Vec<RegistryCleanupPolicy> {
    let (namespace, name) = (than.metadata.namespace.as_deref(), than.metadata.name.as_deref());
    let mut all = policies(text).unwrap_or_default();
    all.retain(|other| (metadata(other, "namespace"), metadata(other, "name")) != (namespace, name));
    all.into_iter().filter_map(|other| accept(other).ok()).collect()
}

fn policies(text: &str) -> Result<Vec<Value>, Error> {
    // Without excerpts of the text: it may hold a Secret.
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| Error::Yaml(error.to_string()))?;
    let mut policies = Vec::new();
    for document in documents {
        collect(document, &mut policies);
    }
    Ok(policies)
}

/// Policies, also those in lists as kubectl prints them.
fn collect(document: Value, policies: &mut Vec<Value>) {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    if kind == KIND {
        policies.push(document);
    } else if kind == "List" || kind == "RegistryCleanupPolicyList" {
        let Value::Object(mut list) = document else { return };
        if let Some(Value::Array(items)) = list.remove("items") {
            for item in items {
                collect(item, policies);
            }
        }
    }
}

fn choose(policies: Vec<Value>, name: Option<&str>) -> Result<Value, Error> {
    let all: Vec<String> = policies.iter().map(full_name).collect();
    let fits = |policy: &Value| {
        name.is_none_or(|name| full_name(policy) == name || metadata(policy, "name").is_some_and(|own| own == name))
    };
    let mut found: Vec<Value> = policies.into_iter().filter(fits).collect();
    match (found.pop(), name) {
        (Some(policy), _) if found.is_empty() => Ok(policy),
        (Some(policy), _) => {
            found.push(policy);
            Err(Error::Several(found.iter().map(full_name).collect::<Vec<_>>().join(", ")))
        }
        (None, Some(name)) if !all.is_empty() => Err(Error::Unknown { name: name.to_owned(), others: all.join(", ") }),
        (None, _) => Err(Error::None),
    }
}

fn metadata<'a>(policy: &'a Value, field: &str) -> Option<&'a str> {
    policy.get("metadata")?.get(field)?.as_str()
}

fn full_name(policy: &Value) -> String {
    let name = metadata(policy, "name").unwrap_or("(without a name)");
    match metadata(policy, "namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn accept(mut policy: Value) -> Result<RegistryCleanupPolicy, Error> {
    let name = full_name(&policy);
    let refused = |faults| Error::Refused { name: name.clone(), faults };
    drop_nulls(&mut policy);
    let mut faults = Vec::new();
    if policy.get("apiVersion").and_then(Value::as_str) != Some(API_VERSION) {
        faults.push(format!("apiVersion: must be {API_VERSION}"));
    }
    if metadata(&policy, "name").is_none() {
        faults.push("metadata.name: is missing".to_owned());
    }
    // What every object has is no part of the definition's schema.
    let own: Map<String, Value> = policy
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, _)| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    faults.extend(validation::faults(&Value::Object(own)).iter().map(ToString::to_string));
    if !faults.is_empty() {
        return Err(refused(faults));
    }
    if let Value::Object(object) = &mut policy {
        // Nobody's wish, and possibly one of another version.
        object.remove("status");
    }
    serde_json::from_value(policy).map_err(|error| refused(vec![error.to_string()]))
}

/// Takes away members that are null, as the API server does before it fills in defaults.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, member| !member.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::api::Mode;

    fn policy(name: &str, changes: &Value) -> Value {
        let mut policy = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": "team"},
            "spec": {
                "gitlab": {"secretRef": {"name": "token"}},
                "target": {"groups": [{"path": "shop"}]},
                "rules": [{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d"}],
                "schedule": "17 3 * * *",
            },
        });
        for (pointer, value) in changes.as_object().unwrap() {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = policy.pointer_mut(parent).unwrap();
            if value == "remove" {
                parent.as_object_mut().unwrap().remove(name);
            } else {
                parent[name] = value.clone();
            }
        }
        policy
    }

    fn faults(changes: &Value) -> Vec<String> {
        match read(&policy("shop", changes).to_string(), None) {
            Ok(_) => Vec::new(),
            Err(Error::Refused { faults, .. }) => faults,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_left_out_has_the_value_that_the_schema_gives_it() {
        let text = "
            apiVersion: registrycleanup.dev/v1alpha1
            kind: RegistryCleanupPolicy
            metadata: {name: shop}
            spec:
              gitlab: {secretRef: {name: token}}
              target: {projects: [shop/backend]}
              rules:
              - {name: old, nameRegexDelete: 'v.*', keepN: 5, olderThan: null}
              schedule: 17 3 * * *
        ";
        let policy = read(text, None).unwrap();
        assert_eq!(policy.spec.gitlab.url, "https://gitlab.com");
        assert_eq!((policy.spec.mode, policy.spec.active_deadline_seconds), (Mode::DryRun, 3600));
        assert_eq!((policy.spec.rules[0].keep_n, policy.spec.rules[0].older_than.as_deref()), (Some(5), None));
        assert_eq!(policy.spec.schedule, "17 3 * * *");
    }

    #[rstest]
    #[case::a_typing_error(
        json!({"/spec/rules/0/nameRegexKep": "v.*"}),
        "spec.rules[0].nameRegexKep: there is no such field, but groupBy, keepN, ",
    )]
    #[case::a_field_in_the_wrong_place(json!({"/rules": []}), "rules: there is no such field, but spec")]
    #[case::missing(json!({"/spec/rules": "remove"}), "spec.rules: Required value")]
    #[case::missing_below(json!({"/spec/gitlab/secretRef": {}}), "spec.gitlab.secretRef.name: Required value")]
    #[case::no_name(json!({"/metadata": {}}), "metadata.name: is missing")]
    #[case::another_version(
        json!({"/apiVersion": "registrycleanup.dev/v9"}),
        "apiVersion: must be registrycleanup.dev/v1alpha1",
    )]
    #[case::text_for_a_number(json!({"/spec/rules/0/keepN": "5"}), "spec.rules[0].keepN: must be of type integer")]
    #[case::half_a_tag(json!({"/spec/rules/0/keepN": 0.5}), "spec.rules[0].keepN: must be of type integer")]
    #[case::too_many_to_keep(
        json!({"/spec/rules/0/keepN": 100_001}),
        "spec.rules[0].keepN: should be less than or equal to 100000",
    )]
    #[case::unknown_mode(
        json!({"/spec/mode": "delete"}),
        "spec.mode: Unsupported value: supported values: \"DryRun\", \"RequireApproval\", \"Delete\"",
    )]
    #[case::no_rule(json!({"/spec/rules": []}), "spec.rules: should have at least 1 items")]
    #[case::empty_pattern(
        json!({"/spec/rules/0/nameRegexDelete": ""}),
        "spec.rules[0].nameRegexDelete: should be at least 1 chars long",
    )]
    #[case::long_pattern(
        json!({"/spec/rules/0/nameRegexDelete": "a".repeat(513)}),
        "spec.rules[0].nameRegexDelete: Too long: may not be more than 512 bytes",
    )]
    #[case::two_of_one_name(
        json!({"/spec/target/groups": [{"path": "a"}, {"path": "a", "includeSubgroups": false}]}),
        "spec.target.groups[1]: Duplicate value",
    )]
    #[case::two_of_a_set(json!({"/spec/target/projects": ["a/b", "a/b"]}), "spec.target.projects[1]: Duplicate value")]
    #[case::a_rule_that_removes_everything(
        json!({"/spec/rules": [{"name": "all", "nameRegexDelete": ".*", "keepN": 0}]}),
        "spec.rules[0]: this rule would remove every tag: set nameRegexKeep",
    )]
    #[case::no_spec(json!({"/spec": []}), "spec: must be of type object")]
    fn what_the_api_server_would_refuse_is_refused_with_the_field(#[case] changes: Value, #[case] expected: &str) {
        let faults = faults(&changes);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(expected), "{faults:?}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error =
            read(&policy("shop", &json!({"/spec/schedul": "x", "/spec/mode": 3})).to_string(), None).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("RegistryCleanupPolicy team/shop is refused:\n  spec."), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn what_the_cluster_added_to_an_object_does_no_harm() {
        let changes = json!({
            "/metadata/managedFields": [{"manager": "kubectl"}],
            "/status": {"observedGeneration": 3, "ofAnotherVersion": true},
        });
        assert!(read(&policy("shop", &changes).to_string(), None).unwrap().status.is_none());
    }

    #[test]
    fn the_policy_is_found_among_other_objects_and_in_lists() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"token": "marker"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [policy("shop", &json!({})), secret]});
        let text = format!("---\n---\n{secret}\n---\n{list}\n");
        assert_eq!(read(&text, None).unwrap().metadata.name.as_deref(), Some("shop"));
        assert!(matches!(read(&secret.to_string(), None), Err(Error::None)));
        assert!(matches!(read("", Some("shop")), Err(Error::None)));
    }

    #[test]
    fn of_several_policies_one_is_chosen_by_name() {
        let other = policy("other", &json!({"/spec/rules": []}));
        let same = policy("shop", &json!({"/metadata/namespace": "b"}));
        let text = format!("{}\n---\n{other}\n---\n{same}\n", policy("shop", &json!({})));
        assert_eq!(
            read(&text, None).unwrap_err().to_string(),
            "there are several in it: say which one of team/shop, team/other, b/shop"
        );
        assert!(matches!(read(&text, Some("shop")), Err(Error::Several(names)) if names == "team/shop, b/shop"));
        assert_eq!(read(&text, Some("b/shop")).unwrap().metadata.namespace.as_deref(), Some("b"));
        assert!(
            matches!(read(&text, Some("other")), Err(Error::Refused { .. })),
            "what is wrong with others is theirs"
        );
        let unknown = read(&text, Some("shopp")).unwrap_err().to_string();
        assert!(unknown.contains("team/shop, team/other, b/shop"), "{unknown}");
    }

    #[test]
    fn the_other_policies_are_those_that_the_api_server_would_take() {
        let broken = policy("broken", &json!({"/spec/rules": []}));
        let same = policy("shop", &json!({"/metadata/namespace": "b"}));
        let text = format!("{}\n---\n{broken}\n---\n{same}\n", policy("shop", &json!({})));
        let shop = read(&text, Some("team/shop")).unwrap();
        let others = others(&text, &shop);
        assert_eq!(others.len(), 1);
        assert_eq!(others[0].metadata.namespace.as_deref(), Some("b"));
    }

    #[rstest]
    #[case::broken("kind: Secret\nstringData:\n  token: marker\n nonsense: [")]
    #[case::twice("kind: Secret\nstringData: {token: marker}\nkind: Secret")]
    #[case::template("kind: {{ .Values.kind }}\ntoken: marker")]
    fn what_cannot_be_read_is_refused_without_quoting_it(#[case] text: &str) {
        let error = read(text, None).unwrap_err();
        assert!(matches!(error, Error::Yaml(_)), "{error}");
        assert!(!error.to_string().contains("marker"), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}
