//! Signatures, attestations and SBOMs: they take no slot, stay with their image, and go after it.

use gitlab_simulator::{Action, Backend, Endpoint, Fault, HoldPoint, Matcher, Push, Settings, TagKind, Version};
use jiff::SignedDuration;
use registry_cleanup_operator::api::{PolicyStatus, RUN_REQUESTED_AT};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, World};

/// The digest of this number.
fn sha(number: u64) -> String {
    format!("sha256:{number:0>64x}")
}

/// The name of what belongs to the image of this number.
fn of(number: u64, suffix: &str) -> String {
    format!("{}{suffix}", sha(number).replace(':', "-"))
}

/// Pushes an image with the digest of a number, so many days ago, and right after it what belongs to it.
fn push(world: &World, repository: u64, name: &str, number: u64, days: i64, attached: &[&str]) {
    let at = world.now() - SignedDuration::from_hours(24 * days);
    world.sim.edit(|registry| {
        registry.push(repository, name, Push::at(at).built(at).digest(&sha(number)));
        for (suffix, own) in attached.iter().zip(1000 * (number + 1)..) {
            let later = at + SignedDuration::from_secs(1);
            let kind = if suffix.is_empty() { TagKind::Index } else { TagKind::Image };
            let push = Push::at(later).built(later).digest(&sha(own)).kind(kind);
            registry.push(repository, &of(number, suffix), push);
        }
    });
}

/// Six signed images, `b1` the newest, ten days apart.
fn signed(world: &World) -> u64 {
    let web = world.repository("shop/backend/web", &[]);
    for number in 1..=6 {
        push(world, web, &format!("b{number}"), number, 10 * i64::try_from(number).unwrap(), &[".sig"]);
    }
    web
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    names
}

/// These images with their signatures.
fn with_signatures(numbers: impl Iterator<Item = u64>) -> Vec<String> {
    sorted(numbers.flat_map(|number| [format!("b{number}"), of(number, ".sig")]))
}

async fn operate(world: &World, spec: &Value) -> Operator {
    world.apply(&world.policy("shop", spec)).await.unwrap();
    let operator = Operator::start(world).await;
    world.ready("shop").await;
    operator
}

fn exact(rule: &Value) -> Value {
    let mut rule = rule.clone();
    rule["name"] = json!("rule");
    rule["nameRegexDelete"] = json!(".*");
    json!({"method": "Exact", "rules": [rule]})
}

fn message(status: &PolicyStatus) -> &str {
    status.repositories[0].message.as_deref().unwrap_or_default()
}

fn usual(_: &mut Settings) {}

fn no_order_by_push(settings: &mut Settings) {
    settings.version = Version::new(17, 2);
    settings.graphql_hidden_fields.insert("ContainerRepositoryTag.publishedAt".to_owned());
}

fn no_graphql(settings: &mut Settings) {
    settings.graphql = false;
}

fn no_metadata_database(settings: &mut Settings) {
    settings.backend = Backend::PlainRegistry;
}

#[rstest]
#[case::usual(usual, true)]
#[case::no_order_by_push(no_order_by_push, true)]
// GitLab tells neither that a tag is one image nor what an index contains.
#[case::no_graphql(no_graphql, false)]
#[case::no_metadata_database(no_metadata_database, false)]
#[tokio::test(flavor = "multi_thread")]
async fn three_signed_images_stay_with_their_signatures(#[case] change: fn(&mut Settings), #[case] all_known: bool) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let web = signed(&world);
    let operator = operate(&world, &exact(&json!({"keepN": 3}))).await;
    let status = world.run("shop", "one").await;
    let stay = with_signatures(1..=3).into_iter();
    let unknown = (4..=6).map(|number| of(number, ".sig")).filter(|_| !all_known);
    assert_eq!(world.tags(web), sorted(stay.chain(unknown)), "{status:#?}");
    let run = status.last_run.as_ref().unwrap();
    let gone = if all_known { 6 } else { 3 };
    assert_eq!((run.tags.matched, run.tags.requested, run.tags.confirmed), (gone, gone, gone), "{status:#?}");
    let why = if all_known { "3 SubjectKept, 3 WithinKeepN" } else { "3 SubjectUnknown, 3 SubjectKept" };
    assert!(why.split(", ").all(|part| message(&status).contains(part)), "{}", message(&status));
    // Images go first, signatures once GitLab has said that those are gone.
    let mutations = world.sim.requests_to(Endpoint::GraphqlMutation);
    if all_known {
        let names: Vec<bool> =
            mutations.iter().map(|request| request.tag_names.iter().any(|name| name.starts_with("sha256-"))).collect();
        assert_eq!(names, [false, true]);
    }
    operator.stop().await;
}

