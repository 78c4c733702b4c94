//! What is made of the answers of GraphQL, as tables.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rstest::rstest;
use serde_json::json;

use super::super::rate_limit_headers::Hints;
use super::*;

const READ: Operation = Operation::ReadTags;

pub(in super::super) fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.as_bytes().to_vec(),
        hints: Hints::default(),
        at: Timestamp::UNIX_EPOCH,
        took: std::time::Duration::ZERO,
    }
}

pub(in super::super) fn errors(texts: &[&str]) -> String {
    let errors: Vec<_> = texts.iter().map(|text| json!({ "message": text })).collect();
    json!({ "data": { "containerRepository": null }, "errors": errors }).to_string()
}

pub(in super::super) const HIDDEN: &str = "The resource that you are attempting to access does not exist or you don't \
                      have permission to perform this action";
pub(in super::super) const DOWN: &str = "Can't connect to the Container Registry. If this error persists, …";
const UNKNOWN: &str = "Field 'publishedAt' doesn't exist on type 'ContainerRepositoryTag' (Did you mean `createdAt`?)";

#[rstest]
#[case::hidden(&[HIDDEN], ErrorKind::NotFound)]
#[case::registry(&[DOWN], ErrorKind::Registry)]
#[case::registry_for_each_field(&[DOWN, DOWN], ErrorKind::Registry)]
#[case::too_complex(
    &["Query has complexity of 300, which exceeds max complexity of 250"],
    ErrorKind::InvalidAnswer { what: "its errors are unknown" },
)]
#[case::two_of_them(&[HIDDEN, DOWN], ErrorKind::InvalidAnswer { what: "its errors are unknown" })]
#[case::without_a_text(&[""], ErrorKind::InvalidAnswer { what: "its errors are unknown" })]
fn an_error_inside_a_success_is_an_error(#[case] texts: &[&str], #[case] kind: ErrorKind) {
    assert_eq!(page(READ, &answer(200, &errors(texts)), None).unwrap_err().kind(), &kind);
}

#[test]
fn an_error_beside_data_is_an_error() {
    let mut body = json!({ "data": { "containerRepository": { "tags": {
        "nodes": [{ "name": "a" }], "pageInfo": { "hasNextPage": false, "endCursor": null },
    } } } });
    assert!(page(READ, &answer(200, &body.to_string()), None).is_ok());
    body["errors"] = json!([{ "message": "Timeout on ContainerRepositoryTag.digest" }]);
    assert!(page(READ, &answer(200, &body.to_string()), None).is_err());
}

#[rstest]
#[case::by_code(json!({ "message": "x", "extensions": { "code": "undefinedField", "fieldName": "publishedAt" } }))]
#[case::by_text(json!({ "message": UNKNOWN }))]
fn an_unknown_field_is_left_out(#[case] problem: Value) {
    let answer = answer(200, &json!({ "errors": [problem] }).to_string());
    let less = Parts::ALL.without(Part::PublishedAt);
    assert_eq!(probed(READ, &answer, Parts::ALL).unwrap(), Probed::Less(less));
    assert_eq!(page(READ, &answer, None).unwrap(), None);
    // What was not asked for cannot be unknown, so nothing is left to try.
    assert!(probed(READ, &answer, less).is_err());
}

#[rstest]
#[case::a_value(
    "Argument 'sort' on Field 'tags' has an invalid value (PUBLISHED_AT_ASC). Expected type 'X'.",
    Probed::Less(Parts::ALL.without(Part::PushOrder)),
)]
#[case::the_argument("Field 'tags' doesn't accept argument 'sort'", Probed::Less(Parts::ALL.without(Part::Sort)))]
#[case::the_referrers(
    "Field 'tags' doesn't accept argument 'referrers'",
    Probed::Less(Parts::ALL.without(Part::Referrers)),
)]
#[case::the_field_of_referrers(
    "Field 'referrers' doesn't exist on type 'ContainerRepositoryTag'",
    Probed::Less(Parts::ALL.without(Part::Referrers)),
)]
#[case::another_argument("Field 'tags' doesn't accept argument 'first'", Probed::Nothing)]
#[case::the_tags("Field 'tags' doesn't exist on type 'ContainerRepository'", Probed::Nothing)]
fn unknown_arguments_are_told_apart(#[case] text: &str, #[case] expected: Probed) {
    let body = json!({ "errors": [{ "message": text }] }).to_string();
    assert_eq!(probed(READ, &answer(200, &body), Parts::ALL).unwrap(), expected);
}

