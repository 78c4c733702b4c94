//! What computes: KEDA, `JobSet`, `LeaderWorkerSet`, Kubeflow, `KServe`, Ray, Spark, Volcano.

use super::row::{Api, CatalogueKind, parts_of_pod};

const JOBSET_TEMPLATE: &str = "spec.template.spec.replicatedJobs[*].template.spec.template?";
const KSERVE: Api = ("serving.kserve.io", &["v1alpha1"]);
const LLM: Api = ("serving.kserve.io", &["v1alpha2", "v1alpha1"]);
const RAY: Api = ("ray.io", &["v1", "v1alpha1"]);
const SPARK: Api = ("sparkoperator.k8s.io", &["v1beta2"]);
const TRAINER: Api = ("trainer.kubeflow.org", &["v1alpha1"]);
const TRAINING: Api = ("kubeflow.org", &["v1"]);
const VOLCANO: Api = ("batch.volcano.sh", &["v1alpha1"]);

/// What predicts, in one of the forms that it may have.
macro_rules! predictor {
    ($at:expr) => {
        concat!(
            concat!(parts_of_pod!($at), ",", parts_of_pod!(concat!($at, ".workerSpec")), ","),
            concat!(
                $at,
                ".model{image}?,",
                $at,
                ".sklearn{image}?,",
                $at,
                ".xgboost{image}?,",
                $at,
                ".triton{image}?,"
            ),
            concat!(
                $at,
                ".tensorflow{image}?,",
                $at,
                ".pytorch{image}?,",
                $at,
                ".onnx{image}?,",
                $at,
                ".pmml{image}?,"
            ),
            concat!($at, ".huggingface{image}?,", $at, ".lightgbm{image}?,", $at, ".paddle{image}?")
        )
    };
}

/// The spec of a `RayCluster`.
macro_rules! ray {
    ($at:expr) => {
        concat!(
            concat!($at, ".headGroupSpec.template?,", $at, ".workerGroupSpecs[*].template?,"),
            concat!($at, ".autoscalerOptions{image}?,", $at, ".historyServerOptions.collectorOptions{image}?")
        )
    };
}

/// One part of a Spark application.
macro_rules! spark_pod {
    ($at:expr) => {
        concat!(
            concat!($at, "{image}?,", $at, ".initContainers[*]{image}?,", $at, ".sidecars[*]{image}?,"),
            parts_of_pod!(concat!($at, ".template.spec"))
        )
    };
}

/// The spec of a `SparkApplication`.
macro_rules! spark {
    ($at:expr) => {
        concat!(
            concat!($at, "{image}?,", $at, ".volumes[*].image{reference}?,"),
            concat!(spark_pod!(concat!($at, ".driver")), ",", spark_pod!(concat!($at, ".executor")))
        )
    };
}

const INFERENCE: &str = concat!(
    concat!(predictor!("spec.predictor"), ",", predictor!("spec.canary[*].predictor"), ","),
    concat!(parts_of_pod!("spec.transformer"), ",", parts_of_pod!("spec.explainer"), ",spec.explainer.art{image}?")
);
const LLM_PATHS: &str = concat!(
    concat!(parts_of_pod!("spec.template"), ",", parts_of_pod!("spec.worker"), ","),
    concat!(parts_of_pod!("spec.prefill.template"), ",", parts_of_pod!("spec.prefill.worker"), ","),
    concat!(parts_of_pod!("spec.router.scheduler.template"), ","),
    parts_of_pod!("spec.router.scheduler.tokenizer.template")
);

