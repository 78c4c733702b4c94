//! Under which names a registry is known: its own host, and the aliases under which clusters pull from it.

use std::collections::BTreeSet;

use super::template::Template;
use crate::policy::image::{DOCKER_HUB, ImageRef, RefError, means_docker_hub};

/// The port that may as well be left out.
const HTTPS: &str = ":443";

/// Another prefix under which a cluster pulls from the registry: a mirror's or proxy's host, with or without a path.
///
/// It is read like the beginning of an image reference, so that `team` is `docker.io/team`, as it is in a Pod.
/// `docker.io` itself is an alias for clusters whose runtime completes short names with this registry.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Alias {
    prefix: String,
}

/// The text is no beginning of an image reference.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no prefix of image names such as mirror.example.com/gitlab: {0}")]
pub struct AliasError(RefError);

impl Alias {
    /// Reads `mirror.example.com/gitlab`. A slash at the end makes no difference.
    ///
    /// # Errors
    /// When no image reference could begin with it, as with `https://…`.
    pub fn parse(text: &str) -> Result<Self, AliasError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() {
            return Err(AliasError(RefError::Empty));
        }
        // Two more components, so that nothing is taken for one of Docker's official images.
        let reference = ImageRef::parse(&format!("{text}/x/x")).map_err(AliasError)?;
        let name = key(&reference.name);
        Ok(Self { prefix: name.strip_suffix("/x/x").unwrap_or(&name).to_owned() })
    }

    /// The [`key`] of what has this path behind the alias.
    pub(super) fn of(&self, path: &str) -> String {
        format!("{}/{path}", self.prefix)
    }

    fn path_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(self.prefix.as_str())?.strip_prefix('/')
    }
}

/// The registries in question.
#[derive(Debug)]
pub(super) struct Registries<'a> {
    hosts: BTreeSet<String>,
    aliases: &'a [Alias],
}

impl<'a> Registries<'a> {
    /// From locations or just their hosts, and from aliases.
    pub(super) fn new<'l>(locations: impl IntoIterator<Item = &'l str>, aliases: &'a [Alias]) -> Self {
        Self { hosts: locations.into_iter().map(host_of).filter(|host| !host.is_empty()).collect(), aliases }
    }

    /// The hosts of the registries.
    pub(super) fn hosts(&self) -> impl Iterator<Item = &String> {
        self.hosts.iter()
    }

    /// The registries of which a reference may name an image: that of its host, or with an alias all of them.
    pub(super) fn of(&self, reference: &ImageRef) -> Vec<String> {
        let key = key(&reference.name);
        if self.aliases.iter().any(|alias| alias.path_of(&key).is_some()) {
            return self.hosts.iter().cloned().collect();
        }
        self.hosts.get(&host_of(&key)).cloned().into_iter().collect()
    }

    /// The paths that a reference may have in the registries; none, if it is to an image elsewhere. It is several where
    /// an alias could be read in more than one way.
    pub(super) fn paths(&self, reference: &ImageRef) -> BTreeSet<String> {
        let key = key(&reference.name);
        let mut paths = BTreeSet::new();
        if self.hosts.contains(&host_of(&key)) {
            paths.insert(reference.path().to_owned());
        }
        for path in self.aliases.iter().filter_map(|alias| alias.path_of(&key)) {
            paths.insert(path.to_owned());
            let behind_a_host =
                |host: &String| path.strip_prefix(without_port(host))?.strip_prefix('/').map(ToOwned::to_owned);
            paths.extend(self.hosts.iter().filter_map(behind_a_host));
        }
        paths
    }

    /// Whether somebody who wrote this, which is no reference, may have meant an image there. A text of which a
    /// reference may come must be able to begin with a host or an alias; any other must at least have one in it.
    pub(super) fn may_be_meant_by(&self, text: &str, template: &Template) -> bool {
        let mut prefixes =
            self.hosts.iter().chain(self.aliases.iter().map(|alias| &alias.prefix)).filter(|prefix| !prefix.is_empty());
        let may_begin = |prefix: &String| {
            let short = host_of(prefix) == DOCKER_HUB && means_docker_hub(&text.to_lowercase());
            let mut beginnings = spellings(&format!("{prefix}/")).into_iter().filter(|beginning| !beginning.is_empty());
            short || beginnings.any(|beginning| template.may_begin(&beginning))
        };
        let stands_there = |prefix: &String| !template.is_plausible() && names_host_of(text, prefix);
        prefixes.any(|prefix| may_begin(prefix) || stands_there(prefix))
    }

    /// What a text that has an alias in front is under the registry's own name: more than one where the alias can be
    /// read in more than one way. Nothing, if it has none of them.
    pub(super) fn under_own_name(&self, text: &str, own: &str) -> Vec<String> {
        let lower = text.to_ascii_lowercase();
        let behind = |alias: &Alias| {
            let path = lower.strip_prefix(alias.prefix.as_str())?.strip_prefix('/')?;
            text.get(text.len() - path.len()..)
        };
        let mut written = Vec::new();
        for path in self.aliases.iter().filter_map(behind) {
            written.push(format!("{own}/{path}"));
            let host = without_port(own);
            let proxied = path.get(..host.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(host));
            let rest = path.get(host.len()..).and_then(|rest| rest.strip_prefix('/'));
            written.extend(rest.filter(|_| proxied).map(|rest| format!("{own}/{rest}")));
        }
        written
    }
}

