//! One case: what its file says, and what `plan -f` and a run make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use gitlab_simulator::{Action, Backend, Clock, Endpoint, Fault, Matcher, Push, Settings, TagKind};
use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use registry_cleanup_operator::api::conditions::find;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT};
use registry_cleanup_operator::policy::CompileOptions;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{MARKER, Operator, Setup, World};

/// A file of `cases`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Case {
    #[serde(skip)]
    name: String,
    registry: Backend,
    /// Other settings of the simulator, as its admin API takes them.
    #[serde(default)]
    settings: serde_json::Map<String, Value>,
    /// What answers in GitLab's place.
    #[serde(default)]
    in_front: Vec<Answer>,
    /// Repositories by path, and their tags by name.
    repositories: BTreeMap<String, BTreeMap<String, Image>>,
    policies: BTreeMap<String, Expected>,
}

/// What a firewall, a proxy or a gateway answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Answer {
    /// To what; to everything, if not said.
    endpoint: Option<Endpoint>,
    status: u16,
    #[serde(default)]
    body: String,
}

/// What a tag points at, and since when.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    /// How long ago it was pushed.
    pushed: String,
    /// When it was built, as an age or a date, if not then.
    built: Option<String>,
    /// A tag of the same image.
    same_as: Option<String>,
    kind: Option<TagKind>,
}

/// A policy, and what must become of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    /// Fields of the spec that differ from those of `World::policy`.
    spec: Value,
    /// What the command and the API server say when they refuse it; then nothing else is asked.
    refused: Option<String>,
    /// The value of run-requested-at with which the policy is restored; then this is the only request, and nothing
    /// is expected of the plan.
    restored_with: Option<String>,
    /// The first operator that sees it does not allow its host.
    #[serde(default)]
    first_stalled: bool,
    #[serde(default)]
    stays: Vec<String>,
    #[serde(default)]
    goes: Vec<String>,
    plan_says: Option<String>,
    /// What the condition Ready says, as reason and message, when it is False; then there is no run.
    not_ready: Option<String>,
    status_says: Option<String>,
}

/// One policy of a case.
pub(super) struct Trial {
    /// `case/policy`.
    pub(super) name: String,
    case: Arc<Case>,
    policy: String,
}

impl Case {
    /// Reads a file.
    pub(super) fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let mut case: Self =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        case.name = file.file_stem().unwrap().to_string_lossy().into_owned();
        case.check_names();
        case
    }

    /// The name of its file, without the ending.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is to be tried.
    pub(super) fn trials(self) -> Vec<Trial> {
        let case = Arc::new(self);
        let trial = |policy: &String| Trial {
            name: format!("{}/{policy}", case.name),
            case: Arc::clone(&case),
            policy: policy.clone(),
        };
        case.policies.keys().map(trial).collect()
    }

    /// A name that is not in the registry would be expected in vain, or never missed.
    fn check_names(&self) {
        for expected in self.policies.values() {
            let known = self.names();
            for name in expected.stays.iter().chain(&expected.goes).map(|name| written(name)) {
                assert!(known.contains(&name), "{}: there is no {name}", self.name);
            }
            let says = expected
                .refused
                .iter()
                .chain(&expected.plan_says)
                .chain(&expected.not_ready)
                .chain(&expected.status_says)
                .count();
            assert!(says + expected.stays.len() + expected.goes.len() > 0, "{}: nothing is expected", self.name);
        }
    }

    /// Every tag, as `repository:tag`.
    fn names(&self) -> BTreeSet<String> {
        let tags = |(path, tags): (&String, &BTreeMap<String, Image>)| -> Vec<String> {
            tags.keys().map(|name| format!("{path}:{}", written(name))).collect()
        };
        self.repositories.iter().flat_map(tags).collect()
    }

    /// A world with what the registry holds. It begins a minute before the real time, which is that of the command.
    async fn world(&self) -> World {
        let begin = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
        let world = World::start_with(|config| {
            config.clock = Clock::manual(begin);
            let Value::Object(mut settings) = serde_json::to_value(&config.settings).unwrap() else { unreachable!() };
            for (name, value) in &self.settings {
                assert!(settings.insert(name.clone(), value.clone()).is_some(), "there is no setting {name}");
            }
            config.settings = serde_json::from_value::<Settings>(Value::Object(settings)).unwrap();
            config.settings.backend = self.registry;
        })
        .await;
        for Answer { endpoint, status, body } in &self.in_front {
            let kind = if body.starts_with('<') { "text/html; charset=utf-8" } else { "application/json" };
            let headers = vec![("content-type".to_owned(), kind.to_owned())];
            let action = Action::Answer { status: *status, headers, body: body.clone() };
            world.sim.fault(Fault::new(Matcher { endpoint: *endpoint, ..Matcher::any() }, action));
        }
        world.sim.edit(|registry| {
            for (path, tags) in &self.repositories {
                let repository = registry.repository(path);
                for (name, image) in tags {
                    registry.push(repository, &written(name), image.push(name, begin));
                }
            }
        });
        world
    }

    /// What the registry holds now, as `repository:tag`.
    fn left(&self, world: &World) -> BTreeSet<String> {
        let tags = |path: &String| -> Vec<String> {
            let repository = world.sim.edit(|registry| registry.repository(path));
            world.tags(repository).into_iter().map(|tag| format!("{path}:{tag}")).collect()
        };
        self.repositories.keys().flat_map(tags).collect()
    }
}

