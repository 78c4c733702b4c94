//! One cluster for all tests of a process.

use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;

use crate::cluster::{Cluster, Options};
use crate::error::{Error, Result};
use crate::tools::variable;

/// The cluster of this process: the one of `KUBECONFIG` if `USE_EXISTING_CLUSTER` is `true`, or else a control plane
/// that is started by the first caller and ends with the process. With `CONTROL_PLANE_DIRECTORY` its logs and data
/// stay, in a folder with the id of the process as name.
///
/// # Errors
/// If there is none, with the same text for each caller.
pub fn shared() -> Result<&'static Cluster> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| open().map_err(|error| error.to_string()));
    shared.as_ref().map_err(|text| Error::Shared(text.clone()))
}

fn open() -> Result<Cluster> {
    if variable("USE_EXISTING_CLUSTER").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Cluster::existing();
    }
    let directory = variable("CONTROL_PLANE_DIRECTORY").map(PathBuf::from);
    let directory = directory.map(|folder| folder.join(process::id().to_string()));
    Cluster::start(&Options { directory, ..Options::default() })
}