#[rstest]
#[case::no_route(404, "")]
#[case::no_method(405, "{}")]
#[case::a_page_for_people(200, "\n<!DOCTYPE html>")]
#[case::a_page_that_refuses(403, "<html>Forbidden</html>")]
#[case::a_gateway(403, "")]
#[case::a_gateway_that_speaks_json(403, r#"{"message":"Forbidden"}"#)]
#[case::a_sign_in_page(401, "<html>")]
#[case::gone(410, "Gone")]
fn where_there_is_no_graphql_is_no_error(#[case] status: u16, #[case] body: &str) {
    assert_eq!(probed(READ, &answer(status, body), Parts::ALL).unwrap(), Probed::Nothing);
    assert_eq!(page(READ, &answer(status, body), None).unwrap(), None);
}

#[rstest]
#[case::nothing("")]
#[case::empty("{}")]
#[case::a_list("[]")]
#[case::no_data(r#"{"data":null}"#)]
#[case::cut_off(r#"{"data":{"containerRepository":{"tags":{"nodes":[{"name":"a"}"#)]
#[case::null_tags(r#"{"data":{"containerRepository":{"tags":null}}}"#)]
#[case::a_null_tag(r#"{"data":{"containerRepository":{"tags":{"nodes":[null],"pageInfo":{"hasNextPage":false}}}}}"#)]
#[case::null_nodes(r#"{"data":{"containerRepository":{"tags":{"nodes":null,"pageInfo":{"hasNextPage":false}}}}}"#)]
#[case::no_page_info(r#"{"data":{"containerRepository":{"tags":{"nodes":[]}}}}"#)]
#[case::no_word_of_a_next_page(r#"{"data":{"containerRepository":{"tags":{"nodes":[],"pageInfo":{}}}}}"#)]
#[case::another_name(
    r#"{"data":{"containerRepository":{"tags":{"nodes":[{"name":"../x"}],"pageInfo":{"hasNextPage":false}}}}}"#
)]
fn a_page_of_another_shape_is_not_taken(#[case] body: &str) {
    let error = page(READ, &answer(200, body), None).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidAnswer { .. }), "{error}");
}

fn connection(names: &[&str], next: bool, cursor: Option<&str>) -> Answer {
    let nodes: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let tags = json!({ "nodes": nodes, "pageInfo": { "hasNextPage": next, "endCursor": cursor } });
    answer(200, &json!({ "data": { "containerRepository": { "tags": tags } } }).to_string())
}

#[rstest]
#[case::empty_with_a_next(&[], true, Some("c"), Gap::ShortPage)]
#[case::no_cursor(&["a"], true, None, Gap::BadCursor)]
#[case::an_empty_cursor(&["a"], true, Some(""), Gap::BadCursor)]
#[case::the_same_cursor(&["a"], true, Some("before"), Gap::BadCursor)]
#[case::a_tag_twice(&["a", "a"], false, None, Gap::Duplicate)]
fn a_page_that_contradicts_itself_is_incomplete(
    #[case] names: &[&str],
    #[case] next: bool,
    #[case] cursor: Option<&str>,
    #[case] why: Gap,
) {
    let error = page(READ, &connection(names, next, cursor), Some("before")).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Incomplete { why });
}

