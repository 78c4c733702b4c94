//! Repositories that several policies look after. Each policy decides alone, so what one keeps another may remove; all
//! that can be done here is to say so. Whether two policies meet is computed from their specs and the repositories that
//! one of them listed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use url::Url;

use crate::api::limits::MAX_OVERLAPPING_POLICIES;
use crate::api::{OverlapStatus, TargetSpec};

use super::pattern::{MAX_PATTERN_BYTES, Patterns};
use super::target::{Target, is_numeric};

/// How much patterns of other policies take, as compiled, that are looked at for one of them: enough for some hundred
/// ordinary neighbours.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Most policies that a sentence names.
const MAX_IN_SENTENCE: usize = 5;

/// Where policies look that may look after the same repositories as one of them: which GitLab, which projects and
/// groups.
pub struct Neighbourhood {
    instance: String,
    reach: Reach,
}

impl Neighbourhood {
    /// That of a policy.
    #[must_use]
    pub fn of(address: &Url, target: &TargetSpec) -> Self {
        Self { instance: instance(address), reach: Reach::of(target) }
    }

    /// That of another policy; `None` where its address is none.
    #[must_use]
    pub fn of_other(other: &Other<'_>) -> Option<Self> {
        Some(Self::of(&Url::parse(other.url).ok()?, other.target))
    }

    /// Whether another policy may look after one of the same repositories, by address, projects and groups alone.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        self.instance == other.instance && self.reach.may_meet(&other.reach)
    }
}

/// Many neighbourhoods, so that each is compared only with those that it can meet at all.
#[derive(Default)]
pub struct Neighbourhoods {
    all: Vec<Option<Neighbourhood>>,
    /// By the address of the GitLab: all, and those that name something by its id, which may lie anywhere.
    by_instance: Positions,
    by_id: Positions,
    /// By the groups that they name.
    by_group: Positions,
    /// By everything that they name, and by all groups that it lies in.
    within: Positions,
}

/// Positions by the hash of an address or of a path there. Two that share one are told apart by comparing what they
/// stand for.
#[derive(Default)]
struct Positions(HashMap<u64, Vec<usize>>);

impl Positions {
    fn add(&mut self, instance: &str, path: &str, position: usize) {
        let all = self.0.entry(hash(instance, path)).or_default();
        if all.last() != Some(&position) {
            all.push(position);
        }
    }

    fn at(&self, instance: &str, path: &str) -> impl Iterator<Item = usize> {
        self.0.get(&hash(instance, path)).into_iter().flatten().copied()
    }
}

fn hash(instance: &str, path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (instance, path).hash(&mut hasher);
    hasher.finish()
}

impl Neighbourhoods {
    /// Adds that of the next policy; `None` where it has none.
    pub fn push(&mut self, neighbourhood: Option<Neighbourhood>) {
        let position = self.all.len();
        if let Some(Neighbourhood { instance, reach }) = &neighbourhood {
            self.by_instance.add(instance, "", position);
            if !reach.ids.is_empty() {
                self.by_id.add(instance, "", position);
            }
            for group in reach.groups.keys() {
                self.by_group.add(instance, group, position);
            }
            for path in reach.projects.iter().chain(reach.groups.keys()) {
                for within in [path.as_str()].into_iter().chain(ancestors(path)) {
                    self.within.add(instance, within, position);
                }
            }
        }
        self.all.push(neighbourhood);
    }

    /// The positions of those that one may meet, in their order.
    #[must_use]
    pub fn around(&self, one: &Neighbourhood) -> BTreeSet<usize> {
        let Neighbourhood { instance, reach } = one;
        let mut near = BTreeSet::new();
        if reach.ids.is_empty() {
            near.extend(self.by_id.at(instance, ""));
            for path in reach.projects.iter().chain(reach.groups.keys()) {
                near.extend(self.within.at(instance, path));
                near.extend(ancestors(path).flat_map(|group| self.by_group.at(instance, group)));
            }
        } else {
            near.extend(self.by_instance.at(instance, ""));
        }
        near.retain(|position| self.all.get(*position).and_then(Option::as_ref).is_some_and(|other| one.meets(other)));
        near
    }
}

