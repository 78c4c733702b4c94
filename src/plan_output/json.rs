//! The shape that programs read, as JSON or YAML. `docs/plan.md` describes it; fields are added, never changed.

use jiff::Timestamp;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::{Listing, Planned, Repository, Tag, Totals};
use crate::api::conditions::ConditionStatus;
use crate::policy::effect::Assessment;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outermost<'a> {
    plan_hash: String,
    generated_at: Timestamp,
    policy: &'a str,
    totals: Sums,
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<EffectShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    overlapping: Option<OverlapShape<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    dropped_fields: &'a [String],
    repositories: Repositories<'a>,
}

#[derive(Serialize)]
struct EffectShape<'a> {
    status: ConditionStatus,
    reason: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct OverlapShape<'a> {
    policies: Vec<String>,
    repositories: &'a [String],
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
        let overlap = &self.about.overlap;
        let reader = self.about.reader();
        let policies = overlap.with.iter().filter_map(|(namespace, name)| reader.shown(namespace, name));
        let overlapping = OverlapShape { policies: policies.collect(), repositories: &overlap.shared };
        let effective = self.assessment.as_ref().map(|Assessment { status, reason, message }| EffectShape {
            status: *status,
            reason: reason.as_str(),
            message,
        });
        let shape = Outermost {
            plan_hash: self.plan_hash(),
            generated_at: Timestamp::from_second(at.as_second()).unwrap_or(at),
            policy: &self.about.policy,
            totals: Sums { scanned, remove, keep, bytes },
            effective,
            overlapping: (!overlap.with.is_empty()).then_some(overlapping),
            dropped_fields: &self.about.dropped_fields,
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{GOES, about, listing, newer, planned, repository, tag};
    use super::super::{Retain, State};
    use super::*;
    use crate::policy::overlap::Overlap;

    #[test]
    fn the_shape_is_the_documented_one() {
        let shape = serde_json::to_value(listing(about(&json!({})), Retain::Everything)).unwrap();
        let first = json!({
            "name": "t10",
            "digest": "sha256:t10",
            "publishedAt": "2026-11-12T12:00:00Z",
            "createdAt": "2026-11-11T12:00:00Z",
            "bytes": 1_048_576,
            "verdict": "Remove",
            "reason": "RuleMatches",
            "rule": "old",
        });
        assert_eq!(shape["repositories"][0]["tags"][0], first);
        let latest = &shape["repositories"][0]["tags"][2];
        assert_eq!((&latest["verdict"], &latest["reason"]), (&json!("Keep"), &json!("Latest")));
        assert!(latest.get("rule").is_none() && latest.get("users").is_none());
        let mut rest = shape.clone();
        rest["repositories"] = json!(null);
        assert_eq!(
            rest,
            json!({
                "planHash": shape["planHash"],
                "generatedAt": "2026-11-22T12:00:00Z",
                "policy": "team/shop",
                "totals": {"scanned": 4, "remove": 2, "keep": 2, "bytes": 2_097_152},
                "repositories": null,
            })
        );
        let others = &shape["repositories"].as_array().unwrap()[2..];
        assert_eq!(
            others,
            [
                json!({"id": 9, "path": "shop/old", "tags": []}),
                json!({"id": 10, "path": "shop/odd", "error": "GitLab answered 502", "tags": []})
            ]
        );
    }

    #[test]
    fn what_is_shared_with_other_policies_and_what_a_definition_dropped_is_there_where_there_is_some() {
        let mut listing = listing(about(&json!({})), Retain::Everything);
        listing.about.overlap = Overlap {
            with: vec![("other".to_owned(), "all".to_owned()), ("team".to_owned(), "b".to_owned())],
            shared: vec!["shop/api".to_owned()],
            of: 4,
        };
        listing.about.dropped_fields = vec!["spec.limits".to_owned()];
        let shape = serde_json::to_value(&listing).unwrap();
        assert_eq!(shape["overlapping"], json!({"policies": ["other/all", "b"], "repositories": ["shop/api"]}));
        assert_eq!(shape["droppedFields"], json!(["spec.limits"]));
    }

    #[test]
    fn what_was_not_read_is_null() {
        let mut plan = planned(vec![tag("t1", 9, GOES)]);
        plan.tags.newer = vec![newer("t0", GOES)];
        let mut listing = Listing::new(about(&json!({})));
        listing.add(repository(1, "shop/api", State::Planned(plan)), Retain::Everything);
        let shape = serde_json::to_value(&listing).unwrap();
        let newer = &shape["repositories"][0]["tags"][0];
        assert_eq!(newer["name"], "t0");
        for field in ["digest", "publishedAt", "createdAt", "bytes"] {
            assert_eq!(newer.get(field), Some(&Value::Null), "{field}");
        }
    }

    /// Names that YAML could take for something else.
    #[test]
    fn yaml_and_json_say_the_same() {
        let names = ["1.10", "null", "on", "0x1f", "1e3", "2026-11-22", "0777", "true", "1_000", "_"];
        let tags = names.iter().map(|name| tag(name, 9, GOES)).collect();
        let mut listing = Listing::new(about(&json!({})));
        listing.add(repository(1, "shop/api", State::Planned(planned(tags))), Retain::Everything);
        listing.add(repository(2, "on", State::Failed("a: b # c\n- d".to_owned())), Retain::Everything);
        let yaml = serde_saphyr::to_string(&listing).unwrap();
        let read: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(read, serde_json::to_value(&listing).unwrap(), "{yaml}");
    }
}
