//! What GitLab's answers mean, case by case.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::rate_limit_headers::Hints;
use super::super::types::Project;
use super::*;

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.as_bytes().to_vec(),
        hints: Hints::default(),
        at: Timestamp::UNIX_EPOCH,
        took: std::time::Duration::ZERO,
    }
}

#[rstest]
#[case::unknown(401, r#"{"message":"401 Unauthorized"}"#, ErrorKind::Unauthorized(TokenProblem::Rejected))]
#[case::expired(
    401,
    r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#,
    ErrorKind::Unauthorized(TokenProblem::Expired)
)]
#[case::revoked(
    401,
    r#"{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}"#,
    ErrorKind::Unauthorized(TokenProblem::Revoked)
)]
#[case::nothing(401, "", ErrorKind::Unauthorized(TokenProblem::Rejected))]
#[case::a_sign_in_page(401, "<html>", ErrorKind::Page { status: 401 })]
#[case::a_challenge(403, "<!DOCTYPE html><title>Just a moment...</title>", ErrorKind::Page { status: 403 })]
#[case::a_firewall(403, "Request blocked.", ErrorKind::Page { status: 403 })]
#[case::a_web_server(404, "<html><h1>404 Not Found</h1></html>", ErrorKind::Page { status: 404 })]
#[case::a_gateway(502, "<html>", ErrorKind::Proxy { status: 502 })]
#[case::a_gateway_with_a_text(503, "upstream connect error", ErrorKind::Proxy { status: 503 })]
#[case::nobody_who_says_so(503, "", ErrorKind::Server { status: 503 })]
#[case::scope(
    403,
    r#"{"error":"insufficient_scope","error_description":"The request requires higher privileges than provided by the access token.","scope":"api"}"#,
    ErrorKind::InsufficientScope
)]
#[case::a_permission_of_the_instance(
    403,
    r#"{"error":"insufficient_granular_scope","error_description":"… instance permissions: [Metadata: Read]."}"#,
    ErrorKind::MissingGrant(Grant::ReadMetadata)
)]
#[case::a_permission_to_delete(
    403,
    r#"{"error":"insufficient_granular_scope","error_description":"… project permissions: [Container Repository: Delete]."}"#,
    ErrorKind::MissingGrant(Grant::DeleteRepositories)
)]
#[case::a_permission_that_is_not_named(
    403,
    r#"{"error":"insufficient_granular_scope"}"#,
    ErrorKind::MissingGrant(Grant::Other)
)]
#[case::role(403, r#"{"message":"403 Forbidden"}"#, ErrorKind::Forbidden)]
#[case::read_only(
    403,
    r#"{"message":"You cannot perform write operations on a read-only instance"}"#,
    ErrorKind::Maintenance { until: None }
)]
#[case::maintenance(
    503,
    r#"{"message":"This organization is temporarily unavailable due to maintenance."}"#,
    ErrorKind::Maintenance { until: None }
)]
#[case::another_503(503, r#"{"message":"503 Service Unavailable"}"#, ErrorKind::Server { status: 503 })]
#[case::missing(404, r#"{"message":"404 Project Not Found"}"#, ErrorKind::NotFound)]
#[case::throttled(429, "Retry later", ErrorKind::RateLimited { retry_after: None, until: None })]
#[case::parameters(400, r#"{"error":"per_page is invalid"}"#, ErrorKind::Refused { status: 400, said: Said::of("per_page is invalid") })]
#[case::a_reason(422, r#"{"message":"Tag is protected"}"#, ErrorKind::Refused { status: 422, said: Said::of("Tag is protected") })]
#[case::a_conflict(409, r#"{"message":"no reason"}"#, ErrorKind::Refused { status: 409, said: None })]
#[case::broken(500, r#"{"message":"500 Internal Server Error"}"#, ErrorKind::Server { status: 500 })]
#[case::redirected(303, "", ErrorKind::Redirected { status: 303 })]
#[case::messages_of_another_shape(403, r#"{"message":{"base":["no"]},"error":7}"#, ErrorKind::Forbidden)]
fn a_status_and_a_known_text_make_an_error(#[case] status: u16, #[case] body: &str, #[case] kind: ErrorKind) {
    let error = read::<Value>(Operation::ListTags, &answer(status, body)).unwrap_err();
    assert_eq!(error.kind(), &kind);
}

