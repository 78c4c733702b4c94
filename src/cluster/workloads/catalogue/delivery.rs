//! What delivers applications: Kubernetes' own templates, Argo, Flux, Knative, `OpenShift`, Tekton.

use super::row::{Api, CatalogueKind};

const ARGO: Api = ("argoproj.io", &["v1alpha1"]);
const FLUX: Api = ("source.toolkit.fluxcd.io", &["v1", "v1beta2"]);
const KNATIVE: Api = ("serving.knative.dev", &["v1"]);
const TEKTON: Api = ("tekton.dev", &["v1", "v1beta1"]);

/// A template of Argo Workflows, or their defaults.
macro_rules! template {
    ($at:expr) => {
        concat!(
            concat!($at, ".container{image}?,", $at, ".script{image}?,", $at, ".initContainers[*]{image}?,"),
            concat!($at, ".sidecars[*]{image}?,", $at, ".containerSet.containers[*]{image}?,"),
            concat!($at, ".volumes[*].image{reference}?")
        )
    };
}

/// The spec of a Workflow. Steps are lists of lists.
macro_rules! workflow {
    ($at:expr) => {
        concat!(
            concat!(template!(concat!($at, ".templates[*]")), ",", template!(concat!($at, ".templateDefaults")), ","),
            concat!(template!(concat!($at, ".templates[*].dag.tasks[*].inline")), ","),
            concat!(template!(concat!($at, ".templates[*].steps[*].*.inline")), ","),
            concat!($at, ".volumes[*].image{reference}?,", $at, ".executorPlugins[*].spec.sidecar.container{image}?")
        )
    };
}

/// The spec of a Task.
macro_rules! task {
    ($at:expr) => {
        concat!(
            concat!($at, ".steps[*]{image}?,", $at, ".sidecars[*]{image}?,", $at, ".stepTemplate{image}?,"),
            concat!($at, ".volumes[*].image{reference}?")
        )
    };
}

/// The spec of a Pipeline, without the Pipelines in it.
macro_rules! tasks {
    ($at:expr) => {
        concat!(task!(concat!($at, ".tasks[*].taskSpec")), ",", task!(concat!($at, ".finally[*].taskSpec")))
    };
}

/// The spec of a Pipeline.
macro_rules! pipeline {
    ($at:expr) => {
        concat!(
            concat!(tasks!($at), ",", tasks!(concat!($at, ".tasks[*].pipelineSpec")), ","),
            tasks!(concat!($at, ".finally[*].pipelineSpec"))
        )
    };
}

/// The Jobs of an analysis.
const METRICS: &str = "spec.metrics[*].provider.job.spec.template?";
/// Charts of OCI registries are named without a scheme, other artifacts with `oci://`.
const SOURCES: &str = "\
    spec.source{[oci://]repoURL/chart:targetRevision~}?,spec.source{oci://repoURL:targetRevision~}?,\
    spec.sources[*]{[oci://]repoURL/chart:targetRevision~}?,spec.sources[*]{oci://repoURL:targetRevision~}?";