/// The GitLab at an address, however it is spelled: host names are the same in upper and lower case and with a dot at
/// the end, paths with and without a slash at the end, and http:// leads to the same server as https:// where neither
/// names a port.
fn instance(address: &Url) -> String {
    let host = address.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let port = address.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path: Vec<&str> = address.path().split('/').filter(|part| !part.is_empty()).collect();
    format!("{host}{port}/{}", path.join("/"))
}

/// A repository as targets name it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its full path, in lower case as GitLab has it.
    pub path: &'a str,
    /// The full path of its project, likewise.
    pub project: &'a str,
    /// The id of its project; old servers do not tell it.
    pub project_id: Option<u64>,
}

/// Another policy, whatever its mode, and also if it is suspended or stalled.
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Address of its GitLab, as it is written.
    pub url: &'a str,
    /// What it looks after.
    pub target: &'a TargetSpec,
}

/// What a policy shares with others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Overlap {
    /// The others, as namespace and name, sorted.
    pub with: Vec<(String, String)>,
    /// The paths of the repositories that at least one of them looks after as well.
    pub shared: Vec<String>,
    /// How many repositories the policy looks after.
    pub of: usize,
}

/// What the paths and ids of a target reach, before its patterns.
struct Reach {
    ids: BTreeSet<u64>,
    projects: BTreeSet<String>,
    /// With whether their subgroups belong to them.
    groups: BTreeMap<String, bool>,
}

impl Reach {
    fn of(target: &TargetSpec) -> Self {
        let (ids, projects): (Vec<&String>, _) = target.projects.iter().partition(|project| is_numeric(project));
        let mut groups = BTreeMap::new();
        for group in &target.groups {
            *groups.entry(group.path.to_lowercase()).or_default() |= group.include_subgroups.unwrap_or(true);
        }
        Self {
            ids: ids.into_iter().filter_map(|id| id.parse().ok()).collect(),
            projects: projects.into_iter().map(|path| path.to_lowercase()).collect(),
            groups,
        }
    }

    fn covers(&self, place: &Place<'_>) -> bool {
        place.project_id.is_some_and(|id| self.ids.contains(&id))
            || self.projects.contains(place.project)
            || self.has_project(place.project)
    }

    /// Whether there may be a project that both reach. Nobody knows where a project lies that is named by its id.
    ///
    /// Many may be compared with many, so nothing here is compared with each path of the other.
    fn may_meet(&self, other: &Self) -> bool {
        let has_paths = |reach: &Self| !reach.projects.is_empty() || !reach.groups.is_empty();
        let by_id = |one: &Self, other: &Self| !one.ids.is_empty() && has_paths(other);
        by_id(self, other)
            || by_id(other, self)
            || !self.ids.is_disjoint(&other.ids)
            || !self.projects.is_disjoint(&other.projects)
            || self.projects.iter().any(|path| other.has_project(path))
            || other.projects.iter().any(|path| self.has_project(path))
            || self.groups.keys().any(|group| other.meets_group(group))
            || other.groups.keys().any(|group| self.meets_group(group))
    }

    /// Whether a project belongs to one of the groups.
    fn has_project(&self, project: &str) -> bool {
        ancestors(project)
            .enumerate()
            .any(|(above, group)| self.groups.get(group).is_some_and(|subgroups| above == 0 || *subgroups))
    }

    /// Whether a group is one of the groups, or a subgroup of one whose subgroups belong to it.
    fn meets_group(&self, group: &str) -> bool {
        self.groups.contains_key(group) || ancestors(group).any(|above| self.groups.get(above).is_some_and(|all| *all))
    }
}

/// The groups that a project or group lies in, the innermost first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    fn above(path: &str) -> Option<&str> {
        path.rsplit_once('/').map(|(above, _)| above)
    }
    std::iter::successors(above(path), |path| above(path))
}

