//! Finding things in the state, for reading and for changing.

use super::{Group, Project, Registry, Repository, Role, Tag, Token, User, is_within};

impl Registry {
    /// A user by id.
    #[must_use]
    pub fn find_user(&self, id: u64) -> Option<&User> {
        self.users.get(&id)
    }

    /// A user by name.
    #[must_use]
    pub fn user_by_name(&self, username: &str) -> Option<&User> {
        self.users.values().find(|user| user.username == username)
    }

    /// A token by its text.
    #[must_use]
    pub fn find_token(&self, text: &str) -> Option<&Token> {
        self.tokens.get(text)
    }

    /// A token by its text, to expire, revoke or change it.
    pub fn token_mut(&mut self, text: &str) -> Option<&mut Token> {
        self.tokens.get_mut(text)
    }

    /// Forgets a token, as if it had never existed.
    pub fn remove_token(&mut self, text: &str) {
        self.tokens.remove(text);
    }

    /// All groups, by id.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// All projects, by id.
    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    /// All repositories, by id.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        self.repositories.values()
    }

    /// A group by id.
    #[must_use]
    pub fn find_group(&self, id: u64) -> Option<&Group> {
        self.groups.get(&id)
    }

    /// A group by id, to change it.
    pub fn group_mut(&mut self, id: u64) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    /// A project by id.
    #[must_use]
    pub fn find_project(&self, id: u64) -> Option<&Project> {
        self.projects.get(&id)
    }

    /// A project by id, to change it.
    pub fn project_mut(&mut self, id: u64) -> Option<&mut Project> {
        self.projects.get_mut(&id)
    }

    /// A project by its current path, in any case.
    #[must_use]
    pub fn project_by_path(&self, path: &str) -> Option<&Project> {
        self.projects.values().find(|project| project.path.eq_ignore_ascii_case(path))
    }

    /// A project by a path it had before it moved (gitlab-api reference 1.4, status 405).
    #[must_use]
    pub fn project_moved_from(&self, path: &str) -> Option<&Project> {
        self.projects.values().find(|project| project.moved_from.iter().any(|old| old.eq_ignore_ascii_case(path)))
    }

    /// Moves a project (with its repositories) to another path and remembers the old one.
    pub fn move_project(&mut self, id: u64, path: &str) {
        let Some(project) = self.projects.get_mut(&id) else { return };
        let old = std::mem::replace(&mut project.path, path.to_owned());
        project.moved_from.push(old);
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.group(parent);
        }
        for repository in self.repositories.values_mut().filter(|repository| repository.project == id) {
            let name = if repository.name.is_empty() { String::new() } else { format!("/{}", repository.name) };
            self.repository_paths.remove(&repository.path);
            repository.path = format!("{path}{name}").to_lowercase();
            self.repository_paths.insert(repository.path.clone(), repository.id);
        }
    }

    /// A group by its path, in any case.
    #[must_use]
    pub fn group_by_path(&self, path: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.path.eq_ignore_ascii_case(path))
    }

    /// A repository by id.
    #[must_use]
    pub fn find_repository(&self, id: u64) -> Option<&Repository> {
        self.repositories.get(&id)
    }

    /// A repository by its path, in any case.
    #[must_use]
    pub fn repository_by_path(&self, path: &str) -> Option<&Repository> {
        self.repository_paths.get(&path.to_lowercase()).and_then(|id| self.repositories.get(id))
    }

    /// A repository by id, to change it.
    pub fn repository_mut(&mut self, id: u64) -> Option<&mut Repository> {
        self.repositories.get_mut(&id)
    }

    /// The tag names of a repository, by bytes; empty for an unknown one.
    #[must_use]
    pub fn tag_names(&self, repository: u64) -> Vec<String> {
        self.find_repository(repository).map(|found| found.tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// A tag.
    #[must_use]
    pub fn find_tag(&self, repository: u64, name: &str) -> Option<&Tag> {
        self.find_repository(repository)?.tags.get(name)
    }

    /// A tag, to give it dates or digests no push would.
    pub fn tag_mut(&mut self, repository: u64, name: &str) -> Option<&mut Tag> {
        self.repositories.get_mut(&repository)?.tag_mut(name)
    }

    /// The highest role a user has at a path, directly or through a group above it.
    #[must_use]
    pub fn role_at(&self, user: u64, path: &str) -> Option<Role> {
        let groups = self.groups.values().filter(|group| is_within(path, &group.path)).map(|group| &group.members);
        let projects = self.projects.values().filter(|project| project.path == path).map(|project| &project.members);
        groups.chain(projects).filter_map(|members| members.get(&user).copied()).max()
    }

    /// Whether a user is a member of anything at or below a path; that is enough to see a private group.
    #[must_use]
    pub fn member_within(&self, user: u64, path: &str) -> bool {
        let groups = self.groups.values().map(|group| (&group.path, &group.members));
        let projects = self.projects.values().map(|project| (&project.path, &project.members));
        groups.chain(projects).any(|(at, members)| is_within(at, path) && members.contains_key(&user))
    }
}
