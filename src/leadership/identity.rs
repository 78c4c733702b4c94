//! Who a process of the operator is, in Leases and in the records of runs.

use std::fmt;

/// A process of an operator, as it calls itself in the Lease and in the records of its runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    text: String,
    /// What its text begins with where it runs in a Pod whose uid is known: no process of another Pod has that.
    pod: Option<String>,
    /// The one that its Lease was taken over from.
    predecessor: Option<String>,
}

impl Identity {
    /// A process in a Pod, or one that knows of no Pod. `process` tells it from every other process.
    #[must_use]
    pub fn new(pod_name: Option<&str>, pod_uid: Option<&str>, process: u64) -> Self {
        let name = pod_name.filter(|name| !name.is_empty()).unwrap_or("process");
        let pod = pod_uid.filter(|uid| !uid.is_empty()).map(|uid| format!("{name}_{uid}_"));
        let text = match &pod {
            Some(pod) => format!("{pod}{process:016x}"),
            None => format!("{name}_{process:016x}"),
        };
        Self { text, pod, predecessor: None }
    }

    /// The same after the Lease of another process was taken over.
    #[must_use]
    pub fn succeeding(self, predecessor: Option<String>) -> Self {
        Self { predecessor, ..self }
    }

    /// As it stands in `holderIdentity`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a holder is this process.
    #[must_use]
    pub fn is(&self, holder: &str) -> bool {
        self.text == holder
    }

    /// Whether a holder is a former process of the same Pod: a container is only started again once it has ended.
    #[must_use]
    pub fn restarted(&self, holder: &str) -> bool {
        self.pod.as_deref().is_some_and(|pod| holder.starts_with(pod)) && !self.is(holder)
    }

    /// Whether a holder works no more, as far as this process can know: it ended before this one was started, or has
    /// lost its Lease to it.
    #[must_use]
    pub fn is_successor_of(&self, holder: &str) -> bool {
        self.restarted(holder) || self.predecessor.as_deref() == Some(holder)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Identity {
        Identity::new(Some("operator-a"), Some("uid-a"), 1)
    }

    #[test]
    fn an_identity_names_pod_and_process_as_far_as_they_are_known() {
        assert_eq!(me().to_string(), "operator-a_uid-a_0000000000000001");
        assert_eq!(Identity::new(None, None, 2).as_str(), "process_0000000000000002");
        assert_eq!(Identity::new(Some("a"), Some(""), 2).as_str(), "a_0000000000000002");
    }

    #[test]
    fn a_former_process_of_the_same_pod_has_ended_and_others_need_not_have() {
        assert!(me().restarted("operator-a_uid-a_0000000000000009"));
        for other in ["operator-a_uid-a_0000000000000001", "operator-a_uid-b_9", "operator-b_uid-a_9", "uid-a_9"] {
            assert!(!me().restarted(other), "{other}");
        }
        let nameless = Identity::new(Some("operator-a"), None, 1);
        assert!(!nameless.restarted("operator-a_0000000000000009"), "a name is not taken once");
    }

    #[test]
    fn the_one_that_the_lease_was_taken_from_works_no_more() {
        let heir = me().succeeding(Some("operator-b_uid-b_9".to_owned()));
        assert!(heir.is_successor_of("operator-b_uid-b_9") && !me().is_successor_of("operator-b_uid-b_9"));
        assert!(!heir.is_successor_of("operator-c_uid-c_9"));
    }
}