impl Image {
    fn push(&self, name: &str, now: Timestamp) -> Push {
        let digest = format!("sha256:{}", hex(self.same_as.as_deref().unwrap_or(name)));
        // A second more, so that nothing is as old as a limit to the second.
        let push = Push::at(moment(&self.pushed, now) - SignedDuration::from_secs(1)).digest(&digest);
        let push = push.kind(self.kind.unwrap_or(TagKind::Image));
        self.built.iter().fold(push, |push, built| push.built(moment(built, now)))
    }
}

impl Trial {
    /// What does not come out as it must.
    pub(super) async fn complaints(self) -> Vec<String> {
        let expected = &self.case.policies[&self.policy];
        let world = self.case.world().await;
        let policy = world.policy("case", &expected.spec);
        let mut complaints = Vec::new();

        let plan = Plan::make(&world, &policy).await;
        if let Some(words) = &expected.refused {
            let refused = world.apply(&policy).await.err().map(|error| error.to_string()).unwrap_or_default();
            complaints.extend(missing("the command", words, &plan.errors));
            complaints.extend(missing("the API server", words, &refused));
            return complaints;
        }
        let stays: BTreeSet<String> = expected.stays.iter().map(|name| written(name)).collect();
        let goes: BTreeSet<String> = expected.goes.iter().map(|name| written(name)).collect();
        let mut compare = |who: &str, gone: &BTreeSet<String>| {
            complaints.extend(stays.intersection(gone).map(|name| format!("{who} removes {name}")));
            complaints.extend(goes.difference(gone).map(|name| format!("{who} keeps {name}")));
        };
        let mut unready = Vec::new();
        let status = if let Some(value) = &expected.restored_with {
            restored(&world, policy, value, expected.first_stalled).await
        } else {
            compare("the plan", &plan.removed);
            let operator = Operator::start(&world).await;
            world.apply(&policy).await.unwrap();
            let status = if let Some(words) = &expected.not_ready {
                let is_false = |status: &PolicyStatus| World::condition(status, "Ready").starts_with("False/");
                let status = world.until("case", is_false).await;
                let ready = find(&status.conditions, "Ready").unwrap();
                unready.extend(missing("Ready", words, &format!("{}: {}", ready.reason, ready.message)));
                status
            } else {
                world.ready("case").await;
                world.run("case", "1").await
            };
            operator.stop().await;
            status
        };
        let gone = self.case.names().difference(&self.case.left(&world)).cloned().collect();
        compare("the run", &gone);

        let status = serde_json::to_string(&status).unwrap();
        complaints.extend(unready);
        complaints.extend(expected.plan_says.iter().filter_map(|words| missing("the plan", words, &plan.said())));
        complaints.extend(expected.status_says.iter().filter_map(|words| missing("the status", words, &status)));
        complaints
    }
}

