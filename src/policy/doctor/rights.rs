//! Which rights the operator needs, and which somebody who asks `doctor` does.

use std::fmt;

/// The API group of policies, with their resource.
const POLICIES: (&str, &str) = ("registrycleanup.dev", "registrycleanuppolicies");

/// The kinds of Kubernetes itself that name images, as group and resource.
const WORKLOADS: [(&str, &str); 9] = [
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("apps", "controllerrevisions"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "statefulsets"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
];

/// Something that the API server may be asked for.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Right {
    /// The verb, such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource, with a subresource after a slash if one is meant.
    pub resource: String,
    /// The namespace; `None` is all of them.
    pub namespace: Option<String>,
    /// The object; `None` is any.
    pub name: Option<String>,
}

impl Right {
    fn new(verb: &'static str, (group, resource): (&str, &str), namespace: Option<&str>) -> Self {
        let (group, resource) = (group.to_owned(), resource.to_owned());
        Self { verb, group, resource, namespace: namespace.map(str::to_owned), name: None }
    }

    fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => f.write_str(" in all namespaces"),
        }
    }
}

/// An object of a namespace.
pub type Named = (String, String);

/// What an installation works with.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// The namespaces in which policies are watched; empty = all.
    pub watched: Vec<String>,
    /// Where workloads are watched; `None` = nowhere.
    pub workloads: Option<Workloads>,
    /// The Secrets that policies name.
    pub secrets: Vec<Named>,
    /// The ConfigMaps with lists of images in use that policies name.
    pub lists: Vec<Named>,
    /// Whether what runs removed is kept.
    pub history: bool,
    /// The Lease by which operators take turns.
    pub lease: Named,
    /// The ConfigMap that pauses the installation.
    pub pause: Named,
}

/// Where workloads are watched, and which.
#[derive(Clone, Debug, Default)]
pub struct Workloads {
    /// The namespaces; empty = all.
    pub namespaces: Vec<String>,
    /// Kinds besides those of Kubernetes itself that the cluster has, as group and resource.
    pub custom: Vec<(String, String)>,
}

/// What the operator needs.
#[must_use]
pub fn of_operator(needs: &Needs) -> Vec<Right> {
    let mut rights = Vec::new();
    let status = format!("{}/status", POLICIES.1);
    for namespace in each(&needs.watched) {
        rights.extend(["get", "list", "watch"].map(|verb| Right::new(verb, POLICIES, namespace)));
        rights.push(Right::new("patch", (POLICIES.0, &status), namespace));
        rights.extend(["create", "patch"].map(|verb| Right::new(verb, ("events.k8s.io", "events"), namespace)));
        if needs.history {
            let verbs = ["create", "delete", "get", "list"];
            rights.extend(verbs.map(|verb| Right::new(verb, ("", "configmaps"), namespace)));
        }
    }
    rights.extend(read_by_name(needs));
    let lease = |verb| Right::new(verb, ("coordination.k8s.io", "leases"), Some(&needs.lease.0));
    rights.push(lease("create"));
    rights.extend(["get", "update", "watch"].map(|verb| lease(verb).named(&needs.lease.1)));
    let (pause_namespace, pause) = &needs.pause;
    let paused = |verb| Right::new(verb, ("", "configmaps"), Some(pause_namespace)).named(pause);
    rights.extend(["list", "watch"].map(paused));
    rights.extend(needs.workloads.iter().flat_map(|workloads| see(workloads, &["list", "watch"])));
    rights
}

/// What whoever asks needs, so that nothing stays unknown. `policies` are the namespaces of which the policies are
/// listed; empty = all.
#[must_use]
pub fn of_caller(policies: &[String], needs: &Needs) -> Vec<Right> {
    let mut rights: Vec<Right> = each(policies).map(|namespace| Right::new("list", POLICIES, namespace)).collect();
    rights.push(Right::new("list", ("apps", "deployments"), None));
    rights.push(Right::new("create", ("authorization.k8s.io", "subjectaccessreviews"), None));
    rights.extend(read_by_name(needs));
    rights.extend(needs.workloads.iter().flat_map(|workloads| see(workloads, &["list"])));
    rights.sort_unstable();
    rights.dedup();
    rights
}

/// Objects that are read by their names.
fn read_by_name(needs: &Needs) -> Vec<Right> {
    let read = |resource, (namespace, name): &Named| Right::new("get", ("", resource), Some(namespace)).named(name);
    let secrets = needs.secrets.iter().map(|secret| read("secrets", secret));
    secrets.chain(needs.lists.iter().map(|list| read("configmaps", list))).collect()
}

