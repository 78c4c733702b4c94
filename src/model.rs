//! Plain data that two sides speak of, the one that reads or sends it and the one that decides: what the cluster uses
//! and since when, digests, what GitLab says a repository holds, and a bulk deletion.

mod digest;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use digest::{Digest, DigestText};

/// An image that something in the cluster uses.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct UsedImage {
    /// The name that somebody wrote, as it stands in the object: nothing is parsed or completed here. Empty where a
    /// node reports an image and it is not known for which name.
    pub image: Box<str>,
    /// The `imageID` that a node reports of the image behind that name, such as
    /// `registry.example.com/shop/api@sha256:…`. It may name another repository than `image`, or none. `None`: this is
    /// about the name alone.
    pub id: Option<Box<str>>,
    /// Some of its users, as `namespace/Kind/name` (`Kind/name` without a namespace), those that explain the use best
    /// first: workloads, then their history, then Pods.
    pub users: Vec<Box<str>>,
    /// How many users there are besides.
    pub more: u32,
    /// How many more users of each kind there are that may not be named, being of other namespaces than whoever reads
    /// this.
    pub elsewhere: Vec<(Box<str>, u32)>,
}

/// An image that an object of the cluster was made with, or made to run again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DatedImage {
    /// As in [`UsedImage`].
    pub image: Box<str>,
    /// As in [`UsedImage`].
    pub id: Option<Box<str>>,
    /// The object, as far as whoever reads this may know it: `namespace/Kind/name`.
    pub user: Box<str>,
    /// When the object was created; or, of an object that was returned to later, a moment after which that was.
    pub at: Timestamp,
    /// Whether somebody returned to it then: a rollout was undone.
    pub again: bool,
    /// Until when it counts as in use, if it has finished.
    pub until: Option<Timestamp>,
}

/// What GitLab says a repository holds. What nobody told is `None`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RepositoryContents {
    /// How many tags, up to 10,000. GitLab behaviour: 0 when counting failed; nothing before 13.6.
    pub tags: Option<u64>,
    /// How many bytes its tags take. GitLab behaviour: nothing when asking for it failed, when the registry does not
    /// know the repository, or when it has no metadata database.
    pub bytes: Option<u64>,
}

/// A bulk deletion (`DELETE …/registry/repositories/:repository_id/tags`), its fields under their names in the API.
/// What is `None` is not sent.
///
/// GitLab behaviour: patterns are anchored by joining text, without a group, so `dev|test` would also match
/// `dev-important` and `mytest`. **Whoever makes one wraps every pattern in `(?:…)`**; it is sent as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct BulkDelete {
    /// RE2; the tags that may go. One of this and `name_regex` is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_regex_delete: Option<String>,
    /// The older name of `name_regex_delete`, the only one that servers before 12.9 know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_regex: Option<String>,
    /// RE2; the tags that stay. Old servers ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_regex_keep: Option<String>,
    /// How many of the newest candidates stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_n: Option<u32>,
    /// The age from which tags go, such as `30d`. GitLab behaviour: `m` is a minute, `month` 30 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
}

/// GitLab's own cleanup policy of a project, its fields under their names in the API (`container_expiration_policy`).
/// Each has to be told, be it as null: what is left away is not taken for "no limit".
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub struct CleanupSettings {
    /// Whether GitLab carries it out.
    pub enabled: bool,
    /// How often: `1d`, `7d`, `14d`, `1month`, `3month`.
    pub cadence: String,
    /// How many of the newest candidates stay; null is none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub keep_n: Option<u32>,
    /// The age from which tags go, such as `30d`; null is any.
    #[serde(deserialize_with = "Option::deserialize")]
    pub older_than: Option<String>,
    /// RE2, with anchors around it and no group: the tags that may go.
    #[serde(deserialize_with = "Option::deserialize")]
    pub name_regex: Option<String>,
    /// RE2, with anchors around it and no group: the tags that stay.
    #[serde(deserialize_with = "Option::deserialize")]
    pub name_regex_keep: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bulk_request_sends_only_what_is_set() {
        let request =
            BulkDelete { name_regex_delete: Some("(?:mr-.*)".to_owned()), keep_n: Some(0), ..BulkDelete::default() };
        let sent = serde_json::to_value(&request).unwrap();
        assert_eq!(sent, json!({"name_regex_delete": "(?:mr-.*)", "keep_n": 0}));
    }
}
