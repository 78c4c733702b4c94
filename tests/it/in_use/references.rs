//! Every way to write an image, and what is kept beside the tag that is written.

use gitlab_simulator::{Endpoint, TagKind};
use registry_cleanup_operator::api::RepositoryResult;
use rstest::rstest;
use serde_json::json;

use super::{POLICIES, REGISTRY, Scene, deploy, images, pod, replicated};
use crate::world::Setup;

/// Made up, but of the right form.
fn digest(character: char) -> String {
    format!("sha256:{}", character.to_string().repeat(64))
}

/// The tag under which cosign keeps the signature of an image.
fn signature(digest: &str) -> String {
    format!("{}.sig", digest.replace(':', "-"))
}

/// A text for each repository, with its path and the digest of its tag `used` filled in.
fn written(scene: &Scene, text: &str) -> [String; 2] {
    let [bulk, exact] = scene.digests("used");
    let fill =
        |policy: &str, digest: &str| text.replace("{path}", &format!("shop/{policy}/app")).replace("{digest}", digest);
    [fill("bulk", &bulk), fill("exact", &exact)]
}

#[rstest]
#[case::tag("{registry}/{path}:used", &[])]
#[case::digest("{registry}/{path}@{digest}", &[])]
#[case::tag_and_digest("{registry}/{path}:used@{digest}", &[])]
#[case::another_tag_and_digest("{registry}/{path}:gone@{digest}", &[])]
#[case::upper_case_host("Registry.EXAMPLE.com:5050/{path}:used", &[])]
#[case::mirror("mirror.example.com/gitlab/{path}:used", &["other.example.com", "mirror.example.com/gitlab"])]
#[case::mirror_by_digest("mirror.example.com/gitlab/{path}@{digest}", &["mirror.example.com/gitlab"])]
#[case::pull_through_proxy("proxy.example.com/registry.example.com/{path}:used", &["proxy.example.com"])]
#[case::short_name_that_the_runtime_completes("{path}:used", &["docker.io"])]
#[tokio::test(flavor = "multi_thread")]
async fn however_an_image_is_written_it_stays(#[case] text: &str, #[case] aliases: &[&str]) {
    let scene = Scene::with(&["unused", "used"]).await;
    scene.apply(&json!({"protect": {"registryAliases": aliases}})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    let images = written(&scene, &text.replace("{registry}", REGISTRY));
    scene.place.create("apps/v1/Deployment", "web", &replicated(&pod(&images))).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[rstest]
#[case::containerd("{registry}/{path}@{digest}", &[])]
#[case::docker("docker-pullable://{registry}/{path}@{digest}", &[])]
#[case::mirror("mirror.example.com/gitlab/{path}@{digest}", &["mirror.example.com/gitlab"])]
#[tokio::test(flavor = "multi_thread")]
async fn however_a_node_reports_an_image_it_stays(#[case] text: &str, #[case] aliases: &[&str]) {
    let scene = Scene::with(&["unused", "used"]).await;
    scene.apply(&json!({"protect": {"registryAliases": aliases}})).await;
    let operator = scene.operator_as(Setup::of(&scene.world)).await;
    let elsewhere = POLICIES.map(|policy| format!("elsewhere.example.com/{policy}:1"));
    scene.place.create("v1/Pod", "web", &json!({"spec": pod(&elsewhere)})).await;
    let ids = written(&scene, &text.replace("{registry}", REGISTRY));
    let status = |(name, id)| json!({"name": name, "image": "x", "imageID": id, "ready": true, "restartCount": 0});
    let statuses: Vec<_> = POLICIES.into_iter().zip(&ids).map(status).collect();
    scene.place.patch_status("v1/Pod", "web", &json!({"containerStatuses": statuses})).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[rstest]
#[case::in_the_pod("registry.example.com", "registry.example.com:443")]
#[case::in_gitlab("registry.example.com:443", "registry.example.com")]
#[tokio::test(flavor = "multi_thread")]
async fn port_443_is_no_port_at_all(#[case] gitlab: &str, #[case] in_pods: &str) {
    let host = |config: &mut gitlab_simulator::Config| config.settings.registry_host = gitlab.to_owned();
    let scene = Scene::set_up(host, &[("unused", 30), ("used", 30)]).await;
    let operator = scene.operator().await;
    let images = written(&scene, &format!("{in_pods}/{{path}}:used"));
    scene.place.create("apps/v1/Deployment", "web", &replicated(&pod(&images))).await;
    scene.leaves(&["used"], 1).await;
    operator.stop().await;
}

#[rstest]
#[case::another_port("registry.example.com/{path}:used")]
#[case::another_host("mirror.example.com/gitlab/{path}:used")]
#[case::below_the_repository("{registry}/{path}/more:used")]
#[case::above_the_repository("{registry}/shop:used")]
#[case::no_image_at_all("Not an image, and not of this registry")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_another_repository_keeps_nothing(#[case] text: &str) {
    let scene = Scene::with(&["unused", "used"]).await;
    let operator = scene.operator().await;
    // The cluster knows the registry by its name, so the names of others mean others.
    let known = POLICIES.map(|_| format!("{REGISTRY}/shop/other/image:v1"));
    scene.place.create("apps/v1/Deployment", "known", &replicated(&pod(&known))).await;
    let images = written(&scene, &text.replace("{registry}", REGISTRY));
    scene.place.create("apps/v1/Deployment", "web", &replicated(&pod(&images))).await;
    let statuses = scene.run("one").await;
    assert_eq!(scene.tags(), [[""; 0], [""; 0]], "{statuses:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tags_of_an_image_that_is_used_by_digest_stay() {
    let scene = Scene::with(&["unused"]).await;
    for tag in ["one", "two"] {
        scene.push(tag, |push| push.digest(&digest('a')));
    }
    let operator = scene.operator().await;
    deploy(&scene, "web", &format!("@{}", digest('a'))).await;
    scene.leaves(&["one", "two"], 2).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_and_a_digest_keep_the_tag_wherever_it_points_by_now_and_the_tags_of_the_digest() {
    let scene = Scene::with(&["unused"]).await;
    scene.push("moved", |push| push.digest(&digest('b')));
    scene.push("before", |push| push.digest(&digest('a')));
    let operator = scene.operator().await;
    deploy(&scene, "web", &format!(":moved@{}", digest('a'))).await;
    scene.leaves(&["before", "moved"], 2).await;
    operator.stop().await;
}

#[rstest]
#[case::by_digest("@{digest}")]
#[case::by_name(":used")]
#[case::by_both(":used@{digest}")]
#[tokio::test(flavor = "multi_thread")]
async fn the_signature_of_an_image_in_use_stays(
    #[case] reference: &str,
    #[values(true, false)] graphql: bool,
    #[values(true, false)] is_young: bool,
) {
    let scene = Scene::set_up(|config| config.settings.graphql = graphql, &[("unused", 30)]).await;
    let (used, unused) = (digest('a'), digest('b'));
    scene.push(&signature(&used), |push| push);
    scene.push(&signature(&unused), |push| push);
    // A tag that was given to an image long after it was signed need not be read for the sake of its age.
    let at = scene.world.now() - jiff::SignedDuration::from_hours(if is_young { 1 } else { 1000 });
    scene.push("used", |_| gitlab_simulator::Push::at(at).digest(&used));
    let operator = scene.operator().await;
    deploy(&scene, "web", &reference.replace("{digest}", &used)).await;
    let statuses = scene.run("leaves").await;
    let [bulk, exact] = scene.tags();
    let all = [signature(&used), signature(&unused), "used".to_owned()];
    assert_eq!(bulk, all, "GitLab's bulk deletion is told to keep every attachment: {statuses:#?}");
    // Without GraphQL nothing tells an image from an index, which could contain what the other one signs.
    let left = if graphql { vec![signature(&used), "used".to_owned()] } else { all.to_vec() };
    assert_eq!(exact, left, "{statuses:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_a_tag_is_latest_whose_signature_stays() {
    let scene = Scene::with(&["unused"]).await;
    let (latest, unused) = (digest('a'), digest('b'));
    scene.push("latest", |push| push.digest(&latest));
    scene.push(&signature(&latest), |push| push);
    scene.push(&signature(&unused), |push| push);
    let operator = scene.operator().await;
    deploy(&scene, "web", "").await;
    // `latest` itself stays in any case, and in Bulk every attachment.
    let statuses = scene.run("leaves").await;
    let [bulk, exact] = scene.tags();
    assert_eq!(bulk, ["latest", &signature(&latest), &signature(&unused)], "{statuses:#?}");
    assert_eq!(exact, ["latest", &signature(&latest)], "{statuses:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_in_use_that_does_not_exist_keeps_no_signature() {
    let scene = Scene::with(&["unused"]).await;
    scene.push(&signature(&digest('b')), |push| push);
    scene.push("other", |push| push);
    let operator = scene.operator().await;
    deploy(&scene, "web", ":never-there").await;
    deploy(&scene, "other", ":other").await;
    let statuses = scene.run("leaves").await;
    // In Bulk every attachment stays.
    let [bulk, exact] = scene.tags();
    assert_eq!(bulk, ["other", &signature(&digest('b'))], "{statuses:#?}");
    assert_eq!(exact, ["other"], "{statuses:#?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_no_tag_has_keeps_what_may_contain_it() {
    // A server that tells of no tag what it contains.
    let untold = |config: &mut gitlab_simulator::Config| {
        config.settings.graphql_hidden_fields.insert("ContainerRepositoryDetails.manifest".to_owned());
    };
    let scene = Scene::set_up(untold, &[("single", 30)]).await;
    scene.push("multi", |push| push.kind(TagKind::Index));
    scene.push("list", |push| push.kind(TagKind::ManifestList));
    let operator = scene.operator().await;
    deploy(&scene, "web", &format!("@{}", digest('c'))).await;
    let [bulk, exact] = scene.run("one").await;

    assert_eq!(scene.tags()[1], ["list", "multi"], "{exact:#?}");
    assert_eq!(exact.last_run.as_ref().unwrap().tags.in_use, 2);
    // GitLab's bulk deletion cannot be told.
    assert_eq!(scene.tags()[0], ["list", "multi", "single"]);
    let repository = &bulk.repositories[0];
    let reason = (repository.result, repository.reason.as_deref());
    assert_eq!(reason, (RepositoryResult::Skipped, Some("InUseUnresolved")), "{bulk:#?}");
    let message = repository.message.as_deref().unwrap();
    let user = format!("{} is in use by {}/Deployment/web", digest('c'), scene.place.namespace);
    assert!(message.contains(&user) && message.contains("method: Exact"), "{message}");
    let preview = &scene.preview("one").await[0].repositories[0];
    assert_eq!((preview.reason.as_deref(), preview.message.as_deref()), (reason.1, Some(message)));
    let message = exact.repositories[0].message.as_deref().unwrap();
    assert!(message.contains("2 may be in use: ") && message.contains(&user), "{message}");
    assert_eq!(scene.world.sim.requests_to(Endpoint::BulkDeleteTags), []);
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_only_a_tag_in_use_has_keeps_nothing_else() {
    // The Deployment names the tag, its Pod the digest. The tag is young, so that Exact does not read it for its age.
    let scene = Scene::with(&["single"]).await;
    scene.push("multi", |push| push.kind(TagKind::Index));
    let at = scene.world.now() - jiff::SignedDuration::from_hours(1);
    scene.push("used", |_| gitlab_simulator::Push::at(at).digest(&digest('c')));
    let operator = scene.operator().await;
    deploy(&scene, "web", ":used").await;
    scene.place.create("v1/Pod", "web", &json!({"spec": pod(&images(&format!("@{}", digest('c'))))})).await;
    let statuses = scene.run("one").await;
    assert_eq!(scene.tags(), [["used"], ["used"]], "{statuses:#?}");
    operator.stop().await;
}