pub(super) const KINDS: &[CatalogueKind] = &[
    CatalogueKind::new(
        "KEDA",
        ("keda.sh", &["v1alpha1"]),
        ("ScaledJob", "scaledjobs"),
        "spec.jobTargetRef.template",
        "kedacore/keda/blob/8b4f083ca/config/crd/bases/keda.sh_scaledjobs.yaml",
    ),
    CatalogueKind::new(
        "JobSet",
        ("jobset.x-k8s.io", &["v1alpha2"]),
        ("JobSet", "jobsets"),
        "spec.replicatedJobs[*].template.spec.template?",
        "kubernetes-sigs/jobset/blob/08dfbdfd/config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml",
    ),
    CatalogueKind::new(
        "LeaderWorkerSet",
        ("leaderworkerset.x-k8s.io", &["v1"]),
        ("LeaderWorkerSet", "leaderworkersets"),
        "spec.leaderWorkerTemplate.leaderTemplate?,spec.leaderWorkerTemplate.workerTemplate",
        "kubernetes-sigs/lws/blob/060ab4d/config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
    ),
    CatalogueKind::new(
        "Kubeflow Trainer",
        TRAINER,
        ("TrainJob", "trainjobs"),
        concat!(
            "spec.trainer{image}?,spec.runtimePatches[*].trainingRuntimeSpec.template.spec.replicatedJobs[*].template.",
            "spec.template.spec.volumes[*].image{reference}?"
        ),
        "kubeflow/trainer/blob/8c0f5059b/manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml",
    ),
    CatalogueKind::new(
        "Kubeflow Trainer",
        TRAINER,
        ("TrainingRuntime", "trainingruntimes"),
        JOBSET_TEMPLATE,
        "kubeflow/trainer/blob/8c0f5059b/manifests/base/crds/trainer.kubeflow.org_trainingruntimes.yaml",
    ),
    CatalogueKind::new(
        "Kubeflow Trainer",
        TRAINER,
        ("ClusterTrainingRuntime", "clustertrainingruntimes"),
        JOBSET_TEMPLATE,
        "kubeflow/trainer/blob/8c0f5059b/manifests/base/crds/trainer.kubeflow.org_clustertrainingruntimes.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "Kubeflow Training Operator",
        TRAINING,
        ("PyTorchJob", "pytorchjobs"),
        "spec.pytorchReplicaSpecs.*.template?",
        "kubeflow/training-operator/blob/2f18ab7af0/pkg/apis/kubeflow.org/v1/pytorch_types.go",
    ),
    CatalogueKind::new(
        "Kubeflow Training Operator",
        TRAINING,
        ("TFJob", "tfjobs"),
        "spec.tfReplicaSpecs.*.template?",
        "kubeflow/training-operator/blob/2c099d5d6a/pkg/apis/kubeflow.org/v1/tensorflow_types.go",
    ),
    CatalogueKind::new(
        "Kubeflow Training Operator",
        TRAINING,
        ("XGBoostJob", "xgboostjobs"),
        "spec.xgbReplicaSpecs.*.template?",
        "kubeflow/training-operator/blob/7c7aa9911c/pkg/apis/kubeflow.org/v1/xgboost_types.go",
    ),
    CatalogueKind::new(
        "Kubeflow Training Operator",
        TRAINING,
        ("PaddleJob", "paddlejobs"),
        "spec.paddleReplicaSpecs.*.template?",
        "kubeflow/training-operator/blob/7df34e4062/pkg/apis/kubeflow.org/v1/paddlepaddle_types.go",
    ),
    CatalogueKind::new(
        "Kubeflow Training Operator",
        TRAINING,
        ("JAXJob", "jaxjobs"),
        "spec.jaxReplicaSpecs.*.template?",
        "kubeflow/training-operator/blob/d1c29833fa/pkg/apis/kubeflow.org/v1/jax_types.go",
    ),
    CatalogueKind::new(
        "Kubeflow MPI Operator",
        ("kubeflow.org", &["v2beta1", "v1"]),
        ("MPIJob", "mpijobs"),
        "spec.mpiReplicaSpecs.*.template?",
        "kubeflow/mpi-operator/blob/013fa15b22/pkg/apis/kubeflow/v2beta1/types.go",
    ),
    CatalogueKind::new(
        "KServe",
        ("serving.kserve.io", &["v1beta1"]),
        ("InferenceService", "inferenceservices"),
        INFERENCE,
        "kserve/kserve/blob/aaac4e294/config/crd/full/serving.kserve.io_inferenceservices.yaml",
    ),
    CatalogueKind::new(
        "KServe",
        KSERVE,
        ("ServingRuntime", "servingruntimes"),
        "spec,spec.workerSpec?",
        "kserve/kserve/blob/aaac4e294/config/crd/full/serving.kserve.io_servingruntimes.yaml",
    ),
    CatalogueKind::new(
        "KServe",
        KSERVE,
        ("ClusterServingRuntime", "clusterservingruntimes"),
        "spec,spec.workerSpec?",
        "kserve/kserve/blob/aaac4e294/config/crd/full/serving.kserve.io_clusterservingruntimes.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "KServe",
        KSERVE,
        ("ClusterStorageContainer", "clusterstoragecontainers"),
        "spec.container{image}?",
        "kserve/kserve/blob/aaac4e294/config/crd/full/clusterstoragecontainer/\
         serving.kserve.io_clusterstoragecontainers.yaml",
    )
    .cluster_wide(),
    CatalogueKind::new(
        "KServe",
        LLM,
        ("LLMInferenceService", "llminferenceservices"),
        LLM_PATHS,
        "kserve/kserve/blob/aaac4e294/config/crd/full/llmisvc/serving.kserve.io_llminferenceservices.yaml",
    ),
    CatalogueKind::new(
        "KServe",
        LLM,
        ("LLMInferenceServiceConfig", "llminferenceserviceconfigs"),
        LLM_PATHS,
        "kserve/kserve/blob/aaac4e294/config/crd/full/llmisvc/serving.kserve.io_llminferenceserviceconfigs.yaml",
    ),
    CatalogueKind::new(
        "Ray",
        RAY,
        ("RayCluster", "rayclusters"),
        ray!("spec"),
        "ray-project/kuberay/blob/feeaf72fa/ray-operator/config/crd/bases/ray.io_rayclusters.yaml",
    ),
    CatalogueKind::new(
        "Ray",
        RAY,
        ("RayJob", "rayjobs"),
        concat!(ray!("spec.rayClusterSpec"), ",spec.submitterPodTemplate?"),
        "ray-project/kuberay/blob/feeaf72fa/ray-operator/config/crd/bases/ray.io_rayjobs.yaml",
    ),
    CatalogueKind::new(
        "Ray",
        RAY,
        ("RayService", "rayservices"),
        ray!("spec.rayClusterConfig"),
        "ray-project/kuberay/blob/feeaf72fa/ray-operator/config/crd/bases/ray.io_rayservices.yaml",
    ),
    CatalogueKind::new(
        "Ray",
        ("ray.io", &["v1"]),
        ("RayCronJob", "raycronjobs"),
        concat!(ray!("spec.jobTemplate.rayClusterSpec"), ",spec.jobTemplate.submitterPodTemplate?"),
        "ray-project/kuberay/blob/feeaf72fa/ray-operator/config/crd/bases/ray.io_raycronjobs.yaml",
    ),
    CatalogueKind::new(
        "Spark",
        SPARK,
        ("SparkApplication", "sparkapplications"),
        spark!("spec"),
        "kubeflow/spark-operator/blob/38082f33/config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml",
    ),
    CatalogueKind::new(
        "Spark",
        SPARK,
        ("ScheduledSparkApplication", "scheduledsparkapplications"),
        spark!("spec.template"),
        "kubeflow/spark-operator/blob/38082f33/config/crd/bases/sparkoperator.k8s.io_scheduledsparkapplications.yaml",
    ),
    CatalogueKind::new(
        "Spark",
        ("sparkoperator.k8s.io", &["v1alpha1"]),
        ("SparkConnect", "sparkconnects"),
        concat!(
            concat!("spec{image}?,", parts_of_pod!("spec.server.template.spec"), ","),
            parts_of_pod!("spec.executor.template.spec")
        ),
        "kubeflow/spark-operator/blob/38082f33/config/crd/bases/sparkoperator.k8s.io_sparkconnects.yaml",
    ),
    CatalogueKind::new(
        "Volcano",
        VOLCANO,
        ("Job", "jobs"),
        "spec.tasks[*].template?",
        "volcano-sh/volcano/blob/3ee1745ae/config/crd/volcano/bases/batch.volcano.sh_jobs.yaml",
    ),
    CatalogueKind::new(
        "Volcano",
        VOLCANO,
        ("CronJob", "cronjobs"),
        "spec.jobTemplate.spec.tasks[*].template?",
        "volcano-sh/volcano/blob/3ee1745ae/config/crd/volcano/bases/batch.volcano.sh_cronjobs.yaml",
    ),
    CatalogueKind::new(
        "Volcano",
        ("flow.volcano.sh", &["v1alpha1"]),
        ("JobTemplate", "jobtemplates"),
        "spec.tasks[*].template?",
        "volcano-sh/volcano/blob/3ee1745ae/config/crd/jobflow/bases/flow.volcano.sh_jobtemplates.yaml",
    ),
    CatalogueKind::new(
        "Volcano",
        ("flow.volcano.sh", &["v1alpha1"]),
        ("JobFlow", "jobflows"),
        "spec.flows[*].patch.jobSpec.tasks[*].template?",
        "volcano-sh/volcano/blob/3ee1745ae/config/crd/jobflow/bases/flow.volcano.sh_jobflows.yaml",
    ),
];
