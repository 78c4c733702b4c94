//! Kinds that configuration names: present, absent, installed later, or not as expected.

use control_plane::Cluster;
use serde_json::{Value, json};

use super::{PATIENCE, Place, names, pod, texts, until_gaps, until_names};
use crate::support::eventually;
use crate::world::{cluster, established, kubectl};

/// Something like Rollouts, of a group that no other test has.
pub(crate) struct Definition {
    cluster: &'static Cluster,
    pub(crate) group: String,
}

impl Definition {
    pub(crate) async fn named(name: &str) -> Self {
        Self { cluster: cluster().await, group: format!("{name}{}.example.com", std::process::id()) }
    }

    /// Installs the kind in these versions, of which the first is stored.
    pub(crate) fn install(&self, versions: &[&str]) {
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let versions: Vec<Value> = versions
            .iter()
            .enumerate()
            .map(|(position, version)| {
                let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": anything}}});
                json!({"name": version, "served": true, "storage": position == 0, "schema": schema})
            })
            .collect();
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("rollouts.{}", self.group)},
            "spec": {
                "group": self.group,
                "scope": "Namespaced",
                "names": {"kind": "Rollout", "plural": "rollouts"},
                "versions": versions,
            },
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), definition.to_string()).unwrap();
        kubectl(self.cluster, &["apply", "--filename", file.path().to_str().unwrap()]);
        established(self.cluster, &[&self.crd()]);
    }

    fn remove(&self) {
        kubectl(self.cluster, &["delete", &self.crd()]);
    }

    fn crd(&self) -> String {
        format!("crd/rollouts.{}", self.group)
    }

    pub(crate) fn kind(&self) -> String {
        format!("{}/v1/Rollout", self.group)
    }

    pub(crate) fn watched_at(&self, path: &str) -> String {
        format!("{}={path}", self.kind())
    }

    fn gap(&self, place: &Place, why: &str) -> String {
        format!("Rollout.{} in namespace {}: {why}", self.group, place.namespace)
    }
}

fn rollout(image: &str) -> Value {
    json!({"spec": {"template": {"spec": pod(image)}}})
}

#[tokio::test]
async fn a_custom_workload_counts_at_its_paths() {
    let definition = Definition::named("paths").await;
    definition.install(&["v1"]);
    let place = Place::new().await;
    place.create(&definition.kind(), "listed", &rollout("listed:1")).await;
    let custom = definition.watched_at("spec.template?,spec.more[*].pod?");
    let workloads = place.watching(place.options_with(&[&custom]));
    workloads.complete_within(PATIENCE).await.unwrap();
    assert_eq!(names(&workloads), ["listed:1"]);
    place
        .create(
            &definition.kind(),
            "both",
            &json!({"spec": {"template": {"spec": pod("both:1")}, "more": [{"pod": pod("both:2")}]}}),
        )
        .await;
    workloads.confirm().await.unwrap();
    assert_eq!(names(&workloads), ["both:1", "both:2", "listed:1"]);
    let used = workloads.images(super::now()).remove(0);
    assert_eq!((used.users, used.more), (vec![place.user("Rollout/both")], 0));
    place.delete(&definition.kind(), "both").await;
    until_names(&workloads, &["listed:1"]).await;
}

#[tokio::test]
async fn an_absent_kind_is_nothing_to_wait_for_and_is_found_when_it_is_installed() {
    let definition = Definition::named("later").await;
    let place = Place::new().await;
    let workloads = place.watching(place.options_with(&[&definition.watched_at("spec.template")]));
    workloads.complete_within(PATIENCE).await.unwrap();
    workloads.confirm().await.unwrap();

    definition.install(&["v1"]);
    place.create(&definition.kind(), "web", &rollout("web:1")).await;
    // It is known from the moment at which somebody relies on it.
    let gaps = eventually("a refusal", async || workloads.confirm().await.err()).await;
    assert_eq!(texts(&gaps), [definition.gap(&place, "not completely listed yet")]);
    eventually("a confirmation", async || workloads.confirm().await.ok()).await;
    assert_eq!(names(&workloads), ["web:1"]);

    definition.remove();
    until_names(&workloads, &[]).await;
    // The watch ends some time after the kind is gone; then it is absent again, which is no gap.
    eventually("a confirmation", async || workloads.confirm().await.ok()).await;
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_a_gap_with_its_name_and_hides_no_other() {
    let definition = Definition::named("odd").await;
    definition.install(&["v1"]);
    let place = Place::new().await;
    place.create(&definition.kind(), "a-odd", &json!({"spec": {"template": "none"}})).await;
    place.create(&definition.kind(), "web", &rollout("web:1")).await;
    let options = place.options_with(&[&definition.watched_at("spec.template")]);
    let workloads = place.watching(options.clone());
    let gap = definition.gap(&place, &format!("{}/a-odd cannot be read", place.namespace));
    assert_eq!(texts(&workloads.complete_within(PATIENCE).await.unwrap_err()), [gap.as_str()]);
    assert_eq!(names(&workloads), ["web:1"]);

    // One that could be read breaks: what it used stays in use.
    place.create(&definition.kind(), "breaks", &rollout("breaks:1")).await;
    until_names(&workloads, &["breaks:1", "web:1"]).await;
    place.patch(&definition.kind(), "breaks", &json!({"spec": {"template": {"spec": {"containers": 7}}}})).await;
    let two = definition.gap(&place, &format!("{}/a-odd and 1 more cannot be read", place.namespace));
    until_gaps(&workloads, &[&two]).await;
    assert_eq!(texts(&workloads.confirm().await.unwrap_err()), [two.as_str()]);
    assert_eq!(names(&workloads), ["breaks:1", "web:1"]);
    let once = super::Workloads::read_once(place.kube.clone(), options).await.unwrap_err();
    assert_eq!(texts(&once), [two.as_str()]);

    // They are put right, or go.
    place.patch(&definition.kind(), "breaks", &json!({"spec": rollout("breaks:2")["spec"]})).await;
    until_gaps(&workloads, &[&gap]).await;
    place.delete(&definition.kind(), "a-odd").await;
    until_gaps(&workloads, &[]).await;
    workloads.confirm().await.unwrap();
    assert_eq!(names(&workloads), ["breaks:2", "web:1"]);
}

#[tokio::test]
async fn a_mistyped_path_is_a_gap_as_soon_as_there_is_an_object() {
    let definition = Definition::named("typo").await;
    definition.install(&["v1"]);
    let place = Place::new().await;
    let workloads = place.watching(place.options_with(&[&definition.watched_at("spec.templte")]));
    workloads.complete_within(PATIENCE).await.unwrap();
    place.create(&definition.kind(), "web", &rollout("web:1")).await;
    let gap = definition.gap(&place, &format!("{}/web cannot be read", place.namespace));
    assert_eq!(texts(&workloads.confirm().await.unwrap_err()), [gap]);
}

#[tokio::test]
async fn a_kind_that_is_there_in_another_version_is_not_taken_for_absent() {
    let definition = Definition::named("version").await;
    definition.install(&["v2", "v3"]);
    let place = Place::new().await;
    let workloads = place.watching(place.options_with(&[&definition.watched_at("spec.template")]));
    let gaps = workloads.complete_within(PATIENCE).await.unwrap_err();
    assert_eq!(gaps.len(), 1);
    assert!(
        gaps[0].why.starts_with("the cluster has it in version v") && gaps[0].why.ends_with(", not v1"),
        "{gaps:?}"
    );
}
