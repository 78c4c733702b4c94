//! The kinds that name images, and how they stand to each other.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use kube::core::ApiResource;

use super::custom::{CustomWorkload, Origin};

/// A kind of object that names images.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Pod,
    Deployment,
    /// Every one that exists counts: the Deployment controller itself deletes those beyond `revisionHistoryLimit`, so
    /// what exists is in the rollout history.
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    /// The rollout history of a `StatefulSet` or a `DaemonSet`.
    ControllerRevision,
    Job,
    CronJob,
    ReplicationController,
    Custom(Arc<CustomWorkload>),
}

/// How well an object explains who uses an image; the least is the best.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rank {
    /// Somebody wrote it.
    Workload,
    /// A workload's history.
    Revision,
    /// What comes of both.
    Pod,
}

impl Kind {
    /// Those that every cluster has.
    pub(super) const BUILT_IN: [Self; 9] = [
        Self::Pod,
        Self::Deployment,
        Self::ReplicaSet,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ControllerRevision,
        Self::Job,
        Self::CronJob,
        Self::ReplicationController,
    ];

    /// Where the API server has it; a custom kind has to be looked for.
    pub(super) fn resource(&self) -> Option<ApiResource> {
        fn of<K: Resource<DynamicType = ()>>() -> ApiResource {
            ApiResource::erase::<K>(&())
        }
        Some(match self {
            Self::Pod => of::<core::Pod>(),
            Self::Deployment => of::<apps::Deployment>(),
            Self::ReplicaSet => of::<apps::ReplicaSet>(),
            Self::StatefulSet => of::<apps::StatefulSet>(),
            Self::DaemonSet => of::<apps::DaemonSet>(),
            Self::ControllerRevision => of::<apps::ControllerRevision>(),
            Self::Job => of::<batch::Job>(),
            Self::CronJob => of::<batch::CronJob>(),
            Self::ReplicationController => of::<core::ReplicationController>(),
            Self::Custom(_) => return None,
        })
    }

    /// Its name in manifests.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::ReplicaSet => "ReplicaSet",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ControllerRevision => "ControllerRevision",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::ReplicationController => "ReplicationController",
            Self::Custom(workload) => workload.kind(),
        }
    }

    /// What messages call many of it: the resource, as permissions name it, or kind and group of a custom one.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Custom(workload) => workload.label(),
            built_in => built_in.resource().map(|resource| resource.plural).unwrap_or_default(),
        }
    }

    /// Whether somebody who runs the operator named it, and may have mistyped it.
    pub(super) fn is_of_configuration(&self) -> bool {
        matches!(self, Self::Custom(workload) if workload.origin() == Origin::Configuration)
    }

    pub(super) fn rank(&self) -> Rank {
        match self {
            Self::Pod => Rank::Pod,
            Self::ReplicaSet | Self::ControllerRevision => Rank::Revision,
            _ => Rank::Workload,
        }
    }

    /// Where in it a pod is described.
    pub(super) fn pod_path(&self) -> Cow<'static, str> {
        match self {
            Self::Pod => "its spec or status".into(),
            Self::CronJob => "spec.jobTemplate".into(),
            Self::ControllerRevision => "data.spec.template".into(),
            _ => "spec.template".into(),
        }
    }
}