#[rstest]
#[case::of_its_api("x-gitlab-meta")]
#[case::of_rails("x-runtime")]
#[case::of_gitlab_com("gitlab-lb")]
fn a_page_of_gitlab_itself_is_told_by_its_headers(#[case] header: &'static str) {
    let mut page = answer(500, "<html>500</html>");
    let kind = |page: &Answer| read::<Value>(Operation::ListTags, page).unwrap_err().kind().clone();
    assert_eq!(kind(&page), ErrorKind::Proxy { status: 500 });
    page.headers.insert(header, "x".parse().unwrap());
    assert_eq!(kind(&page), ErrorKind::Server { status: 500 });
}

#[rstest]
#[case::a_number("202", None)]
#[case::nothing("", None)]
#[case::spaces("\n", None)]
#[case::null("null", None)]
#[case::an_object("{}", None)]
#[case::a_page("<html>Sign in</html>", Some(Foreign::Page))]
#[case::a_text("Accepted", Some(Foreign::Page))]
#[case::json_that_breaks_off("{\"a\":", Some(Foreign::Page))]
fn gitlabs_yes_has_one_status_and_json_or_no_body(#[case] body: &str, #[case] foreign: Option<Foreign>) {
    let told = |answer: &Answer| yes(Operation::RemoveTag, answer, 202).err().map(|error| error.foreign().unwrap());
    assert_eq!(told(&answer(202, body)), foreign);
    for status in [200, 201, 203, 204, 206] {
        let expected = foreign.unwrap_or(Foreign::Status { status, expected: 202 });
        assert_eq!(told(&answer(status, body)), Some(expected));
    }
    for (name, value, expected) in [
        ("content-type", "text/html; charset=utf-8", Some(Foreign::Page)),
        ("content-type", "application/json", foreign),
        ("x-amzn-waf-action", "challenge", Some(Foreign::Challenge)),
        ("cf-mitigated", "challenge", Some(Foreign::Challenge)),
    ] {
        let mut answer = answer(202, body);
        answer.headers.insert(name, value.parse().unwrap());
        assert_eq!(told(&answer), expected, "{name}: {value}");
    }
}

#[rstest]
#[case::the_lease(
    r#"{"message":"This request has already been made. You can run this at most once an hour for a given container repository"}"#,
    true
)]
#[case::a_parameter(r#"{"error":"keep_n is invalid"}"#, false)]
#[case::another_message(r#"{"message":"400 Bad request"}"#, false)]
#[case::a_bare_number("400", false)]
fn the_hourly_refusal_is_told_from_others(#[case] body: &str, #[case] lease: bool) {
    assert_eq!(ErrorAnswer::of(&answer(400, body)).is_lease(), lease);
}

#[rstest]
#[case::a_route(r#"{"error":"404 Not Found"}"#, true)]
#[case::an_object(r#"{"message":"404 Not found"}"#, false)]
#[case::another_server(r#"{"error":"no backend"}"#, false)]
#[case::a_page("<html>404</html>", false)]
fn a_missing_route_is_told_from_a_missing_object(#[case] body: &str, #[case] route: bool) {
    assert_eq!(ErrorAnswer::of(&answer(404, body)).is_missing_route(), route);
}

#[rstest]
#[case::protected(r#"{"message":"403 Forbidden - Deleting protected container repository forbidden."}"#, true)]
#[case::a_role(r#"{"message":"403 Forbidden"}"#, false)]
#[case::a_tag(r#"{"message":"403 Forbidden - cannot delete protected tag(s)"}"#, false)]
fn a_protected_repository_is_told_from_other_refusals(#[case] body: &str, #[case] protected: bool) {
    assert_eq!(ErrorAnswer::of(&answer(403, body)).is_about_protected_repository(), protected);
}

