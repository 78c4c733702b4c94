//! What the chart renders, and which values it refuses.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use registry_cleanup_operator::api::{InUse, RegistryCleanupPolicy};
use registry_cleanup_operator::policy::{CompileOptions, compile};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    CHART, DEFINITION, NAME, container, copy, file, go, helm, kinds, name_of, objects, of, rendered, rendered_chart,
    rendered_text, shared, text, texts, the, values_files,
};
use crate::world::{kubectl, output, path};

#[test]
fn helm_lint_finds_nothing_with_the_defaults_or_any_values_file() {
    let (ok, text) = output(helm().args(["lint", "--strict", &path(CHART)]));
    assert!(ok, "{text}");
    for values in values_files() {
        let (ok, text) = output(helm().args(["lint", "--strict", &path(CHART), "--values", &values]));
        assert!(ok, "{values}: {text}");
    }
}

#[test]
fn values_that_the_chart_does_not_know_or_cannot_use_are_refused() {
    let refused = [
        "repliaCount=2",
        "repliaCount=2",
        "leaderElection.leaseDuration=15",
        "metrics.enabled=1",
        "metrics.port=80",
        "metrics.service.port=0",
        "dnsPolicy=Never",
        "hostUsers=maybe",
        "controller.forceDryRun=perhaps",
        "controller.pauseConfigMap=No",
        "controller.scheduleJitter=soon",
        "controller.preflightInterval=1d",
        "metrics.serviceMonitor.interval=often",
        "metrics.grafanaDashboard.label=",
        "image.pulPolicy=Always",
        "image.pullPolicy=Sometimes",
        "image.digest=sha256:abc",
        "image.repository=",
        "crds.instal=false",
        "crds.install=maybe",
        "watchNamespaces=team-a",
        "watchLabelSelector=shard>3",
        "watchLabelSelector={shard}",
        "watchNamespaces={Team_A}",
        "watchNamespaces={team-a,team-a}",
        "inUse.scope=cluster",
        "rbac.clusterWorkloads=never",
        "rbac.secretNames={*}",
        "rbac.aggregate.admin=true",
        "serviceAccount.automount=1",
        "gitlab.allowedHosts={https://gitlab.example.com}",
        "gitlab.allowInsecureHttp=true",
        "notifications.url=http://hooks.example.com",
        "notifications.url=https://user@hooks.example.com",
        "notifications.secretName=No",
        "notifications.secretKey=",
        "notifications.secret=whsec_",
        "controller.concurrency=1",
        "controller.concurrency=65",
        "controller.maxRequestsPerSecondPerHost=0",
        "controller.maxRequestsInFlightPerHost=0",
        "controller.graphqlBatch=26",
        "controller.listenAddress=::",
        "log.format=xml",
        "log.level=",
        "livenessProbe.httpGet.path=/",
        "resources.limit.memory=1Gi",
        "terminationGracePeriodSeconds=-1",
        "fullnameOverride=No",
    ];
    for setting in refused {
        let (ok, text) = output(helm().args(["lint", &path(CHART), "--set", setting]));
        assert!(!ok, "{setting} was accepted: {text}");
        let key = setting.split(['=', '.']).next().unwrap();
        assert!(text.contains(key), "{setting}: {text}");
    }
}

#[test]
fn the_schema_the_values_and_the_readme_name_the_same_values() {
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut known = BTreeSet::new();
    collect(&schema["properties"], "", &mut known);
    let readme = read("README.md");
    let table = readme.lines().skip_while(|line| !line.starts_with("| Key |")).skip(2);
    let documented: BTreeSet<_> =
        table.take_while(|line| line.starts_with('|')).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(documented, known.iter().map(String::as_str).collect());
}

/// The paths of all values; an object whose default is documented as a whole counts as one.
fn collect(properties: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    const WHOLE: [&str; 3] = ["resources", "livenessProbe", "readinessProbe"];
    for (name, schema) in properties.as_object().unwrap() {
        let path = format!("{prefix}{name}");
        if schema["properties"].is_object() && !WHOLE.contains(&path.as_str()) {
            // What a chart above this one gives to all of its charts is not ours to judge.
            assert!(path == "global" || schema["additionalProperties"] == false, "{path} takes anything");
            collect(&schema["properties"], &format!("{path}."), into);
        } else {
            into.insert(path);
        }
    }
}

