//! Whose turn it is where only so many can work at the same time: a queue that no GitLab and no namespace can fill.
//!
//! Turns go round: first comes the namespace that was served longest ago, of its policies the one whose GitLab was,
//! then the one that came first. Whoever gave its permit back to wait for something, and returns, is ahead of all who
//! have not begun. One GitLab or namespace holds a part of the permits at most, and instances that answer slowly share
//! a part.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How many permits there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// In all.
    pub total: usize,
    /// For one GitLab.
    pub per_host: usize,
    /// For one namespace.
    pub per_namespace: usize,
    /// For all hosts together that answer slowly.
    pub slow: usize,
}

/// Names one who waits or holds a permit. Who came later has the larger one.
pub type Ticket = u64;

/// One who waits or holds a permit.
#[derive(Clone, Debug)]
struct Claim {
    host: String,
    namespace: String,
    returning: bool,
    /// Whether its permit is one of the total.
    counted: bool,
}

/// Those who wait for one host in one namespace, in their order: whoever returns comes before those who have not begun.
type Line = BTreeSet<(Begins, Ticket)>;
/// Whether somebody who waits has not begun yet.
type Begins = bool;

/// The queue.
#[derive(Debug)]
pub struct FairQueue {
    limits: Limits,
    waiting: HashMap<Ticket, Claim>,
    /// Those who wait, by host and namespace. Thousands may wait for one host, so none of them is looked at while it
    /// has no room.
    lines: BTreeMap<String, BTreeMap<String, Line>>,
    holding: BTreeMap<Ticket, Claim>,
    /// Hosts that answer slowly.
    slow: HashSet<String>,
    /// The turn in which a host or a namespace was served last.
    hosts: HashMap<String, u64>,
    namespaces: HashMap<String, u64>,
    turns: u64,
    next: Ticket,
}

