//! What runs services for others: `CloudNativePG`, Crossplane, OLM, Prometheus, Strimzi.

use super::row::{Api, CatalogueKind, parts_of_pod};

const CNPG: Api = ("postgresql.cnpg.io", &["v1"]);
const CROSSPLANE: Api = ("pkg.crossplane.io", &["v1"]);
const CROSSPLANE_FUNCTIONS: Api = ("pkg.crossplane.io", &["v1", "v1beta1"]);
const OLM: Api = ("operators.coreos.com", &["v1alpha1"]);
const PROMETHEUS: Api = ("monitoring.coreos.com", &["v1"]);
const STRIMZI: Api = ("kafka.strimzi.io", &["v1", "v1beta2"]);

const IMAGE_CATALOG: &str = "\
    spec.images[*]{image},spec.images[*].extensions[*].image{reference}?,spec.componentImages[*]{image}?";

/// What Prometheus and Alertmanager have in common. The image in parts is older than the one in one text.
macro_rules! monitoring {
    () => {
        concat!("spec{image}?,spec{baseImage:tag@sha}?,", parts_of_pod!("spec"))
    };
}

/// Volumes that a template of Strimzi adds to Pods.
macro_rules! volumes {
    ($at:expr) => {
        concat!($at, ".template.pod.volumes[*].image{reference}?")
    };
}

const KAFKA: &str = concat!(
    "spec.kafka{image}?,spec.kafka{brokerRackInitImage}?,spec.zookeeper{image}?,spec.cruiseControl{image}?,",
    "spec.entityOperator.topicOperator{image}?,spec.entityOperator.userOperator{image}?,spec.kafkaExporter{image}?,",
    concat!(volumes!("spec.kafka"), ",", volumes!("spec.entityOperator"), ",", volumes!("spec.cruiseControl"), ","),
    volumes!("spec.kafkaExporter")
);