fn see(workloads: &Workloads, verbs: &[&'static str]) -> Vec<Right> {
    let custom = workloads.custom.iter().map(|(group, resource)| (group.as_str(), resource.as_str()));
    let kinds: Vec<(&str, &str)> = WORKLOADS.into_iter().chain(custom).collect();
    let mut rights = Vec::new();
    for namespace in each(&workloads.namespaces) {
        for kind in &kinds {
            rights.extend(verbs.iter().map(|verb| Right::new(verb, *kind, namespace)));
        }
    }
    rights
}

/// Each namespace, or all of them at once where there are none.
fn each(namespaces: &[String]) -> impl Iterator<Item = Option<&str>> {
    let all = namespaces.is_empty().then_some(None);
    namespaces.iter().map(|namespace| Some(namespace.as_str())).chain(all)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn named(namespace: &str, name: &str) -> Named {
        (namespace.to_owned(), name.to_owned())
    }

    fn needs() -> Needs {
        Needs {
            watched: vec!["team".to_owned()],
            workloads: Some(Workloads { namespaces: Vec::new(), custom: vec![("x.io".to_owned(), "apps".to_owned())] }),
            secrets: vec![named("team", "token")],
            lists: vec![named("team", "west")],
            history: true,
            lease: named("ops", "lease"),
            pause: named("ops", "lease-pause"),
        }
    }

    fn sentences(rights: &[Right]) -> Vec<String> {
        rights.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rights_are_asked_for_where_and_by_the_name_by_which_they_are_needed() {
        let rights = sentences(&of_operator(&needs()));
        for expected in [
            "watch registrycleanuppolicies.registrycleanup.dev in namespace team",
            "patch registrycleanuppolicies/status.registrycleanup.dev in namespace team",
            "get secrets token in namespace team",
            "get configmaps west in namespace team",
            "delete configmaps in namespace team",
            "create leases.coordination.k8s.io in namespace ops",
            "update leases.coordination.k8s.io lease in namespace ops",
            "watch configmaps lease-pause in namespace ops",
            "watch apps.x.io in all namespaces",
            "list pods in all namespaces",
        ] {
            assert!(rights.iter().any(|right| right == expected), "{expected}: {rights:#?}");
        }
        assert_eq!(rights.len(), 6 + 4 + 2 + 4 + 2 + 20);
    }

    #[test]
    fn without_workloads_and_history_nothing_of_them_is_needed() {
        let rights = sentences(&of_operator(&Needs { workloads: None, history: false, ..needs() }));
        assert!(!rights.iter().any(|right| right.contains("pods") || right.starts_with("delete")), "{rights:#?}");
        assert_eq!(rights.len(), 6 + 2 + 4 + 2);
    }

    #[test]
    fn whoever_asks_needs_less_and_nothing_that_writes_but_the_question_what_others_may() {
        let rights = of_caller(&[], &needs());
        let writing: Vec<_> = rights.iter().filter(|right| !["get", "list"].contains(&right.verb)).collect();
        assert_eq!(writing.len(), 1, "{writing:?}");
        for named in ["get secrets token in namespace team", "get configmaps west in namespace team"] {
            assert!(sentences(&rights).contains(&named.to_owned()), "{named}");
        }
    }

    /// Verb, group and resource of a right, with the name of the object if it is granted for that one alone.
    type Granted = (String, String, String, Option<String>);

    /// What `deploy/operator.yaml` grants to the operator's ServiceAccount.
    fn granted() -> Vec<Granted> {
        let text = include_str!("../../../deploy/operator.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let is_bound = |role: &Value| {
            let (kind, name) = (&role["kind"], &role["metadata"]["name"]);
            objects.iter().any(|object| object["roleRef"]["kind"] == *kind && object["roleRef"]["name"] == *name)
        };
        let list = |value: &Value| -> Vec<String> {
            let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
            items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
        };
        let mut granted = Vec::new();
        for rule in objects.iter().filter(|object| is_bound(object)).flat_map(|role| role["rules"].as_array().unwrap())
        {
            let mut names: Vec<Option<String>> = list(&rule["resourceNames"]).into_iter().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            for (verb, group) in list(&rule["verbs"])
                .iter()
                .flat_map(|verb| list(&rule["apiGroups"]).into_iter().map(move |group| (verb, group)))
            {
                for resource in list(&rule["resources"]) {
                    let right = |name: &Option<String>| (verb.clone(), group.clone(), resource.clone(), name.clone());
                    granted.extend(names.iter().map(right));
                }
            }
        }
        granted
    }

    #[test]
    fn the_list_is_what_the_manifest_for_kubectl_grants_and_nothing_else() {
        let lease = named("registry-cleanup", "registry-cleanup-operator");
        let pause = named("registry-cleanup", "registry-cleanup-operator-pause");
        let workloads = Some(Workloads::default());
        // It grants neither what a history takes nor kinds besides Kubernetes' own.
        let needs = Needs { watched: Vec::new(), workloads, history: false, lease, pause, ..needs() };
        let (rights, granted) = (of_operator(&needs), granted());
        let is = |right: &Right, (verb, group, resource, name): &Granted| {
            let same = (right.verb, &right.group, &right.resource) == (verb.as_str(), group, resource);
            same && (name.is_none() || right.name == *name)
        };
        let not_asked: Vec<&Granted> = granted.iter().filter(|it| !rights.iter().any(|right| is(right, it))).collect();
        assert!(not_asked.is_empty(), "granted, and not in the list: {not_asked:?}");
        let refused: Vec<&Right> = rights.iter().filter(|right| !granted.iter().any(|it| is(right, it))).collect();
        assert!(refused.is_empty(), "in the list, and not granted: {refused:?}");
        assert!(granted.len() > 30, "{granted:?}");
    }
}
