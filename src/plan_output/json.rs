//! The shape that programs read, as JSON or YAML. `docs/plan.md` describes it; fields are added, never changed.

use jiff::Timestamp;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::text::remarks;
use super::{Listing, Note, Planned, Repository, State, Tag, Totals};
use crate::api::conditions::ConditionStatus;
use crate::model::Digest;
use crate::policy::effect::Assessment;
use crate::policy::protection_rules::Known;
use crate::policy::tag::Ages;
use crate::terminal;

/// The plan as JSON.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn json(listing: &Listing) -> Result<String, serde_json::Error> {
    Ok(terminal::json(&serde_json::to_string_pretty(listing)?) + "\n")
}

/// The plan as YAML.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn yaml(listing: &Listing) -> Result<String, serde_saphyr::ser::Error> {
    let text = serde_saphyr::to_string(listing)?;
    if !terminal::is_odd(&text) {
        return Ok(text);
    }
    // The serializer escapes what acts on a terminal, and not what hides there.
    let quoted = serde_saphyr::ser_options! { quote_all: true };
    Ok(terminal::quoted_yaml(&serde_saphyr::to_string_with_options(listing, quoted)?))
}

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
    notes: Vec<NoteShape>,
    repositories: Repositories<'a>,
}

#[derive(Serialize)]
struct NoteShape {
    kind: &'static str,
    message: String,
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
#[serde(rename_all = "camelCase")]
struct RepositoryShape<'a> {
    id: u64,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ages: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection_rules: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    tags: Tags<'a>,
}

struct Tags<'a>(&'a Listing, Option<&'a Planned>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TagShape<'a> {
    name: &'a str,
    digest: Option<&'a Digest>,
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
            notes: self.notes().into_iter().map(NoteShape::from).collect(),
            repositories: Repositories(self),
        };
        shape.serialize(serializer)
    }
}

impl Serialize for Repositories<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listing = self.0;
        serializer.collect_seq(listing.repositories.iter().map(|repository| {
            let Repository { id, path, state, .. } = repository;
            let planned = repository.planned();
            let skipped = if let State::Skipped(message) = state { Some(message.as_str()) } else { None };
            RepositoryShape {
                id: *id,
                path,
                error: listing.error(repository),
                skipped,
                complete: planned.map(|planned| planned.complete),
                ages: planned.and_then(|planned| planned.ages).map(ages),
                protection_rules: planned.and_then(|planned| planned.rules).map(rules),
                notes: planned.map(|planned| remarks(planned).collect()).unwrap_or_default(),
                tags: Tags(listing, planned),
            }
        }))
    }
}

impl From<Note> for NoteShape {
    fn from(note: Note) -> Self {
        Self { kind: note.kind.as_str(), message: note.text }
    }
}

/// What ages are counted from.
fn ages(ages: Ages) -> &'static str {
    match ages {
        Ages::LastPush => "LastPush",
        Ages::FirstPush => "FirstPush",
        Ages::Builds => "Build",
        Ages::FirstPushOrBuild => "FirstPushOrBuild",
    }
}

/// How much is known of GitLab's protection rules.
fn rules(known: Known) -> &'static str {
    match known {
        Known::All => "Known",
        Known::ButImmutable => "ImmutableNotKnown",
        Known::No => "NotKnown",
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
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::super::tests::{GOES, about, listing, newer, planned, repository, tag};
    use super::super::{Retain, State, markdown, table};
    use super::{Ages, Known, Listing, Planned, json as written, terminal, yaml};
    use crate::policy::overlap::Overlap;
    use crate::policy::plan::leftover::Leftover;

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
                "notes": [{"kind": "RepositoriesFailed", "message": "1 of 4 repositories failed"}],
                "repositories": null,
            })
        );
        let others = &shape["repositories"].as_array().unwrap()[2..];
        assert_eq!(
            others,
            [
                json!({"id": 9, "path": "shop/old", "skipped": "it is about to be deleted", "tags": []}),
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
    fn what_is_said_of_the_plan_and_of_a_repository_is_the_same_in_every_format() {
        let mut listing = Listing::new(about(&json!({"limits": {"maxTagsPerRun": 1}, "mode": "DryRun"})));
        listing.about.in_use_unknown = true;
        listing.about.pace = Some("a run takes some 900 requests".to_owned());
        let plan = Planned {
            ages: Some(Ages::Builds),
            rules: Some(Known::No),
            complete: false,
            remarks: vec!["2 tags share one moment".to_owned()],
            leftover: Some(Leftover { attachments: 2, orphans: None }),
            ..*planned(vec![tag("t1", 20, GOES), tag("t2", 20, GOES)])
        };
        listing.add(repository(1, "shop/api", State::Planned(Box::new(plan))), Retain::Everything);
        let shape = serde_json::to_value(&listing).unwrap();
        let notes = shape["notes"].as_array().unwrap();
        let kinds: Vec<&str> = notes.iter().map(|note| note["kind"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            [
                "RunLimitExceeded",
                "InUseNotLookedAt",
                "AgesByBuild",
                "ProtectionRulesNotKnown",
                "RequestLimits",
                "DryRun"
            ]
        );
        let (foot, comment) = (table::foot(&listing), markdown::comment(&listing, markdown::MAX_CHARACTERS));
        assert_eq!((foot.matches("Note: ").count(), comment.matches("\n- ").count()), (kinds.len(), kinds.len()));
        for note in notes {
            let message = note["message"].as_str().unwrap();
            assert!(foot.contains(&format!("Note: {message}.")), "{foot}");
            assert!(comment.replace('\\', "").contains(&format!("- {message}\n")), "{comment}");
        }
        let first = &shape["repositories"][0];
        assert_eq!((&first["ages"], &first["protectionRules"]), (&json!("Build"), &json!("NotKnown")));
        assert_eq!(first["complete"], json!(false));
        let told = table::repository(&listing.about, &listing.repositories[0]);
        for note in first["notes"].as_array().unwrap() {
            assert!(told.contains(note.as_str().unwrap()), "{told}");
        }
        assert_eq!(first["notes"].as_array().unwrap().len(), 2);
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

    /// Names that YAML could take for something else, without and with characters that no terminal may see.
    #[rstest]
    #[case::seen("_")]
    #[case::hidden("v1\u{202e}'\"\\")]
    #[case::acting("v1\u{1b}[2J\u{7f}\u{9b}\u{e0041}")]
    fn yaml_and_json_say_the_same_and_nothing_that_acts_or_hides_on_a_terminal(#[case] last: &str) {
        let names = ["1.10", "null", "on", "0x1f", "1e3", "2026-11-22", "0777", "true", "1_000", last];
        let tags = names.iter().map(|name| tag(name, 9, GOES)).collect();
        let mut listing = Listing::new(about(&json!({})));
        listing.add(repository(1, "shop/api", State::Planned(planned(tags))), Retain::Everything);
        listing.add(repository(2, "on", State::Failed("a: b # c\n- d".to_owned())), Retain::Everything);
        let (yaml, json) = (yaml(&listing).unwrap(), written(&listing).unwrap());
        let expected = serde_json::to_value(&listing).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), expected, "{yaml}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected, "{json}");
        assert!(!terminal::is_odd(&yaml) && !terminal::is_odd(&json), "{yaml}{json}");
    }
}
