//! Who may do what (gitlab-api reference 5). Requests and jobs ask the same questions here.

use crate::config::Version;
use crate::state::{Group, Project, Registry, RegistryAccess, Role, Visibility};

/// What a caller wants of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    /// Know that the project exists.
    See,
    /// `read_container_image`.
    Read,
    /// `destroy_container_image`, Developer.
    Destroy,
    /// `admin_container_image`, Maintainer.
    Administer,
}

impl Registry {
    /// Whether a user (`None` is anonymous) has an ability on a project.
    pub(crate) fn may(&self, user: Option<u64>, ability: Ability, project: &Project) -> bool {
        let admin = self.is_admin(user);
        let role = user.and_then(|user| self.role_at(user, &project.path));
        let visible = visible(project.visibility, user);
        if matches!(ability, Ability::Destroy | Ability::Administer) && project.takes_no_changes() {
            return false;
        }
        if ability == Ability::See {
            return admin || visible || role.is_some();
        }
        if project.registry_access == RegistryAccess::Disabled {
            return false;
        }
        let least = match ability {
            Ability::See | Ability::Read => Role::Reporter,
            Ability::Destroy => Role::Developer,
            Ability::Administer => Role::Maintainer,
        };
        let open = ability == Ability::Read && visible && project.registry_access == RegistryAccess::Enabled;
        admin || open || role.is_some_and(|role| role >= least)
    }

    /// Whether a user may remove tags of a project, as a tag itself tells it: from 18.0 on an archived project does not
    /// show in that (gitlab-api reference 10).
    pub(crate) fn may_remove_tags(&self, user: Option<u64>, project: &Project) -> bool {
        if self.settings.version < Version::new(18, 0) {
            return self.may(user, Ability::Destroy, project);
        }
        let active = Project { archived: false, pending_deletion: false, ..project.clone() };
        self.may(user, Ability::Destroy, &active)
    }

    /// Whether a tag protection rule denies a user the whole repository (gitlab-api reference 10).
    pub(crate) fn rules_deny_repository(&self, user: Option<u64>, project: &Project) -> bool {
        self.settings.tag_rules_deny_repository && !self.effective_rules(user, project.id).is_empty()
    }

    /// Whether a user knows that a group exists; a membership anywhere below it is enough.
    pub(crate) fn may_see_group(&self, user: Option<u64>, group: &Group) -> bool {
        self.is_admin(user)
            || visible(group.visibility, user)
            || user
                .is_some_and(|user| self.role_at(user, &group.path).is_some() || self.member_within(user, &group.path))
    }

    /// `read_container_image` on a group: Reporter, even in a public one.
    pub(crate) fn may_read_group(&self, user: Option<u64>, group: &Group) -> bool {
        let role = user.and_then(|user| self.role_at(user, &group.path));
        self.is_admin(user) || role.is_some_and(|role| role >= Role::Reporter)
    }

    pub(crate) fn is_admin(&self, user: Option<u64>) -> bool {
        user.and_then(|user| self.find_user(user)).is_some_and(|user| user.admin)
    }
}

fn visible(visibility: Visibility, user: Option<u64>) -> bool {
    match visibility {
        Visibility::Public => true,
        Visibility::Internal => user.is_some(),
        Visibility::Private => false,
    }
}
