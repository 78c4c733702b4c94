//! Tables for the verdicts on a policy and its GitLab.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::Verdict;
use super::*;
use crate::policy::compile::tests::spec;
use crate::policy::token::{answered, bad_credentials, not_asked, token_findings};
use crate::policy::{CompileOptions, compile};

fn compiled(changes: &Value) -> CompiledPolicy {
    compile(&spec(changes), &CompileOptions::default(), Timestamp::UNIX_EPOCH).unwrap()
}

fn api(expires_at: Option<&str>) -> Token {
    Token {
        scopes: vec!["api".to_owned()],
        expires_at: expires_at.map(|day| day.parse().unwrap()),
        revoked: false,
        active: true,
    }
}

fn found(token: Option<&Token>) -> Findings {
    token_findings(token, Mode::Delete, "2026-11-22T12:00:00Z".parse().unwrap())
}

fn trouble(reason: Reason) -> Findings {
    Findings { trouble: Some((reason, "trouble".to_owned())), ..not_asked("not asked".to_owned()) }
}

/// Verdicts on GitLab, token, targets, role and GraphQL, where everything but the way is well.
fn verdicts(way: &Way<'_>) -> [Verdict; 5] {
    let told = api(None);
    let all = GraphQLSeen { there: true, pushes: true, order: true, permissions: true };
    [
        reached(way, "gitlab.test").verdict,
        token(way, Some(&told)).verdict,
        targets(way).verdict,
        role(way, Some(("shop/api", Role::Owner)), Role::Maintainer).verdict,
        graphql(way, Some(all)).verdict,
    ]
}

#[test]
fn a_fault_is_seen_by_its_check_and_what_depends_on_it_is_not_known() {
    use Verdict as V;
    let good = found(Some(&api(None)));
    assert_eq!(verdicts(&Way::Asked(&good)), [V::Ok; 5]);
    assert_eq!(verdicts(&Way::NotAsked("no Secret")), [V::Unknown; 5]);
    let rejected = bad_credentials(Reason::TokenRejected, "GitLab answered 401".to_owned());
    assert_eq!(verdicts(&Way::Asked(&rejected)), [V::Ok, V::Failed, V::Unknown, V::Unknown, V::Unknown]);
    for reason in [Reason::GitLabUnavailable, Reason::CertificateInvalid, Reason::HostNotAllowed] {
        let expected = [V::Failed, V::Unknown, V::Unknown, V::Unknown, V::Unknown];
        assert_eq!(verdicts(&Way::Asked(&trouble(reason))), expected, "{reason}");
    }
    assert_eq!(verdicts(&Way::Asked(&trouble(Reason::RateLimited))), [V::Unknown; 5]);
    let gone = Findings { trouble: Some((Reason::TargetNotFound, "group shop".to_owned())), ..good.clone() };
    assert_eq!(verdicts(&Way::Asked(&gone)), [V::Ok, V::Ok, V::Failed, V::Ok, V::Ok]);
    let partly = Findings { remark: Some("1 of 2".to_owned()), ..good };
    assert_eq!(verdicts(&Way::Asked(&partly)), [V::Ok, V::Ok, V::Warning, V::Ok, V::Ok]);
}

#[rstest]
#[case::for_long(Some(api(Some("2027-11-22"))), Verdict::Ok, "until 2027-11-22; its scopes are api")]
#[case::for_ever(Some(api(None)), Verdict::Ok, "does not expire; its scopes are api")]
#[case::for_days(Some(api(Some("2026-11-25"))), Verdict::Warning, "until 2026-11-25")]
#[case::revoked(Some(Token { revoked: true, ..api(None) }), Verdict::Failed, "revoked")]
#[case::of_a_lesser_scope(
    Some(Token { scopes: vec!["read_api".to_owned()], ..api(None) }),
    Verdict::Failed,
    "mode Delete needs api"
)]
#[case::fine_grained(
    Some(Token { scopes: vec!["granular".to_owned()], ..api(None) }),
    Verdict::Ok,
    "it is fine-grained"
)]
#[case::of_which_nothing_is_told(None, Verdict::Unknown, "says nothing about the token")]
fn a_token_is_told_with_its_kind_scopes_and_end(
    #[case] told: Option<Token>,
    #[case] expected: Verdict,
    #[case] words: &str,
) {
    let check = token(&Way::Asked(&found(told.as_ref())), told.as_ref());
    assert_eq!(check.verdict, expected, "{check:?}");
    assert!(check.message.contains(words), "{check:?}");
}

#[test]
fn a_token_of_which_nothing_is_told_is_good_once_something_was_listed() {
    let mut findings = found(None);
    answered(&mut findings);
    assert_eq!(token(&Way::Asked(&findings), None).verdict, Verdict::Ok);
}

#[test]
fn scopes_that_nobody_knows_are_not_printed() {
    let strange = Token { scopes: vec!["api".to_owned(), "glpat-marker".to_owned()], ..api(None) };
    let check = token(&Way::Asked(&found(Some(&strange))), Some(&strange));
    assert!(!check.message.contains("marker"), "{check:?}");
}

#[rstest]
#[case::dry_bulk(json!({"mode": "DryRun"}), Role::Reporter)]
#[case::bulk(json!({"mode": "Delete"}), Role::Maintainer)]
#[case::dry_exact(json!({"mode": "DryRun", "method": "Exact"}), Role::Developer)]
#[case::exact(json!({"mode": "RequireApproval", "method": "Exact"}), Role::Developer)]
#[case::exact_with_repositories(
    json!({"mode": "Delete", "method": "Exact", "emptyRepositories": {"deleteOlderThan": "30d"}}),
    Role::Maintainer
)]
#[case::dry_with_repositories(
    json!({"mode": "DryRun", "method": "Exact", "emptyRepositories": {"deleteOlderThan": "30d"}}),
    Role::Developer
)]
fn a_policy_needs_the_role_of_its_mode_and_method(#[case] changes: Value, #[case] expected: Role) {
    assert_eq!(Role::needed(&compiled(&changes)), expected);
}

