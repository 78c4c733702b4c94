//! A policy from a file: no cluster, a token of one's own, and everything that can be wrong with either.

use std::process::Stdio;

use gitlab_simulator::{Action, Endpoint, Fault, Matcher, Scope};
use registry_cleanup_operator::api::manifest;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Files, end, exact, fill, filled, json_of, names, nothing_was_changed, rules, world, world_with};
use crate::world::{MARKER, World, path};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_planned_without_a_cluster_and_nothing_is_changed() {
    let (world, files) = filled().await;
    let ended = end(files.plan(&[]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let head = format!("{}/shop on {}: method Exact, mode Delete, as of ", world.namespace, world.sim.url());
    assert!(ended.out.starts_with(&head), "{}", ended.out);
    assert!(ended.out.contains("\nshop/backend/api: 18 of 30 tags would be removed, "), "{}", ended.out);
    assert!(ended.out.contains("\nTogether: 18 of 32 tags in 1 of 2 repositories would be removed, "), "{}", ended.out);
    assert!(!ended.err.contains('\r'), "no progress where nobody looks: {:?}", ended.err);
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_can_tell_by_the_exit_code_whether_something_would_go() {
    let (world, files) = filled().await;
    assert_eq!(end(files.plan(&["--detailed-exitcode"])).code, Some(2));
    world.repository("shop/empty/api", &[]);
    let none = json!({"rules": [{"name": "none", "nameRegexDelete": "x.*", "keepN": 0}]});
    let files = Files::new(&world, &world.policy("shop", &exact(&none)));
    let ended = end(files.plan(&["--detailed-exitcode"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("Together: none of 32 tags in 3 repositories would be removed."), "{}", ended.out);
    nothing_was_changed(&world);
}

#[rstest]
#[case::from_the_environment(true)]
#[case::on_standard_input(false)]
#[tokio::test(flavor = "multi_thread")]
async fn token_and_policy_may_come_from_elsewhere(#[case] environment: bool) {
    let (world, files) = filled().await;
    let mut command = if environment {
        let mut command = files.bare_plan();
        command.env("GITLAB_TOKEN", format!("{MARKER}\n"));
        command.args(["--ca-file", "ca.crt", "--allowed-gitlab-hosts", "127.0.0.1"]);
        command
    } else {
        let mut command = super::program();
        command.current_dir(files.folder.path()).args(["plan", "-f", "-", "--token-file", "token"]);
        command.args(["--ca-file", "ca.crt", "--allowed-gitlab-hosts", "127.0.0.1"]);
        command
    };
    command.stdin(std::fs::File::open(files.path("policy.yaml")).unwrap());
    assert_eq!(names(&json_of(command, 0), "shop/backend/api", "Remove").len(), 18);
    nothing_was_changed(&world);
}

#[rstest]
#[case::it_may_read(&[Scope::ReadApi], 0)]
#[case::it_may_not(&[Scope::ReadRegistry], 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_read_is_enough(#[case] scopes: &[Scope], #[case] code: i32) {
    let (world, files) = filled().await;
    let token = world.sim.edit(|registry| {
        let user = registry.find_token(MARKER).unwrap().user;
        registry.personal_token(user, scopes)
    });
    files.write("token", &token);
    let ended = end(files.plan(&[]));
    assert_eq!(ended.code, Some(code), "{}", ended.err);
    if code == 1 {
        assert!(ended.err.contains("needs api or read_api (InsufficientScope)"), "{}", ended.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_gitlab_does_not_know_is_told_and_not_shown() {
    let (_world, files) = filled().await;
    files.write("token", "glpat-another-marker");
    let ended = end(files.plan(&["-o", "json"]));
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains("GitLab answered 401") && ended.err.contains("(TokenRejected)"), "{}", ended.err);
    assert!(!ended.err.contains("another-marker"), "{}", ended.err);
}

#[rstest]
#[case::no_such_file(&["-f", "nothing.yaml"], "failed to read nothing.yaml: No such file")]
#[case::a_folder(&["-f", "."], "failed to read .: ")]
#[case::no_such_token(&["--token-file", "nothing"], "failed to read nothing: No such file")]
#[case::an_empty_token(&["--token-file", "empty"], "empty: there is no token in it")]
#[case::no_such_authority(&["--ca-file", "nothing"], "failed to read nothing: No such file")]
#[case::no_authority(&["--ca-file", "token"], "certificate")]
#[case::no_policy(&["-f", "token"], "token: there is no RegistryCleanupPolicy in it")]
#[case::no_text(&["-f", "binary"], "binary: it is not text")]
#[case::too_long(&["-f", "long"], "long: it is longer than 4 MiB")]
#[case::another_name(&["other"], "policy.yaml: there is no RegistryCleanupPolicy other in it, but ")]
#[case::another_host(&["--allowed-gitlab-hosts", "gitlab.example.com"], "may not send tokens to 127.0.0.1")]
#[case::ahead(&["--as-of", "9999-01-01T00:00:00Z"], "lies ahead")]
#[case::no_moment(&["--as-of", "yesterday"], "--as-of")]
#[case::an_unknown_flag(&["--tokens", "x"], "unexpected argument")]
#[case::a_namespace(&["-n", "team"], "cannot be used with")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_in_one_line_and_ends_with_1(#[case] arguments: &[&str], #[case] words: &str) {
    let (world, files) = filled().await;
    files.write("empty", "\n");
    files.write("long", &"#".repeat(4 * 1024 * 1024 + 1));
    std::fs::write(files.path("binary"), [0xff, 0xfe, 0x00]).unwrap();
    // What is given again takes the place of what was given before.
    let given = |flag: &str| arguments.first() == Some(&flag);
    let mut command = super::program();
    command.current_dir(files.folder.path()).arg("plan");
    for (flag, value) in [
        ("-f", "policy.yaml"),
        ("--token-file", "token"),
        ("--ca-file", "ca.crt"),
        ("--allowed-gitlab-hosts", "127.0.0.1"),
    ] {
        if !given(flag) {
            command.args([flag, value]);
        }
    }
    command.args(arguments);
    let ended = end(command);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
    assert!(ended.err.starts_with("error: ") && ended.err.contains(words), "{}", ended.err);
    assert!(world.sim.requests().is_empty(), "GitLab was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_or_a_policy_nothing_is_asked() {
    let (world, files) = filled().await;
    let ended = end(files.bare_plan());
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("set GITLAB_TOKEN, or name a file with --token-file"), "{}", ended.err);
    let mut command = super::program();
    command.arg("plan");
    let ended = end(command);
    assert_eq!(ended.code, Some(1), "not 2, which means something else here");
    assert!(world.sim.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typing_error_in_a_field_is_no_plan() {
    let (world, files) = filled().await;
    let mut policy = world.policy("shop", &exact(&json!({})));
    policy["spec"]["rules"][0]["nameRegexKep"] = json!("t2.*");
    files.write("policy.yaml", &policy.to_string());
    let ended = end(files.plan(&[]));
    assert_eq!(ended.code, Some(1));
    let expected = format!(
        "error: policy.yaml: RegistryCleanupPolicy {}/shop is refused:\n  spec.rules[0].nameRegexKep: there is no such \
         field, but groupBy, keepN, name, nameRegexDelete, nameRegexKeep, olderThan, sortBy\n",
        world.namespace
    );
    assert_eq!(ended.err, expected);
    policy["spec"]["rules"][0] = json!({"name": "r", "nameRegexDelete": "(?!x).*", "keepN": 1});
    files.write("policy.yaml", &policy.to_string());
    let ended = end(files.plan(&[]));
    assert!(ended.err.contains("rules[r].nameRegexDelete") && ended.err.contains("(InvalidPattern)"), "{}", ended.err);
    assert!(world.sim.requests().is_empty());
}

#[rstest]
#[case::bulk("Bulk")]
#[case::exact("Exact")]
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_would_remove_everything_is_no_plan(#[case] method: &str) {
    let (world, files) = filled().await;
    let rules = json!([{"name": "all", "nameRegexDelete": ".*", "keepN": 0}]);
    files.write("policy.yaml", &world.policy("shop", &json!({"method": method, "rules": rules})).to_string());
    let ended = end(files.plan(&[]));
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let expected = format!(
        "error: policy.yaml: RegistryCleanupPolicy {}/shop is refused:\n  spec.rules[0]: this rule would remove every tag: set \
         nameRegexKeep, olderThan or a keepN of at least 1, or narrow nameRegexDelete down\n",
        world.namespace
    );
    assert_eq!(ended.err, expected);
    assert!(world.sim.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_policies_in_a_file_the_named_one_is_planned() {
    let (world, files) = filled().await;
    let none = json!({"rules": [{"name": "none", "nameRegexDelete": "x.*", "keepN": 1}]});
    let two = format!(
        "---\n{}\n---\nkind: Secret\n---\n{}\n",
        world.policy("shop", &exact(&json!({}))),
        world.policy("other", &exact(&none))
    );
    files.write("policy.yaml", &two);
    let ended = end(files.plan(&[]));
    let both = format!("say which one of {0}/shop, {0}/other", world.namespace);
    assert!(ended.code == Some(1) && ended.err.contains(&both), "{}", ended.err);
    assert_eq!(end(files.plan(&["shop", "--detailed-exitcode"])).code, Some(2));
    assert_eq!(end(files.plan(&["other", "--detailed-exitcode"])).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_needs_the_consent_of_the_policy_and_of_the_flag() {
    let world = World::start_with(|config| {
        config.tls = false;
        config.clock = gitlab_simulator::Clock::system();
    })
    .await;
    world.repository("shop/backend/api", &[("a", 9)]);
    let gitlab = json!({"url": world.sim.url(), "secretRef": {"name": "token"}, "insecure": true});
    let files = Files::new(&world, &world.policy("shop", &exact(&json!({"gitlab": gitlab}))));
    let plan = |more: &[&str]| {
        let mut command = files.bare_plan();
        command.args(["--allowed-gitlab-hosts", "127.0.0.1", "--token-file", "token"]).args(more);
        end(command)
    };
    let refused = plan(&[]);
    assert!(refused.code == Some(1) && refused.err.contains("(InsecureConnectionsDisallowed)"), "{}", refused.err);
    assert_eq!(plan(&["--allow-insecure-http"]).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_fails_does_not_hide_the_others_and_fails_the_pipeline() {
    let (world, files) = filled().await;
    world.sim.edit(|registry| registry.settings.graphql = false);
    let [api, web] = ["shop/backend/api", "shop/frontend/web"].map(|path| world.repository(path, &[]));
    let gone = Action::Answer { status: 404, headers: Vec::new(), body: "{\"message\": \"404 Not found\"}".to_owned() };
    world.sim.fault(Fault::new(Matcher::endpoint(Endpoint::ListTags).repository(web), gone));
    let plan = json_of(files.plan(&["--detailed-exitcode"]), 1);
    let failed = &plan["repositories"][1];
    assert_eq!((&failed["id"], &failed["tags"]), (&json!(web), &json!([])));
    assert!(failed["error"].as_str().unwrap().contains("404"), "{failed}");
    assert_eq!((&plan["repositories"][0]["id"], plan["totals"]["remove"].as_u64()), (&json!(api), Some(18)));
    let ended = end(files.plan(&[]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("\nshop/frontend/web: failed: "), "{}", ended.out);
    assert!(ended.out.contains("\nshop/backend/api: 18 of 30 tags"), "{}", ended.out);
    assert!(ended.out.contains("\nNote: 1 of 2 repositories failed.\n"), "{}", ended.out);
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_listed_fails_by_itself() {
    let world = world().await;
    fill(&world);
    let target = json!({"projects": ["shop/nothing"], "groups": [{"path": "shop"}]});
    let files = Files::new(&world, &world.policy("shop", &exact(&json!({"target": target}))));
    let plan = json_of(files.plan(&[]), 1);
    let target = &plan["repositories"][0];
    assert_eq!((&target["path"], &target["id"]), (&json!("project shop/nothing"), &json!(0)));
    assert!(target["error"].as_str().unwrap().contains("404"), "{target}");
    assert_eq!(plan["totals"]["remove"], 18);
}

#[rstest]
#[case::in_a_repository(json!({"maxTagsPerRepository": 17}), "18 tags would go, limits.maxTagsPerRepository allows 17")]
#[case::a_share(json!({"maxPercentPerRepository": 59}), "18 of 30 tags would go, limits.maxPercentPerRepository allows 59 %")]
#[case::over_the_run(json!({"maxTagsPerRun": 17}), "18 tags would go, limits.maxTagsPerRun allows 17")]
#[case::not_blown(json!({"maxTagsPerRepository": 18, "maxPercentPerRepository": 60, "maxTagsPerRun": 18}), "")]
#[tokio::test(flavor = "multi_thread")]
async fn fuses_are_judged_as_a_run_judges_them(
    #[values("Bulk", "Exact")] method: &str,
    #[case] limits: Value,
    #[case] numbers: &str,
) {
    let world = world().await;
    fill(&world);
    let spec = json!({"method": method, "rules": rules(), "limits": limits});
    let files = Files::new(&world, &world.policy("shop", &spec));
    let plan = json_of(files.plan(&[]), i32::from(!numbers.is_empty()));
    let errors: Vec<Option<&str>> =
        plan["repositories"].as_array().unwrap().iter().map(|repository| repository["error"].as_str()).collect();
    assert_eq!(errors, [Some(numbers).filter(|numbers| !numbers.is_empty()), None]);
    assert_eq!(plan["totals"]["remove"], 18, "nothing is shortened");
    nothing_was_changed(&world);
}

#[rstest]
#[case::without_dates_of_pushes(|settings: &mut gitlab_simulator::Settings| settings.version = gitlab_simulator::Version::new(16, 0))]
#[case::without_graphql(|settings: &mut gitlab_simulator::Settings| settings.graphql = false)]
#[tokio::test(flavor = "multi_thread")]
async fn older_servers_are_planned_with_what_they_tell(#[case] change: fn(&mut gitlab_simulator::Settings)) {
    let world = world_with(change).await;
    fill(&world);
    let files = Files::new(&world, &world.policy("shop", &exact(&json!({}))));
    let plan = json_of(files.plan(&["--all"]), 0);
    assert_eq!(names(&plan, "shop/backend/api", "Remove").len(), 18);
    for tag in plan["repositories"][0]["tags"].as_array().unwrap() {
        assert_eq!(tag["publishedAt"], Value::Null);
        assert!(tag["createdAt"].is_string() && tag["bytes"].is_u64(), "{tag}");
    }
    let text = end(files.plan(&[])).out;
    assert!(text.contains("; ages by the first push"), "{text}");
    nothing_was_changed(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_the_plan_without_a_word() {
    let (_world, files) = filled().await;
    let mut command = files.plan(&[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(1), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_a_file_only_names_are_not_missed_in_silence() {
    let (world, files) = filled().await;
    let mut policy = world.policy("shop", &exact(&json!({})));
    policy["spec"]["gitlab"]["proxySecretRef"] = json!({"name": "proxy"});
    files.write("policy.yaml", &policy.to_string());
    let ended = end(files.plan(&[]));
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.contains("note: gitlab.proxySecretRef is not read"), "{}", ended.err);
    assert!(!ended.err.contains("certSecretRef"), "its place was taken: {}", ended.err);
}

/// Every policy of the examples, and the one of the demo, passes the reader of files.
#[test]
fn the_examples_can_be_read_from_files() {
    let folder = std::fs::read_dir(path("deploy/examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut read = 0;
    for file in folder.chain([path("hack/demo/policy.yaml").into()]).filter(|file| !file.ends_with("secret.yaml")) {
        let text = std::fs::read_to_string(&file).unwrap();
        manifest::read(&text, None).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        read += 1;
    }
    assert!(read > 6, "only {read}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_under_way_ends_at_once_when_it_is_told_to(#[values("-INT", "-TERM")] signal: &str) {
    let (world, files) = filled().await;
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlQuery), gitlab_simulator::HoldPoint::BeforeProcessing);
    let mut child = files.plan(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    hold.reached().await;
    let sent = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let status = crate::support::eventually("the end", async || child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(130));
    drop(hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_policies_of_the_file_are_told_where_they_look_after_the_same_repositories() {
    let (world, files) = filled().await;
    let group = std::fs::read_to_string(files.path("policy.yaml")).unwrap();
    let one = json!({"target": {"projects": ["shop/frontend"]}, "suspend": true});
    let project = serde_saphyr::to_string(&world.policy("web", &exact(&one))).unwrap();
    let mut far = world.policy("far", &json!({"target": {"projects": ["shop/far"]}}));
    far["metadata"]["namespace"] = json!("elsewhere");
    files.write("policy.yaml", &format!("{group}\n---\n{project}\n---\n{}", serde_saphyr::to_string(&far).unwrap()));
    let plan = json_of(files.plan(&["shop"]), 0);
    assert_eq!(plan["overlapping"], json!({"policies": ["web"], "repositories": ["shop/frontend/web"]}));
    let ended = end(files.plan(&["web"]));
    let note = "Note: policy shop also looks after repositories of this policy (shop/frontend/web, 1 of 1); each decides alone";
    assert!(ended.out.contains(note), "{}", ended.out);
    nothing_was_changed(&world);
}