/// Which of the repositories that a policy looks after its neighbours look after as well. One whose patterns cannot be
/// used looks after none.
///
/// Patterns of others are compiled for that, the shortest first, up to `MAX_COMPILED_BYTES`. Of the neighbours that
/// are left then, what their projects and groups reach is taken to be looked after: it is only said, and better too
/// often than not at all.
#[must_use]
pub fn find(places: &[Place<'_>], neighbours: &[Other<'_>]) -> Overlap {
    let mut with = BTreeSet::new();
    let mut shared = BTreeSet::new();
    let mut compiled = 0;
    let mut neighbours: Vec<&Other<'_>> = neighbours.iter().collect();
    neighbours.sort_by_cached_key(|other| pattern_length(other.target));
    for other in neighbours {
        let reach = Reach::of(other.target);
        let mut reached = places.iter().filter(|place| reach.covers(place)).peekable();
        if reached.peek().is_none() {
            continue;
        }
        let mut patterns = Patterns::default();
        let target = (compiled < MAX_COMPILED_BYTES).then(|| Target::compile(other.target, &mut patterns));
        compiled += match &target {
            Some(Err(_)) => patterns.bytes() + MAX_PATTERN_BYTES,
            Some(Ok(_)) | None => patterns.bytes(),
        };
        let selects = |path: &str| match &target {
            Some(Ok(target)) => target.selects(path),
            Some(Err(_)) => false,
            None => true,
        };
        let before = with.len();
        for place in reached.filter(|place| selects(place.path)) {
            if with.len() == before {
                with.insert((other.namespace.to_owned(), other.name.to_owned()));
            }
            shared.insert(place.path.to_owned());
        }
    }
    Overlap { with: with.into_iter().collect(), shared: shared.into_iter().collect(), of: places.len() }
}

/// How long the patterns of a target are together.
fn pattern_length(target: &TargetSpec) -> usize {
    let selector = target.repositories.iter();
    selector.flat_map(|selector| selector.include.iter().chain(&selector.exclude)).map(String::len).sum()
}

/// Who reads what is said of a policy: whoever may read its namespace.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// Whether objects of other namespaces may be named there.
    pub name_others: bool,
}

impl Reader<'_> {
    /// The namespace of whoever may not know the objects of others; `None`, if they may be named.
    #[must_use]
    pub fn hidden_from(&self) -> Option<&str> {
        (!self.name_others).then_some(self.namespace)
    }

    /// How another policy is named: by its name in the same namespace; in another one only where that may be told.
    #[must_use]
    pub fn shown(&self, namespace: &str, name: &str) -> Option<String> {
        match (namespace == self.namespace, self.name_others) {
            (true, _) => Some(name.to_owned()),
            (false, true) => Some(format!("{namespace}/{name}")),
            (false, false) => None,
        }
    }
}

impl Overlap {
    /// What a status tells of it; `None` where nothing is shared.
    #[must_use]
    pub fn to_status(&self, to: Reader<'_>) -> Option<OverlapStatus> {
        let mut policies: Vec<String> =
            self.with.iter().filter_map(|(namespace, name)| to.shown(namespace, name)).collect();
        // Those of the same namespace first.
        policies.sort_by_key(|name| name.contains('/'));
        policies.truncate(MAX_OVERLAPPING_POLICIES);
        let others = u32::try_from(self.with.len() - policies.len()).unwrap_or(u32::MAX);
        let repositories = u32::try_from(self.shared.len()).unwrap_or(u32::MAX);
        (!self.with.is_empty()).then_some(OverlapStatus { policies, others, repositories })
    }

    /// The same as a sentence.
    #[must_use]
    pub fn sentence(&self, to: Reader<'_>) -> Option<String> {
        let status = self.to_status(to)?;
        let mut named: Vec<String> = status.policies.iter().take(MAX_IN_SENTENCE).cloned().collect();
        let more = self.with.len() - named.len();
        if more > 0 {
            let hidden = !to.name_others && status.policies.len() <= MAX_IN_SENTENCE;
            named.push(match (more, hidden) {
                (1, true) => "1 policy of another namespace".to_owned(),
                (_, true) => format!("{more} policies of other namespaces"),
                (_, false) => format!("{more} more"),
            });
        }
        let last = named.pop().unwrap_or_default();
        let who = if named.is_empty() { last } else { format!("{} and {last}", named.join(", ")) };
        let kind = match status.policies.len() {
            0 => "",
            1 => "policy ",
            _ => "policies ",
        };
        let verb = if self.with.len() == 1 { "looks" } else { "look" };
        let first = self.shared.first().map(String::as_str).unwrap_or_default();
        let repositories = match self.shared.len() {
            1 => format!("{first}, 1 of {}", self.of),
            number => format!("{number} of {}, the first {first}", self.of),
        };
        Some(format!(
            "{kind}{who} also {verb} after repositories of this policy ({repositories}); each decides alone, so one \
             may remove what another keeps"
        ))
    }
}

#[cfg(test)]
mod tests;