#[rstest]
#[case(50, Verdict::Ok)]
#[case(40, Verdict::Ok)]
#[case(30, Verdict::Failed)]
#[case(25, Verdict::Failed)]
#[case(15, Verdict::Failed)]
#[case::an_administrator_need_not_be_a_member(0, Verdict::Warning)]
fn a_role_is_held_against_the_one_that_is_needed(#[case] number: u64, #[case] expected: Verdict) {
    let good = found(Some(&api(None)));
    let check = role(&Way::Asked(&good), Some(("shop/api", Role::of(number))), Role::Maintainer);
    assert_eq!(check.verdict, expected, "{check:?}");
    assert_eq!(role(&Way::Asked(&good), None, Role::Maintainer).verdict, Verdict::Unknown);
}

#[rstest]
#[case::new(json!({"method": "Exact"}), Some(VersionSeen::Told(18, 5)), Verdict::Ok)]
#[case::the_oldest_that_does_all(json!({"method": "Exact"}), Some(VersionSeen::Told(12, 10)), Verdict::Ok)]
#[case::too_old_for_exact(json!({"method": "Exact"}), Some(VersionSeen::Told(12, 9)), Verdict::Failed)]
#[case::too_old_for_what_is_in_use(json!({}), Some(VersionSeen::Told(12, 9)), Verdict::Failed)]
#[case::too_old_for_most(json!({"protect": {"inUse": "Disabled"}}), Some(VersionSeen::Told(12, 9)), Verdict::Warning)]
#[case::not_told(json!({}), Some(VersionSeen::Newer), Verdict::Ok)]
#[case::not_known(json!({}), None, Verdict::Unknown)]
fn a_version_is_held_against_what_the_policy_takes(
    #[case] changes: Value,
    #[case] seen: Option<VersionSeen>,
    #[case] expected: Verdict,
) {
    let good = found(Some(&api(None)));
    let check = version(&Way::Asked(&good), seen, &compiled(&changes));
    assert_eq!(check.verdict, expected, "{check:?}");
}

#[rstest]
#[case::no_graphql(false, false, false, Verdict::Warning, "there is no GraphQL")]
#[case::no_pushes(true, false, true, Verdict::Warning, "does not tell when a tag was pushed")]
#[case::no_permissions(true, true, false, Verdict::Warning, "does not tell whether the token may remove a tag")]
#[case::everything(true, true, true, Verdict::Ok, "every field")]
fn fields_that_graphql_lacks_are_named(
    #[case] there: bool,
    #[case] pushes: bool,
    #[case] permissions: bool,
    #[case] expected: Verdict,
    #[case] words: &str,
) {
    let good = found(Some(&api(None)));
    let check = graphql(&Way::Asked(&good), Some(GraphQLSeen { there, pushes, order: true, permissions }));
    assert_eq!(check.verdict, expected, "{check:?}");
    assert!(check.message.contains(words), "{check:?}");
    assert_eq!(graphql(&Way::Asked(&good), None).verdict, Verdict::Unknown);
}

#[rstest]
#[case::they_agree(Some(2), Some(0), Verdict::Ok, "the API server's agree")]
#[case::this_machine_alone_is_wrong(Some(600), Some(600), Verdict::Ok, "the API server's agree")]
#[case::gitlab_is_ahead(Some(7), Some(0), Verdict::Warning, "7s ahead of the API server's")]
#[case::as_much_as_may_be(Some(300), Some(0), Verdict::Warning, "5m ahead of")]
#[case::too_much(Some(0), Some(301), Verdict::Failed, "5m 1s behind the API server's, so ages cannot be told")]
#[case::without_the_clusters_clock(Some(-7), None, Verdict::Warning, "7s behind this machine's")]
#[case::not_told(None, Some(0), Verdict::Unknown, "does not tell the time")]
fn clocks_are_held_against_that_of_the_cluster(
    #[case] gitlab: Option<i64>,
    #[case] cluster: Option<i64>,
    #[case] expected: Verdict,
    #[case] words: &str,
) {
    let good = found(Some(&api(None)));
    let of = |seconds: Option<i64>| seconds.map(SignedDuration::from_secs);
    let check = clock(&Way::Asked(&good), of(gitlab), of(cluster));
    assert_eq!(check.verdict, expected, "{check:?}");
    assert!(check.message.contains(words), "{check:?}");
}

#[test]
fn secrets_and_specs_that_are_wrong_fail_and_what_cannot_be_read_is_not_known() {
    assert_eq!(secret(&SecretSeen::Whole).verdict, Verdict::Ok);
    assert_eq!(secret(&SecretSeen::Wrong("Secret token has no token".to_owned())).verdict, Verdict::Failed);
    assert_eq!(secret(&SecretSeen::Unread("not allowed".to_owned())).verdict, Verdict::Unknown);
    let good = compiled(&json!({"suspend": true}));
    assert!(policy(Ok(&good)).message.contains("suspended"));
    let problem = Problem { reason: Reason::InvalidSchedule, message: "no such day".to_owned() };
    let check = policy(Err(&problem));
    assert_eq!((check.verdict, check.message.as_str()), (Verdict::Failed, "no such day (InvalidSchedule)"));
}