pub(super) const KINDS: &[CatalogueKind] = &[
    CatalogueKind::new(
        "CloudNativePG",
        CNPG,
        ("Cluster", "clusters"),
        "spec{imageName}?,spec.postgresql.extensions[*].image{reference}?",
        "cloudnative-pg/cloudnative-pg/blob/a95a534db/config/crd/bases/postgresql.cnpg.io_clusters.yaml",
    ),
    CatalogueKind::new(
        "CloudNativePG",
        CNPG,
        ("Pooler", "poolers"),
        concat!("spec.pgbouncer{image}?,", parts_of_pod!("spec.template.spec")),
        "cloudnative-pg/cloudnative-pg/blob/a95a534db/config/crd/bases/postgresql.cnpg.io_poolers.yaml",
    ),
    CatalogueKind::new(
        "CloudNativePG",
        CNPG,
        ("ImageCatalog", "imagecatalogs"),
        IMAGE_CATALOG,
        "cloudnative-pg/cloudnative-pg/blob/a95a534db/config/crd/bases/postgresql.cnpg.io_imagecatalogs.yaml",
    ),
    CatalogueKind::new(
        "CloudNativePG",
        CNPG,
        ("ClusterImageCatalog", "clusterimagecatalogs"),
        IMAGE_CATALOG,
        "cloudnative-pg/cloudnative-pg/blob/a95a534db/config/crd/bases/postgresql.cnpg.io_clusterimagecatalogs.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        CROSSPLANE,
        ("Provider", "providers"),
        "spec{package}",
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_providers.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        CROSSPLANE,
        ("ProviderRevision", "providerrevisions"),
        "spec{image}",
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_providerrevisions.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        CROSSPLANE,
        ("Configuration", "configurations"),
        "spec{package}",
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_configurations.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        CROSSPLANE,
        ("ConfigurationRevision", "configurationrevisions"),
        "spec{image}",
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_configurationrevisions.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        CROSSPLANE_FUNCTIONS,
        ("Function", "functions"),
        "spec{package}",
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_functions.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        CROSSPLANE_FUNCTIONS,
        ("FunctionRevision", "functionrevisions"),
        "spec{image}",
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_functionrevisions.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Crossplane",
        ("pkg.crossplane.io", &["v1beta1"]),
        ("DeploymentRuntimeConfig", "deploymentruntimeconfigs"),
        parts_of_pod!("spec.deploymentTemplate.spec.template.spec"),
        "crossplane/crossplane/blob/2d040d2da/cluster/crds/pkg.crossplane.io_deploymentruntimeconfigs.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "OLM",
        OLM,
        ("CatalogSource", "catalogsources"),
        "spec{image}?",
        "operator-framework/api/blob/3048ccd/crds/operators.coreos.com_catalogsources.yaml",
    ),
    CatalogueKind::new(
        "OLM",
        OLM,
        ("ClusterServiceVersion", "clusterserviceversions"),
        "spec.install.spec.deployments[*].spec.template?,spec.relatedImages[*]{image}?",
        "operator-framework/api/blob/3048ccd/crds/operators.coreos.com_clusterserviceversions.yaml",
    ),
    CatalogueKind::new(
        "Prometheus operator",
        PROMETHEUS,
        ("Prometheus", "prometheuses"),
        concat!(monitoring!(), ",spec.thanos{image}?,spec.thanos{baseImage:tag@sha}?"),
        "prometheus-operator/prometheus-operator/blob/6adcebc50/pkg/apis/monitoring/v1/prometheus_types.go",
    ),
    CatalogueKind::new(
        "Prometheus operator",
        ("monitoring.coreos.com", &["v1alpha1"]),
        ("PrometheusAgent", "prometheusagents"),
        concat!("spec{image}?,", parts_of_pod!("spec")),
        "prometheus-operator/prometheus-operator/blob/6adcebc50/pkg/apis/monitoring/v1/prometheus_types.go",
    ),
    CatalogueKind::new(
        "Prometheus operator",
        PROMETHEUS,
        ("Alertmanager", "alertmanagers"),
        monitoring!(),
        "prometheus-operator/prometheus-operator/blob/6adcebc50/pkg/apis/monitoring/v1/alertmanager_types.go",
    ),
    CatalogueKind::new(
        "Prometheus operator",
        PROMETHEUS,
        ("ThanosRuler", "thanosrulers"),
        concat!("spec{image}?,", parts_of_pod!("spec")),
        "prometheus-operator/prometheus-operator/blob/6adcebc50/pkg/apis/monitoring/v1/thanos_types.go",
    ),
    CatalogueKind::new(
        "Strimzi",
        STRIMZI,
        ("Kafka", "kafkas"),
        KAFKA,
        "strimzi/strimzi-kafka-operator/blob/8541da1e33/packaging/helm-charts/helm3/strimzi-kafka-operator/crds/\
         040-Crd-kafka.yaml",
    ),
    CatalogueKind::new(
        "Strimzi",
        STRIMZI,
        ("KafkaConnect", "kafkaconnects"),
        concat!(
            concat!("spec{image}?,spec{clientRackInitImage}?,spec.build.output{image}?,", volumes!("spec"), ","),
            "spec.template.buildPod.volumes[*].image{reference}?,spec.plugins[*].artifacts[*]{reference}?"
        ),
        "strimzi/strimzi-kafka-operator/blob/8541da1e33/packaging/helm-charts/helm3/strimzi-kafka-operator/crds/\
         041-Crd-kafkaconnect.yaml",
    ),
    CatalogueKind::new(
        "Strimzi",
        STRIMZI,
        ("KafkaMirrorMaker2", "kafkamirrormaker2s"),
        concat!(
            concat!("spec{image}?,spec{clientRackInitImage}?,", volumes!("spec"), ","),
            "spec.template.buildPod.volumes[*].image{reference}?"
        ),
        "strimzi/strimzi-kafka-operator/blob/8541da1e33/packaging/helm-charts/helm3/strimzi-kafka-operator/crds/\
         048-Crd-kafkamirrormaker2.yaml",
    ),
    CatalogueKind::new(
        "Strimzi",
        STRIMZI,
        ("KafkaBridge", "kafkabridges"),
        concat!("spec{image}?,spec{clientRackInitImage}?,", volumes!("spec")),
        "strimzi/strimzi-kafka-operator/blob/8541da1e33/packaging/helm-charts/helm3/strimzi-kafka-operator/crds/\
         046-Crd-kafkabridge.yaml",
    ),
    CatalogueKind::new(
        "Strimzi",
        STRIMZI,
        ("KafkaNodePool", "kafkanodepools"),
        volumes!("spec"),
        "strimzi/strimzi-kafka-operator/blob/8541da1e33/packaging/helm-charts/helm3/strimzi-kafka-operator/crds/\
         045-Crd-kafkanodepool.yaml",
    ),
];
