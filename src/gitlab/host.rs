//! What is known of one host, shared by all its clients: its pace, and what was told of it.
//!
//! It keeps what it is given, and neither sends nor waits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::graphql::Parts;
use super::in_flight::InFlight;
use super::metrics::HostCounts;
use super::queue::Turns;
use super::rate_limit_headers::Hints;
use super::remembered::{Contents, KeysetPaging, REMEMBERED};
use super::settings::RequestLimits;
use super::sizes::Sizes;
use super::types::{Budget, Closed, Project};

/// Of projects, whether they are closed, and when that was told.
type ClosedProjects = HashMap<(Url, Project), (Option<Closed>, Timestamp)>;

/// How long no cursor is guessed after one was refuted.
const GUESSES_OFF: SignedDuration = SignedDuration::from_hours(24);

/// What is known of one host, shared by all its clients.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) turns: Turns,
    keyset: Mutex<KeysetPaging>,
    /// The servers that told when tags were pushed, and when they last did.
    told_pushes: Mutex<HashMap<Url, Timestamp>>,
    /// What GraphQL can be asked for, once somebody found out.
    pub(super) graphql: Mutex<Option<Known>>,
    /// What was told of the contents of images.
    pub(super) contents: Mutex<Contents>,
    /// Of projects that were asked about, whether they are closed, and when that was told.
    closed: Mutex<ClosedProjects>,
    /// Held by who is finding it out, so that the others wait for the answer instead of asking as well.
    pub(super) probing: tokio::sync::Mutex<()>,
    /// How far its clock is ahead of ours, by its last answer that told.
    pub(super) ahead: Mutex<Option<SignedDuration>>,
    /// Requests that may be under way at the same time, at most.
    pub(super) in_flight: usize,
    /// Places for them.
    pub(super) under_way: InFlight,
    /// How much documents of several parts ask it for.
    sizes: Mutex<Sizes>,
    /// Where its requests are counted.
    pub(super) counts: HostCounts,
    /// What it lets through, by its last answer that told.
    budget: Mutex<Option<Budget>>,
    /// The servers that did something else with a guessed cursor than was thought, and when.
    refuted: Mutex<HashMap<Url, Timestamp>>,
}

/// What one server's GraphQL can be asked for.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The API it is about: two servers can share a host, each below a path of its own.
    pub(super) api: Url,
    /// `None` when there is no GraphQL, or none that knows container repositories.
    pub(super) parts: Option<Parts>,
    /// When it was found out.
    pub(super) since: Timestamp,
}

impl Host {
    pub(super) fn new(limits: RequestLimits, now: Timestamp, counts: HostCounts) -> Self {
        let in_flight = usize::from(limits.requests_in_flight).max(1);
        Self {
            turns: Turns::new(limits.requests_per_second, now),
            in_flight,
            under_way: InFlight::new(in_flight),
            sizes: Mutex::new(Sizes::new(limits.graphql_batch.into())),
            keyset: Mutex::default(),
            told_pushes: Mutex::default(),
            graphql: Mutex::default(),
            contents: Mutex::default(),
            closed: Mutex::default(),
            probing: tokio::sync::Mutex::default(),
            ahead: Mutex::default(),
            counts,
            budget: Mutex::default(),
            refuted: Mutex::default(),
        }
    }

    /// Learns from an answer what the host lets through.
    pub(super) fn note_budget(&self, now: Timestamp, hints: &Hints) {
        if let Some(budget) = Budget::read(now, hints) {
            *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(budget);
        }
    }

    /// What it lets through until its window ends, if it told and that is still to come.
    pub(super) fn budget(&self, now: Timestamp) -> Option<Budget> {
        let told = *self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        told.filter(|budget| budget.reset > now)
    }

    /// How much documents of several parts ask it for.
    pub(super) fn sizes(&self) -> MutexGuard<'_, Sizes> {
        // The value is valid between any two statements.
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keyset(&self) -> MutexGuard<'_, KeysetPaging> {
        // The value is valid between any two statements.
        self.keyset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a page that tells pushes, and says whether one can be believed: one that says nothing only of a
    /// server that did not tell any within the last hour. `fine` says that the page needs no belief.
    pub(super) fn tells_pushes(&self, api: &Url, fine: bool, told: bool, now: Timestamp) -> bool {
        let mut known = self.told_pushes.lock().unwrap_or_else(PoisonError::into_inner);
        if told {
            known.insert(api.clone(), now);
        }
        fine || known.get(api).is_none_or(|since| now.duration_since(*since) >= REMEMBERED)
    }

    /// Takes note that a server did something else with a guessed cursor than was thought.
    pub(super) fn refute_guesses(&self, api: &Url, now: Timestamp) {
        self.refuted.lock().unwrap_or_else(PoisonError::into_inner).insert(api.clone(), now);
    }

    /// Whether a server has done with guessed cursors what was thought, as far as is known of the last day.
    pub(super) fn may_guess(&self, api: &Url, now: Timestamp) -> bool {
        let refuted = self.refuted.lock().unwrap_or_else(PoisonError::into_inner);
        refuted.get(api).is_none_or(|since| now.duration_since(*since) >= GUESSES_OFF)
    }

    pub(super) fn closed(&self) -> MutexGuard<'_, ClosedProjects> {
        // The map is valid between any two statements.
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
