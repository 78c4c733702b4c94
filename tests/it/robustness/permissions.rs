//! What the operator may do and does: the verbs of the documentation and no others.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Operator, World, client, cluster};

const ACCOUNT: &str = "system:serviceaccount:registry-cleanup:registry-cleanup-operator";
const POLICIES: &str = "registrycleanuppolicies";

/// Verb, group, resource with its subresource.
const DOCUMENTED: [(&str, &str, &str); 26] = [
    ("get", "registrycleanup.dev", "registrycleanuppolicies"),
    ("list", "registrycleanup.dev", "registrycleanuppolicies"),
    ("watch", "registrycleanup.dev", "registrycleanuppolicies"),
    ("patch", "registrycleanup.dev", "registrycleanuppolicies/status"),
    ("get", "", "secrets"),
    ("create", "events.k8s.io", "events"),
    ("patch", "events.k8s.io", "events"),
    ("get", "", "configmaps"),
    ("list", "", "pods"),
    ("watch", "", "pods"),
    ("list", "", "replicationcontrollers"),
    ("watch", "", "replicationcontrollers"),
    ("list", "apps", "controllerrevisions"),
    ("watch", "apps", "controllerrevisions"),
    ("list", "apps", "daemonsets"),
    ("watch", "apps", "daemonsets"),
    ("list", "apps", "deployments"),
    ("watch", "apps", "deployments"),
    ("list", "apps", "replicasets"),
    ("watch", "apps", "replicasets"),
    ("list", "apps", "statefulsets"),
    ("watch", "apps", "statefulsets"),
    ("list", "batch", "cronjobs"),
    ("watch", "batch", "cronjobs"),
    ("list", "batch", "jobs"),
    ("watch", "batch", "jobs"),
];

/// What it does with its Lease, in its own namespace.
const OF_THE_LEASE: [&str; 4] = ["create", "get", "update", "watch"];

/// What it does with the ConfigMap that pauses it, in its own namespace.
const OF_THE_PAUSE: [&str; 2] = ["list", "watch"];

/// What everybody who is authenticated may read, by the role `system:discovery`: whether the definition is up to date.
const PUBLISHED: &str = "get //openapi/v3/apis/registrycleanup.dev/v1alpha1";

fn documented() -> BTreeSet<String> {
    let resources = DOCUMENTED.iter().map(|(verb, group, resource)| format!("{verb} {group}/{resource}"));
    let leases = OF_THE_LEASE.iter().map(|verb| format!("{verb} coordination.k8s.io/leases"));
    let pause = OF_THE_PAUSE.iter().map(|verb| format!("{verb} /configmaps"));
    resources.chain(leases).chain(pause).chain([PUBLISHED.to_owned()]).collect()
}

/// What the operators of this test process have asked the API server for, from its audit log.
pub(crate) fn asked_for(audit_log: &str) -> BTreeSet<String> {
    audit_log
        .lines()
        // The last line may be half written.
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["user"]["username"] == ACCOUNT)
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            let resource = match object["subresource"].as_str() {
                Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
                None if object.is_null() => text(&event["requestURI"]),
                None => text(&object["resource"]),
            };
            format!("{} {}/{resource}", text(&event["verb"]), text(&object["apiGroup"]))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_the_api_server_for_nothing_but_what_is_documented() {
    let world = World::start().await;
    world.repository("shop/backend/api", &[("v1", 30), ("main", 1)]);
    world.apply(&world.policy("shop", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    world.ready("shop").await;
    world.preview("shop", "one").await;
    world.run("shop", "one").await;
    operator.stop().await;
    let log = std::fs::read_to_string(world.cluster.audit_log().expect("a control plane of our own")).unwrap();
    let asked = asked_for(&log);
    let more: Vec<&String> = asked.difference(&documented()).map(|more| asked.get(more).unwrap()).collect();
    assert_eq!(more, [] as [&String; 0]);
    for used in
        ["get /secrets", "patch registrycleanup.dev/registrycleanuppolicies/status", "create events.k8s.io/events"]
    {
        assert!(asked.contains(used), "{used} is not in {asked:?}");
    }
    let of_secrets: Vec<&String> = asked.iter().filter(|asked| asked.ends_with("/secrets")).collect();
    assert_eq!(of_secrets, ["get /secrets"], "Secrets are neither listed nor watched");
}

async fn may(verb: &str, group: &str, resource: &str) -> bool {
    may_in("default", verb, group, resource, "").await
}

async fn may_in(namespace: &str, verb: &str, group: &str, resource: &str, name: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SubjectAccessReview = serde_json::from_value(json!({"metadata": {}, "spec": {
        "user": ACCOUNT,
        "resourceAttributes": {
            "namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource, "name": name,
        },
    }}))
    .unwrap();
    let reviews: Api<SubjectAccessReview> = Api::all(client(cluster().await.kubeconfig()).await);
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

#[tokio::test]
async fn the_install_manifest_grants_what_is_documented() {
    for (verb, group, resource) in DOCUMENTED {
        assert!(may(verb, group, resource).await, "{verb} {group}/{resource}");
    }
    for verb in OF_THE_LEASE {
        let name = if verb == "create" { "" } else { "registry-cleanup-operator" };
        assert!(may_in("registry-cleanup", verb, "coordination.k8s.io", "leases", name).await, "{verb}");
        assert!(!may(verb, "coordination.k8s.io", "leases").await, "{verb} elsewhere");
    }
    for verb in OF_THE_PAUSE {
        let may_see =
            async |namespace| may_in(namespace, verb, "", "configmaps", "registry-cleanup-operator-pause").await;
        assert!(may_see("registry-cleanup").await && !may_see("default").await, "{verb}");
    }
}

#[rstest]
#[case::to_list_secrets("list", "", "secrets")]
#[case::to_watch_secrets("watch", "", "secrets")]
#[case::to_write_secrets("patch", "", "secrets")]
#[case::to_make_secrets("create", "", "secrets")]
#[case::to_make_policies("create", "registrycleanup.dev", POLICIES)]
#[case::to_write_specs_by_update("update", "registrycleanup.dev", POLICIES)]
#[case::to_write_specs_by_patch("patch", "registrycleanup.dev", POLICIES)]
#[case::to_delete_policies("delete", "registrycleanup.dev", POLICIES)]
#[case::to_delete_all_policies("deletecollection", "registrycleanup.dev", POLICIES)]
#[case::to_replace_statuses("update", "registrycleanup.dev", "registrycleanuppolicies/status")]
#[case::to_set_finalizers("update", "registrycleanup.dev", "registrycleanuppolicies/finalizers")]
#[case::to_read_events("list", "events.k8s.io", "events")]
#[case::to_delete_events("delete", "events.k8s.io", "events")]
#[case::to_read_logs("get", "", "pods/log")]
#[case::to_delete_pods("delete", "", "pods")]
#[case::to_make_pods("create", "", "pods")]
#[case::to_run_in_pods("create", "", "pods/exec")]
#[case::to_list_config_maps("list", "", "configmaps")]
#[case::to_read_definitions("get", "apiextensions.k8s.io", "customresourcedefinitions")]
#[case::to_be_somebody_else("impersonate", "", "users")]
#[case::to_make_tokens("create", "", "serviceaccounts/token")]
#[case::to_grant("create", "rbac.authorization.k8s.io", "clusterrolebindings")]
#[tokio::test]
async fn the_operator_has_no_permission(#[case] verb: &str, #[case] group: &str, #[case] resource: &str) {
    assert!(!may(verb, group, resource).await);
}