#[test]
fn a_body_that_does_not_fit_is_not_quoted() {
    let error = read::<VersionAnswer>(Operation::ReadVersion, &answer(200, r#"{"version":["marker"]}"#));
    assert!(!format!("{:?}", error.unwrap_err()).contains("marker"));
}

#[rstest]
#[case::open(json!({"archived": false, "marked_for_deletion_on": null}), None)]
#[case::archived(json!({"archived": true}), Some(Closed::Archived))]
#[case::pending(json!({"archived": false, "marked_for_deletion_on": "2026-12-31"}), Some(Closed::PendingDeletion))]
#[case::pending_by_its_older_name(json!({"marked_for_deletion_at": "2026-12-31"}), Some(Closed::PendingDeletion))]
#[case::not_told(json!({}), None)]
#[case::of_another_shape(json!({"archived": "yes", "marked_for_deletion_on": 7}), None)]
fn a_project_is_closed_only_where_gitlab_says_so(#[case] mut told: Value, #[case] closed: Option<Closed>) {
    told["id"] = json!(7);
    assert_eq!(serde_json::from_value::<ProjectAnswer>(told).unwrap().closed(), closed);
}

fn repository(change: &serde_json::Value) -> Option<Repository> {
    let mut answer = json!({
        "id": 7, "name": "web", "path": "shop/backend/web", "location": "registry.example.com/shop/backend/web",
        "created_at": "2019-01-10T13:38:57.391Z",
    });
    for (key, value) in change.as_object().unwrap() {
        answer[key] = value.clone();
    }
    serde_json::from_value::<RepositoryAnswer>(answer).unwrap().accept()
}

#[rstest]
#[case::by_its_id(json!({"project_id": 4}), Some(Project::Id(4)))]
#[case::by_the_path_without_the_name(json!({}), Some(Project::Path("shop/backend".to_owned())))]
#[case::the_root_image(json!({"name": "", "path": "shop/backend"}), Some(Project::Path("shop/backend".to_owned())))]
#[case::a_name_of_two_parts(json!({"name": "backend/web"}), Some(Project::Path("shop".to_owned())))]
#[case::a_name_that_is_not_in_the_path(json!({"name": "other"}), None)]
#[case::a_name_that_only_ends_like_it(json!({"name": "eb"}), None)]
#[case::a_path_that_none_can_have(json!({"project_id": 4, "path": "shop/backend/\u{1b}[2Jweb"}), None)]
#[case::a_place_that_none_can_have(json!({"project_id": 4, "location": "registry.example.com/\u{202e}web"}), None)]
fn a_repository_names_its_project(#[case] change: serde_json::Value, #[case] project: Option<Project>) {
    assert_eq!(repository(&change).map(|repository| repository.reference().project), project);
}

#[test]
fn a_status_of_a_later_version_is_not_mistaken_for_none() {
    let status = |value| repository(&json!({"status": value})).unwrap().status;
    assert_eq!(status(json!(null)), None);
    assert_eq!(status(json!("delete_ongoing")), Some(RepositoryStatus::DeleteOngoing));
    assert_eq!(status(json!("being_copied")), Some(RepositoryStatus::Other));
}

#[test]
fn details_that_cannot_be_read_are_unknown() {
    let answer = json!({"name": "a", "digest": "", "created_at": "long ago", "total_size": "12"});
    let details = serde_json::from_value::<TagDetailsAnswer>(answer).unwrap().accept("a").unwrap();
    assert_eq!((details.digest, details.created_at, details.total_size), (None, None, None));
    assert_eq!(details.configuration, None);
}

#[test]
fn the_digest_of_a_configuration_is_told_without_its_algorithm_or_not_at_all() {
    for (revision, expected) in [("d7a5", Some("sha256:d7a5")), ("", None)] {
        let answer = json!({"name": "a", "revision": revision});
        let details = serde_json::from_value::<TagDetailsAnswer>(answer).unwrap().accept("a").unwrap();
        assert_eq!(details.configuration, expected.map(Digest::new));
    }
}

#[test]
fn both_ways_gitlab_writes_dates_are_read() {
    for date in ["2023-11-22T10:00:00.000+00:00", "2023-11-22T10:00:00.000Z"] {
        let answer = json!({"name": "a", "created_at": date});
        let details = serde_json::from_value::<TagDetailsAnswer>(answer).unwrap().accept("a").unwrap();
        assert_eq!(details.created_at, Some("2023-11-22T10:00:00Z".parse().unwrap()));
    }
}

#[test]
fn the_details_of_another_tag_are_not_taken() {
    let answer = serde_json::from_value::<TagDetailsAnswer>(json!({"name": "v1.10"})).unwrap();
    assert_eq!(answer.accept("v1.1"), None);
}

#[rstest]
#[case::in_the_group("shop", "shop/backend/web", true)]
#[case::in_upper_case("Shop", "shop/backend/web", true)]
#[case::in_a_subgroup("shop/eu", "shop/eu/backend", true)]
#[case::a_group_whose_name_is_a_number("2024", "other/backend", false)]
#[case::a_group_that_starts_the_same("shop", "shopping/backend", false)]
fn repositories_outside_the_group_are_refused(#[case] group: &str, #[case] path: &str, #[case] inside: bool) {
    let answer = json!([{
        "id": 7, "name": "", "path": path, "project_id": 4, "location": "x", "created_at": "2019-01-10T13:38:57.391Z",
    }]);
    let namespace = Namespace::Group { path: group.to_owned() };
    let accepted = accept(Operation::ListRepositories, &namespace, serde_json::from_value(answer).unwrap());
    assert_eq!(accepted.is_ok(), inside);
}