/// Each leaf of the schema has a value in one of the values files whose removal changes what is rendered.
#[test]
fn every_value_has_an_effect() {
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut idle = BTreeSet::new();
    collect(&schema["properties"], "", &mut idle);
    for values in values_files() {
        let all: Value = serde_saphyr::from_str(&fs::read_to_string(&values).unwrap()).unwrap();
        let render = |values: &Value| {
            let values = file(&values.to_string());
            rendered_text(&["--values", name_of(&values)])
        };
        let whole = render(&all);
        idle.retain(|leaf| {
            let mut without = all.clone();
            let (parent, name) = leaf.rsplit_once('.').unwrap_or(("", leaf));
            let pointer = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
            let removed = without.pointer_mut(&pointer).and_then(Value::as_object_mut).and_then(|it| it.remove(name));
            removed.is_none() || render(&without) == whole
        });
    }
    assert_eq!(idle, BTreeSet::new(), "values that change nothing, or that no values file sets");
}

#[test]
fn the_readme_is_what_helm_docs_writes() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(&path(CHART)), folder.path());
    go(
        "helm-docs",
        &["tool", "helm-docs", "--log-level=warning", "--chart-search-root", folder.path().to_str().unwrap()],
    );
    let written = fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(written == read("README.md"), "the README of the chart is stale: run `make generate`");
}

#[test]
fn the_definition_is_the_generated_one_with_labels_and_is_kept() {
    let generated = fs::read_to_string(path("crds/registrycleanuppolicies.yaml")).unwrap();
    assert!(generated == read("files/registrycleanuppolicies.yaml"), "stale: run `make generate`");

    let objects_with = |settings: &[&str]| rendered(&[&["--show-only=templates/crd.yaml"], settings].concat());
    let definition = objects_with(&[]);
    let definition = the(&definition, "CustomResourceDefinition");
    let generated = objects(&generated);
    assert_eq!(definition["spec"], generated[0]["spec"]);
    assert_eq!(definition["metadata"]["name"], DEFINITION);
    assert_eq!(definition["metadata"]["labels"]["app.kubernetes.io/name"], NAME);
    assert_eq!(definition["metadata"]["annotations"], json!({"helm.sh/resource-policy": "keep"}));

    let changed = objects_with(&["--set=crds.keep=false", "--set=crds.annotations.a=b"]);
    assert_eq!(changed[0]["metadata"]["annotations"], json!({"a": "b"}));

    let objects = rendered(&["--set=crds.install=false"]);
    assert_eq!(of(&objects, "CustomResourceDefinition").count(), 0);
}

#[test]
fn watched_namespaces_have_a_role_each_and_there_is_no_cluster_role_if_that_is_wanted() {
    let watch = "--set=watchNamespaces={team-a,team-b},inUse.scope=WatchedNamespaces";
    let aggregated = rendered(&["--set=crds.install=false", watch]);
    let names: Vec<_> = of(&aggregated, "ClusterRole").map(|role| text(&role["metadata"]["name"])).collect();
    assert_eq!(names, [format!("{NAME}-view"), format!("{NAME}-edit")], "roles for people only");

    let off = ["--set=crds.install=false", watch, "--set=rbac.aggregate.view=false,rbac.aggregate.edit=false"];
    let objects = rendered(&off);
    assert_eq!(
        kinds(&objects),
        [
            ("PodDisruptionBudget", ""),
            ("ServiceAccount", ""),
            ("Role", "-lease"),
            ("Role", ""),
            ("Role", ""),
            ("RoleBinding", "-lease"),
            ("RoleBinding", ""),
            ("RoleBinding", ""),
            ("Deployment", ""),
        ]
        .map(|(kind, of)| format!("{kind}/{NAME}{of}"))
    );
    for kind in ["Role", "RoleBinding"] {
        let namespaces: Vec<_> = of(&objects, kind).map(|role| text(&role["metadata"]["namespace"])).collect();
        assert_eq!(namespaces, ["registry-cleanup", "team-a", "team-b"]);
    }
    for binding in of(&objects, "RoleBinding") {
        assert_eq!(binding["roleRef"]["kind"], "Role");
        let subject = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": "registry-cleanup"}]);
        assert_eq!(binding["subjects"], subject);
    }
    let arguments = &container(the(&objects, "Deployment"))["args"];
    let watched: Vec<_> = texts(arguments).into_iter().filter(|argument| argument.contains("watch")).collect();
    assert_eq!(watched, ["--watch-namespace=team-a", "--watch-namespace=team-b"]);
    assert!(texts(arguments).contains(&"--in-use-scope=WatchedNamespaces"));
}

