//! The shape that programs read, as JSON or YAML. `docs/plan.md` describes it; fields are added, never changed.

use jiff::Timestamp;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::{Listing, Planned, Repository, Tag, Totals};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outermost<'a> {
    plan_hash: String,
    generated_at: Timestamp,
    policy: &'a str,
    totals: Sums,
    repositories: Repositories<'a>,
}

#[derive(Serialize)]
struct Sums {
    scanned: u64,
    remove: u64,
    keep: u64,
    bytes: u64,
}

struct Repositories<'a>(&'a Listing);

#[derive(Serialize)]
struct RepositoryShape<'a> {
    id: u64,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    tags: Tags<'a>,
}

struct Tags<'a>(&'a Listing, Option<&'a Planned>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TagShape<'a> {
    name: &'a str,
    digest: Option<&'a str>,
    published_at: Option<Timestamp>,
    created_at: Option<Timestamp>,
    bytes: Option<u64>,
    verdict: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    /// The first few.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<&'a str>>,
}

impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Totals { scanned, remove, keep, bytes, .. } = self.totals;
        let at = self.about.at;
        let shape = Outermost {
            plan_hash: self.plan_hash(),
            generated_at: Timestamp::from_second(at.as_second()).unwrap_or(at),
            policy: &self.about.policy,
            totals: Sums { scanned, remove, keep, bytes },
            repositories: Repositories(self),
        };
        shape.serialize(serializer)
    }
}

impl Serialize for Repositories<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listing = self.0;
        serializer.collect_seq(listing.repositories.iter().map(|repository| {
            let Repository { id, path, .. } = repository;
            let tags = Tags(listing, repository.planned());
            RepositoryShape { id: *id, path, error: listing.error(repository), tags }
        }))
    }
}

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tags = self.1.map(Planned::tags).unwrap_or_default();
        let mut list = serializer.serialize_seq(Some(tags.len()))?;
        for tag in &tags {
            let Tag { name, digest, published_at, created_at, bytes, decision, .. } = *tag;
            let users = tag.users.as_ref().map(|users| users.users.names().collect());
            list.serialize_element(&TagShape {
                name,
                digest,
                published_at,
                created_at,
                bytes,
                verdict: decision.verdict.as_str(),
                reason: decision.verdict.reason(),
                rule: self.0.about.rule(decision),
                users,
            })?;
        }
        list.end()
    }
}
