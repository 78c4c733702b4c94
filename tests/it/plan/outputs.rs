//! The forms a plan is printed in: they say the same, and the documentation describes them.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::{Value, json};

use super::{Files, end, exact, filled, json_of, names, nothing_was_changed, program, world};
use crate::world::path;

/// A pipeline may put the command line together from names that anybody can choose.
#[test]
fn an_error_has_nothing_that_a_terminal_would_obey() {
    let odd = "a\u{1b}[2J\u{202e}b\r";
    let (file, flag) = (["plan", "-f", odd, "--token-file", "token"], ["plan", &format!("--{odd}")]);
    for arguments in [&file[..], &flag] {
        let Output { status, stderr, .. } = program().args(arguments).output().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{text}");
        assert!(text.starts_with("error: ") && !registry_cleanup_operator::terminal::is_odd(&text), "{text:?}");
    }
}

#[test]
fn the_version_is_that_of_the_package_with_its_commit() {
    let Output { stdout, .. } = program().arg("--version").output().unwrap();
    let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("REGISTRY_CLEANUP_COMMIT"));
    let commit = if commit.is_empty() { String::new() } else { format!(" ({commit})") };
    assert_eq!(String::from_utf8(stdout).unwrap(), format!("registry-cleanup-operator {version}{commit}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_yaml_table_and_markdown_say_the_same() {
    let (world, files) = filled().await;
    let plan = json_of(files.plan(&["--all"]), 0);
    let mut yaml: Value = serde_saphyr::from_str(&end(files.plan(&["--all", "-o", "yaml"])).out).unwrap();
    yaml["generatedAt"] = plan["generatedAt"].clone();
    assert_eq!(yaml, plan);

    let hash = plan["planHash"].as_str().unwrap();
    let table = end(files.plan(&["--all", "-o", "table"])).out;
    let markdown = end(files.plan(&["--all", "-o", "markdown"])).out;
    assert!(table.ends_with(&format!("Plan: {hash}\n")), "{table}");
    assert!(markdown.contains(&format!("plan `{hash}`")), "{markdown}");
    for verdict in ["Remove", "Keep"] {
        for (repository, number) in
            [("shop/backend/api", if verdict == "Remove" { 18 } else { 12 }), ("shop/frontend/web", 2)]
        {
            let expected = names(&plan, repository, verdict);
            assert!(
                expected.len() == number || (repository == "shop/frontend/web" && verdict == "Remove"),
                "{expected:?}"
            );
            for tag in expected {
                let line = |text: &str, parts: [&str; 2]| {
                    text.lines().any(|line| parts.iter().all(|part| line.contains(part)))
                };
                assert!(line(&table, [&format!("  {verdict} "), &format!(" {tag} ")]), "{tag}: {table}");
                assert!(line(&markdown, [&format!("| {verdict} |"), &format!("| `{tag}` |")]), "{tag}: {markdown}");
            }
        }
    }
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_known_tag_is_listed_and_what_was_not_read_is_null_unless_everything_is_asked_for() {
    let world = world().await;
    let numbers = 0..250;
    let names_: Vec<String> = numbers.clone().map(|number| format!("t{number:03}")).collect();
    // The five oldest are old enough; a page of the oldest has 20.
    let ages = numbers.map(|number| if number < 5 { 30 } else { 1 });
    let tags: Vec<(&str, i64)> = names_.iter().map(String::as_str).zip(ages).collect();
    world.repository("shop/backend/api", &tags);
    let files = Files::new(&world, &world.policy("shop", &exact(&json!({}))));

    let brief = json_of(files.plan(&[]), 0);
    let all = json_of(files.plan(&["--all"]), 0);
    assert_eq!(brief["totals"], all["totals"]);
    assert_eq!(brief["planHash"], all["planHash"]);
    let unread = |plan: &Value| {
        let tags = plan["repositories"][0]["tags"].as_array().unwrap();
        assert_eq!(tags.len(), 250);
        let null =
            |tag: &&Value| ["digest", "publishedAt", "createdAt", "bytes"].iter().all(|field| tag[*field].is_null());
        tags.iter().filter(null).count()
    };
    assert_eq!((unread(&brief), unread(&all)), (230, 0));

    // Without places to count, not even the names of the younger ones are read.
    let ages_only = json!({"rules": [{"name": "old", "nameRegexDelete": ".*", "olderThan": "7d"}]});
    let files = Files::new(&world, &world.policy("shop", &exact(&ages_only)));
    let plan = json_of(files.plan(&[]), 0);
    assert_eq!(plan["totals"], json!({"scanned": 20, "remove": 5, "keep": 15, "bytes": plan["totals"]["bytes"]}));
    let table = end(files.plan(&[])).out;
    assert!(table.contains("5 of the 20 oldest tags would be removed"), "{table}");
    assert!(table.contains("15 TooYoung, and all younger ones, which were not read\n"), "{table}");
    nothing_was_changed(&world);
}

/// The fields of an object, and of those below it.
fn fields(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, member) in object {
                let field = format!("{prefix}.{name}");
                fields(member, &field, found);
                found.insert(field);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, prefix, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_shape_is_what_comes() {
    let (_world, files) = filled().await;
    let text = std::fs::read_to_string(path("docs/plan.md")).unwrap();
    let documented = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let of = |plan: &Value| {
        let mut found = BTreeSet::new();
        fields(plan, "", &mut found);
        found
    };
    let mut expected = of(&serde_json::from_str(documented).unwrap());
    let mut plan = of(&json_of(files.plan(&[]), 0));
    // Only where there is one.
    for (optional, row) in [
        (".repositories.error", "| `error` |"),
        (".repositories.tags.users", "| `users` |"),
        (".repositories.protectionRules", "| `protectionRules` |"),
    ] {
        assert!(text.contains(row), "{optional} is not documented");
        expected.remove(optional);
        plan.remove(optional);
    }
    assert!(text.contains("| `overlapping` |") && text.contains("| `droppedFields` |"));
    expected.retain(|field| !field.starts_with(".overlapping"));
    assert_eq!(plan, expected);
}

#[test]
fn the_documentation_speaks_of_flags_that_there_are() {
    let text = std::fs::read_to_string(path("docs/plan.md")).unwrap();
    let mut help = super::program();
    let help = end_of(help.args(["plan", "--help"]));
    let own = text.lines().filter(|line| !line.contains("curl") && !line.contains("--header") && !line.contains("apk"));
    let words: Vec<&str> = own.flat_map(|line| line.split(|c: char| c.is_whitespace() || "`=,|".contains(c))).collect();
    let flags: BTreeSet<&str> =
        words.iter().copied().filter(|word| word.starts_with("--") && word.len() > 2 && !word.ends_with('-')).collect();
    for flag in flags.iter().filter(|flag| !matches!(**flag, "--from" | "--dry-run" | "--release")) {
        assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")), "{flag} is not in the help");
    }
    assert!(flags.len() > 10, "{flags:?}");
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let pipeline = blocks.find(|block| block.starts_with("registry-cleanup-plan:")).unwrap();
    let pipeline: Value = serde_saphyr::from_str(pipeline).unwrap();
    let script = pipeline["registry-cleanup-plan"]["script"].as_array().unwrap();
    assert!(script.iter().all(Value::is_string), "{script:?}");
}

/// The inputs that a component or an action declares, by their names.
fn inputs(declared: &Value) -> BTreeSet<String> {
    declared.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_documentation_names_every_input_of_the_component_and_of_the_action() {
    let text = std::fs::read_to_string(path("docs/plan.md")).unwrap();
    let read = |file: &str| std::fs::read_to_string(path(file)).unwrap();
    let component = read("templates/plan/template.yml");
    let spec: Value = serde_saphyr::from_str(component.split("\n---\n").next().unwrap()).unwrap();
    let action: Value = serde_saphyr::from_str(&read(".github/actions/plan/action.yml")).unwrap();
    let sentence = text.split("Inputs: ").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    for input in inputs(&spec["spec"]["inputs"]) {
        assert!(sentence.contains(&format!("`{input}`")), "{input} of the component");
    }
    let example = text.split("/.github/actions/plan@").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    for input in inputs(&action["inputs"]) {
        assert!(example.contains(&format!("    {input}: ")) || text.contains(&format!("`{input}` says")), "{input}");
    }
    let given: Value = serde_saphyr::from_str(&format!("with:{}", example.split("with:").nth(1).unwrap())).unwrap();
    assert!(inputs(&given["with"]).is_subset(&inputs(&action["inputs"])), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_saved_in_other_formats_of_the_same_reading() {
    let (world, files) = filled().await;
    end(files.plan(&["--all", "-o", "json"]));
    let once = world.sim.requests().len();
    let saves = ["--save", "html=plan.html", "--save", "terraform-report=plan.tf.json", "--save", "table=plan.txt"];
    let plan = json_of(files.plan(&[&["--all"][..], &saves].concat()), 0);
    assert_eq!(world.sim.requests().len(), 2 * once, "GitLab is asked once for all of them");
    let text_of = |name: &str| std::fs::read_to_string(files.path(name)).unwrap();
    let report: Value = serde_json::from_str(&text_of("plan.tf.json")).unwrap();
    assert_eq!(report, json!({"create": 0, "update": 0, "delete": 18}));
    assert_eq!(plan["totals"]["remove"], 18);
    let html = text_of("plan.html");
    for total in ["remove", "keep", "bytes"] {
        assert!(html.contains(&format!("<data id=\"{total}\" value=\"{}\">", plan["totals"][total])), "{total}");
    }
    assert!(html.contains("18 of 32 tags would go"), "{html}");
    for (repository, verdict) in
        [("shop/backend/api", "Remove"), ("shop/backend/api", "Keep"), ("shop/frontend/web", "Keep")]
    {
        for tag in names(&plan, repository, verdict) {
            assert!(html.contains(&format!("<tr><td>{tag}<td>")), "{tag}");
        }
    }
    // A table that is also saved is the same as one that is only printed.
    let table = end(files.plan(&["--save", "table=again.txt"]));
    assert_eq!(table.out, text_of("again.txt"));
    assert!(text_of("plan.txt").ends_with(&format!("Plan: {}\n", plan["planHash"].as_str().unwrap())));
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_saved_is_an_error() {
    let (_world, files) = filled().await;
    let ended = end(files.plan(&["--save", "html=none/plan.html"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("failed to write none/plan.html"), "{}", ended.err);
    let refused = end(files.plan(&["--save", "pdf=plan.pdf"]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("--save"), "{}", refused.err);
}

fn end_of(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program with its standard error on a terminal of its own, and answers what is written there: `script` is part
/// of every Debian.
fn on_a_terminal(command: &std::process::Command, out: &std::path::Path) -> String {
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
    let mut words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    words.extend([
        "--max-requests-per-second-per-host".to_owned(),
        "1000".to_owned(),
        format!("> {}", quoted(out.as_os_str())),
    ]);
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    script.current_dir(command.get_current_dir().unwrap()).stdin(std::process::Stdio::null());
    let output = script.output().expect("script is there");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_on_sees_how_far_the_plan_has_got_and_a_file_does_not() {
    let (world, files) = filled().await;
    let out = files.path("out");
    let seen = on_a_terminal(&files.plan(&[]), &out);
    for line in ["looking for repositories", "1/2 repositories, ", "2/2 repositories, 32 tags"] {
        assert!(seen.contains(&format!("\r{line}")), "{line}: {seen:?}");
    }
    // Every line takes the place of the one before, and nothing is left of the last one.
    assert!(seen.split('\r').all(|line| line.is_empty() || line.ends_with("\u{1b}[K")), "{seen:?}");
    assert!(seen.ends_with("\r\u{1b}[K") && !seen.contains('\n'), "{seen:?}");
    let plan = std::fs::read_to_string(out).unwrap();
    assert!(plan.contains("\nTogether: 18 of 32 tags in 1 of 2 repositories would be removed, "), "{plan}");
    assert!(!plan.contains(['\r', '\u{1b}']), "{plan:?}");
    nothing_was_changed(&world);
}