#[test]
fn workloads_are_seen_in_the_whole_cluster_unless_it_is_said_otherwise() {
    let off = "--set=rbac.aggregate.view=false,rbac.aggregate.edit=false,crds.install=false";
    let watch = "--set=watchNamespaces={team-a,team-b}";
    let objects = rendered(&[off, watch]);
    let name = format!("{NAME}-in-use");
    let (role, binding) = (the(&objects, "ClusterRole"), the(&objects, "ClusterRoleBinding"));
    assert_eq!((text(&role["metadata"]["name"]), text(&binding["roleRef"]["name"])), (&*name, &*name));
    assert_eq!(binding["subjects"][0]["name"], NAME);
    for rule in role["rules"].as_array().unwrap() {
        assert_eq!(rule["verbs"], json!(["list", "watch"]));
    }
    // The same as everywhere else: the end of the rules of a Role.
    let all = of(&objects, "Role").nth(1).unwrap()["rules"].as_array().unwrap().clone();
    assert!(all.ends_with(role["rules"].as_array().unwrap()), "{all:?}");
    let arguments = container(the(&objects, "Deployment"))["args"].clone();
    assert!(texts(&arguments).contains(&"--in-use-scope=Cluster"), "{arguments}");

    for without in
        ["inUse.enabled=false", "rbac.clusterWorkloads=false", "inUse.scope=WatchedNamespaces", "rbac.create=false"]
    {
        let objects = rendered(&[off, watch, &format!("--set={without}")]);
        assert_eq!(of(&objects, "ClusterRole").count() + of(&objects, "ClusterRoleBinding").count(), 0, "{without}");
    }
    let everywhere = rendered(&[off]);
    assert_eq!(of(&everywhere, "ClusterRole").count(), 1, "it may do everything everywhere");
}

#[test]
fn the_notes_say_what_is_not_seen_with_watched_namespaces() {
    let watch = "--set=watchNamespaces={team-a}";
    let unseen = "Workloads are looked at in these namespaces only (inUse.scope=WatchedNamespaces)";
    let unknown = "Workloads of other namespaces may not be looked at (rbac.clusterWorkloads=false)";
    let cases = [
        ("inUse.scope=Cluster", [false, false]),
        ("inUse.scope=WatchedNamespaces", [true, false]),
        ("rbac.clusterWorkloads=false", [false, true]),
    ];
    for (setting, told) in cases {
        let (notes, _) = notes(&[watch, &format!("--set={setting}")]);
        assert_eq!([unseen, unknown].map(|words| notes.contains(words)), told, "{setting}: {notes}");
    }
}

