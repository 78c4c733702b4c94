//! Looks at what concerns the whole installation, for verdicts that `policy::doctor::cluster` has.

use jiff::SignedDuration;
use kube::{Client, Resource};

use crate::api::RegistryCleanupPolicy;
use crate::app::OperatorOptions;
use crate::causes::chain;
use crate::clock::Clock;
use crate::cluster::installation::{self, Installation};
use crate::cluster::rights::{self as ask, Question};
use crate::cluster::workloads::{Gap, Options, Workloads as Watched, catalogue};
use crate::cluster::{self, ApiError};
use crate::controller::{DefinitionError, dropped_fields};
use crate::model::UsedImage;
use crate::policy::doctor::Check;
use crate::policy::doctor::cluster::{self as judge, Operators, Schema, Unseen, UseSeen, Versions};
use crate::policy::doctor::rights::{self, Needs, Right, Workloads};
use crate::policy::in_use::list::List;

use super::policies::Looked;
use super::request::{Error, Request, watched};

/// The operator as it was found.
pub(super) struct Installed {
    seen: Operators,
    pub(super) found: Option<Installation>,
    /// What it was told, where that is understood.
    pub(super) options: Option<OperatorOptions>,
}

impl Installed {
    pub(super) fn check(&self) -> Check {
        judge::operator(&self.seen, env!("CARGO_PKG_VERSION"))
    }

    pub(super) fn namespace(&self) -> Option<String> {
        self.found.as_ref().map(|found| found.namespace.clone())
    }
}

/// Finds the operator.
pub(super) async fn find(client: &Client, request: &Request) -> Installed {
    let (namespace, name) = match &request.operator {
        Some((namespace, name)) => (Some(namespace.as_str()), name.as_deref()),
        None => (None, None),
    };
    let found = match installation::find(client, namespace).await {
        Ok(found) => found,
        Err(error) => {
            let seen = Operators::Unknown(format!("Deployments cannot be listed: {error}"));
            return Installed { seen, found: None, options: None };
        }
    };
    let mut found: Vec<Installation> =
        found.into_iter().filter(|found| name.is_none_or(|name| found.name == name)).collect();
    let names = found.iter().map(|found| format!("{}/{}", found.namespace, found.name)).collect();
    let (Some(one), true) = (found.pop(), found.is_empty()) else {
        return Installed { seen: Operators::Others(names), found: None, options: None };
    };
    let options = (request.understand)(&one.arguments);
    let seen = judge::Installed {
        name: format!("{}/{}", one.namespace, one.name),
        version: one.version.clone(),
        wanted: one.wanted,
        ready: one.ready,
        understood: options.is_some(),
    };
    Installed { seen: Operators::One(seen), found: Some(one), options }
}

/// How far the API server's clock is ahead of this machine's.
pub(super) async fn ahead(client: &Client, clock: &dyn Clock) -> Option<SignedDuration> {
    let date = installation::date(client).await.ok()??;
    // It is cut to the second: half of one is what it is behind on average.
    Some(date.duration_since(clock.now()) + SignedDuration::from_millis(500))
}

/// The definition.
pub(super) async fn definition(client: &Client) -> Check {
    let schema = match dropped_fields(client).await {
        Ok(missing) => Schema::Lacks(missing),
        Err(DefinitionError::Served(cluster::definition::Error::Absent)) => Schema::Absent,
        Err(DefinitionError::Served(cluster::definition::Error::Cluster(error))) => {
            Schema::Unknown(format!("the schema of policies cannot be read: {}", ApiError::from(&*error)))
        }
        Err(error) => Schema::Unknown(chain(&error)),
    };
    let versions = cluster::definition::versions(client).await;
    let versions = versions.map(|versions| Versions { served: versions.served, stored: versions.stored });
    judge::definition(&schema, versions.as_ref(), &RegistryCleanupPolicy::version(&()))
}

