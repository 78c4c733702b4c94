//! Who uses an image, as far as it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::UsedImage;

/// Most kinds of users of other namespaces that are told.
const MAX_KINDS: usize = 4;

/// Some users by name and how many there are. Printed as `prod/Deployment/web and 3 more`. Those of other namespaces
/// are counted by kind where they may not be named: `2 Deployments and 1 Pod of other namespaces`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Users {
    names: BTreeSet<(Rank, Box<str>)>,
    total: u32,
    elsewhere: BTreeMap<Box<str>, u32>,
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
        Self { names, total, elsewhere: BTreeMap::new() }
    }

    /// Those of an image.
    #[must_use]
    pub fn of(image: &UsedImage) -> Self {
        let elsewhere = image.elsewhere.iter().filter(|(_, number)| *number > 0).cloned().collect();
        Self { elsewhere, ..Self::new(image.users.iter().cloned(), image.more) }
    }

    /// Whether there are users and none may be named.
    #[must_use]
    pub fn are_hidden(&self) -> bool {
        self.total == 0 && !self.elsewhere.is_empty()
    }

    /// The names that are known, those that explain the use best first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(_, name)| name.as_ref())
    }

    /// How many users there are at least, without those that may not be named: two lots of users may be the same ones
    /// where they are not named.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Takes in the users of the same thing from elsewhere.
    pub(super) fn join(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.total = self.total.max(other.total).max(count(&self.names));
        for (kind, number) in &other.elsewhere {
            let known = self.elsewhere.entry(kind.clone()).or_default();
            *known = (*known).max(*number);
        }
    }
}

fn count<T>(names: &BTreeSet<T>) -> u32 {
    u32::try_from(names.len()).unwrap_or(u32::MAX)
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.are_hidden() {
            return f.write_str(&self.of_other_namespaces());
        }
        match (self.names().next(), self.total) {
            (Some(name), 0 | 1) => f.write_str(name),
            (Some(name), total) => write!(f, "{name} and {} more", total - 1),
            (None, 0 | 1) => f.write_str("somebody"),
            (None, total) => write!(f, "{total} workloads"),
        }?;
        if self.elsewhere.is_empty() { Ok(()) } else { write!(f, ", and {}", self.of_other_namespaces()) }
    }
}

impl Users {
    fn of_other_namespaces(&self) -> String {
        let mut kinds: Vec<String> = self
            .elsewhere
            .iter()
            .take(MAX_KINDS)
            .map(|(kind, number)| format!("{number} {kind}{}", if *number == 1 { "" } else { "s" }))
            .collect();
        let more = self.elsewhere.values().skip(MAX_KINDS).fold(0_u32, |sum, number| sum.saturating_add(*number));
        if more > 0 {
            kinds.push(format!("{more} more"));
        }
        let last = kinds.pop().unwrap_or_default();
        let all = if kinds.is_empty() { last } else { format!("{} and {last}", kinds.join(", ")) };
        format!("{all} of other namespaces")
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

    #[rstest]
    #[case(&[], &[("Pod", 1)], "1 Pod of other namespaces")]
    #[case(&[], &[("Pod", 1), ("Deployment", 2)], "2 Deployments and 1 Pod of other namespaces")]
    #[case(&["a/Pod/a"], &[("Pod", 3)], "a/Pod/a, and 3 Pods of other namespaces")]
    #[case(&["a/Pod/a", "a/Pod/b"], &[("A", 1), ("B", 1), ("C", 1), ("D", 1), ("E", 5), ("F", 2)],
        "a/Pod/a and 1 more, and 1 A, 1 B, 1 C, 1 D and 7 more of other namespaces")]
    #[case(&["a/Pod/a"], &[("Pod", 0)], "a/Pod/a")]
    fn users_that_may_not_be_named_are_counted_by_kind(
        #[case] names: &[&str],
        #[case] others: &[(&str, u32)],
        #[case] text: &str,
    ) {
        let elsewhere = others.iter().map(|(kind, number)| (Box::from(*kind), *number)).collect();
        let named = names.iter().map(|name| Box::from(*name)).collect();
        let mut users = Users::of(&UsedImage { users: named, elsewhere, ..UsedImage::default() });
        users.join(&users.clone());
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
