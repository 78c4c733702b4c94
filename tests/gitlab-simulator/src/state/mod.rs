//! Everything a simulated instance knows, and the few calls that make believable data of it.
//!
//! The state knows nothing of HTTP: REST and GraphQL both read and change it.

mod people;
mod project;
mod repository;

use std::{collections::BTreeMap, sync::OnceLock};

use jiff::{SignedDuration, Timestamp};

pub use people::{Role, Scope, Token, TokenKind, User};
pub(crate) use project::is_within;
pub use project::{CleanupPolicy, DeleteLevel, Group, Project, ProtectionRule, RegistryAccess, Visibility};
pub(crate) use repository::{LastPush, locale_key};
pub use repository::{Push, Repository, RepositoryStatus, Tag, TagKind};

use crate::{Clock, Settings, jobs::Jobs, random::Random};

/// The state of an instance: people, groups, projects, repositories and settings.
#[derive(Debug)]
pub struct Registry {
    /// The instance's settings.
    pub settings: Settings,
    pub(crate) jobs: Jobs,
    pub(crate) random: Random,
    pub(crate) throttled: BTreeMap<String, (i64, u64)>,
    clock: Clock,
    seed: u64,
    next_id: u64,
    users: BTreeMap<u64, User>,
    groups: BTreeMap<u64, Group>,
    projects: BTreeMap<u64, Project>,
    repositories: BTreeMap<u64, Repository>,
    /// Ids by path, so that thousands can be made.
    repository_paths: BTreeMap<String, u64>,
    tokens: BTreeMap<String, Token>,
}

impl Registry {
    pub(crate) fn new(settings: Settings, clock: Clock, seed: u64) -> Self {
        Self {
            settings,
            jobs: Jobs::default(),
            random: Random::new(seed),
            throttled: BTreeMap::new(),
            clock,
            seed,
            next_id: 0,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            projects: BTreeMap::new(),
            repositories: BTreeMap::new(),
            repository_paths: BTreeMap::new(),
            tokens: BTreeMap::new(),
        }
    }

    /// Moves the clock by what something took.
    pub(crate) fn pass(&self, time: SignedDuration) {
        if !time.is_zero() {
            self.clock.advance(time);
        }
    }

    /// The clock's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One counter for all kinds, with a gap between kinds: an id used for the wrong kind finds nothing.
    fn id(&mut self, kind: u64) -> u64 {
        self.next_id += 1;
        kind * 100_000 + self.next_id
    }

