//! A row of the catalogue: a kind, with where its objects name images and where that is known from.

use crate::cluster::workloads::custom::{CustomWorkload, CustomWorkloadError};

/// A kind of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueKind {
    /// Whose kind it is, as people call it.
    pub project: &'static str,
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The versions of the group that have the paths, the best first.
    pub versions: &'static [&'static str],
    /// Its kind.
    pub kind: &'static str,
    /// Its plural name in the API, as permissions have it.
    pub resource: &'static str,
    /// Whether its objects are in no namespace.
    pub cluster_wide: bool,
    /// Where its objects name images, as [`CustomWorkload`] has it.
    pub paths: &'static str,
    /// Where on GitHub its definition is.
    pub(super) source: &'static str,
}

/// The group of a project, and the versions of it that are read.
pub(super) type Api = (&'static str, &'static [&'static str]);

impl CatalogueKind {
    pub(super) const fn new(
        project: &'static str,
        (group, versions): Api,
        (kind, resource): (&'static str, &'static str),
        paths: &'static str,
        source: &'static str,
    ) -> Self {
        Self { project, group, versions, kind, resource, cluster_wide: false, paths, source }
    }

    pub(super) const fn cluster_wide(self) -> Self {
        Self { cluster_wide: true, ..self }
    }

    /// The link to its definition.
    #[must_use]
    pub fn link(&self) -> String {
        format!("https://github.com/{}", self.source)
    }

    pub(super) fn workload(&self) -> Result<CustomWorkload, CustomWorkloadError> {
        let (version, others) = self.versions.split_first().unwrap_or((&"", &[]));
        let slash = if self.group.is_empty() { "" } else { "/" };
        let text = format!("{}{slash}{version}/{}={}", self.group, self.kind, self.paths);
        Ok(CustomWorkload::parse(&text)?.of_catalogue(others, self.cluster_wide))
    }
}

/// The paths to the images of a pod spec of which every part may be missing.
macro_rules! parts_of_pod {
    ($at:expr) => {
        concat!(
            $at,
            ".containers[*]{image}?,",
            $at,
            ".initContainers[*]{image}?,",
            $at,
            ".volumes[*].image{reference}?"
        )
    };
}
pub(super) use parts_of_pod;
