//! Faults and holds: what a network and a busy server do to a client.
//!
//! A rule is a [`Matcher`] and what happens to the requests it matches. The first rule that matches a request is used
//! for it; rules count the requests they match whether or not an earlier rule took them.

use std::{sync::Mutex, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Endpoint, RequestRecord, clock::locked};

/// Which requests a fault or hold is about; [`Matcher::default`] matches every one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matcher {
    /// Only this call.
    pub endpoint: Option<Endpoint>,
    /// Only this repository.
    pub repository: Option<u64>,
    /// Matching requests that pass first.
    pub skip: u64,
    /// Matching requests affected after that; `None` is every one.
    pub times: Option<u64>,
}

impl Matcher {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Every request to an endpoint.
    #[must_use]
    pub fn endpoint(endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..Self::default() }
    }

    /// Only those about this repository.
    #[must_use]
    pub fn repository(mut self, id: u64) -> Self {
        self.repository = Some(id);
        self
    }

    /// Only the nth matching request, from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self.times = Some(1);
        self
    }

    /// Only the first `times` matching requests (after those skipped).
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, request: &RequestRecord) -> bool {
        self.endpoint.is_none_or(|endpoint| endpoint == request.endpoint)
            && self.repository.is_none_or(|repository| Some(repository) == request.repository)
    }
}

/// The moment in a request's life at which something happens to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPoint {
    /// The server has read the request and done nothing yet.
    #[default]
    BeforeProcessing,
    /// The server has checked, accepted and changed its state, but the client has no answer.
    AfterProcessing,
}

/// What happens to a matching request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Answers this instead.
    Answer {
        /// Status code.
        status: u16,
        /// Headers, `content-type` among them if wanted.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Body text.
        #[serde(default)]
        body: String,
    },
    /// Waits in real time, then goes on as usual.
    Delay(#[serde(with = "milliseconds")] Duration),
    /// Waits in real time for each field of a query of GraphQL, and for each tag that a mutation names, then goes on as
    /// usual.
    DelayEach {
        /// For each field.
        #[serde(with = "milliseconds")]
        field: Duration,
        /// For each tag.
        #[serde(with = "milliseconds")]
        tag: Duration,
    },
    /// Moves the clock forward by this much, then goes on as usual: an answer that takes a while, without anybody
    /// waiting.
    Takes(#[serde(with = "milliseconds")] Duration),
    /// Closes the connection without an answer.
    DropConnection,
    /// Lets the registry end its tag list early, without an error, as in gitlab-api reference 1.6. It affects the
    /// lists and the `tags_count` of the matched requests only, so a count asked for elsewhere stays right.
    TruncateTags {
        /// Tags that are still listed.
        keep: usize,
    },
    /// GitLab's question whether its registry has a metadata database fails for this request, which it then answers as
    /// if there were none: keyset paging is a 405, nobody knows a push, and images are as old as their builds
    /// (gitlab-api reference 10).
    ProbeFails,
    /// 429 `Retry later`.
    TooManyRequests {
        /// The `Retry-After` header in seconds, if any.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// 200 with JSON that breaks off.
    InvalidJson,
    /// 200 with a body of this many bytes (an endless array), made while it is sent.
    HugeBody {
        /// Length of the body.
        bytes: u64,
    },
    /// 302 to this address.
    Redirect {
        /// The `Location` header.
        location: String,
    },
    /// The usual answer, its body sent byte by byte with a pause before each.
    SlowBody {
        /// Real time before each byte.
        #[serde(with = "milliseconds")]
        pause: Duration,
    },
}

/// Durations are whole milliseconds in JSON.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which requests.
    pub matcher: Matcher,
    /// What happens to them.
    pub action: Action,
    /// When. After processing, an answer replaces the true one although the server has acted.
    #[serde(default)]
    pub point: HoldPoint,
}

impl Fault {
    /// A fault that strikes before the server does anything.
    #[must_use]
    pub fn new(matcher: Matcher, action: Action) -> Self {
        Self { matcher, action, point: HoldPoint::BeforeProcessing }
    }

    /// The same fault after the server has acted: accepted, but the client is told something else or nothing.
    #[must_use]
    pub fn after_processing(mut self) -> Self {
        self.point = HoldPoint::AfterProcessing;
        self
    }
}

/// A rule with the number of requests it has matched.
#[derive(Debug)]
struct Counted<T> {
    rule: T,
    seen: u64,
}

impl<T> Counted<T> {
    /// Counts a matching request and tells whether the rule applies to it.
    fn applies(&mut self, matcher: &Matcher, request: &RequestRecord) -> bool {
        if !matcher.matches(request) {
            return false;
        }
        self.seen += 1;
        let place = self.seen;
        place > matcher.skip && matcher.times.is_none_or(|times| place - matcher.skip <= times)
    }
}

/// All rules of a simulator.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    faults: Mutex<Vec<Counted<Fault>>>,
    holds: Mutex<Vec<Counted<HoldRule>>>,
    next_hold: Mutex<u64>,
}

