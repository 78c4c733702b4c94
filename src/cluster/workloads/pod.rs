//! What is read of a Pod: the images of its containers and image volumes, what the node reports of them, and its end.

use std::borrow::Cow;

use jiff::Timestamp;

use super::json_path::Text;

/// An image as an object tells of it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Image<'a> {
    /// The name that somebody wrote.
    Named(Cow<'a, str>),
    /// What the node reports of the image behind a name.
    Reported {
        /// The `imageID`.
        id: Cow<'a, str>,
        /// The name in the Pod's spec; empty if the spec has no such container or volume.
        name: Cow<'a, str>,
    },
}

/// The containers and image volumes of a Pod.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodSpec<'a> {
    /// Never absent: what has none is no pod spec.
    #[serde(borrow)]
    containers: Vec<Container<'a>>,
    #[serde(borrow, default)]
    init_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow, default)]
    ephemeral_containers: Option<Vec<Container<'a>>>,
    #[serde(borrow, default)]
    volumes: Option<Vec<Volume<'a>>>,
}

#[derive(Debug, serde::Deserialize)]
struct Container<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    /// May be missing in a template: something else fills it in later.
    #[serde(borrow, default)]
    image: Text<'a>,
}

#[derive(Debug, serde::Deserialize)]
struct Volume<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    image: Option<ImageVolume<'a>>,
}

#[derive(Debug, serde::Deserialize)]
struct ImageVolume<'a> {
    #[serde(borrow, default)]
    reference: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodStatus<'a> {
    #[serde(borrow, default)]
    phase: Text<'a>,
    #[serde(borrow, default)]
    container_statuses: Option<Vec<ContainerStatus<'a>>>,
    #[serde(borrow, default)]
    init_container_statuses: Option<Vec<ContainerStatus<'a>>>,
    #[serde(borrow, default)]
    ephemeral_container_statuses: Option<Vec<ContainerStatus<'a>>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(rename = "imageID", borrow, default)]
    image_id: Text<'a>,
    #[serde(borrow, default)]
    state: Option<ContainerState<'a>>,
    #[serde(borrow, default)]
    volume_mounts: Option<Vec<VolumeMountStatus<'a>>>,
}

#[derive(serde::Deserialize)]
struct ContainerState<'a> {
    #[serde(default)]
    running: Option<Anything>,
    #[serde(borrow, default)]
    terminated: Option<Terminated<'a>>,
}

#[derive(serde::Deserialize)]
struct Anything {}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terminated<'a> {
    #[serde(borrow, default)]
    finished_at: Text<'a>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMountStatus<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    volume_status: Option<VolumeStatus<'a>>,
}

#[derive(serde::Deserialize)]
struct VolumeStatus<'a> {
    #[serde(borrow, default)]
    image: Option<ImageVolumeStatus<'a>>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageVolumeStatus<'a> {
    /// Like an imageID, for an image volume: its digest.
    #[serde(borrow, default)]
    image_ref: Text<'a>,
}

impl<'a> PodSpec<'a> {
    /// What somebody wrote.
    pub(super) fn images(&self) -> impl Iterator<Item = Image<'a>> {
        let containers = self.containers().map(|container| &container.image);
        let volumes = self.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref());
        let images = containers.chain(volumes.map(|volume| &volume.reference));
        images.filter(|text| !text.0.is_empty()).map(|text| Image::Named(text.0.clone()))
    }

    /// Of every kind; their names differ.
    fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        let more = [&self.init_containers, &self.ephemeral_containers].into_iter().flatten().flatten();
        self.containers.iter().chain(more)
    }

    /// The image of a container.
    fn of_container(&self, name: &str) -> Cow<'a, str> {
        let found = self.containers().find(|container| container.name.0 == name);
        found.map(|container| container.image.0.clone()).unwrap_or_default()
    }

    /// The image of a volume.
    fn of_volume(&self, name: &str) -> Cow<'a, str> {
        let found = self.volumes.iter().flatten().find(|volume| volume.name.0 == name);
        found.and_then(|volume| volume.image.as_ref()).map(|image| image.reference.0.clone()).unwrap_or_default()
    }
}

impl<'a> PodStatus<'a> {
    fn containers(&self) -> impl Iterator<Item = &ContainerStatus<'a>> {
        [&self.container_statuses, &self.init_container_statuses, &self.ephemeral_container_statuses]
            .into_iter()
            .flatten()
            .flatten()
    }

    /// What the node reported, each with the name that the spec has for it: nodes may report the same image under
    /// another.
    pub(super) fn images(&self, spec: &PodSpec<'a>) -> impl Iterator<Item = Image<'a>> {
        let volumes = |container: &ContainerStatus<'a>| -> Vec<(Text<'a>, Cow<'a, str>)> {
            let mounts = container.volume_mounts.iter().flatten();
            let reported =
                |mount: &VolumeMountStatus<'a>| Some(mount.volume_status.as_ref()?.image.as_ref()?.image_ref.clone());
            mounts.filter_map(|mount| Some((reported(mount)?, spec.of_volume(&mount.name.0)))).collect()
        };
        self.containers()
            .flat_map(move |container| {
                let own = (container.image_id.clone(), spec.of_container(&container.name.0));
                volumes(container).into_iter().chain([own])
            })
            .filter(|(id, _)| !id.0.is_empty())
            .map(|(id, name)| Image::Reported { id: id.0, name })
    }

    /// When the last container ended, in a Pod that is over. Unknown where one is still said to run: a node that was
    /// lost leaves that behind, and the container may run on there.
    pub(super) fn finished(&self) -> Option<Timestamp> {
        if !matches!(&*self.phase.0, "Succeeded" | "Failed") {
            return None;
        }
        let states = || self.containers().filter_map(|container| container.state.as_ref());
        if states().any(|state| state.running.is_some()) {
            return None;
        }
        states().filter_map(|state| state.terminated.as_ref()?.finished_at.time()).max()
    }
}
