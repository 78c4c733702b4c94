//! The request log: what was asked, by which token, and what was answered. Token text never gets in.

use std::{collections::BTreeMap, sync::Mutex};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::locked;

/// Requests kept; a long-running binary forgets the oldest.
const MOST_RECORDS: usize = 200_000;

/// The calls the simulator knows (E1 to E8 of gitlab-api reference 1, 8a and 8b).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// E1, `GET /projects/:id/registry/repositories`.
    ListProjectRepositories,
    /// E2, `GET /groups/:id/registry/repositories`.
    ListGroupRepositories,
    /// E3, `GET /registry/repositories/:id`.
    GetRepository,
    /// E4, `DELETE /projects/:id/registry/repositories/:repository_id`.
    DeleteRepository,
    /// E5, `GET …/tags`.
    ListTags,
    /// E6, `GET …/tags/:tag_name`.
    GetTag,
    /// E7, `DELETE …/tags/:tag_name`.
    DeleteTag,
    /// E8, `DELETE …/tags`.
    BulkDeleteTags,
    /// `GET /projects/:id`.
    GetProject,
    /// `GET /projects/:id/registry/protection/tag/rules`.
    ListTagRules,
    /// `POST /api/graphql` with a query, or with something that cannot be read.
    GraphqlQuery,
    /// `POST /api/graphql` with a mutation.
    GraphqlMutation,
    /// `GET /version`.
    Version,
    /// `GET /personal_access_tokens/self`.
    TokenSelf,
    /// Anything else.
    Other,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestRecord {
    /// Position in the order of arrival, from 1; clearing the log does not start it again.
    pub sequence: u64,
    /// The simulator's time on arrival.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path as sent, still encoded, without the query.
    pub path: String,
    /// What it asks for.
    pub endpoint: Endpoint,
    /// The decoded project or group of the path, or the first `fullPath` of GraphQL.
    pub namespace: Option<String>,
    /// The repository id of the path, if it is a number, or the first one that GraphQL names.
    pub repository: Option<u64>,
    /// The decoded tag of the path.
    pub tag: Option<String>,
    /// GraphQL only: the name of the operation.
    pub operation: Option<String>,
    /// GraphQL only: the tags a mutation names.
    pub tag_names: Vec<String>,
    /// GraphQL only: how many fields the document has at its root.
    pub fields: usize,
    /// Parameters of query and body together, before coercion, without tokens.
    pub params: serde_json::Value,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// The name of the token used, `None` for anonymous and unknown ones.
    pub token: Option<String>,
    /// The answered status; `None` while it is held, and for good when the connection was dropped.
    pub status: Option<u16>,
    /// E8 only: whether the hourly lease was granted; `None` when the request did not get that far.
    pub accepted: Option<bool>,
    /// E8 only: the simulator's time when it was granted, from which its hour counts.
    pub accepted_at: Option<Timestamp>,
}

/// All requests in order, and a counter that moves with every change.
#[derive(Debug)]
pub(crate) struct Log {
    records: Mutex<Records>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Records {
    kept: Vec<RequestRecord>,
    last: u64,
    counts: BTreeMap<Endpoint, u64>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { records: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Adds a record and gives it its sequence number.
    pub(crate) fn begin(&self, mut record: RequestRecord) -> u64 {
        let sequence = {
            let mut records = locked(&self.records);
            records.last += 1;
            record.sequence = records.last;
            *records.counts.entry(record.endpoint).or_default() += 1;
            if records.kept.len() >= MOST_RECORDS {
                records.kept.drain(..MOST_RECORDS / 10);
            }
            records.kept.push(record);
            records.last
        };
        self.changed();
        sequence
    }

    /// Changes a record that is still kept.
    pub(crate) fn update(&self, sequence: u64, change: impl FnOnce(&mut RequestRecord)) {
        if let Some(record) = locked(&self.records).kept.iter_mut().rev().find(|record| record.sequence == sequence) {
            change(record);
        }
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        locked(&self.records).kept.clone()
    }

    pub(crate) fn to(&self, endpoint: Endpoint) -> Vec<RequestRecord> {
        locked(&self.records).kept.iter().filter(|record| record.endpoint == endpoint).cloned().collect()
    }

    /// How many requests each endpoint got since the log was cleared, also those that are no longer kept.
    pub(crate) fn counts(&self) -> BTreeMap<Endpoint, u64> {
        locked(&self.records).counts.clone()
    }

    pub(crate) fn clear(&self) {
        let mut records = locked(&self.records);
        records.kept.clear();
        records.counts.clear();
    }

    /// Waits until a record satisfies the predicate; records change when their answer is known.
    pub(crate) async fn wait_for(&self, predicate: impl Fn(&RequestRecord) -> bool) -> RequestRecord {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = locked(&self.records).kept.iter().find(|record| predicate(record)).cloned() {
                return found;
            }
            if changes.changed().await.is_err() {
                // Cannot happen: `self` owns the sender. Waiting for ever is what was asked for.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(endpoint: Endpoint) -> RequestRecord {
        RequestRecord {
            sequence: 0,
            at: Timestamp::UNIX_EPOCH,
            method: String::new(),
            path: String::new(),
            endpoint,
            namespace: None,
            repository: None,
            tag: None,
            operation: None,
            tag_names: Vec::new(),
            fields: 0,
            params: serde_json::Value::Null,
            user_agent: None,
            token: None,
            status: None,
            accepted: None,
            accepted_at: None,
        }
    }

    #[test]
    fn requests_that_are_forgotten_still_count_until_the_log_is_cleared() {
        let log = Log::new();
        log.begin(record(Endpoint::GetTag));
        for _ in 0..MOST_RECORDS {
            log.begin(record(Endpoint::ListTags));
        }
        let most = MOST_RECORDS as u64;
        assert!(log.to(Endpoint::GetTag).is_empty());
        assert_eq!(log.counts(), BTreeMap::from([(Endpoint::ListTags, most), (Endpoint::GetTag, 1)]));
        log.clear();
        assert_eq!(log.counts(), BTreeMap::new());
        assert_eq!(log.begin(record(Endpoint::GetTag)), most + 2);
    }
}