/// What whoever asks, and the operator, may do.
pub(super) async fn rights(
    client: &Client,
    installed: &Installed,
    request: &Request,
    needs: Needs,
    uses: &Uses,
) -> [Check; 2] {
    let needs = Needs { workloads: uses.workloads.clone(), ..needs };
    let listed: Vec<String> = request.namespace.iter().cloned().collect();
    let own = rights::of_caller(&listed, &needs);
    let allowed = ask::of_caller(client, questions(&own)).await;
    let own = judge::own_rights(&own.into_iter().zip(allowed).collect::<Vec<_>>());
    let account = installed.found.as_ref().map(|found| (found.namespace.as_str(), found.account.as_str()));
    let answers = match account {
        None => Ok(Vec::new()),
        Some(account) => {
            let rights = rights::of_operator(&needs);
            let allowed = ask::of_account(client, account, questions(&rights)).await;
            allowed.map(|allowed| rights.into_iter().zip(allowed).collect()).map_err(|error| match error {
                ApiError::Refused { code: 403, .. } => "you may not ask what a ServiceAccount may do".to_owned(),
                other => other.to_string(),
            })
        }
    };
    let account = account.map(|(namespace, name)| format!("{namespace}/{name}"));
    [own, judge::operator_rights(account.as_deref(), &answers)]
}

fn questions(rights: &[Right]) -> Vec<Question> {
    let ask = |right: &Right| Question {
        verb: right.verb.to_owned(),
        group: right.group.clone(),
        resource: right.resource.clone(),
        namespace: right.namespace.clone(),
        name: right.name.clone(),
    };
    rights.iter().map(ask).collect()
}

/// What was seen of images in use.
pub(super) struct Uses {
    seen: UseSeen,
    /// What the operator watches, with the kinds that the cluster has.
    workloads: Option<Workloads>,
}

impl Uses {
    pub(super) fn checks(&self) -> [Check; 3] {
        [judge::in_use(&self.seen), judge::configured_kinds(&self.seen), judge::unwatched_kinds(&self.seen)]
    }
}

/// Looks at workloads: at those that the operator watches, and at the kinds of the catalogue that it does not.
pub(super) async fn uses(
    client: &Client,
    options: &OperatorOptions,
    policies: &[Looked],
    clock: &dyn Clock,
) -> Result<Uses, Error> {
    let wanted_by = policies.iter().filter(|looked| looked.wants_use).count();
    let registries: Vec<&Looked> = policies.iter().filter(|looked| looked.registry.is_some()).collect();
    let registry_known = !registries.is_empty();
    let Some(in_use) = &options.in_use else {
        let seen = UseSeen { wanted_by, registry_known, ..UseSeen::default() };
        return Ok(Uses { seen, workloads: None });
    };
    let unwatched = if in_use.catalogue { Vec::new() } else { catalogue::labels_besides(&in_use.named()?) };
    let everything = crate::app::InUseSettings { catalogue: true, ..in_use.clone() };
    let watch: Options = everything.options(watched(options))?;
    let read = Watched::read_in_part(client.clone(), watch).await;
    let (others, gaps): (Vec<Gap>, Vec<Gap>) = read.gaps().into_iter().partition(|gap| unwatched.contains(&gap.kind));
    let names_registry = |names: &[String]| {
        let images = || names.iter().map(|name| UsedImage { image: name.as_str().into(), ..UsedImage::default() });
        registries.iter().any(|looked| {
            let host = looked.registry.as_deref().unwrap_or_default();
            !List::new(host, &looked.aliases, images(), clock.now()).is_empty()
        })
    };
    let naming = read.named_by_custom_kinds().into_iter();
    let mut naming: Vec<String> = naming
        .filter(|(kind, names)| unwatched.contains(kind) && names_registry(names))
        .map(|(kind, _)| kind)
        .collect();
    naming.dedup();
    let unseen = |gap: &Gap| Unseen { text: gap.to_string(), here: gap.forbidden || gap.passing };
    let seen = UseSeen {
        watched: Some(gaps.iter().map(unseen).collect()),
        wanted_by,
        absent: read.absent_kinds(),
        unwatched: naming,
        unread: others.iter().map(ToString::to_string).collect(),
        registry_known,
    };
    let present = read.custom_resources().into_iter().filter(|kind| !unwatched.contains(&kind.label));
    let custom = present.map(|kind| (kind.group, kind.resource)).collect();
    let workloads = Workloads { namespaces: in_use.seen(watched(options)).to_vec(), custom };
    Ok(Uses { seen, workloads: Some(workloads) })
}
