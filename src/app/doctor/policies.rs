//! Looks at one policy and its GitLab, for verdicts that `policy::doctor::gitlab` has. Nothing that GitLab answers is
//! handed on but numbers, and words that are ours.

use std::sync::Arc;

use jiff::SignedDuration;
use kube::{Client, ResourceExt};

use crate::api::RegistryCleanupPolicy;
use crate::app::OperatorOptions;
use crate::causes::chain;
use crate::clock::Clock;
use crate::cluster::config_maps::{self, Error as ListError};
use crate::cluster::credentials::{self, Credentials, Error as SecretError};
use crate::controller::{Session, check_targets, connection, namespaces, session};
use crate::gitlab::{Age, AlwaysOpen, Client as GitLabClient, GitLab, Repository};
use crate::policy::compile::ListSource;
use crate::policy::doctor::Check;
use crate::policy::doctor::gitlab::{self as judge, GraphQLSeen, Role, SecretSeen, VersionSeen, Way};
use crate::policy::doctor::lists::{ListSeen, lists};
use crate::policy::in_use::Alias;
use crate::policy::token::Token;
use crate::policy::{CompileOptions, CompiledPolicy, compile};

/// A repository of which nothing need be known: GraphQL tells what it can do all the same.
const ANY: u64 = 1;

/// What a look at policies takes.
pub(super) struct Patient<'a> {
    pub(super) client: &'a Client,
    pub(super) gitlab: &'a GitLab,
    pub(super) clock: &'a dyn Clock,
    pub(super) options: &'a OperatorOptions,
    /// How far the API server's clock is ahead.
    pub(super) cluster_ahead: Option<SignedDuration>,
}

/// What a look at a policy tells for other checks.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Whether the policy keeps images in use.
    pub(super) wants_use: bool,
    /// Host of the registry, if any repository was seen.
    pub(super) registry: Option<String>,
    /// Other names of it.
    pub(super) aliases: Vec<Alias>,
}

/// What GitLab told, as far as it was asked.
#[derive(Default)]
struct Told {
    token: Option<Token>,
    repository: Option<Repository>,
    role: Option<Role>,
    version: Option<VersionSeen>,
    graphql: Option<GraphQLSeen>,
    ahead: Option<SignedDuration>,
}

impl Patient<'_> {
    /// Looks at a policy.
    pub(super) async fn examine(&self, object: &RegistryCleanupPolicy) -> (Vec<Check>, Looked) {
        let namespace = object.namespace().unwrap_or_default();
        let name = format!("{namespace}/{}", object.name_any());
        let allowed = CompileOptions {
            allowed_hosts: self.options.allowed_hosts.clone(),
            allow_insecure_http: self.options.allow_insecure_http,
            ..CompileOptions::default()
        };
        let compiled = compile(&object.spec, &allowed, self.clock.now());
        let mut checks = vec![judge::policy(compiled.as_ref())];
        let mut looked = Looked::default();
        // Without a policy that can be carried out nothing is sent anywhere.
        if let Ok(policy) = &compiled {
            let read = credentials::read(self.client, &namespace, &object.spec.gitlab, &policy.base_url).await;
            checks.push(judge::secret(&secret_seen(read.as_ref().err())));
            let mut of_gitlab = Vec::new();
            let registry = self.look(policy, read.ok(), &mut of_gitlab).await;
            let seen = self.lists(&namespace, policy).await;
            checks.push(lists(&seen, registry.as_deref(), self.clock.now()));
            checks.extend(of_gitlab);
            let (wants_use, aliases) = (policy.protection.in_use, policy.protection.aliases.clone());
            looked = Looked { wants_use, registry, aliases };
        }
        (checks.into_iter().map(|check| check.of(&name)).collect(), looked)
    }

    /// Reads the lists of images in use that a run of the policy would read.
    async fn lists(&self, namespace: &str, policy: &CompiledPolicy) -> Vec<(ListSource, ListSeen)> {
        let mut seen = Vec::new();
        for source in policy.protection.lists.iter().filter(|_| policy.protection.in_use) {
            let read = config_maps::read(self.client, namespace, &source.name, &source.key).await;
            seen.push((source.clone(), list_seen(read)));
        }
        seen
    }

    /// Asks GitLab, and answers the host of its registry.
    async fn look(
        &self,
        policy: &CompiledPolicy,
        credentials: Option<Credentials>,
        checks: &mut Vec<Check>,
    ) -> Option<String> {
        let Some(credentials) = credentials else {
            checks.extend(verdicts(
                &Way::NotAsked("GitLab was not asked, for want of a Secret"),
                &Told::default(),
                self,
                policy,
            ));
            return None;
        };
        let connection = connection(policy, credentials);
        let opened = session(self.gitlab, self.clock, &connection, policy.mode, Arc::new(AlwaysOpen)).await;
        let (told, findings) = match opened {
            Err(findings) => (Told::default(), findings),
            Ok(session) => {
                let session = session.only_reading();
                let findings = check_targets(&session, &policy.target, None).await;
                let mut told = asked(&session, policy).await;
                told.ahead = session.client.clock_ahead();
                (told, findings)
            }
        };
        checks.extend(verdicts(&Way::Asked(&findings), &told, self, policy));
        told.repository.and_then(|repository| repository.location.split('/').next().map(str::to_owned))
    }
}

