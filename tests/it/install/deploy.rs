//! What stands in `deploy/`: that it is up to date, and that the API server takes it.

use std::fs;
use std::path::Path;
use std::process::Command;

use registry_cleanup_operator::api::crd;
use serde_json::{Value, json};

use super::{Namespace, copy, files_in, go, helm_program, shared, text};
use crate::world::{kubectl, output, path};

const SCRIPTS: &str = "deploy/argocd/resource_customizations/registrycleanup.dev/RegistryCleanupPolicy";

#[test]
fn generated_files_are_what_the_script_writes() {
    let copied = tempfile::tempdir().unwrap();
    for folder in ["charts", "crds", "deploy"] {
        copy(Path::new(&path(folder)), &copied.path().join(folder));
    }
    let mut script = Command::new(copied.path().join("deploy/generate.sh"));
    // A home without settings for helm.
    let (ok, text) = output(script.env("HELM", helm_program()).env("HOME", copied.path().join("home")));
    assert!(ok, "{text}");
    for folder in ["charts", "deploy"] {
        same(Path::new(&path(folder)), &copied.path().join(folder));
    }
}

fn same(stored: &Path, written: &Path) {
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(stored), names(written), "{}", stored.display());
    for name in names(stored) {
        let (stored, written) = (stored.join(&name), written.join(&name));
        if stored.is_dir() {
            same(&stored, &written);
        } else {
            let equal = fs::read(&stored).unwrap() == fs::read(&written).unwrap();
            assert!(equal, "{} is stale: run `make generate`", stored.display());
        }
    }
}

#[test]
fn the_manifests_for_kubectl_show_no_trace_of_helm() {
    for name in ["crds.yaml", "operator.yaml"] {
        let manifest = fs::read_to_string(path(&format!("deploy/{name}"))).unwrap();
        for word in ["helm.sh", "managed-by", "# Source", "Helm"] {
            assert!(!manifest.contains(word), "{name}: {word}");
        }
        // The limit of the annotation that client-side apply writes is 256 KiB; stay far below.
        assert!(manifest.len() < 100 * 1024, "{name}");
    }
}

#[test]
fn every_example_is_accepted_and_removes_nothing() {
    let team = Namespace::create(shared());
    let examples = files_in(&path("deploy/examples"));
    assert_eq!(examples.len(), 10, "{examples:?}");
    for example in examples {
        let object = accepted(&team, &example);
        if object["kind"] == "RegistryCleanupPolicy" {
            // None of them removes anything as it stands.
            let mode = text(&object["spec"]["mode"]);
            assert!(["DryRun", "RequireApproval"].contains(&mode), "{example}");
            let source = fs::read_to_string(&example).unwrap();
            let says_so = source.contains(&format!("mode: {mode}")) && source.starts_with("# ");
            assert!(says_so, "{example} does not say what it does");
        } else {
            assert_eq!(object["kind"], "Secret");
            assert_eq!(object["data"]["token"], "UkVQTEFDRS1XSVRILVlPVVItVE9LRU4=");
        }
    }
}

fn accepted(namespace: &str, file: &str) -> Value {
    let command = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o=json", "-n", namespace];
    serde_json::from_str(&kubectl(shared(), &[&command[..], &["-f", file]].concat())).unwrap()
}

#[test]
fn the_four_examples_of_gitlabs_documentation_say_what_stands_there() {
    let team = Namespace::create(shared());
    let cases = [
        ("1-git-shas", json!({"nameRegexDelete": "[0-9a-z]{40}", "keepN": 5, "olderThan": "2d"})),
        ("2-keep-5", json!({"nameRegexDelete": ".*", "keepN": 5})),
        ("3-keep-stable", json!({"nameRegexDelete": ".*", "nameRegexKeep": "stable.*", "keepN": 0})),
        ("4-older-than-a-month", json!({"nameRegexDelete": ".*", "olderThan": "1month"})),
    ];
    for (name, expected) in cases {
        let policy = accepted(&team, &path(&format!("deploy/examples/gitlab-docs-{name}.yaml")));
        let mut rule = policy["spec"]["rules"][0].clone();
        rule.as_object_mut().unwrap().remove("name");
        assert_eq!(rule, expected, "{name}");
        assert_eq!(policy["spec"]["target"], json!({"projects": ["5"]}));
    }
}