#[rstest]
#[case::usual(usual)]
#[case::no_metadata_database(no_metadata_database)]
#[tokio::test(flavor = "multi_thread")]
async fn bulk_keeps_attachments_out_of_the_slots_and_says_how_many_have_no_image(#[case] change: fn(&mut Settings)) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let web = signed(&world);
    // Its image is long gone.
    push(&world, web, &of(9, ".att"), 90, 50, &[]);
    let spec = json!({"rules": [{"name": "newest", "nameRegexDelete": ".*", "keepN": 3}]});
    let operator = operate(&world, &spec).await;
    let preview = world.preview("shop", "one").await;
    assert_eq!(preview.last_run.as_ref().unwrap().summary.as_deref(), Some("3 would go"), "{preview:#?}");
    let told = "6 attachments of images that are here and 1 of others stay";
    assert!(message(&preview).contains(told), "{preview:#?}");
    let status = world.run("shop", "one").await;
    let signatures = (4..=6).map(|number| of(number, ".sig")).chain([of(9, ".att")]);
    assert_eq!(world.tags(web), sorted(with_signatures(1..=3).into_iter().chain(signatures)), "{status:#?}");
    assert!(message(&status).contains(told), "{status:#?}");
    assert_eq!(status.last_run.unwrap().tags.confirmed, 3);
    operator.stop().await;
}

#[rstest]
#[case("Exact")]
#[case("Bulk")]
#[tokio::test(flavor = "multi_thread")]
async fn whatever_belongs_to_an_image_that_a_pattern_keeps_stays_with_it(#[case] method: &str) {
    let world = World::start().await;
    let web = world.repository("shop/backend/web", &[]);
    let all = [".sig", ".att", ""];
    push(&world, web, "v1.0.0", 1, 300, &all);
    push(&world, web, "v2.0.0", 2, 10, &all);
    push(&world, web, "dev-1", 3, 300, &all);
    push(&world, web, "dev-2", 4, 5, &all);
    let rule = json!({"name": "old", "nameRegexDelete": ".*", "nameRegexKeep": "v.*", "olderThan": "30d"});
    let operator = operate(&world, &json!({"method": method, "rules": [rule]})).await;
    let status = world.run("shop", "one").await;
    let stay = [("v1.0.0", 1), ("v2.0.0", 2), ("dev-2", 4)].into_iter();
    let stay =
        stay.flat_map(|(name, number)| all.map(|suffix| of(number, suffix)).into_iter().chain([name.to_owned()]));
    let left = all.map(|suffix| of(3, suffix)).into_iter().filter(|_| method == "Bulk");
    assert_eq!(world.tags(web), sorted(stay.chain(left)), "{status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_tag_of_the_same_image_keeps_its_signature_though_only_old_tags_had_to_be_read() {
    let world = World::start().await;
    let web = world.repository("shop/backend/web", &[]);
    push(&world, web, "old", 1, 30, &[".sig"]);
    push(&world, web, "prod", 1, 1, &[]);
    push(&world, web, "gone", 2, 30, &[".sig"]);
    push(&world, web, "another", 3, 1, &[]);
    let operator = operate(&world, &exact(&json!({"olderThan": "7d"}))).await;
    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(web), sorted([of(1, ".sig"), "prod".to_owned(), "another".to_owned()]), "{status:#?}");
    operator.stop().await;
}

#[rstest]
#[case::under_its_own_name("b6", 999)]
#[case::a_new_tag_of_the_same_image("promoted", 6)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_meanwhile_keeps_the_signature(
    #[case] name: &str,
    #[case] number: u64,
    #[values(usual, no_order_by_push)] change: fn(&mut Settings),
) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let web = signed(&world);
    let operator = operate(&world, &exact(&json!({"keepN": 3}))).await;
    // The last thing before the removal: the images are looked at again.
    let hold = world.sim.hold(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), HoldPoint::AfterProcessing);
    if name == "b6" {
        // It was removed and is pushed again, as another image, before its signature goes; nothing has the old one.
        world.sim.fault(
            Fault::new(Matcher::endpoint(Endpoint::GraphqlMutation).nth(1), Action::DropConnection).after_processing(),
        );
    }
    world.annotate("shop", RUN_REQUESTED_AT, "one").await;
    hold.reached().await;
    world.sim.advance(SignedDuration::from_secs(1));
    push(&world, web, name, number, 0, &[]);
    hold.release();
    let over = |status: &PolicyStatus| status.last_run.as_ref().is_some_and(|run| run.completion_time.is_some());
    let status = world.until("shop", over).await;
    let left = world.tags(web);
    assert!(left.contains(&of(6, ".sig")), "{left:?} {status:#?}");
    let lost = name == "b6";
    // Where the answer was lost, nothing is certainly gone.
    assert_eq!(left.contains(&of(5, ".sig")), lost, "{left:?} {status:#?}");
    let kept = if lost { 3 } else { 1 };
    let told = format!("{kept} kept because they belong to an image that is, or may be, still there");
    assert!(message(&status).contains(&told), "{status:#?}");
    operator.stop().await;
}