#[derive(Clone, Debug)]
struct HoldRule {
    id: u64,
    matcher: Matcher,
    point: HoldPoint,
    reached: watch::Sender<u64>,
    released: watch::Receiver<bool>,
}

/// What the rules have in store for one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) fault: Option<Fault>,
    holds: Vec<HoldRule>,
}

impl Rules {
    pub(crate) fn add(&self, fault: Fault) {
        locked(&self.faults).push(Counted { rule: fault, seen: 0 });
    }

    pub(crate) fn clear(&self) {
        locked(&self.faults).clear();
    }

    pub(crate) fn judge(&self, request: &RequestRecord) -> Verdict {
        let mut verdict = Verdict::default();
        for counted in locked(&self.faults).iter_mut() {
            let matcher = counted.rule.matcher.clone();
            if counted.applies(&matcher, request) && verdict.fault.is_none() {
                verdict.fault = Some(counted.rule.clone());
            }
        }
        for counted in locked(&self.holds).iter_mut() {
            let matcher = counted.rule.matcher.clone();
            if counted.applies(&matcher, request) {
                verdict.holds.push(counted.rule.clone());
            }
        }
        verdict
    }

    pub(crate) fn hold(&self, matcher: Matcher, point: HoldPoint) -> (u64, watch::Receiver<u64>, watch::Sender<bool>) {
        let (release, released) = watch::channel(false);
        let (reached, seen) = watch::channel(0);
        let id = {
            let mut next = locked(&self.next_hold);
            *next += 1;
            *next
        };
        locked(&self.holds).push(Counted { rule: HoldRule { id, matcher, point, reached, released }, seen: 0 });
        (id, seen, release)
    }

    pub(crate) fn remove_hold(&self, id: u64) {
        locked(&self.holds).retain(|counted| counted.rule.id != id);
    }
}

impl Verdict {
    /// Keeps the request open while it is held at this point.
    pub(crate) async fn wait_at(&self, point: HoldPoint) {
        for hold in self.holds.iter().filter(|hold| hold.point == point) {
            hold.reached.send_modify(|count| *count += 1);
            let mut released = hold.released.clone();
            // An error means that the `Hold` is gone, which releases, too.
            let _ = released.wait_for(|released| *released).await;
        }
    }

    /// The fault's action, if it strikes at this point.
    pub(crate) fn strikes_at(&self, point: HoldPoint) -> Option<&Action> {
        self.fault.as_ref().filter(|fault| fault.point == point).map(|fault| &fault.action)
    }

    /// The pause between the bytes of the answer.
    pub(crate) fn slow(&self) -> Option<Duration> {
        match self.fault.as_ref().map(|fault| &fault.action) {
            Some(Action::SlowBody { pause }) => Some(*pause),
            _ => None,
        }
    }

    /// Whether the registry is taken for one without metadata database.
    pub(crate) fn probe_fails(&self) -> bool {
        matches!(self.fault.as_ref().map(|fault| &fault.action), Some(Action::ProbeFails))
    }

    /// How many tags the registry still lists for this request.
    pub(crate) fn listed_tags(&self) -> Option<usize> {
        match self.fault.as_ref().map(|fault| &fault.action) {
            Some(Action::TruncateTags { keep }) => Some(*keep),
            _ => None,
        }
    }
}
