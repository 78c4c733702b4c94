//! Lists that are read, written and put together.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::policy::in_use::InUse;
use crate::policy::in_use::tests::{SHA_1, SHA_2, reported, some_images, used};

const REGISTRY: &str = "registry.example.com:5050";

fn now() -> Timestamp {
    "2026-11-22T12:00:00.75Z".parse().unwrap()
}

fn a_day() -> SignedDuration {
    SignedDuration::from_hours(24)
}

fn list(images: Vec<UsedImage>) -> List {
    List::new(REGISTRY, &[Alias::parse("mirror.example.com/gitlab").unwrap()], images, now())
}

fn read(document: &Value) -> Result<List, ListError> {
    List::read(&document.to_string(), now(), a_day())
}

fn document() -> Value {
    json!({"generatedAt": "2026-11-22T11:00:00Z", "registry": REGISTRY, "complete": true, "images": []})
}

#[test]
fn a_list_has_what_is_of_the_registry_or_may_be() {
    let written = list(vec![
        used("registry.example.com:5050/shop/web:v2", &["prod/Deployment/web"]),
        used("registry.example.com:5050/shop/api", &["prod/Deployment/api", "prod/CronJob/report"]),
        used("nginx:1.27", &["prod/Deployment/proxy"]),
        used("registry.example.com:5050/Shop/api:v1", &[]),
        used("registry.example.com:5050/shop/web:v2", &["prod/Job/migrate"]),
        used("registry.example.com/shop/web:v2", &["prod/Pod/other-port"]),
        used("Broken", &["prod/Pod/broken"]),
        used("mirror.example.com/gitlab/Broken", &["prod/Pod/broken"]),
        used("mirror.example.com/gitlab/shop/web:v3", &["prod/Pod/mirrored"]),
        used("mirror.example.com/other/shop/web:v3", &["prod/Pod/other-mirror"]),
        used("mirror.example.com/gitlab2/shop/web:v3", &["prod/Pod/other-mirror"]),
        reported("nginx:1.27", &format!("docker-pullable://registry.example.com:5050/shop/web@{SHA_1}")),
        reported("mirror.example.com/gitlab/shop/web:v3", &format!("docker-pullable://quay.io/shop/web@{SHA_2}")),
        reported("mirror.example.com/gitlab/shop/web:v3", SHA_2),
        reported("registry.example.com:5050/shop/web:v2", "what is this"),
        reported("nginx:1.27", SHA_1),
        reported("", SHA_1),
    ])
    .write()
    .unwrap();
    let expected = json!({
        "generatedAt": "2026-11-22T12:00:00Z",
        "registry": "registry.example.com:5050",
        "complete": true,
        "images": [
            {"image": "registry.example.com:5050/Broken", "usedBy": ["prod/Pod/broken"]},
            {"image": "registry.example.com:5050/Shop/api:v1"},
            {
                "image": "registry.example.com:5050/shop/api:latest",
                "usedBy": ["prod/CronJob/report", "prod/Deployment/api"]
            },
            {
                "image": "registry.example.com:5050/shop/web:v2",
                "usedBy": ["prod/Deployment/web", "prod/Job/migrate"]
            },
            {"image": "registry.example.com:5050/shop/web:v2", "imageID": "what is this"},
            {"image": "registry.example.com:5050/shop/web:v3", "usedBy": ["prod/Pod/mirrored"]},
            {"image": "registry.example.com:5050/shop/web:v3", "imageID": SHA_2},
            {"image": format!("registry.example.com:5050/shop/web@{SHA_1}")},
            {"image": format!("registry.example.com:5050/shop/web@{SHA_2}")},
        ]
    });
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected);
    assert!(written.starts_with("{\n  \"generatedAt\"") && written.ends_with("}\n"), "{written}");
}

#[test]
fn an_alias_is_written_in_every_way_it_may_be_meant() {
    let aliases = ["proxy.example.com", "proxy.example.com/gitlab"].map(|alias| Alias::parse(alias).unwrap());
    let images = ["proxy.example.com/gitlab/shop/web:v1", "proxy.example.com/registry.example.com/shop/web:v2"];
    let list = List::new(REGISTRY, &aliases, images.map(|image| used(image, &[])), now());
    let images: Vec<_> = list.images().map(|(image, _)| image).collect();
    assert_eq!(
        images,
        [
            "registry.example.com:5050/gitlab/shop/web:v1",
            "registry.example.com:5050/registry.example.com/shop/web:v2",
            "registry.example.com:5050/shop/web:v1",
            "registry.example.com:5050/shop/web:v2",
        ]
    );
}