impl FairQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            waiting: HashMap::new(),
            lines: BTreeMap::new(),
            holding: BTreeMap::new(),
            slow: HashSet::new(),
            hosts: HashMap::new(),
            namespaces: HashMap::new(),
            turns: 0,
            next: 0,
        }
    }

    /// Begins to wait. Who is `returning` had a permit before and gave it back.
    pub fn join(&mut self, host: &str, namespace: &str, returning: bool) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let claim = Claim { host: host.to_owned(), namespace: namespace.to_owned(), returning, counted: true };
        let host = self.lines.entry(claim.host.clone()).or_default();
        host.entry(claim.namespace.clone()).or_default().insert((!returning, ticket));
        self.waiting.insert(ticket, claim);
        ticket
    }

    /// Waits or works no longer.
    pub fn leave(&mut self, ticket: Ticket) {
        self.leave_line(ticket);
        self.holding.remove(&ticket);
        if self.waiting.is_empty() && self.holding.is_empty() {
            // Whoever comes next comes first.
            self.hosts.clear();
            self.namespaces.clear();
        }
    }

    /// The permit goes on to count for its host and namespace, but is none of the total any more: for one who only
    /// waits for an answer.
    pub fn set_aside(&mut self, ticket: Ticket) {
        if let Some(claim) = self.holding.get_mut(&ticket) {
            claim.counted = false;
        }
    }

    /// Takes note of how fast a GitLab answers.
    pub fn note(&mut self, host: &str, slow: bool) {
        if slow {
            self.slow.insert(host.to_owned());
        } else {
            self.slow.remove(host);
        }
    }

    /// How many hold a permit.
    #[must_use]
    pub fn held(&self) -> usize {
        self.holding.len()
    }

    /// Gives permits to those whose turn it is, and answers who they are.
    pub fn grant(&mut self) -> Vec<Ticket> {
        let mut granted = Vec::new();
        while let Some(ticket) = self.first() {
            let Some(claim) = self.leave_line(ticket) else { break };
            self.turns += 1;
            self.hosts.insert(claim.host.clone(), self.turns);
            self.namespaces.insert(claim.namespace.clone(), self.turns);
            self.holding.insert(ticket, claim);
            granted.push(ticket);
        }
        granted
    }

    /// Who is next, if there is a permit for anybody who waits.
    fn first(&self) -> Option<Ticket> {
        let counted = self.holding.values().filter(|claim| claim.counted);
        if self.waiting.is_empty() || counted.clone().count() >= self.limits.total {
            return None;
        }
        let slow = counted.filter(|claim| self.slow.contains(&claim.host)).count();
        let (mut hosts, mut namespaces) = (HashMap::new(), HashMap::new());
        for claim in self.holding.values() {
            *hosts.entry(claim.host.as_str()).or_insert(0) += 1;
            *namespaces.entry(claim.namespace.as_str()).or_insert(0) += 1;
        }
        let host_has_room = |host: &str| {
            hosts.get(host).is_none_or(|held| *held < self.limits.per_host)
                && (slow < self.limits.slow || !self.slow.contains(host))
        };
        let has_room = |namespace: &str| namespaces.get(namespace).is_none_or(|held| *held < self.limits.per_namespace);
        let turn = |turns: &HashMap<String, u64>, name: &str| turns.get(name).copied().unwrap_or_default();
        let open = self.lines.iter().filter(|(host, _)| host_has_room(host));
        open.flat_map(|(host, lines)| {
            let host = turn(&self.hosts, host);
            lines.iter().filter(|(namespace, _)| has_room(namespace)).filter_map(move |(namespace, line)| {
                let (begins, ticket) = *line.first()?;
                Some((begins, turn(&self.namespaces, namespace), host, ticket))
            })
        })
        .min()
        .map(|(.., ticket)| ticket)
    }

    /// Takes one who waits out of its line.
    fn leave_line(&mut self, ticket: Ticket) -> Option<Claim> {
        let claim = self.waiting.remove(&ticket)?;
        if let Some(host) = self.lines.get_mut(&claim.host) {
            if let Some(line) = host.get_mut(&claim.namespace) {
                line.remove(&(!claim.returning, ticket));
                if line.is_empty() {
                    host.remove(&claim.namespace);
                }
            }
            if host.is_empty() {
                self.lines.remove(&claim.host);
            }
        }
        Some(claim)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { total: 4, per_host: 3, per_namespace: 3, slow: 2 };

    #[test]
    fn places_are_given_in_the_order_of_arrival_and_no_more_than_there_are() {
        let mut queue = FairQueue::new(Limits { per_host: 9, per_namespace: 9, ..LIMITS });
        let all: Vec<Ticket> = (0..6).map(|_| queue.join("h", "n", false)).collect();
        assert_eq!(queue.grant(), all[..4]);
        queue.leave(all[1]);
        assert_eq!(queue.grant(), [all[4]]);
        assert_eq!(queue.held(), 4);
    }

    #[test]
    fn one_host_and_one_namespace_leave_room_for_others_however_many_wait() {
        let mut queue = FairQueue::new(LIMITS);
        let crowd: Vec<Ticket> = (0..9).map(|_| queue.join("busy", "crowd", false)).collect();
        assert_eq!(queue.grant(), crowd[..3], "one permit is left");
        let other = queue.join("other", "b", false);
        assert_eq!(queue.grant(), [other]);
    }

    #[test]
    fn turns_go_round_the_namespaces_and_then_their_hosts() {
        let mut queue = FairQueue::new(Limits { total: 1, per_host: 1, per_namespace: 1, slow: 1 });
        let (a1, a2) = (queue.join("x", "a", false), queue.join("x", "a", false));
        let (a3, b1) = (queue.join("y", "a", false), queue.join("x", "b", false));
        let mut order = Vec::new();
        while let [ticket] = queue.grant()[..] {
            order.push(ticket);
            queue.leave(ticket);
        }
        assert_eq!(order, [a1, b1, a3, a2]);
    }

    #[test]
    fn whoever_returns_is_ahead_of_all_who_have_not_begun() {
        let mut queue = FairQueue::new(Limits { total: 1, ..LIMITS });
        let first = queue.join("h", "n", false);
        assert_eq!(queue.grant(), [first]);
        let (_, returning) = (queue.join("other", "other", false), queue.join("h", "n", true));
        queue.leave(first);
        assert_eq!(queue.grant(), [returning]);
    }

    #[test]
    fn slow_hosts_share_a_part_of_the_places_until_they_are_quick_again() {
        let mut queue = FairQueue::new(LIMITS);
        let slow = ["s0", "s1", "s2", "s3"].map(|host| {
            queue.note(host, true);
            queue.join(host, host, false)
        });
        assert_eq!(queue.grant(), slow[..2]);
        let quick = queue.join("quick", "quick", false);
        assert_eq!(queue.grant(), [quick]);
        queue.note("s2", false);
        assert_eq!(queue.grant(), [slow[2]]);
    }

    #[test]
    fn whoever_only_waits_for_an_answer_is_in_the_way_of_its_own_host_alone() {
        let mut queue = FairQueue::new(Limits { total: 1, per_host: 1, ..LIMITS });
        let [first, same, other] = ["h", "h", "o"].map(|host| queue.join(host, "n", false));
        assert_eq!(queue.grant(), [first]);
        queue.set_aside(first);
        assert_eq!(queue.grant(), [other]);
        queue.leave(first);
        queue.leave(other);
        assert_eq!(queue.grant(), [same]);
    }

    proptest! {
        #[test]
        fn limits_hold_and_everybody_is_served_in_the_end(
            claims in proptest::collection::vec((0_u8..4, 0_u8..4, any::<bool>()), 1..60),
            slow in proptest::collection::vec(0_u8..4, 0..3),
            leaves in proptest::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let mut queue = FairQueue::new(LIMITS);
            for host in slow {
                queue.note(&host.to_string(), true);
            }
            for (host, namespace, returning) in &claims {
                queue.join(&host.to_string(), &namespace.to_string(), *returning);
            }
            let mut left = claims.len();
            for leave in leaves {
                queue.grant();
                prop_assert!(queue.held() <= LIMITS.total);
                for name in ["0", "1", "2", "3"] {
                    let held = |of: fn(&Claim) -> &str| queue.holding.values().filter(|it| of(it) == name).count();
                    prop_assert!(held(|claim| &claim.host) <= LIMITS.per_host);
                    prop_assert!(held(|claim| &claim.namespace) <= LIMITS.per_namespace);
                }
                let slow = queue.holding.values().filter(|claim| queue.slow.contains(&claim.host)).count();
                prop_assert!(slow <= LIMITS.slow);
                let holding: Vec<Ticket> = queue.holding.keys().copied().collect();
                if holding.is_empty() {
                    break;
                }
                queue.leave(*leave.get(&holding));
                left -= 1;
            }
            prop_assert_eq!(left, 0, "nobody is passed over for ever");
        }

        #[test]
        fn who_is_next_is_who_comes_first_of_all_that_have_room(
            steps in proptest::collection::vec((0_u8..5, 0_u8..4, 0_u8..4, any::<prop::sample::Index>()), 1..80),
        ) {
            let mut queue = FairQueue::new(LIMITS);
            for (step, host, namespace, which) in steps {
                let holding: Vec<Ticket> = queue.holding.keys().copied().collect();
                match step {
                    0 | 1 => _ = queue.join(&host.to_string(), &namespace.to_string(), step == 1),
                    2 => queue.note(&host.to_string(), namespace % 2 == 0),
                    3 if !holding.is_empty() => queue.leave(*which.get(&holding)),
                    4 if !holding.is_empty() => queue.set_aside(*which.get(&holding)),
                    _ => {}
                }
                prop_assert_eq!(queue.first(), first_of_all(&queue));
                if namespace < 2 {
                    queue.grant();
                }
            }
        }
    }

    /// The one who is next, found by looking at everybody who waits.
    fn first_of_all(queue: &FairQueue) -> Option<Ticket> {
        let held = |is: &dyn Fn(&Claim) -> bool| queue.holding.values().filter(|claim| is(claim)).count();
        if held(&|claim| claim.counted) >= queue.limits.total {
            return None;
        }
        let slow = held(&|claim| claim.counted && queue.slow.contains(&claim.host));
        let room = |claim: &Claim| {
            held(&|other| other.host == claim.host) < queue.limits.per_host
                && held(&|other| other.namespace == claim.namespace) < queue.limits.per_namespace
                && (slow < queue.limits.slow || !queue.slow.contains(&claim.host))
        };
        let turn = |turns: &HashMap<String, u64>, name: &String| turns.get(name).copied().unwrap_or_default();
        let order = |ticket: Ticket, claim: &Claim| {
            let turns = (turn(&queue.namespaces, &claim.namespace), turn(&queue.hosts, &claim.host));
            (!claim.returning, turns, ticket)
        };
        let open = queue.waiting.iter().filter(|(_, claim)| room(claim));
        open.min_by_key(|(ticket, claim)| order(**ticket, claim)).map(|(ticket, _)| *ticket)
    }
}
