//! What is known of the traces that bulk deletions leave in namespaces, beside the statuses of policies.

use std::collections::HashMap;

use jiff::Timestamp;

/// By namespace.
#[derive(Debug, Default)]
pub(crate) struct Traces(HashMap<String, Trace>);

/// What former processes left in a namespace.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Former {
    /// It was not read yet.
    #[default]
    Unread,
    /// No trace.
    Nothing,
    /// The hours of their requests last until then.
    Until(Timestamp),
}

/// Of one namespace.
#[derive(Debug, Default)]
struct Trace {
    former: Former,
    /// The same for runs of this process, by the uid of the policy.
    own: HashMap<String, Timestamp>,
}

impl Traces {
    /// What former processes left.
    pub(crate) fn former(&self, namespace: &str) -> Former {
        self.0.get(namespace).map(|trace| trace.former).unwrap_or_default()
    }

    /// Notes what was read.
    pub(crate) fn read(&mut self, namespace: &str, former: Option<Timestamp>) {
        let former = former.map_or(Former::Nothing, Former::Until);
        self.0.entry(namespace.to_owned()).or_default().former = former;
    }

    /// Notes until when the hours of a policy's requests last, and answers the same for the whole namespace; `unread`
    /// is what counts for former processes while it is not known.
    pub(crate) fn note(&mut self, namespace: &str, uid: &str, until: Timestamp, unread: Timestamp) -> Timestamp {
        let trace = self.0.entry(namespace.to_owned()).or_default();
        trace.own.insert(uid.to_owned(), until);
        let former = match trace.former {
            Former::Unread => Some(unread),
            Former::Nothing => None,
            Former::Until(until) => Some(until),
        };
        trace.own.values().copied().chain(former).max().unwrap_or(until)
    }

    /// Forgets what is over.
    pub(crate) fn prune(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|trace| trace.own.retain(|_, until| *until > now));
    }
}