#[rstest]
#[case("${IMAGE}", &["${IMAGE}"])]
#[case("registry.example.com:5050/shop/web:${TAG}", &["registry.example.com:5050/shop/web:${TAG}"])]
#[case("Proxy.example.com/shop/web:${TAG}", &["registry.example.com:5050/shop/web:${TAG}"])]
#[case("proxy.example.com/registry.example.com/shop/web:${TAG}", &[
    "registry.example.com:5050/registry.example.com/shop/web:${TAG}",
    "registry.example.com:5050/shop/web:${TAG}",
])]
#[case("proxy.${DOMAIN}/shop/web", &["proxy.${DOMAIN}/shop/web (registry.example.com:5050)"])]
#[case("quay.io/shop/web:${TAG}", &[])]
fn a_text_that_cannot_be_read_holds_in_another_cluster_what_it_holds_here(
    #[case] text: &str,
    #[case] written: &[&str],
) {
    let list = List::new(REGISTRY, &[Alias::parse("proxy.example.com").unwrap()], [used(text, &[])], now());
    assert_eq!(list.images().map(|(image, _)| image).collect::<Vec<_>>(), written);
    let read = List::read(&list.write().unwrap(), now(), a_day()).unwrap();
    let in_use = InUse::new([], read.into_used("west"), [REGISTRY], &[]);
    let held = in_use.repository("registry.example.com:5050/shop/web", "shop/web").unreadable().is_some();
    assert_eq!(held, !written.is_empty());
}

#[test]
fn users_are_named_up_to_a_point_and_counted_beyond_it() {
    let users: Vec<String> = (0..8).map(|n| format!("prod/Pod/{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let image = UsedImage { more: 4, ..used("registry.example.com:5050/shop/web:v2", &users) };
    let text = list(vec![image]).write().unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["images"][0]["usedBy"], json!(["prod/Pod/0", "prod/Pod/1", "prod/Pod/2"]));
    assert_eq!(value["images"][0]["usedByMore"], json!(9));
    let mut used = List::read(&text, now(), a_day()).unwrap().into_used("west");
    let image = used.next().unwrap();
    assert_eq!((image.users[0].as_ref(), image.users.len(), image.more), ("prod/Pod/0 (west)", MAX_USERS, 9));
}

#[test]
fn a_registry_that_is_a_single_word_is_written_as_pods_must_write_it() {
    let list = List::new("registry", &[], [used("REGISTRY/shop/web:v2", &[])], now());
    assert_eq!(list.images().map(|(image, _)| image).collect::<Vec<_>>(), ["REGISTRY/shop/web:v2"]);
    assert!(list.is_about("registry/shop/web"));
}

#[test]
fn a_list_by_hand_needs_no_users() {
    let mut document = document();
    document["images"] = json!([{"image": "registry.example.com:5050/shop/web:v2", "since": "May"}]);
    let images: Vec<UsedImage> = read(&document).unwrap().into_used("west").collect();
    assert_eq!(images, [used("registry.example.com:5050/shop/web:v2", &[])]);
}

#[rstest]
#[case("registry.example.com:5050/shop/web", true)]
#[case("Registry.example.com:5050", true)]
#[case("registry.example.com/shop/web", false)]
#[case("registry.example.org:5050/shop/web", false)]
fn a_list_is_about_one_registry(#[case] location: &str, #[case] about: bool) {
    assert_eq!(read(&document()).unwrap().is_about(location), about);
}

#[rstest]
#[case("2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z", true)]
#[case("2026-11-21T12:00:00Z", "2026-11-22T12:00:01Z", false)]
#[case("2026-11-22T12:05:00Z", "2026-11-22T12:00:00Z", true)]
#[case("2026-11-22T12:05:01Z", "2026-11-22T12:00:00Z", false)]
fn a_list_counts_for_its_time(#[case] generated_at: &str, #[case] now: &str, #[case] counts: bool) {
    let mut document = document();
    document["generatedAt"] = json!(generated_at);
    assert_eq!(List::read(&document.to_string(), now.parse().unwrap(), a_day()).is_ok(), counts);
}

#[rstest]
#[case("", "the list is not JSON (line 1, column 0)")]
#[case("images:\n- a", "the list is not JSON (line 1, column 1)")]
#[case("{\"complete\": true", "the list is not JSON (line 1, column 17)")]
#[case(
    "[]",
    "the list does not have the form of one: invalid length 0, expected a list of images in use at line 1 column 2"
)]
#[case(
    "null",
    "the list does not have the form of one: invalid type: null, expected a list of images in use at line 1 column 4"
)]
fn what_is_no_list_is_refused(#[case] text: &str, #[case] error: &str) {
    assert_eq!(List::read(text, now(), a_day()).unwrap_err().to_string(), error);
}