#[test]
fn the_operator_is_told_what_the_values_say() {
    let arguments = |settings: &[&str]| container(the(&rendered(settings), "Deployment"))["args"].clone();
    let default = [
        "run",
        "--in-use-finished-for=24h",
        "--pause-config-map=registry-cleanup-operator-pause",
        "--preflight-interval=6h",
        "--schedule-jitter=0s",
        "--concurrency=8",
        "--max-requests-per-second-per-host=10",
        "--max-requests-in-flight-per-host=4",
        "--graphql-batch=25",
        "--leader-election-name=registry-cleanup-operator",
        "--leader-election-lease-duration=60s",
        "--leader-election-renew-deadline=40s",
        "--leader-election-retry-period=5s",
        "--listen=[::]:8080",
        "--log-level=info",
        "--log-format=json",
    ];
    assert_eq!(arguments(&[]), json!(default));

    let values = format!("--values={}/ci/everything-values.yaml", path(CHART));
    let everything = [
        "run",
        "--allowed-gitlab-hosts=gitlab.example.com,gitlab.example.org:8443",
        "--allow-insecure-http",
        "--in-use-finished-for=1h",
        "--in-use-workload=argoproj.io/v1alpha1/Rollout=spec.template?",
        "--in-use-catalogue",
        "--force-dry-run",
        "--pause-config-map=pause",
        "--preflight-interval=1h",
        "--schedule-jitter=10m",
        "--concurrency=4",
        "--max-requests-per-second-per-host=0.5",
        "--max-requests-in-flight-per-host=2",
        "--graphql-batch=1",
        "--name-other-namespaces",
        "--leader-election-name=registry-cleanup",
        "--leader-election-lease-duration=30s",
        "--leader-election-renew-deadline=20s",
        "--leader-election-retry-period=2500ms",
        "--listen=0.0.0.0:9090",
        "--history-limit=5",
        "--notifications-url=https://hooks.example.com:8443/registry-cleanup",
        "--notifications-secret-file=/etc/registry-cleanup-operator/notifications/key",
        "--notifications-ca-file=/etc/registry-cleanup-operator/notifications/ca.crt",
        "--allowed-notification-hosts=hooks.example.com,*.example.org",
        "--log-level=info,registry_cleanup_operator=debug",
        "--log-format=text",
        "--watch-namespace=more",
    ];
    assert_eq!(arguments(&[&values, "--set=extraArgs={--watch-namespace=more}"]), json!(everything));
}

/// With `--help` at the end the program ends after it has read what stands before it.
#[test]
fn the_operator_understands_every_argument_that_the_chart_passes() {
    let understands = |arguments: &[&str]| {
        let mut operator = Command::new(env!("CARGO_BIN_EXE_registry-cleanup-operator"));
        output(operator.args(arguments).arg("--help"))
    };
    assert!(!understands(&["run", "--no-such-flag"]).0);
    assert!(!understands(&["run", "--concurrency=many"]).0);
    for values in values_files() {
        let objects = rendered(&["--values", &values]);
        let deployments = of(&objects, "Deployment").map(container);
        let jobs = of(&objects, "CronJob").map(|job| container(&job["spec"]["jobTemplate"]));
        let programs: Vec<&Value> = deployments.chain(jobs).collect();
        assert!(!programs.is_empty(), "{values}");
        for program in programs {
            let arguments = texts(&program["args"]);
            let (ok, text) = understands(&arguments);
            assert!(ok, "{arguments:?}: {text}");
        }
    }
}

#[test]
fn there_are_two_operators_on_nodes_of_their_own_and_none_is_started_before_those_without_a_lease_have_ended() {
    let objects = rendered(&[]);
    let spec = &the(&objects, "Deployment")["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    let spread = &spec["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(
        (&spread["topologyKey"], &spread["whenUnsatisfiable"]),
        (&json!("kubernetes.io/hostname"), &json!("ScheduleAnyway"))
    );
    assert_eq!(spread["labelSelector"], spec["selector"]);
    assert_eq!(spec["template"]["spec"]["terminationGracePeriodSeconds"], 60);
    let env = &container(the(&objects, "Deployment"))["env"];
    let fields = [0, 1].map(|index: usize| text(&env[index]["valueFrom"]["fieldRef"]["fieldPath"]).to_owned());
    assert_eq!(fields, ["metadata.name", "metadata.uid"], "what the Lease names");
}

#[test]
fn a_disruption_budget_is_there_with_more_than_one_replica_only() {
    let budgets = |settings: &[&str]| {
        rendered(settings).into_iter().filter(|object| object["kind"] == "PodDisruptionBudget").collect::<Vec<_>>()
    };
    let two = budgets(&[]);
    assert_eq!((two.len(), &two[0]["spec"]["maxUnavailable"]), (1, &json!(1)));
    let deployment = rendered(&[]);
    assert_eq!(two[0]["spec"]["selector"], the(&deployment, "Deployment")["spec"]["selector"]);
    assert_eq!(budgets(&["--set=replicaCount=1"]).len(), 0, "it would keep a node from being drained");
    assert_eq!(budgets(&["--set=replicaCount=0"]).len(), 0);
    assert_eq!(budgets(&["--set=podDisruptionBudget.enabled=false"]).len(), 0);
}

#[test]
fn probes_ask_the_operator_and_can_be_timed_or_turned_off() {
    let objects = rendered(&["--set=livenessProbe.periodSeconds=99", "--set=readinessProbe=null"]);
    let container = container(the(&objects, "Deployment"));
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "http-metrics"}));
    assert_eq!(container["livenessProbe"]["periodSeconds"], 99);
    assert!(container["readinessProbe"].is_null());

    let objects = rendered(&[]);
    let container = super::container(the(&objects, "Deployment"));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "http-metrics"}));
    assert_eq!(container["ports"], json!([{"name": "http-metrics", "containerPort": 8080, "protocol": "TCP"}]));
}

