//! Policies that nobody would write, through the real API server: what it lets in, the operator explains,
//! and it goes on.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use registry_cleanup_operator::api::conditions::{self, ConditionStatus};
use registry_cleanup_operator::api::{PolicyStatus, RegistryCleanupPolicy};
use serde_json::{Value, json};

use super::clusters::{account, wait_for_definition, world_on};
use super::process::Process;
use crate::world::{World, install, own_cluster};

/// How many are made, unless the variable of this name says how many. 5,000 take some minutes.
const POLICIES: (&str, u64) = ("MUTATED_POLICIES", 500);
/// What the mutations are drawn from.
const SEED: u64 = 0x5eed;
/// How many are sent to the API server at the same time.
const AT_ONCE: usize = 16;

/// Numbers that are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most.max(1)).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Policies as somebody would write them.
fn sensible(world: &World) -> Vec<Value> {
    let rules = json!([
        {"name": "builds", "nameRegexDelete": "[0-9a-f]{40}", "nameRegexKeep": "main|v.+", "olderThan": "14d", "keepN": 5},
        {"name": "branches", "nameRegexDelete": "(?:mr|feature)-.+", "olderThan": "1month"},
    ]);
    let exact = json!({
        "method": "Exact", "rules": rules, "mode": "DryRun", "schedule": "17 3 * * *", "timeZone": "Europe/Berlin",
        "limits": {"maxTagsPerRun": 100, "maxTagsPerRepository": 50, "maxPercentPerRepository": 40},
        "protect": {"nameRegex": ["v[0-9]+", "stable"], "inUse": "Disabled"},
        "target": {"groups": [{"path": "shop"}], "projects": ["shop/backend"]},
        "startingDeadlineSeconds": 1800, "activeDeadlineSeconds": 3600, "historyLimit": 3,
    });
    let bulk =
        json!({"mode": "RequireApproval", "method": "Exact", "protect": {"inUse": "Required"}, "suspend": false});
    [exact, bulk, json!({})].iter().map(|changes| world.policy("m", changes)).collect()
}

/// The places below a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, below)| places(below, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(key, below)| places(below, &format!("{at}/{key}"), found));
        }
        _ => {}
    }
}

fn odd(random: &mut Random) -> Value {
    let texts = [
        "",
        " ",
        "*",
        "(",
        "a|",
        "|",
        ".*",
        "v*",
        "v\\\\d+",
        "[a[bc]]",
        "\\Q.\\E",
        "(?x)a # b",
        "a)(b",
        "\u{202e}",
        "\u{0}",
        "größe",
        "9999999999y",
        "0d",
        "3m",
        "1d1d",
        "-1d",
        "1.5h",
        "* * * * *",
        "0 0 30 2 *",
        "60 3 * * *",
        "@reboot",
        "@midnight",
        "0 0/6 * * *",
        "Local",
        "../etc/passwd",
        "UTC+99",
        "http://127.0.0.1",
        "https://[::1]:99999/a?b#c",
        "file:///etc/passwd",
        "https://user:pass@127.0.0.1/",
        "Delete",
        "Bulk",
        "Exact",
        "Enabled",
        "shop/../other",
        "/shop",
        "SHOP",
        "shop\n",
        "{}",
        "null",
    ];
    match random.below(9) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!([]),
        3 => json!({}),
        4 => json!(*random.pick(&[-1_i64, 0, 1, 2, 100, 101, 86_400, 2_147_483_648, i64::MAX, i64::MIN])),
        5 => json!(*random.pick(&[0.5, -0.0, 1e300])),
        6 => json!(random.pick(&texts).repeat(1 + random.below(300))),
        _ => json!(random.pick(&texts)),
    }
}

/// A value that is nearly the same.
fn similar(value: &Value, random: &mut Random) -> Value {
    match value {
        Value::String(text) => {
            let (mut chars, at): (Vec<char>, usize) = (text.chars().collect(), random.below(text.chars().count()));
            match random.below(3) {
                0 if !chars.is_empty() => drop(chars.remove(at)),
                1 if !chars.is_empty() => chars.swap(0, at),
                _ => {
                    chars
                        .insert(at, *random.pick(&['a', 'Z', '0', '9', '-', '.', '/', '*', '|', ' ', ',', '\u{200b}']));
                }
            }
            json!(chars.into_iter().collect::<String>())
        }
        Value::Number(number) => {
            json!(number.as_i64().unwrap_or(1).saturating_add(*random.pick(&[-2, -1, 1, 2, 60, 1000])))
        }
        Value::Bool(yes) => json!(!yes),
        _ => odd(random),
    }
}