#[rstest]
#[case("generatedAt", json!("yesterday"), "the list does not have the form of one: ")]
#[case("generatedAt", json!("2026-11-22T12:00:00"), "the list does not have the form of one: ")]
#[case("registry", json!(7), "the list does not have the form of one: invalid type: integer `7`, expected a string")]
#[case("images", json!({}), "the list does not have the form of one: invalid type: map, expected a sequence")]
#[case("images", json!(["a"]), "the list does not have the form of one: ")]
#[case("images", json!([{"image": null}]), "the list does not have the form of one: ")]
#[case("images", json!([{"usedBy": []}]), "the list does not have the form of one: missing field `image`")]
#[case("images", json!([{"image": "a", "usedByMore": -1}]), "the list does not have the form of one: ")]
#[case("complete", json!("true"), "the list does not have the form of one: ")]
#[case("complete", json!(false), "the list does not say that it is complete (\"complete\": true)")]
#[case(
    "generatedAt",
    json!("2026-11-21T11:59:59Z"),
    "the list is too old: it was made at 2026-11-21T11:59:59Z and counts for 24h",
)]
#[case("generatedAt", json!("2027-11-22T12:00:00Z"), "the list is dated 2027-11-22T12:00:00Z, which is in the future")]
fn a_list_that_does_not_count_says_why(#[case] field: &str, #[case] value: Value, #[case] error: &str) {
    let mut document = document();
    assert!(read(&document).is_ok());
    document[field] = value;
    let text = read(&document).unwrap_err().to_string();
    assert!(text.starts_with(error), "{text}");
}

#[rstest]
#[case("generatedAt")]
#[case("registry")]
#[case("images")]
#[case("complete")]
fn a_list_without_one_of_its_fields_is_refused(#[case] field: &str) {
    let mut document = document();
    document.as_object_mut().unwrap().remove(field);
    let error = read(&document).unwrap_err();
    assert_eq!(error == ListError::Incomplete, field == "complete", "{error}");
}

#[test]
fn a_list_with_something_behind_it_is_refused() {
    let text = document().to_string() + "}";
    assert!(matches!(List::read(&text, now(), a_day()), Err(ListError::NotJson { line: 1, .. })));
}

#[test]
fn an_error_is_one_short_line_whatever_the_list_says() {
    let mut document = document();
    document["images"] = json!("\n".repeat(9) + &"x".repeat(10_000));
    let text = read(&document).unwrap_err().to_string();
    assert!(text.len() < 300 && !text.contains('\n'), "{text}");
}

#[test]
fn the_name_of_a_user_is_one_short_line() {
    let mut document = document();
    document["images"] = json!([{"image": "a.b/c", "usedBy": ["x\ny".repeat(1000)]}]);
    let image = read(&document).unwrap().into_used("west").next().unwrap();
    assert!(image.users[0].len() <= MAX_USER + " (west)".len() && !image.users[0].contains('\n'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_another_cluster_reads_protects_what_it_protects_here(images in some_images()) {
        let aliases = [Alias::parse("mirror.example.com").unwrap()];
        let text = List::new(REGISTRY, &aliases, images.clone(), now()).write().unwrap();
        let mut reversed = images.clone();
        reversed.reverse();
        prop_assert_eq!(&text, &List::new(REGISTRY, &aliases, reversed, now()).write().unwrap());
        let list = List::read(&text, now(), a_day()).unwrap().into_used("west");
        let there = InUse::new([], list, [REGISTRY], &[]);
        let here = InUse::new(images, [], [REGISTRY], &aliases);
        for path in ["shop/a", "shop/b", "team/a"] {
            let location = format!("{REGISTRY}/{path}");
            let names = |in_use: &InUse| {
                let repository = in_use.repository(&location, path);
                let tags: Vec<String> = repository.tags().map(|(name, _)| name.to_owned()).collect();
                let digests: Vec<String> = repository.digests().map(|(digest, _)| digest.to_string()).collect();
                let ids: Vec<String> = repository.ids().map(|(id, _)| id.to_string()).collect();
                (tags, digests, ids)
            };
            prop_assert_eq!(names(&there), names(&here));
        }
        prop_assert_eq!(there.unreadable().len() == 0, here.unreadable().len() == 0);
    }
}

#[rstest]
#[case::three_quarters_through("2026-11-23T06:00:00Z", false)]
#[case::a_second_later("2026-11-23T06:00:01Z", true)]
#[case::over("2026-11-23T12:00:01Z", true)]
fn a_list_counts_no_more_soon_when_less_than_a_quarter_of_its_time_is_left(#[case] now: &str, #[case] soon: bool) {
    let made = list(Vec::new());
    let until = made.generated_at.checked_add(SignedDuration::from_hours(24)).unwrap();
    assert_eq!(until.to_string(), "2026-11-23T12:00:00Z");
    assert_eq!(made.expiry(now.parse().unwrap(), SignedDuration::from_hours(24)), (until, soon));
}
