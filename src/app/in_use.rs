//! `in-use`: looks at a cluster once, or into manifests, and prints which images of a registry they use, for people or
//! for another cluster's policies.

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use crate::clock::{Clock, SystemClock};
use crate::cluster::workloads::manifests::{self, ManifestError, Manifests};
use crate::cluster::workloads::{CustomWorkloadError, Gap, Workloads, catalogue};
use crate::cluster::{ApiError, config_maps};
use crate::policy::compile::DEFAULT_LIST_KEY;
use crate::policy::in_use::list::List;
use crate::policy::in_use::{Alias, AliasError};

use super::InUseSettings;
use super::cluster_config::{self, Unreachable};
use super::input_files::{self, OF_MANIFESTS, text_within};
use crate::proxy::environment::ProxyEnvironment;
use crate::terminal::{self, plain};

/// What is wanted.
#[derive(Debug)]
pub struct Request {
    /// Host of the registry, with its port if it has one.
    pub registry: String,
    /// Other hosts and path prefixes under which this cluster pulls from it.
    pub aliases: Vec<String>,
    /// How workloads are looked at.
    pub in_use: InUseSettings,
    /// Proxies on the way to the API server.
    pub proxies: ProxyEnvironment,
}

/// Namespace and name of a ConfigMap, as `team-shop/cluster-west`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigMapName {
    namespace: String,
    name: String,
}

impl FromStr for ConfigMapName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("give NAMESPACE/NAME"),
        }
    }
}

impl fmt::Display for ConfigMapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why nothing is printed. An incomplete list would make another cluster remove what this one uses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// A custom workload is not given as it should be.
    #[error("failed to understand a custom workload")]
    CustomWorkload(#[from] CustomWorkloadError),
    /// An alias is not given as it should be.
    #[error("failed to understand the alias {0:?}")]
    Alias(String, #[source] AliasError),
    /// The registry is not given as it should be.
    #[error(
        "give the registry's host, with its port if it has one, for example registry.example.com:5050: no https://, no \
         path"
    )]
    Registry,
    /// A file cannot be read.
    #[error(transparent)]
    Input(#[from] input_files::Error),
    /// A file holds something else than manifests.
    #[error("it is not known which images {} uses", .0.display())]
    Manifests(PathBuf, #[source] ManifestError),
    /// The list could not be written into a ConfigMap.
    #[error("failed to write ConfigMap {0}")]
    ConfigMap(ConfigMapName, #[source] ApiError),
    /// The list could not be made into text.
    #[error("failed to write the list")]
    Text(#[source] serde_json::Error),
    /// Something in the cluster cannot be seen.
    #[error("it is not known which images are in use: {}", named(.0))]
    Incomplete(Vec<Gap>),
}

fn named(gaps: &[Gap]) -> String {
    gaps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Lists the images of the registry that the cluster of the current context uses, in all its namespaces.
///
/// # Errors
/// When anything is not known.
pub async fn list(request: &Request) -> Result<List, Error> {
    let aliases = aliases(request)?;
    let options = request.in_use.options(&[])?;
    let (client, _) = cluster_config::reach(&request.proxies).await?;
    // The list is dated by when the looking began, so that it is never younger than it says.
    let now = SystemClock.now();
    let workloads = Workloads::read_once(client, options).await.map_err(Error::Incomplete)?;
    Ok(List::new(&request.registry, &aliases, workloads.images(now), now))
}

/// Writes a list for policies that name the ConfigMap in `protect.inUseFrom`, under the key that they look at if they
/// name none. A list that could not be made is not written, so the one from before stays, and grows old.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(list: &List, to: &ConfigMapName, proxies: &ProxyEnvironment) -> Result<(), Error> {
    let failed = |error| Error::ConfigMap(to.clone(), error);
    let text = list.write().map_err(Error::Text)?;
    let (client, _) = cluster_config::reach(proxies).await?;
    config_maps::write(&client, &to.namespace, &to.name, DEFAULT_LIST_KEY, &text).await.map_err(failed)
}

/// Lists the images of the registry that manifests use, with the objects that are not read and may name some. The kinds
/// of the catalogue are read in any case, as that costs nothing. `-` is standard input.
///
/// # Errors
/// When a file cannot be read, or an object in it.
pub fn list_of_manifests(request: &Request, files: &[PathBuf]) -> Result<(List, Vec<String>), Error> {
    let aliases = aliases(request)?;
    let custom = catalogue::and_catalogue(request.in_use.named()?)?;
    let now = SystemClock.now();
    let mut hosts = vec![request.registry.as_str()];
    hosts.extend(request.aliases.iter().map(|alias| alias.trim_end_matches('/')));
    let (mut images, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        let text = text_within(file, OF_MANIFESTS)?;
        let found = manifests::read(&text, &custom, &hosts);
        let Manifests { images: more, unread: others } = found.map_err(|why| Error::Manifests(file.clone(), why))?;
        images.extend(more);
        unread.extend(others);
    }
    Ok((List::new(&request.registry, &aliases, images, now), unread))
}

fn aliases(request: &Request) -> Result<Vec<Alias>, Error> {
    if request.registry.is_empty() || request.registry.contains('/') {
        return Err(Error::Registry);
    }
    let alias = |text: &String| Alias::parse(text).map_err(|error| Error::Alias(text.clone(), error));
    request.aliases.iter().map(alias).collect()
}

/// What to say, beside the list, of objects that are not read.
#[must_use]
pub fn remark_on_unread(unread: &[String]) -> Option<String> {
    (!unread.is_empty()).then(|| {
        let unread = unread.join(", ");
        format!("note: these name the registry and are not read, so what they use may not be in the list: {unread}")
    })
}

/// What to say, beside the list, of one that is empty.
#[must_use]
pub fn remark(list: &List) -> Option<String> {
    list.is_empty().then(|| {
        let registry = &list.registry;
        format!(
            "note: the cluster uses no image of {registry}, as far as names tell; if it pulls from there under another \
             name, give that as --registry-alias"
        )
    })
}

/// A list for a terminal: each image with who uses it.
#[must_use]
pub fn table(list: &List) -> String {
    let rows: Vec<(String, String)> =
        list.images().map(|(image, users)| (plain(&image), plain(&users.to_string()))).collect();
    let width = rows.iter().map(|(image, _)| image.chars().count()).max().unwrap_or(0).max("IMAGE".len());
    let mut text = format!("{:width$}   USED BY\n", "IMAGE");
    for (image, users) in rows {
        let _ = writeln!(text, "{image:width$}   {users}");
    }
    text
}

/// A list for the policies of another cluster, as JSON.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn json(list: &List) -> Result<String, serde_json::Error> {
    list.write().map(|text| terminal::json(&text))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::UsedImage;

    /// Fields of a custom workload may hold anything.
    #[test]
    fn nothing_that_a_terminal_would_obey_gets_there() {
        let text = "registry.test/shop/\u{1b}[2J\u{202e}app:${TAG}\u{200b}\r";
        let image =
            UsedImage { image: text.into(), users: vec!["team/Rollout/\u{9b}2Jweb".into()], ..UsedImage::default() };
        let list = List::new("registry.test", &[], [image], Timestamp::UNIX_EPOCH);
        let (table, json) = (table(&list), json(&list).unwrap());
        assert!(table.contains("registry.test/shop/ [2J app:${TAG}"), "{table:?}");
        assert!(!terminal::is_odd(&table) && !terminal::is_odd(&json), "{table:?} {json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["images"][0]["image"], text);
    }
}
