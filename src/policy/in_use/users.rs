//! Who uses an image, as far as it is told.

use std::collections::BTreeSet;
use std::fmt;

/// Some users by name and how many there are. Printed as `prod/Deployment/web and 3 more`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Users {
    names: BTreeSet<(Rank, Box<str>)>,
    total: u32,
}

/// How well a user explains the use: somebody wrote a workload, and its history and its Pods come of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Rank {
    Workload,
    Revision,
    Pod,
}

impl Rank {
    /// Of a user such as `prod/Deployment/web`.
    fn of(user: &str) -> Self {
        match user.split('/').rev().nth(1) {
            Some("Pod") => Self::Pod,
            Some("ReplicaSet" | "ControllerRevision") => Self::Revision,
            _ => Self::Workload,
        }
    }
}

impl Users {
    /// Some users by name, and how many there are besides.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = Box<str>>, more: u32) -> Self {
        let names: BTreeSet<_> = names.into_iter().map(|name| (Rank::of(&name), name)).collect();
        let total = count(&names).saturating_add(more);
        Self { names, total }
    }

    /// The names that are known, those that explain the use best first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| name.as_ref())
    }

    /// How many users there are at least: two lots of users may be the same ones where they are not named.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Takes in the users of the same thing from elsewhere.
    pub(super) fn join(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.total = self.total.max(other.total).max(count(&self.names));
    }
}

fn count<T>(names: &BTreeSet<T>) -> u32 {
    u32::try_from(names.len()).unwrap_or(u32::MAX)
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.names().next(), self.total) {
            (Some(name), 0 | 1) => f.write_str(name),
            (Some(name), total) => write!(f, "{name} and {} more", total - 1),
            (None, 0 | 1) => f.write_str("somebody"),
            (None, total) => write!(f, "{total} workloads"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn users(names: &[&str], more: u32) -> Users {
        Users::new(names.iter().map(|name| Box::from(*name)), more)
    }

    #[rstest]
    #[case(users(&["prod/Deployment/web"], 0), "prod/Deployment/web")]
    #[case(users(&["prod/Deployment/web"], 3), "prod/Deployment/web and 3 more")]
    #[case(users(&["b/Pod/b", "a/Pod/a"], 0), "a/Pod/a and 1 more")]
    #[case(users(&["a/Pod/a", "a/Pod/a"], 0), "a/Pod/a")]
    #[case(users(&["a/ControllerRevision/db-1", "a/Pod/db-0", "a/StatefulSet/db"], 0), "a/StatefulSet/db and 2 more")]
    #[case(users(&["a/Pod/web-1", "b/ReplicaSet/web"], 0), "b/ReplicaSet/web and 1 more")]
    #[case(users(&["a/Pod/db (west)", "b/CronJob/web (west)"], 0), "b/CronJob/web (west) and 1 more")]
    #[case(users(&["a/Pod/a"], u32::MAX), "a/Pod/a and 4294967294 more")]
    #[case(users(&[], 0), "somebody")]
    #[case(users(&[], 1), "somebody")]
    #[case(users(&[], 7), "7 workloads")]
    fn users_are_told_in_short(#[case] users: Users, #[case] text: &str) {
        assert_eq!(users.to_string(), text);
    }

    #[test]
    fn the_same_users_from_elsewhere_are_not_counted_twice() {
        let mut joined = users(&["a", "b"], 5);
        joined.join(&users(&["a", "c"], 5));
        assert_eq!((joined.names().collect::<Vec<_>>(), joined.total()), (vec!["a", "b", "c"], 7));
        joined.join(&users(&["d", "e", "f", "g", "h"], 0));
        assert_eq!(joined.total(), 8);
    }
}
