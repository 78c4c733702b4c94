//! The pause of a whole installation: while its ConfigMap exists, no policy of it removes anything.
//!
//! It is an object that nobody but an administrator makes, so that no rollout of the operator and no reconciliation of
//! its manifests undoes it. What it says of itself is for people: that it exists is what counts. While it is not known
//! whether it does, nothing is removed either.

use std::fmt::Write;

use jiff::Timestamp;

use crate::api::PolicyStatus;
use crate::api::conditions::{self, ConditionStatus, PAUSED, Reason};
use crate::api::limits::MAX_MESSAGE;

/// Longest part of what somebody wrote into the ConfigMap that is told, in bytes.
const MAX_TOLD: usize = 200;

/// What is known of the pause.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Pause {
    /// There is none.
    #[default]
    Off,
    /// There is one.
    On(Box<Order>),
    /// Nobody knows, for this reason.
    Unknown(String),
}

/// A pause that somebody ordered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Order {
    /// The ConfigMap, as `namespace/name`.
    pub place: String,
    /// When it was made.
    pub since: Option<Timestamp>,
    /// Who ordered it, as it says itself under `by`, or the tool that made it.
    pub by: Option<String>,
    /// Why, as it says under `reason`.
    pub reason: Option<String>,
}

impl Pause {
    /// Whether nothing may be removed.
    #[must_use]
    pub fn holds(&self) -> bool {
        *self != Self::Off
    }

    /// Whether somebody ordered it.
    #[must_use]
    pub fn is_on(&self) -> bool {
        matches!(self, Self::On(_))
    }

    /// What to say of it, if there is anything.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        match self {
            Self::Off => None,
            Self::On(order) => Some(order.sentence()),
            Self::Unknown(why) => {
                Some(format!("nothing is removed, since it is not known whether the operator is paused: {why}"))
            }
        }
    }

    /// Records in the status of a policy whether the installation is paused.
    pub fn note(&self, status: &mut PolicyStatus, generation: i64, now: Timestamp) {
        let (holds, why) = match self {
            Self::Off => return conditions::remove(&mut status.conditions, PAUSED),
            Self::On(_) => (ConditionStatus::True, Reason::PausedByAdministrator),
            Self::Unknown(_) => (ConditionStatus::Unknown, Reason::PauseUnknown),
        };
        let message = self.sentence().unwrap_or_default();
        conditions::set(&mut status.conditions, PAUSED, holds, why, &message, Some(generation), now);
    }

    /// Whether the status does not say what is so. Why it is not known may change all the time, and is not written anew
    /// for that.
    #[must_use]
    pub fn is_misstated(&self, status: &PolicyStatus) -> bool {
        let said = conditions::find(&status.conditions, PAUSED);
        match self {
            Self::Off => said.is_some(),
            Self::Unknown(_) => said.is_none_or(|said| said.status != ConditionStatus::Unknown),
            Self::On(order) => said.is_none_or(|said| {
                said.status != ConditionStatus::True
                    || said.message != conditions::shorten(&order.sentence(), MAX_MESSAGE)
            }),
        }
    }
}

impl Order {
    fn sentence(&self) -> String {
        let mut text = "nothing is removed".to_owned();
        if let Some(since) = self.since {
            let _ = write!(text, " since {since}");
        }
        let by = self.by.as_deref().map(told).filter(|by| !by.is_empty());
        let _ = write!(text, ": {} paused the operator", by.as_deref().unwrap_or("somebody"));
        if let Some(reason) = self.reason.as_deref().map(told).filter(|reason| !reason.is_empty()) {
            let _ = write!(text, " ({reason})");
        }
        let _ = write!(text, "; delete ConfigMap {} to go on", self.place);
        text
    }
}

/// Text of an administrator on one line, and no more than fits beside the rest.
fn told(text: &str) -> String {
    conditions::shorten(&text.trim().replace(char::is_control, " "), MAX_TOLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(reason: Option<&str>) -> Pause {
        Pause::On(Box::new(Order {
            place: "registry-cleanup/pause".to_owned(),
            since: Some(Timestamp::UNIX_EPOCH),
            by: Some("kubectl-create".to_owned()),
            reason: reason.map(str::to_owned),
        }))
    }

    #[test]
    fn a_pause_says_since_when_by_whom_why_and_how_to_go_on() {
        assert_eq!(
            on(Some("incident 42")).sentence().unwrap(),
            "nothing is removed since 1970-01-01T00:00:00Z: kubectl-create paused the operator (incident 42); delete \
             ConfigMap registry-cleanup/pause to go on"
        );
        let bare = Pause::On(Box::new(Order { place: "a/b".to_owned(), ..Order::default() }));
        assert_eq!(
            bare.sentence().unwrap(),
            "nothing is removed: somebody paused the operator; delete ConfigMap a/b to go on"
        );
    }

    #[test]
    fn what_somebody_wrote_stays_on_one_line_and_leaves_room_for_how_to_go_on() {
        let message = on(Some(&format!("one\ntwo\u{1b}[31m{}", "x".repeat(5000)))).sentence().unwrap();
        assert!(!message.contains(char::is_control), "{message}");
        assert!(message.len() < MAX_MESSAGE && message.ends_with("registry-cleanup/pause to go on"), "{message}");
    }

    #[test]
    fn a_status_says_whether_the_installation_is_paused_and_is_written_only_where_that_changed() {
        let mut status = PolicyStatus::default();
        let unknown = |why: &str| Pause::Unknown(why.to_owned());
        for (pause, reason) in [
            (on(None), Some("PausedByAdministrator")),
            (on(Some("incident 42")), Some("PausedByAdministrator")),
            (unknown("forbidden"), Some("PauseUnknown")),
            (Pause::Off, None),
        ] {
            assert_eq!(pause.holds(), reason.is_some());
            assert!(pause.is_misstated(&status), "{pause:?}: {status:?}");
            pause.note(&mut status, 1, Timestamp::UNIX_EPOCH);
            assert!(!pause.is_misstated(&status), "{pause:?}: {status:?}");
            let said = conditions::find(&status.conditions, PAUSED).map(|said| said.reason.as_str());
            assert_eq!(said, reason);
        }
        unknown("forbidden").note(&mut status, 1, Timestamp::UNIX_EPOCH);
        assert!(!unknown("timeout").is_misstated(&status));
    }
}