/// Changes one thing about a spec.
fn mutate(spec: &mut Value, random: &mut Random) {
    let mut all = Vec::new();
    places(spec, "", &mut all);
    let at = random.pick(&all).clone();
    let Some((above, key)) = at.rsplit_once('/') else { return };
    let what = random.below(6);
    let old = spec.pointer(&at).cloned().unwrap_or_default();
    let new = if random.below(4) == 0 { odd(random) } else { similar(&old, random) };
    match (spec.pointer_mut(above), what) {
        (Some(Value::Object(fields)), 0) => drop(fields.remove(key)),
        (Some(Value::Object(fields)), 1) => drop(fields.insert(format!("{key}2"), new)),
        (Some(Value::Object(fields)), _) => drop(fields.insert(key.to_owned(), new)),
        (Some(Value::Array(items)), 0) => drop(items.remove(key.parse().unwrap())),
        (Some(Value::Array(items)), 1) => items.extend(vec![items[0].clone(); random.below(70)]),
        (Some(Value::Array(items)), _) => items[key.parse::<usize>().unwrap()] = new,
        _ => {}
    }
}

fn mutated(world: &World) -> Vec<Value> {
    let (mut random, sensible) = (Random(SEED), sensible(world));
    let policy = |number: u64| {
        let mut policy = random.pick(&sensible).clone();
        policy["metadata"]["name"] = json!(format!("m{number:04}"));
        for _ in 0..=random.below(2) {
            mutate(&mut policy["spec"], &mut random);
        }
        policy
    };
    let (variable, usual) = POLICIES;
    let number = std::env::var(variable).map_or(usual, |number| number.parse().unwrap());
    (0..number).map(policy).collect()
}

/// Whether a status says what becomes of its policy, and why.
fn explains(status: &PolicyStatus) -> bool {
    let said = |condition: &conditions::Condition| {
        condition.status != ConditionStatus::Unknown && !condition.reason.is_empty() && !condition.message.is_empty()
    };
    conditions::find(&status.conditions, conditions::READY).is_some_and(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_mutated_policies_none_stops_the_operator_and_each_is_explained() {
    let cluster = own_cluster().await;
    install(cluster, &[]);
    wait_for_definition(cluster);
    let (world, _) = world_on(cluster).await;
    let arguments = ["--max-requests-per-second-per-host", "1000", "--concurrency", "64"];
    let mut process = Process::start(&account(cluster), &arguments);

    let kind = ApiResource::erase::<RegistryCleanupPolicy>(&());
    let api: &Api<DynamicObject> = &Api::namespaced_with(world.kube.clone(), "default", &kind);
    let create = |policy: Value| async move {
        let object: DynamicObject = serde_json::from_value(policy).unwrap();
        match api.create(&PostParams::default(), &object).await {
            Ok(object) => Some(object.name_any()),
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => None,
            Err(error) => panic!("the API server is to take or to refuse it: {error}"),
        }
    };
    let made: Vec<Option<String>> = stream::iter(mutated(&world)).map(create).buffer_unordered(AT_ONCE).collect().await;
    let taken: Vec<String> = made.iter().flatten().cloned().collect();
    // Both, or nothing is tried.
    let tenth = made.len() / 10;
    assert!(taken.len() > tenth && made.len() - taken.len() > tenth, "{} of {} are taken", taken.len(), made.len());

    let explained = async |name: &String| {
        Box::pin(world.until(name, explains)).await;
    };
    stream::iter(&taken).map(explained).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    assert!(process.is_running(), "{}", process.log());
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for policy in world.policies().list(&ListParams::default()).await.unwrap().items {
        *reasons.entry(World::condition(&policy.status.unwrap(), "Ready")).or_default() += 1;
    }
    // Of several kinds, or the mutations are all alike.
    assert!(reasons.len() >= 5 && reasons.contains_key("True/Scheduled"), "{reasons:?}");
    process.terminate();
    assert_eq!(process.exit_code().await, Some(0), "{}", process.log());
    assert!(!process.log().contains("the program has a bug"), "{}", process.log());
}