fn verdicts(way: &Way<'_>, told: &Told, patient: &Patient<'_>, policy: &CompiledPolicy) -> [Check; 7] {
    let project = told.repository.as_ref().map(Repository::project_path);
    let host = policy.base_url.host_str().unwrap_or_default();
    [
        judge::reached(way, host),
        judge::token(way, told.token.as_ref()),
        judge::targets(way),
        judge::role(way, project.zip(told.role), Role::needed(policy)),
        judge::version(way, told.version, policy),
        judge::graphql(way, told.graphql),
        judge::clock(way, told.ahead, patient.cluster_ahead),
    ]
}

fn secret_seen(error: Option<&SecretError>) -> SecretSeen {
    match error {
        None => SecretSeen::Whole,
        Some(error @ (SecretError::Forbidden(_) | SecretError::Cluster { .. })) => SecretSeen::Unread(chain(error)),
        Some(error) => SecretSeen::Wrong(chain(error)),
    }
}

fn list_seen(read: Result<config_maps::Text, ListError>) -> ListSeen {
    match read {
        Ok(found) => ListSeen::Text(found.text),
        Err(error @ (ListError::NotFound(_) | ListError::NoKey { .. })) => ListSeen::Missing(error.to_string()),
        Err(ListError::Forbidden(_)) => ListSeen::Unread("you may not read it".to_owned()),
        Err(ListError::Cluster { source, .. }) => ListSeen::Unread(source.to_string()),
    }
}

/// What GitLab tells besides. What it does not tell is not known.
async fn asked(session: &Session, policy: &CompiledPolicy) -> Told {
    let client = &session.client;
    let repository = one_repository(client, policy).await;
    let role = match &repository {
        Some(repository) => client.access_level(repository).await.ok().flatten(),
        None => None,
    };
    let repositories = repository.as_slice();
    let version = client.age(repositories).await.ok().map(|age| match age {
        Age::Told(version) => VersionSeen::Told(version.major, version.minor),
        Age::Newer => VersionSeen::Newer,
    });
    let capabilities = client.capabilities(repository.as_ref().map_or(ANY, |repository| repository.id)).await.ok();
    let graphql = capabilities.map(|can| GraphQLSeen {
        there: can.graphql,
        pushes: can.published_at,
        order: can.sorts_by_push,
        permissions: can.protection,
    });
    let role = role.map(|level| Role::of(level.number()));
    Told { token: session.token.clone(), repository, role, version, graphql, ahead: None }
}

/// Some repository of the policy's projects and groups.
async fn one_repository(client: &GitLabClient, policy: &CompiledPolicy) -> Option<Repository> {
    for (_, namespace) in namespaces(&policy.target) {
        if let Ok(Some(repository)) = client.first_repository(&namespace).await {
            return Some(repository);
        }
    }
    None
}