#[test]
fn a_cursor_on_the_last_page_leads_nowhere_and_more_than_twenty_tags_are_too_many() {
    let last = page(READ, &connection(&["a"], false, Some("c")), None).unwrap().unwrap();
    assert_eq!(last.next, None);
    let names: Vec<String> = (0..21).map(|number| format!("t{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(page(READ, &connection(&names, false, None), None).is_err());
    assert!(page(READ, &connection(&names[..20], false, None), None).is_ok());
}

#[rstest]
#[case::both_allow(json!({ "immutable": false }), json!({ "destroyContainerRepositoryTag": true }), false)]
#[case::immutable(json!({ "immutable": true }), json!({ "destroyContainerRepositoryTag": true }), true)]
#[case::not_permitted(json!(null), json!({ "destroyContainerRepositoryTag": false }), true)]
#[case::not_told(json!(null), json!(null), false)]
#[case::of_another_shape(json!({ "immutable": "no" }), json!([]), false)]
fn a_tag_is_protected_when_gitlab_says_so(#[case] protection: Value, #[case] may: Value, #[case] protected: bool) {
    let node = json!({ "name": "a", "totalSize": "42", "protection": protection, "userPermissions": may });
    let tag = serde_json::from_value::<Node>(node).unwrap().tag();
    assert_eq!((tag.protected, tag.total_size), (protected, Some(42)));
}

#[rstest]
#[case::docker(json!("application/vnd.docker.distribution.manifest.v2+json"), true, false)]
#[case::oci(json!("application/vnd.oci.image.manifest.v1+json"), true, false)]
#[case::index(json!("application/vnd.oci.image.index.v1+json"), false, true)]
#[case::list(json!("application/vnd.docker.distribution.manifest.list.v2+json"), false, true)]
#[case::not_told(json!(null), false, false)]
#[case::of_another_shape(json!(7), false, false)]
fn only_what_is_known_to_be_one_image_or_several_counts_as_such(
    #[case] media_type: Value,
    #[case] single: bool,
    #[case] index: bool,
) {
    let node = json!({ "name": "a", "mediaType": media_type });
    let tag = serde_json::from_value::<Node>(node).unwrap().tag();
    assert_eq!((tag.single_image, tag.is_index), (single, index));
}

#[rstest]
#[case(json!([{ "digest": "sha256:a" }, { "digest": "sha256:b" }]), &["sha256:a", "sha256:b"])]
#[case::none(json!([]), &[])]
#[case::not_told(json!(null), &[])]
#[case::of_another_shape(json!([{ "digest": null }]), &[])]
fn referrers_are_told_by_their_digests(#[case] referrers: Value, #[case] digests: &[&str]) {
    let node = json!({ "name": "a", "referrers": referrers });
    let tag = serde_json::from_value::<Node>(node).unwrap().tag();
    assert_eq!(tag.referrers.iter().map(Digest::to_string).collect::<Vec<_>>(), digests);
}

#[test]
fn only_a_registry_that_is_down_is_worth_another_attempt() {
    let down = Failure::Status { status: 503, retry_after: None };
    assert_eq!(failure(&answer(200, &errors(&[DOWN]))), Some(down));
    assert_eq!(failure(&answer(503, "")), Some(down));
    assert_eq!(failure(&answer(200, &errors(&[HIDDEN]))), None);
    assert_eq!(failure(&answer(200, "{}")), None);
    assert_eq!(failure(&answer(200, "<html>")), None);
}

#[test]
fn images_are_told_with_their_configurations_where_they_have_one() {
    let nodes = json!([
        {"name": "v1", "digest": "sha256:a", "revision": "c1"}, {"name": "index", "digest": "sha256:b", "revision": ""},
        {"name": "lost", "digest": null, "revision": "c2"}, {"name": "old", "digest": "sha256:d"},
        {"name": "empty", "digest": "", "revision": "c3"},
    ]);
    let tags = json!({"nodes": nodes, "pageInfo": {"hasNextPage": true, "endCursor": "next"}});
    let body = json!({"data": {"containerRepository": {"tags": tags}}}).to_string();
    let page = images(READ, &answer(200, &body), None).unwrap().unwrap();
    assert_eq!(
        page,
        ImagePage { images: vec![("sha256:a".into(), "sha256:c1".into())], next: Some("next".to_owned()) }
    );
    assert!(images(READ, &answer(200, &body), Some("next")).is_err(), "it would never end");
}