    /// The group with this path, made private if it is new, with its parents.
    pub fn group(&mut self, path: &str) -> u64 {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.group(parent);
        }
        if let Some(group) = self.groups.values().find(|group| group.path == path) {
            return group.id;
        }
        let id = self.id(1);
        let group = Group { id, path: path.to_owned(), visibility: Visibility::Private, members: BTreeMap::new() };
        self.groups.insert(id, group);
        id
    }

    /// The project with this path, made private if it is new, with its groups.
    pub fn project(&mut self, path: &str) -> u64 {
        if let Some(project) = self.project_by_path(path) {
            return project.id;
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.group(parent);
        }
        let id = self.id(2);
        let project = Project {
            id,
            path: path.to_owned(),
            moved_from: Vec::new(),
            visibility: Visibility::Private,
            registry_access: RegistryAccess::Enabled,
            members: BTreeMap::new(),
            archived: false,
            pending_deletion: false,
            protection_rules: Vec::new(),
            cleanup_policy: CleanupPolicy::default(),
        };
        self.projects.insert(id, project);
        id
    }

    /// The repository with this path, made if it is new. It belongs to the longest project path it starts with; if
    /// there is none, its first two segments become a project.
    pub fn repository(&mut self, path: &str) -> u64 {
        if let Some(id) = self.repository_paths.get(&path.to_lowercase()) {
            return *id;
        }
        let owner = self
            .projects
            .values()
            .filter(|project| is_within(path, &project.path))
            .max_by_key(|project| project.path.len())
            .map(|project| (project.id, project.path.clone()));
        let (project, project_path) = owner.unwrap_or_else(|| {
            let project_path = path.split('/').take(2).collect::<Vec<_>>().join("/");
            (self.project(&project_path), project_path)
        });
        let id = self.id(3);
        let name = path.strip_prefix(&project_path).unwrap_or_default().trim_start_matches('/');
        let repository = Repository {
            id,
            project,
            path: path.to_lowercase(),
            name: name.to_lowercase(),
            created_at: self.now(),
            cleanup_policy_started_at: None,
            status: None,
            deletion_protected: false,
            lease_until: None,
            cached_dates: BTreeMap::new(),
            tags: BTreeMap::new(),
            pushes: 0,
            by_push: OnceLock::new(),
            has_subjects: false,
            names: OnceLock::new(),
        };
        self.repository_paths.insert(repository.path.clone(), id);
        self.repositories.insert(id, repository);
        id
    }

    /// Pushes an image under a name; an unknown repository is ignored.
    pub fn push(&mut self, repository: u64, name: &str, push: Push) {
        let (now, seed) = (self.now(), self.seed);
        if let Some(repository) = self.repositories.get_mut(&repository) {
            repository.push(name, push, now, seed);
        }
    }

    /// Imports a repository into the metadata database at a moment: every tag gets it as the date of its only push,
    /// whenever it was pushed before (gitlab-api reference 10a).
    pub fn import(&mut self, repository: u64, at: Timestamp) {
        if let Some(found) = self.repositories.get_mut(&repository) {
            found.import(at);
        }
    }

    /// Removes a tag as the registry does: other tags on the same digest stay. Tells whether it was there.
    pub fn remove_tag(&mut self, repository: u64, name: &str) -> bool {
        self.repositories.get_mut(&repository).is_some_and(|found| found.remove(name))
    }

    /// Removes a repository with its tags.
    pub fn remove_repository(&mut self, repository: u64) -> bool {
        let removed = self.repositories.remove(&repository);
        if let Some(removed) = &removed {
            self.repository_paths.remove(&removed.path);
        }
        removed.is_some()
    }

    /// The user with this name, made if new.
    pub fn user(&mut self, username: &str) -> u64 {
        if let Some(user) = self.users.values().find(|user| user.username == username) {
            return user.id;
        }
        let id = self.id(4);
        self.users.insert(id, User { id, username: username.to_owned(), admin: false });
        id
    }

    /// An instance administrator with this name.
    pub fn admin(&mut self, username: &str) -> u64 {
        let id = self.user(username);
        if let Some(user) = self.users.get_mut(&id) {
            user.admin = true;
        }
        id
    }

    /// Removes a user, as when an account is deleted; its tokens stop working.
    pub fn remove_user(&mut self, user: u64) {
        self.users.remove(&user);
        self.tokens.retain(|_, token| token.user != user);
        let groups = self.groups.values_mut().map(|group| &mut group.members);
        for members in groups.chain(self.projects.values_mut().map(|project| &mut project.members)) {
            members.remove(&user);
        }
    }

    /// Makes a user a member of the project or group with this path (a new path becomes a group), or with `None`
    /// takes the membership away.
    pub fn set_role(&mut self, path: &str, user: u64, role: Option<Role>) {
        let project = self.project_by_path(path).map(|project| project.id);
        let members = if let Some(id) = project {
            self.projects.get_mut(&id).map(|project| &mut project.members)
        } else {
            let id = self.group(path);
            self.groups.get_mut(&id).map(|group| &mut group.members)
        };
        if let Some(members) = members {
            match role {
                Some(role) => members.insert(user, role),
                None => members.remove(&user),
            };
        }
    }

    /// A project or group access token with the scope `api` and this role; returns its text. A new path is a group.
    pub fn access_token(&mut self, path: &str, role: Role) -> String {
        let kind = if self.project_by_path(path).is_some() { TokenKind::Project } else { TokenKind::Group };
        let number = self.next_id + 1;
        let name = format!("{path}-{role:?}").to_lowercase().replace('/', "-");
        let bot = self.user(&format!("bot-{number}-{name}"));
        self.set_role(path, bot, Some(role));
        self.token(kind, bot, &name, &[Scope::Api])
    }

    /// A personal access token of a user; returns its text.
    pub fn personal_token(&mut self, user: u64, scopes: &[Scope]) -> String {
        let name = self.users.get(&user).map_or_else(|| "personal".to_owned(), |user| user.username.clone());
        self.token(TokenKind::Personal, user, &name, scopes)
    }

    /// A token of any kind with a name of its own; returns its text.
    pub fn token(&mut self, kind: TokenKind, user: u64, name: &str, scopes: &[Scope]) -> String {
        let id = self.id(5);
        let mut random = Random::for_text(self.seed, &format!("token {id} {name}"));
        let text = match kind {
            TokenKind::Personal | TokenKind::Project | TokenKind::Group => format!("glpat-{}", random.alphanumeric(20)),
            TokenKind::OAuth => random.hex(64),
            TokenKind::Job(_) => format!("glcbt-{}", random.alphanumeric(20)),
            TokenKind::Deploy => format!("gldt-{}", random.alphanumeric(20)),
        };
        self.set_token(&text, kind, user, name, scopes);
        text
    }

    /// Makes a token with a text that is already known, such as one kept in a file.
    pub fn set_token(&mut self, text: &str, kind: TokenKind, user: u64, name: &str, scopes: &[Scope]) {
        let (id, created_at) = (self.id(5), self.now());
        let token = Token {
            id,
            name: name.to_owned(),
            kind,
            user,
            scopes: scopes.to_vec(),
            created_at,
            expires_at: None,
            revoked: false,
            last_used_at: None,
        };
        self.tokens.insert(text.to_owned(), token);
    }
}

mod lookup;