/// The one form of `host/path` that names are compared by. Not the name of [`ImageRef`]: that one keeps port 443.
pub(super) fn key(name: &str) -> String {
    let (host, path) = name.split_once('/').unwrap_or((name, ""));
    format!("{}/{}", host_of(host), path.to_ascii_lowercase())
}

/// The [`key`]s of what is an image of a repository: its location, and an alias with its path, or with its host and its
/// path, as pull-through proxies are used.
pub(super) fn keys(location: &str, path: &str, aliases: &[Alias]) -> Vec<String> {
    let (path, host) = (path.to_ascii_lowercase(), host_of(location));
    let mut keys = vec![key(location)];
    for alias in aliases {
        keys.push(alias.of(&path));
        keys.push(alias.of(&format!("{}/{path}", without_port(&host))));
    }
    keys
}

/// The ways to write the name with this [`key`], in lower case.
pub(super) fn spellings(key: &str) -> Vec<String> {
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let mut spellings = vec![key.to_owned()];
    if without_port(host) == host {
        spellings.push(format!("{host}{HTTPS}/{path}"));
    }
    if host == DOCKER_HUB {
        spellings.push(format!("index.{DOCKER_HUB}/{path}"));
        spellings.push(path.to_owned());
        spellings.extend(path.strip_prefix("library/").map(ToOwned::to_owned));
    }
    spellings
}

/// The host of a location, a name or a key, in lower case and without port 443.
pub(super) fn host_of(name: &str) -> String {
    let host = name.split_once('/').map_or(name, |(host, _)| host);
    host.strip_suffix(HTTPS).unwrap_or(host).to_ascii_lowercase()
}

/// A host without its port; an IPv6 address keeps its brackets.
pub(super) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// Whether the host of a location, a name or an alias stands in a text.
pub(super) fn names_host_of(text: &str, name: &str) -> bool {
    let host = host_of(name);
    let host = without_port(&host);
    !host.is_empty() && names_host(&text.to_lowercase(), host)
}

