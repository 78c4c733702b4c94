//! Conditions of a policy: their types, every reason there is, and how one is set.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::MAX_MESSAGE;
use super::schema;

pub use super::reasons::Reason;

/// The policy is understood, its credentials and targets work, and the next run is armed.
pub const READY: &str = "Ready";
/// The operator is still finding out whether the policy works.
pub const RECONCILING: &str = "Reconciling";
/// Something is wrong that only an edit of the policy can fix.
pub const STALLED: &str = "Stalled";
/// The last run ended with the result Succeeded.
pub const LAST_RUN_SUCCEEDED: &str = "LastRunSucceeded";
/// GitLab takes the access token.
pub const CREDENTIALS_VALID: &str = "CredentialsValid";

/// A run waits for its turn, since others are at work.
pub const RUN_QUEUED: &str = "RunQueued";

/// It is known which images are in use, as far as the policy wants to know.
pub const IN_USE_KNOWN: &str = "InUseKnown";

/// A plan waits for an approval. False: the last one that did was approved.
pub const APPROVAL_PENDING: &str = "ApprovalPending";

/// The operator makes a dry run of every run, whatever the policy's mode.
pub const DRY_RUN_FORCED: &str = "DryRunForced";

/// An administrator paused the installation. Unknown: nobody knows whether one did.
pub const PAUSED: &str = "Paused";

/// An exclude window of the policy is open.
pub const WITHIN_EXCLUDE_WINDOW: &str = "WithinExcludeWindow";

/// Other policies look after repositories of this one.
pub const OVERLAPPING: &str = "Overlapping";

/// Every pattern of the policy that has to match something does.
pub const EFFECTIVE: &str = "Effective";

/// One condition, in the shape of Kubernetes' own (`meta/v1` Condition) with every string bounded.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which condition this is.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::condition_type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// The generation of the spec that the condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::generation")]
    pub observed_generation: Option<i64>,
    /// When the status last changed from one value to another.
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Time,
    /// Why, as one of the documented reasons.
    #[schemars(schema_with = "schema::reason")]
    pub reason: String,
    /// Why, in a sentence.
    #[schemars(schema_with = "schema::message")]
    pub message: String,
}

impl Condition {
    /// The reason, if this operator knows it: an older or a newer one may have written another.
    #[must_use]
    pub fn known_reason(&self) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|known| known.as_str() == self.reason)
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Finds a condition by its type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition is present and True.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Sets a condition. `lastTransitionTime` moves only when the status flips, so writing the same thing again changes
/// nothing.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: impl Into<ConditionStatus>,
    reason: Reason,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = status.into();
    let since = find(conditions, type_)
        .filter(|old| old.status == status)
        .map_or(Time(now), |old| old.last_transition_time.clone());
    let condition = Condition {
        type_: type_.to_owned(),
        status,
        observed_generation: generation,
        last_transition_time: since,
        reason: reason.as_str().to_owned(),
        message: shorten(message, MAX_MESSAGE),
    };
    match conditions.iter_mut().find(|old| old.type_ == type_) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// Removes a condition: its absence is how kstatus wants to hear "False" of Reconciling and Stalled.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// Cuts a text to at most `limit` bytes at a character boundary, with an ellipsis where something is missing.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        let mut conditions = Vec::new();
        set(&mut conditions, READY, true, Reason::Scheduled, "a", Some(1), at(10));
        set(&mut conditions, READY, true, Reason::Suspended, "b", Some(2), at(20));
        let ready = find(&conditions, READY).unwrap();
        assert_eq!(ready.last_transition_time, Time(at(10)));
        assert_eq!((ready.known_reason(), ready.observed_generation), (Some(Reason::Suspended), Some(2)));

        set(&mut conditions, READY, false, Reason::TargetNotFound, "c", Some(2), at(30));
        assert_eq!(find(&conditions, READY).unwrap().last_transition_time, Time(at(30)));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn a_reason_of_another_release_is_read_and_taken_for_none_of_ours() {
        let condition = |reason: &str| Condition {
            type_: READY.to_owned(),
            status: ConditionStatus::True,
            observed_generation: None,
            last_transition_time: Time(at(10)),
            reason: reason.to_owned(),
            message: String::new(),
        };
        let stored = serde_json::to_value(condition("OfTomorrow")).unwrap();
        let read: Condition = serde_json::from_value(stored).unwrap();
        assert_eq!((read.reason.as_str(), read.known_reason()), ("OfTomorrow", None));
        assert!(Reason::ALL.iter().all(|known| condition(known.as_str()).known_reason() == Some(*known)));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary_within_the_limit() {
        let text = "ä".repeat(20);
        for limit in 4..40 {
            let cut = shorten(&text, limit);
            assert!(cut.len() <= limit, "{limit}: {}", cut.len());
            assert!(cut.ends_with('…') || cut == text);
        }
        assert_eq!(shorten("short", 10), "short");
    }
}