#[test]
fn a_digest_wins_over_a_tag_and_a_tag_over_the_version_of_the_chart() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let repository = "registry-cleanup/registry-cleanup-operator";
    let version = env!("CARGO_PKG_VERSION");
    let cases = [
        (String::new(), format!("ghcr.io/{repository}:{version}")),
        ("image.tag=edge".to_owned(), format!("ghcr.io/{repository}:edge")),
        (format!("image.tag=edge,image.digest={digest}"), format!("ghcr.io/{repository}@{digest}")),
        ("image.registry=mirror:5000".to_owned(), format!("mirror:5000/{repository}:{version}")),
        ("image.registry=".to_owned(), format!("{repository}:{version}")),
        (
            "image.registry=mirror:5000,global.imageRegistry=all:5000".to_owned(),
            format!("all:5000/{repository}:{version}"),
        ),
    ];
    for (settings, image) in cases {
        let objects = rendered(&["--set", &settings]);
        assert_eq!(container(the(&objects, "Deployment"))["image"], image, "{settings}");
    }
}

#[test]
fn the_catalogue_names_the_image_that_is_rendered() {
    let chart: Value = serde_saphyr::from_str(&read("Chart.yaml")).unwrap();
    let images: Value = serde_saphyr::from_str(text(&chart["annotations"]["artifacthub.io/images"])).unwrap();
    let named: Vec<_> = images.as_array().unwrap().iter().map(|image| text(&image["image"])).collect();
    assert_eq!(named, [text(&container(the(&rendered(&[]), "Deployment"))["image"])]);
    assert!(text(&chart["icon"]).ends_with("/docs/icon.svg") && Path::new(&path("docs/icon.svg")).is_file());
}

#[test]
fn labels_of_the_user_never_tear_the_deployment_from_its_pods() {
    let name = "app\\.kubernetes\\.io/name=other";
    let objects = rendered(&[&format!("--set=commonLabels.{name},podLabels.{name},commonLabels.team=shop")]);
    let spec = &the(&objects, "Deployment")["spec"];
    let (selector, labels) = (&spec["selector"]["matchLabels"], &spec["template"]["metadata"]["labels"]);
    for (key, value) in selector.as_object().unwrap() {
        assert_eq!(&labels[key], value);
    }
    assert_eq!(selector["app.kubernetes.io/name"], NAME);
    for object in &objects {
        assert_eq!(object["metadata"]["labels"]["team"], "shop", "{}", object["kind"]);
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/name"], NAME, "{}", object["kind"]);
    }
}

#[test]
fn a_network_policy_is_there_only_when_asked_for() {
    assert_eq!(of(&rendered(&[]), "NetworkPolicy").count(), 0);
    let objects = rendered(&["--set=networkPolicy.enabled=true"]);
    let spec = &the(&objects, "NetworkPolicy")["spec"];
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    // A list that is empty is left away when it is read; a missing one lets nobody in as well.
    assert!(spec["ingress"].is_null() || spec["ingress"] == json!([]));
    let ports = spec["egress"].as_array().unwrap().iter().flat_map(|rule| rule["ports"].as_array().unwrap());
    let ports: Vec<_> = ports.map(|port| port["port"].as_u64().unwrap()).collect();
    assert_eq!(ports, [53, 53, 443, 6443]);
}