/// Whether a host stands in a text as a whole: `registry.example.com` does not stand in `old-registry.example.com`.
fn names_host(text: &str, host: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(host).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let mut after = text.get(at + host.len()..).unwrap_or_default().chars();
        let ends = match after.next() {
            Some('.') => !after.next().is_some_and(inside),
            Some(next) => !inside(next),
            None => true,
        };
        ends && !before.is_some_and(|before| inside(before) || before == '.')
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("mirror.example.com", "mirror.example.com/shop/api")]
    #[case("mirror.example.com/", "mirror.example.com/shop/api")]
    #[case("Mirror.example.com:443/gitlab", "mirror.example.com/gitlab/shop/api")]
    #[case("mirror.example.com:5000/a/b", "mirror.example.com:5000/a/b/shop/api")]
    #[case("localhost:5000", "localhost:5000/shop/api")]
    #[case("docker.io", "docker.io/shop/api")]
    #[case("index.docker.io", "docker.io/shop/api")]
    #[case("team", "docker.io/team/shop/api")]
    #[case("Mirror", "mirror/shop/api")]
    fn an_alias_is_read_like_the_beginning_of_a_reference(#[case] text: &str, #[case] key: &str) {
        assert_eq!(Alias::parse(text).unwrap().of("shop/api"), key);
    }

    #[rstest]
    #[case("", RefError::Empty)]
    #[case("/", RefError::Empty)]
    #[case("https://mirror.example.com", RefError::Host)]
    #[case("mirror.example.com:port", RefError::Host)]
    #[case("mirror.example.com/GitLab", RefError::UpperCase)]
    #[case("mirror.example.com//gitlab", RefError::Path)]
    #[case("mirror.example.com/gitlab:v1", RefError::Tag)]
    #[case("mirror.example.com ", RefError::WhiteSpace)]
    fn what_no_reference_begins_with_is_no_alias(#[case] text: &str, #[case] why: RefError) {
        assert_eq!(Alias::parse(text), Err(AliasError(why)));
    }

    #[rstest]
    #[case("registry.example.com", "registry.example.com")]
    #[case("registry.example.com:5050", "registry.example.com")]
    #[case("[2001:db8::1]", "[2001:db8::1]")]
    #[case("[2001:db8::1]:5050", "[2001:db8::1]")]
    fn a_port_is_left_out(#[case] host: &str, #[case] without: &str) {
        assert_eq!(without_port(host), without);
    }

    #[rstest]
    #[case("registry.example.com:5050/Shop/api", true)]
    #[case("registry.example.com/Shop/api", false)]
    #[case("REGISTRY.example.com:5050/Shop/api", true)]
    #[case("https://registry.example.com:5050/shop/api", true)]
    #[case("registry.example.com//shop/api", true)]
    #[case("registry.example.com.:5050/shop/api", true)]
    #[case("${PREFIX}registry.example.com:5050/shop/api", true)]
    #[case("proxy.example.org/registry.example.com/Shop", false)]
    #[case("proxy.example.org//registry.example.com/Shop", true)]
    #[case("mirror.example.com/Other", false)]
    #[case("mirror.example.com/gitlab/Other", true)]
    #[case("old-registry.example.com/Shop/registry.example.com", false)]
    #[case("${IMAGE}", true)]
    #[case("${REGISTRY}/Shop/api", true)]
    #[case("registry.${DOMAIN}:5050/shop/api", true)]
    #[case("registry.example.com:${PORT}/shop/api", true)]
    #[case("quay.io/${NAME}", false)]
    #[case("old-registry.example.com/Shop", false)]
    #[case("old.registry.example.com/Shop", false)]
    #[case("registry.example.com.au/Shop", false)]
    #[case("registry.example.community/Shop", false)]
    #[case("Shop/api", false)]
    #[case("", false)]
    fn a_text_may_mean_what_can_come_of_it_and_otherwise_the_hosts_in_it(#[case] text: &str, #[case] meant: bool) {
        let aliases = [Alias::parse("mirror.example.com/gitlab").unwrap()];
        let registries = Registries::new(["registry.example.com:5050/shop/api"], &aliases);
        assert_eq!(registries.may_be_meant_by(text, &Template::of(text)), meant);
    }

    #[test]
    fn a_name_without_a_host_means_docker_hub_if_that_is_an_alias() {
        let aliases = [Alias::parse("docker.io").unwrap()];
        let registries = Registries::new(["registry.example.com"], &aliases);
        let meant = |text: &str| registries.may_be_meant_by(text, &Template::of(text));
        assert!(meant("Shop/api") && meant("${GROUP}/api"));
        assert!(!meant("quay.io/Shop/api"));
    }

    #[test]
    fn without_a_host_nothing_is_meant() {
        assert!(!Registries::new([""], &[]).may_be_meant_by("Shop/api", &Template::of("Shop/api")));
    }
}