/// Stores a policy with a request and without a status, lets an operator see it, and answers what it then says.
async fn restored(world: &World, mut policy: Value, value: &str, first_stalled: bool) -> PolicyStatus {
    policy["metadata"]["annotations"] = json!({RUN_REQUESTED_AT: value});
    world.apply(&policy).await.unwrap();
    if first_stalled {
        let settings = CompileOptions { allowed_hosts: vec!["git.test".to_owned()], ..CompileOptions::default() };
        let operator = Operator::set_up(world, Setup { settings, ..Setup::of(world) }).await;
        world.until("case", |status| World::condition(status, "Stalled").starts_with("True/")).await;
        operator.stop().await;
    }
    let operator = Operator::start(world).await;
    world.ready("case").await;
    // A dry run comes before a run: after the second one a run would be over.
    world.preview("case", "1").await;
    let status = world.preview("case", "2").await;
    operator.stop().await;
    status
}

/// What the command says.
struct Plan {
    text: String,
    errors: String,
    removed: BTreeSet<String>,
}

impl Plan {
    /// All that it says.
    fn said(&self) -> String {
        format!("{}{}", self.text, self.errors)
    }

    /// Runs `plan -f` twice, for people and for programs.
    async fn make(world: &World, policy: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("policy.yaml", &serde_saphyr::to_string(policy).unwrap());
        write("token", MARKER);
        write("ca.crt", world.sim.ca_pem().unwrap_or_default());
        let (text, errors) = plan(folder.path(), &[]).await;
        let (listing, _) = plan(folder.path(), &["-o", "json"]).await;
        let listing: Value = serde_json::from_str(&listing).unwrap_or(json!({}));
        Self { text, errors, removed: removed(&listing) }
    }
}

/// Runs `plan -f` in a folder, and answers what it prints. The simulator needs the thread meanwhile.
async fn plan(folder: &Path, more: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
    command
        .env_clear()
        .stdin(Stdio::null())
        .current_dir(folder)
        .args(["plan", "-f", "policy.yaml", "--token-file", "token", "--ca-file", "ca.crt"])
        .args(["--allowed-gitlab-hosts", "127.0.0.1", "--max-requests-per-second-per-host", "1000"])
        .args(more);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// The tags that a plan would remove.
fn removed(listing: &Value) -> BTreeSet<String> {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of_repository = |repository: Value| -> Vec<String> {
        let tags = items(&repository["tags"]).into_iter().filter(|tag| tag["verdict"] == "Remove");
        let path = repository["path"].as_str().unwrap_or_default();
        tags.map(|tag| format!("{path}:{}", tag["name"].as_str().unwrap_or_default())).collect()
    };
    items(&listing["repositories"]).into_iter().flat_map(of_repository).collect()
}

/// A complaint if a text does not have words that a pattern describes.
fn missing(who: &str, words: &str, text: &str) -> Option<String> {
    let found = Regex::new(words).unwrap().is_match(text);
    (!found).then(|| format!("{who} does not say {words:?} but {text:?}"))
}

/// A moment as a date, or as an age.
fn moment(text: &str, now: Timestamp) -> Timestamp {
    text.parse().unwrap_or_else(|_| {
        now - SignedDuration::try_from(humantime::parse_duration(text).expect("a date or an age")).unwrap()
    })
}

/// A name with the digest of the image `<name>` in its place, as signatures are called.
fn written(name: &str) -> String {
    match name.split_once('<').zip(name.split_once('>')) {
        Some(((before, _), (inner, after))) => {
            format!("{before}{}{after}", hex(inner.split_once('<').map_or(inner, |(_, image)| image)))
        }
        None => name.to_owned(),
    }
}

/// The digest of an image of this name.
fn hex(image: &str) -> String {
    Sha256::digest(image).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