#[test]
fn objects_for_prometheus_and_grafana_are_there_only_when_asked_for() {
    let all = ["Service", "ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap"];
    let found = |settings: &[&str]| {
        let objects = rendered(settings);
        let kinds = objects.iter().map(|object| text(&object["kind"]).to_owned());
        kinds.filter(|kind| all.contains(&kind.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(found(&[]), Vec::<String>::new());
    assert_eq!(found(&["--set=metrics.service.enabled=true"]), ["Service"]);
    assert_eq!(found(&["--set=metrics.serviceMonitor.enabled=true"]), ["Service", "ServiceMonitor"]);
    assert_eq!(found(&["--set=metrics.podMonitor.enabled=true"]), ["PodMonitor"]);
    assert_eq!(found(&["--set=metrics.prometheusRule.enabled=true"]), ["PrometheusRule"]);
    assert_eq!(found(&["--set=metrics.grafanaDashboard.enabled=true"]), ["ConfigMap"]);
}

#[test]
fn a_service_monitor_selects_the_service_and_keeps_the_labels_of_policies() {
    let objects =
        rendered(&["--set=metrics.serviceMonitor.enabled=true", "--set=metrics.serviceMonitor.labels.release=prom"]);
    let (service, monitor) = (the(&objects, "Service"), the(&objects, "ServiceMonitor"));
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value, "{label}");
    }
    assert_eq!(monitor["metadata"]["labels"]["release"], "prom");
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!((&endpoint["port"], &endpoint["honorLabels"]), (&service["spec"]["ports"][0]["name"], &json!(true)));
    let deployment = the(&objects, "Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (label, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&labels[label], value, "{label}");
    }
}

#[test]
fn the_alerts_are_those_of_the_page_and_more_can_be_added() {
    let more = r#"--set-json=metrics.prometheusRule.rules=[{"alert":"Mine","expr":"up == 0"}]"#;
    let objects = rendered(&["--set=metrics.prometheusRule.enabled=true,metrics.prometheusRule.slo=true", more]);
    let groups = the(&objects, "PrometheusRule")["spec"]["groups"].as_array().unwrap().clone();
    assert_eq!(groups[2]["rules"][0]["alert"], "Mine");
    let page = fs::read_to_string(path("docs/monitoring.md")).unwrap();
    let documented: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts: Vec<&Value> = [&groups[0], &groups[1]]
        .into_iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .filter(|rule| rule["record"].is_null())
        .collect();
    assert_eq!(alerts.iter().map(|rule| text(&rule["alert"])).collect::<Vec<_>>(), documented);
    for rule in alerts {
        let anchor = text(&rule["annotations"]["runbook_url"]).rsplit_once('#').unwrap().1;
        assert_eq!(anchor, text(&rule["alert"]).to_lowercase());
    }
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let objects = rendered(&["--set=metrics.grafanaDashboard.enabled=true"]);
    let json = text(&the(&objects, "ConfigMap")["data"]["registry-cleanup-operator.json"]);
    let dashboard: Value = serde_json::from_str(json).unwrap();
    let page = fs::read_to_string(path("docs/monitoring.md")).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for target in panel["targets"].as_array().unwrap() {
            let query = text(&target["expr"]);
            let names = query
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .filter(|word| word.starts_with("registry_cleanup_"));
            for name in names {
                assert!(page.contains(&format!("`{name}`")), "{name}");
                asked += 1;
            }
        }
    }
    assert!(asked > 10, "{asked}");
}

#[test]
fn names_fit_however_long_the_release_is_called() {
    let release = "r".repeat(53);
    let (ok, yaml) = output(helm().args(["template", &release, &path(CHART), "--set=crds.install=false"]));
    assert!(ok, "{yaml}");
    let objects = objects(&yaml);
    assert!(objects.len() > 4);
    for object in &objects {
        assert!(text(&object["metadata"]["name"]).len() <= 63, "{}", object["metadata"]["name"]);
    }
}

#[test]
fn the_chart_can_be_a_dependency_of_another() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(&path(CHART)), &folder.path().join("charts").join(NAME));
    let parent = format!(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n- name: {NAME}\n  version: {}\n",
        env!("CARGO_PKG_VERSION")
    );
    fs::write(folder.path().join("Chart.yaml"), parent).unwrap();
    fs::write(folder.path().join("values.yaml"), format!("global: {{a: b}}\n{NAME}:\n  log: {{format: text}}\n"))
        .unwrap();
    let objects = objects(&rendered_chart(folder.path().to_str().unwrap(), &[]));
    assert!(texts(&container(the(&objects, "Deployment"))["args"]).contains(&"--log-format=text"));
}