#[rstest]
#[case::only_images("v.*", "ByRule", false)]
#[case::its_own_name_too("v.*|sha256-.*", "ByRule", true)]
#[case::with_its_image("v.*", "WithSubject", true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_whether_attachments_go_without_a_rule_for_them(
    #[case] delete: &str,
    #[case] with: &str,
    #[case] goes: bool,
) {
    let world = World::start().await;
    let web = world.repository("shop/backend/web", &[]);
    push(&world, web, "v1", 1, 30, &[".sig"]);
    push(&world, web, "main", 2, 30, &[".sig"]);
    let rules = json!([{"name": "versions", "nameRegexDelete": delete, "olderThan": "7d"}]);
    let spec = json!({"method": "Exact", "mode": "RequireApproval", "attachments": with, "rules": rules});
    let operator = operate(&world, &spec).await;
    let status = world.run("shop", "one").await;
    assert_eq!(status.pending_approval.unwrap().tags, 1 + u64::from(goes), "an approval is for attachments, too");
    let limits = json!({"maxTagsPerRepository": 1});
    let spec = json!({"method": "Exact", "attachments": with, "rules": rules, "limits": limits});
    world.apply(&world.policy("shop", &spec)).await.unwrap();
    world.ready("shop").await;
    let status = world.run("shop", "two").await;
    assert_eq!(status.repositories[0].reason.as_deref() == Some("DeletionLimitExceeded"), goes, "{status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gitlab_tells_to_refer_to_an_image_goes_with_it_under_any_name() {
    let world = World::start().await;
    let web = world.repository("shop/backend/web", &[]);
    push(&world, web, "v1", 1, 30, &[]);
    push(&world, web, "v2", 2, 20, &[]);
    let at = world.now() - SignedDuration::from_hours(24);
    world.sim.edit(|registry| {
        for (name, number) in [("sbom-1", 1), ("sbom-2", 2)] {
            registry.push(web, name, Push::at(at).digest(&sha(number + 50)).subject(&sha(number)));
        }
    });
    let operator = operate(&world, &exact(&json!({"keepN": 1}))).await;
    let status = world.run("shop", "one").await;
    assert_eq!(world.tags(web), ["sbom-2", "v2"], "{status:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_gitlab_is_left_alone_only_where_there_is_an_attachment_to_keep() {
    let world = World::start_with(|config| config.settings.version = Version::new(12, 9)).await;
    let web = signed(&world);
    let api = world.repository("shop/backend/api", &[("old", 30), ("new", 1)]);
    let operator = operate(&world, &json!({})).await;
    let status = world.run("shop", "one").await;
    assert_eq!((world.tags(web).len(), world.tags(api)), (12, vec!["new".to_owned()]), "{status:#?}");
    let left = status.repositories.iter().find(|repository| repository.path == "shop/backend/web").unwrap();
    assert_eq!(left.reason.as_deref(), Some("KeepNotSupported"));
    assert!(left.message.as_deref().unwrap().contains("signatures and other attachments"), "{left:?}");
    operator.stop().await;
}

#[rstest]
#[case::told(|settings: &mut Settings| settings.version = Version::new(18, 10), true)]
#[case::not_told(|settings: &mut Settings| {
    for field in ["ContainerRepositoryDetails.tagDetails", "ContainerRepositoryDetails.manifest"] {
        settings.graphql_hidden_fields.insert(field.to_owned());
    }
}, false)]
#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_images_inside_of_an_index_stay_with_it(#[case] change: fn(&mut Settings), #[case] told: bool) {
    let world = World::start_with(|config| change(&mut config.settings)).await;
    let web = world.repository("shop/backend/web", &[]);
    let at = |days: i64| world.now() - SignedDuration::from_hours(24 * days);
    world.sim.edit(|registry| {
        for (name, number, days) in [("b1", 10, 1), ("b2", 20, 30)] {
            let inside = [sha(number + 1), sha(number + 2)];
            let inside: Vec<&str> = inside.iter().map(String::as_str).collect();
            let push = Push::at(at(days)).digest(&sha(number)).kind(TagKind::Index).children(&inside);
            registry.push(web, name, push);
            registry.push(web, &of(number, ".sig"), Push::at(at(days)).digest(&sha(number + 500)));
            registry.push(web, &of(number + 1, ".sig"), Push::at(at(30)).digest(&sha(number + 501)));
        }
        // Nothing has or contains its image.
        registry.push(web, &of(99, ".sig"), Push::at(at(30)).digest(&sha(599)));
    });
    let operator = operate(&world, &exact(&json!({"olderThan": "7d"}))).await;
    let status = world.run("shop", "one").await;
    let stay = ["b1".to_owned(), of(10, ".sig"), of(11, ".sig")].into_iter();
    let unknown = [of(21, ".sig"), of(99, ".sig")].into_iter().filter(|_| !told);
    assert_eq!(world.tags(web), sorted(stay.chain(unknown)), "{status:#?}");
    operator.stop().await;
}