pub(super) const KINDS: &[CatalogueKind] = &[
    CatalogueKind::new(
        "Kubernetes",
        ("", &["v1"]),
        ("PodTemplate", "podtemplates"),
        "template?",
        "kubernetes/api/blob/v0.33.0/core/v1/types.go",
    ),
    CatalogueKind::new(
        "Argo Rollouts",
        ARGO,
        ("Rollout", "rollouts"),
        "spec.template?",
        "argoproj/argo-rollouts/blob/9f8d111d8/manifests/crds/rollout-crd.yaml",
    ),
    CatalogueKind::new(
        "Argo Rollouts",
        ARGO,
        ("Experiment", "experiments"),
        "spec.templates[*].template?",
        "argoproj/argo-rollouts/blob/9f8d111d8/manifests/crds/experiment-crd.yaml",
    ),
    CatalogueKind::new(
        "Argo Rollouts",
        ARGO,
        ("AnalysisRun", "analysisruns"),
        METRICS,
        "argoproj/argo-rollouts/blob/9f8d111d8/manifests/crds/analysis-run-crd.yaml",
    ),
    CatalogueKind::new(
        "Argo Rollouts",
        ARGO,
        ("AnalysisTemplate", "analysistemplates"),
        METRICS,
        "argoproj/argo-rollouts/blob/9f8d111d8/manifests/crds/analysis-template-crd.yaml",
    ),
    CatalogueKind::new(
        "Argo Rollouts",
        ARGO,
        ("ClusterAnalysisTemplate", "clusteranalysistemplates"),
        METRICS,
        "argoproj/argo-rollouts/blob/9f8d111d8/manifests/crds/cluster-analysis-template-crd.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Argo Workflows",
        ARGO,
        ("Workflow", "workflows"),
        workflow!("spec"),
        "argoproj/argo-workflows/blob/f016ad89eb/manifests/base/crds/full/argoproj.io_workflows.yaml",
    ),
    CatalogueKind::new(
        "Argo Workflows",
        ARGO,
        ("WorkflowTemplate", "workflowtemplates"),
        workflow!("spec"),
        "argoproj/argo-workflows/blob/f016ad89eb/manifests/base/crds/full/argoproj.io_workflowtemplates.yaml",
    ),
    CatalogueKind::new(
        "Argo Workflows",
        ARGO,
        ("ClusterWorkflowTemplate", "clusterworkflowtemplates"),
        workflow!("spec"),
        "argoproj/argo-workflows/blob/f016ad89eb/manifests/base/crds/full/argoproj.io_clusterworkflowtemplates.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Argo Workflows",
        ARGO,
        ("CronWorkflow", "cronworkflows"),
        workflow!("spec.workflowSpec"),
        "argoproj/argo-workflows/blob/f016ad89eb/manifests/base/crds/full/argoproj.io_cronworkflows.yaml",
    ),
    CatalogueKind::new(
        "Argo CD",
        ARGO,
        ("Application", "applications"),
        SOURCES,
        "argoproj/argo-cd/blob/37ee0097cf/manifests/crds/application-crd.yaml",
    ),
    CatalogueKind::new(
        "Flux",
        FLUX,
        ("OCIRepository", "ocirepositories"),
        "spec{oci://url:ref.semver~|ref.tag@ref.digest}",
        "fluxcd/source-controller/blob/39b711b1/config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
    ),
    CatalogueKind::new(
        "Flux",
        ("source.toolkit.fluxcd.io", &["v1", "v1beta2", "v1beta1"]),
        ("HelmRepository", "helmrepositories"),
        "spec{oci://url/*}",
        "fluxcd/source-controller/blob/39b711b1/config/crd/bases/source.toolkit.fluxcd.io_helmrepositories.yaml",
    ),
    CatalogueKind::new(
        "Knative",
        KNATIVE,
        ("Service", "services"),
        "spec.template?",
        "knative/serving/blob/98e5ef90aa/config/core/300-resources/service.yaml",
    ),
    CatalogueKind::new(
        "Knative",
        KNATIVE,
        ("Configuration", "configurations"),
        "spec.template?",
        "knative/serving/blob/98e5ef90aa/config/core/300-resources/configuration.yaml",
    ),
    CatalogueKind::new(
        "Knative",
        KNATIVE,
        ("Revision", "revisions"),
        "spec",
        "knative/serving/blob/98e5ef90aa/config/core/300-resources/revision.yaml",
    ),
    CatalogueKind::new(
        "OpenShift",
        ("apps.openshift.io", &["v1"]),
        ("DeploymentConfig", "deploymentconfigs"),
        "spec.template?,spec.strategy.customParams{image}?",
        "openshift/api/blob/2a3d73913/apps/v1/types.go#L90",
    ),
    CatalogueKind::new(
        "Tekton",
        TEKTON,
        ("Task", "tasks"),
        task!("spec"),
        "tektoncd/pipeline/blob/ed72c7c81/config/300-crds/300-task.yaml",
    ),
    CatalogueKind::new(
        "Tekton",
        TEKTON,
        ("TaskRun", "taskruns"),
        task!("spec.taskSpec"),
        "tektoncd/pipeline/blob/ed72c7c81/pkg/apis/pipeline/v1/taskrun_types.go#L52",
    ),
    CatalogueKind::new(
        "Tekton",
        TEKTON,
        ("Pipeline", "pipelines"),
        pipeline!("spec"),
        "tektoncd/pipeline/blob/ed72c7c81/pkg/apis/pipeline/v1/pipeline_types.go#L211",
    ),
    CatalogueKind::new(
        "Tekton",
        TEKTON,
        ("PipelineRun", "pipelineruns"),
        pipeline!("spec.pipelineSpec"),
        "tektoncd/pipeline/blob/ed72c7c81/pkg/apis/pipeline/v1/pipelinerun_types.go#L270",
    ),
    CatalogueKind::new(
        "Tekton",
        ("tekton.dev", &["v1beta1", "v1alpha1"]),
        ("StepAction", "stepactions"),
        "spec{image}?",
        "tektoncd/pipeline/blob/ed72c7c81/config/300-crds/300-stepaction.yaml",
    ),
];