/// Helm's hooks need Jobs and images that vanish; lookups and capabilities differ between `helm template` and a
/// cluster.
#[test]
fn the_chart_renders_the_same_everywhere() {
    for template in super::files_in(&path(&format!("{CHART}/templates"))) {
        let source = fs::read_to_string(&template).unwrap();
        for word in ["helm.sh/hook", "lookup ", ".Capabilities", "rand", "now |", "genCA", "uuidv4"] {
            assert!(!source.contains(word), "{template} uses {word}");
        }
    }
    assert_eq!(rendered_text(&[]), rendered_text(&["--is-upgrade", "--kube-version=1.30.0"]));
    let (ok, text) = output(helm().args(["template", &path(CHART), "--kube-version=1.29.0"]));
    assert!(!ok && text.contains("incompatible"), "{text}");
    let forbidden = ["Lease", "Job", "ValidatingWebhookConfiguration"];
    for values in values_files() {
        let yaml = rendered_text(&["--values", &values]);
        for kind in forbidden {
            assert!(!yaml.contains(&format!("kind: {kind}\n")), "{values}: {kind}");
        }
    }
}

/// What helm prints of an installation, with the notes at its end, and the policy in them.
fn notes(settings: &[&str]) -> (String, String) {
    let chart = path(CHART);
    let command = ["install", NAME, &chart, "--namespace=registry-cleanup", "--dry-run=client"];
    let (ok, notes) = output(helm().args([&command, settings].concat()));
    assert!(ok, "{notes}");
    let policy = between(&notes, "<<EOF\n", "  EOF\n").replace("\n  ", "\n").replace("my-namespace", "default");
    let policy = policy.trim_start().to_owned();
    (notes, policy)
}

#[rstest]
#[case("gitlab.example.com", "https://gitlab.example.com")]
#[case("*.example.com", "https://gitlab.example.com")]
#[case("git.example.com:8443", "https://git.example.com:8443")]
#[case("fd00::1", "https://[fd00::1]")]
#[case("[fd00::1]:8443", "https://[fd00::1]:8443")]
fn the_first_policy_of_the_notes_names_a_host_that_is_allowed(#[case] host: &str, #[case] url: &str) {
    let (_, policy) = notes(&[&format!("--set=gitlab.allowedHosts={{{host}}}")]);
    let policy: RegistryCleanupPolicy = serde_saphyr::from_str(&policy).unwrap();
    assert_eq!(policy.spec.gitlab.url, url);
    let settings = CompileOptions { allowed_hosts: vec![host.to_owned()], ..CompileOptions::default() };
    compile(&policy.spec, &settings, jiff::Timestamp::UNIX_EPOCH).unwrap();
}

#[test]
fn the_notes_say_so_when_nobody_looks_which_images_are_in_use() {
    let words = "Workloads are not watched (inUse.enabled=false)";
    let (watched, policy) = notes(&[]);
    assert!(!watched.contains(words) && !policy.contains("protect"), "{watched}");
    let (blind, policy) = notes(&["--set=inUse.enabled=false"]);
    assert!(blind.contains(words), "{blind}");
    server_takes(&policy);
    let policy: RegistryCleanupPolicy = serde_saphyr::from_str(&policy).unwrap();
    assert_eq!(policy.spec.protect.unwrap().in_use, Some(InUse::Disabled));
}

#[test]
fn the_first_policy_of_the_notes_and_of_the_catalogue_is_accepted() {
    server_takes(&notes(&[]).1);

    let chart = read("Chart.yaml");
    let examples = between(&chart, "artifacthub.io/crdsExamples: |\n", "  artifacthub.io/changes");
    // One item of a list, four and two columns deep.
    let policy = examples.replace("\n      ", "\n").replace("    - apiVersion", "apiVersion");
    server_takes(&policy.replace("namespace: team-shop", "namespace: default"));
}

fn server_takes(policy: &str) {
    assert!(policy.contains("kind: RegistryCleanupPolicy") && policy.contains("mode: DryRun"), "{policy}");
    let file = file(policy);
    let command = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", name_of(&file)];
    kubectl(shared(), &command);
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start} is not in {text}"));
    rest.split_once(end).unwrap_or_else(|| panic!("{end} is not in {rest}")).0
}

fn read(file: &str) -> String {
    fs::read_to_string(path(&format!("{CHART}/{file}"))).unwrap()
}