/// Schemas as they are compared: without what is for API servers, and without what makes objects closed.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let untold = |(name, value): &(&String, &Value)| {
                name.starts_with("x-kubernetes-") || (*name == "additionalProperties" && value.is_boolean())
            };
            fields.iter().filter(|field| !untold(field)).map(|(name, value)| (name.clone(), bare(value))).collect()
        }
        Value::Array(items) => items.iter().map(bare).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_schema_for_editors_is_that_of_the_definition() {
    let schema = fs::read_to_string(path("docs/schema/registrycleanuppolicy_v1alpha1.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let definition = serde_json::to_value(crd::definition().unwrap()).unwrap();
    let expected = bare(&definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]);
    assert_eq!(bare(&schema["properties"]["spec"]), expected, "run `make schemas`");
    assert_eq!(schema["properties"]["spec"]["additionalProperties"], false, "an editor is to see what is misspelt");
}

#[test]
fn argo_cd_shows_the_right_health_and_its_actions_do_what_they_say() {
    let text = go("argocd", &["run", ".", &path(SCRIPTS)]);
    let done = |what: &str| text.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!((done("ok health"), done("ok actions")), (11, 6), "{text}");
    for action in ["run", "dry-run", "suspend", "resume"] {
        assert_eq!(done(&format!("ok {action} ")), 1, "{text}");
    }
}

/// The library by which Flux judges objects, on the same policies as Argo CD's scripts.
#[test]
fn kstatus_judges_policies_as_it_is_documented() {
    let (objects, flux) = (path(&format!("{SCRIPTS}/testdata")), path("deploy/flux/cluster.yaml"));
    let told = go("kstatus", &["run", ".", &objects, &flux]);
    let mut told: Vec<&str> = told.lines().collect();
    let page = fs::read_to_string(path("docs/conditions.md")).unwrap();
    let section = page.split("\n### What kstatus makes of them\n").nth(1).unwrap().split("\n### ").next().unwrap();
    let mut documented: Vec<String> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|row| row.split('`').filter(|part| !part.contains('|')).take(3).collect::<Vec<_>>().join(" "))
        .collect();
    told.sort_unstable();
    documented.sort_unstable();
    assert_eq!(told, documented);
}

/// What the scripts are tried on must be policies as they are: their spec passes the schema.
#[test]
fn argo_cds_scripts_are_tried_on_policies_that_the_api_server_takes() {
    let team = Namespace::create(shared());
    for folder in ["testdata", "actions/testdata"] {
        for file in files_in(&path(&format!("{SCRIPTS}/{folder}"))) {
            let source =
                fs::read_to_string(&file).unwrap().replace("namespace: team-shop", &format!("namespace: {}", &*team));
            let file = super::file(&source);
            accepted(&team, super::name_of(&file));
        }
    }
}

#[test]
fn argo_cds_settings_are_a_configmap_that_can_be_patched_in() {
    let argocd = Namespace::create(shared());
    kubectl(
        shared(),
        &["create", "configmap", "argocd-cm", "-n", &argocd, "--from-literal=url=https://argocd.example.com"],
    );
    let settings = fs::read_to_string(path("deploy/argocd/argocd-cm.yaml")).unwrap();
    let patch = super::file(&settings.replace("namespace: argocd", &format!("namespace: {}", &*argocd)));
    kubectl(shared(), &["patch", "configmap", "argocd-cm", "-n", &argocd, "--patch-file", super::name_of(&patch)]);
    let map = kubectl(shared(), &["get", "configmap", "argocd-cm", "-n", &argocd, "-o=json"]);
    let map: Value = serde_json::from_str(&map).unwrap();
    let data = &map["data"];
    assert_eq!(data["url"], "https://argocd.example.com");
    let health = text(&data["resource.customizations.health.registrycleanup.dev_RegistryCleanupPolicy"]);
    assert_eq!(health, fs::read_to_string(path(&format!("{SCRIPTS}/health.lua"))).unwrap());
    let actions = text(&data["resource.customizations.actions.registrycleanup.dev_RegistryCleanupPolicy"]);
    assert!(actions.contains("definitions:\n- name: dry-run\n  action.lua: |\n"), "{actions}");
}
