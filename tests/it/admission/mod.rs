//! What is refused, and the sentence that somebody who typed it reads: from the API server, and from the operator and
//! `plan -f` for what no API server judged. One table of samples for all of them.

mod samples;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Error};
use registry_cleanup_operator::api::{RegistryCleanupPolicy, crd, manifest};
use registry_cleanup_operator::policy::{CompileOptions, compile};
use serde_json::{Value, json};

use crate::world::{client, cluster, output};
use samples::{Refused, by_bounds, by_keep_pattern, by_pattern, by_rule, changed, everything, taken};

async fn policies() -> Api<RegistryCleanupPolicy> {
    Api::namespaced(client(cluster().await.kubeconfig()).await, "default")
}

/// Applies a policy that is to be refused; answers the fields that are complained about, and the text as kubectl prints
/// it.
async fn refused(api: &Api<RegistryCleanupPolicy>, sample: &Refused) -> (Vec<String>, String) {
    match api.patch("refused", &PatchParams::apply("test").force(), &Patch::Apply(&sample.policy)).await {
        Err(Error::Api(status)) => {
            let causes = status.details.as_ref().map_or_else(Vec::new, |details| details.causes.clone());
            (causes.into_iter().map(|cause| cause.field).collect(), status.message)
        }
        other => panic!("{}: this should have been refused: {other:?}", sample.name),
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_meant_is_refused_with_one_sentence() {
    let api = policies().await;
    for sample in by_rule().into_iter().chain(everything()).chain(by_keep_pattern()) {
        let (fields, text) = refused(&api, &sample).await;
        assert_eq!(fields, [sample.field], "{}: {text}", sample.name);
        assert!(text.contains(sample.server), "{}: {text}", sample.name);
    }
}

#[tokio::test]
async fn a_pattern_that_is_no_re2_is_refused_with_what_is_wrong_in_it() {
    let api = policies().await;
    for sample in by_pattern() {
        let (fields, text) = refused(&api, &sample).await;
        assert!(text.contains(sample.server), "{}: {text}", sample.name);
        assert!(
            text.contains("give a valid RE2 pattern (look-around and back-references do not exist there)"),
            "{text}"
        );
        assert_eq!(fields, [sample.field], "{}: {text}", sample.name);
    }
}

#[tokio::test]
async fn a_policy_beyond_the_limits_is_refused() {
    let api = policies().await;
    for sample in by_bounds() {
        let (_, text) = refused(&api, &sample).await;
        assert!(text.contains(sample.server), "{}: {text}", sample.name);
    }
}

fn all_refused() -> impl Iterator<Item = Refused> {
    by_rule().into_iter().chain(everything()).chain(by_keep_pattern()).chain(by_pattern()).chain(by_bounds())
}

/// What the operator makes of an object that is stored as it is.
fn stored(policy: &Value) -> Result<(), String> {
    let policy: RegistryCleanupPolicy =
        serde_json::from_value(policy.clone()).map_err(|error| format!("unreadable: {error}"))?;
    let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
    // Allowed as far as the operator can, so that only the definition stands in the way.
    let settings = CompileOptions { allow_insecure_http: true, ..CompileOptions::default() };
    compile(&policy.spec, &settings, now)
        .map(|_| ())
        .map_err(|problem| format!("{}: {}", problem.reason, problem.message))
}

/// What `plan -f` makes of a file, before it asks anybody.
fn from_file(policy: &Value) -> Result<(), String> {
    let read = manifest::read(&policy.to_string(), None).map_err(|error| error.to_string())?;
    stored(&serde_json::to_value(read).unwrap())
}

#[test]
fn what_was_stored_without_the_definition_is_refused_by_the_operator_with_the_same_sentence() {
    let mut wrong = Vec::new();
    // What the definition does not know is not stored, or means nothing.
    for sample in all_refused().filter(|sample| sample.operator != "there is no such field") {
        let told = stored(&sample.policy).err().unwrap_or_default();
        if !(told.contains(sample.operator) || told.starts_with("unreadable: ")) || told.contains("bot:x") {
            wrong.push(format!("{}: {told}", sample.name));
        }
    }
    // Of these every one can be read, so the operator speaks, of the same field.
    for sample in by_rule().into_iter().chain(everything()).chain(by_keep_pattern()) {
        let told = stored(&sample.policy).unwrap_err();
        if !told.contains(&format!(": {}: ", sample.field)) {
            wrong.push(format!("{}: {told}", sample.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let everything = stored(&everything()[0].policy).unwrap_err();
    assert!(everything.starts_with("InvalidSpec: spec.rules[0]: this rule would remove every tag: "), "{everything}");
}

#[test]
fn what_is_in_a_file_is_refused_by_plan_with_the_same_sentence() {
    let told = |sample: &Refused| from_file(&sample.policy).err().unwrap_or_default();
    let wrong = |sample: Refused| (!told(&sample).contains(sample.operator)).then(|| (sample.name, told(&sample)));
    let wrong: Vec<_> = all_refused().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_is_documented_is_taken_by_all() {
    let api = policies().await;
    for policy in taken() {
        let answer = api.patch("taken", &PatchParams::apply("test").force().dry_run(), &Patch::Apply(&policy)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{policy:#}: {error}"));
        if let Some(protect) = answer.spec.protect {
            assert_eq!(json!(protect), policy["spec"]["protect"]);
        }
        assert_eq!(stored(&policy), Ok(()), "{policy:#}");
        assert_eq!(from_file(&policy), Ok(()), "{policy:#}");
    }
}

/// Every rule in CEL, with the path that the schema has for what it is about.
fn rules_of_the_definition(path: &str, schema: &Value, found: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.push((path.to_owned(), rule["message"].as_str().unwrap().to_owned()));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        rules_of_the_definition(&format!("{path}.{name}"), property, found);
    }
    if schema["items"].is_object() {
        rules_of_the_definition(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn every_rule_of_the_definition_has_a_sample_that_it_refuses() {
    let mut rules = Vec::new();
    let definition = crd::definition().unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    rules_of_the_definition("spec", schema, &mut rules);
    let without_numbers = |field: &str| -> String { field.chars().filter(|c| !c.is_ascii_digit()).collect() };
    let samples: Vec<(String, &str)> =
        all_refused().map(|sample| (without_numbers(sample.field), sample.operator)).collect();
    for (path, message) in rules {
        let refuses =
            |(field, words): &(String, &str)| *field == path && (message.contains(words) || is_pattern(&message));
        assert!(samples.iter().any(refuses), "no sample is refused for {path}: {message}");
    }
}

fn is_pattern(message: &str) -> bool {
    message.starts_with("give a valid RE2 pattern")
}

#[tokio::test]
async fn kubectl_shows_the_sentence_and_nothing_else() {
    let cluster = cluster().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    for (pointer, value, expected) in [
        (
            "/rules/0/nameRegexDelete",
            json!("mr-("),
            "spec.rules[0].nameRegexDelete: Invalid value: \"string\": error parsing regexp: missing closing ): `mr-(` \
             evaluating rule: give a valid RE2 pattern (look-around and back-references do not exist there)",
        ),
        (
            "/rules/0/olderThan",
            json!("1m"),
            "spec.rules[0].olderThan: Invalid value: \"1m\": give whole numbers with h, d, w, month or y, for example \
             14d or 1month (not m: GitLab reads 1m as one minute)",
        ),
        (
            "/gitlab/url",
            json!("https://gitlab.example.com/git/api/v4"),
            "spec.gitlab.url: Invalid value: \"https://gitlab.example.com/git/api/v4\": leave the path of the API away, \
             which the operator adds by itself: write https://gitlab.example.com/git",
        ),
        (
            "/rules",
            json!([{"name": "all", "nameRegexDelete": ".*", "keepN": 0}]),
            "spec.rules[0]: Invalid value: this rule would remove every tag: set nameRegexKeep, olderThan or a keepN of \
             at least 1, or narrow nameRegexDelete down",
        ),
    ] {
        std::fs::write(file.path(), changed("refused", pointer, &value).to_string()).unwrap();
        let (ok, text) = output(cluster.kubectl().args(["apply", "--filename"]).arg(file.path()));
        assert!(!ok, "{text}");
        assert_eq!(text.trim(), format!("The RegistryCleanupPolicy \"refused\" is invalid: {expected}"));
    }
}
