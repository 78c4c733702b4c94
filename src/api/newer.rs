//! What can be understood of a policy that a newer operator, with a newer definition, wrote: nothing is removed for it,
//! and its hours count.
//!
//! A newer operator may have written words and fields that this one does not know. A status with such words is not read
//! as one, since what it says of a run under way may matter; but what it says of the hour must not be lost. A field of
//! the spec that this operator does not know may be a guard, and so may every value.

use serde_json::{Map, Value, json};

use super::{PolicyStatus, validation};

/// What is wrong with a spec that has fields which this operator does not know, if it has: the first of them.
#[must_use]
pub fn unknown_field(spec: &Value) -> Option<String> {
    let field = validation::unknown_field(spec)?;
    Some(format!(
        "{field} is not known to this operator, which may be older than the CRD: upgrade it, or remove the field"
    ))
}

/// The hours that a status tells which cannot be read as one. What it names is taken to be requested by a run that has
/// not ended, where that cannot be told.
#[must_use]
pub fn hours(status: &Value) -> Option<PolicyStatus> {
    let run = status.get("lastRun")?;
    let mut kept = Map::new();
    for field in ["observedUid", "observedGeneration", "othersEligibleTime", "reservedHours"] {
        kept.extend(status.get(field).map(|value| (field.to_owned(), value.clone())));
    }
    let text = |field: &str| run.get(field).and_then(Value::as_str);
    let last = json!({
        "id": text("id").unwrap_or_default(),
        // Nobody acts on these: the policy is left alone.
        "trigger": "Schedule",
        "mode": "Delete",
        "gitlab": text("gitlab").unwrap_or_default(),
        "registry": text("registry"),
        "observedGeneration": run.get("observedGeneration").and_then(Value::as_i64).unwrap_or(-1),
        "startTime": text("startTime")?,
        "result": "Running",
        "holderIdentity": text("holderIdentity"),
    });
    let repositories = status.get("repositories").and_then(Value::as_array);
    let named = repositories.into_iter().flatten().map(|repository| {
        let of = |field: &str| repository.get(field);
        json!({"path": of("path"), "id": of("id"), "result": "Skipped", "nextEligibleTime": of("nextEligibleTime")})
    });
    kept.insert("repositories".to_owned(), named.collect());
    kept.insert("lastRun".to_owned(), last);
    // Of another shape they say nothing here; the rest still does.
    serde_json::from_value(kept.clone().into()).ok().or_else(|| {
        kept.remove("reservedHours");
        serde_json::from_value(kept.into()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RegistryCleanupPolicySpec, crd, reference};

    /// A word that no version has.
    const LATER: &str = "Later";

    /// Copies of a value, each with another one in one place, with the place: what `change` makes of the value there
    /// and of its schema, if anything.
    fn changed(
        value: &Value,
        schema: &Value,
        place: &str,
        change: fn(&Value, &Value) -> Option<(&'static str, Value)>,
    ) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        found.extend(change(value, schema).map(|(below, changed)| (format!("{place}{below}"), changed)));
        for (name, member) in value.as_object().into_iter().flatten() {
            let below = changed(member, &schema["properties"][name], &format!("{place}.{name}"), change);
            found.extend(below.into_iter().map(|(place, member)| {
                let mut copy = value.clone();
                copy[name] = member;
                (place, copy)
            }));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            let below = changed(item, &schema["items"], &format!("{place}[{index}]"), change);
            found.extend(below.into_iter().map(|(place, item)| {
                let mut copy = value.clone();
                copy[index] = item;
                (place, copy)
            }));
        }
        found
    }

    /// A later word in the place of one of a closed set.
    fn reworded(_: &Value, schema: &Value) -> Option<(&'static str, Value)> {
        schema["enum"].is_array().then(|| ("", LATER.into()))
    }

    /// One field more in an object.
    fn widened(value: &Value, _: &Value) -> Option<(&'static str, Value)> {
        let mut object = value.as_object()?.clone();
        object.insert("later".to_owned(), true.into());
        Some((".later", object.into()))
    }

    fn example() -> (Value, Value) {
        let (example, definition) = (reference::example().unwrap(), crd::definition().unwrap());
        (example, definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties").unwrap().clone())
    }

    #[test]
    fn every_closed_set_of_words_of_a_status_may_have_more_and_the_hours_are_known() {
        let (example, schema) = example();
        let known: PolicyStatus = serde_json::from_value(example["status"].clone()).unwrap();
        let all = changed(&example["status"], &schema["status"], "status", reworded);
        let places: std::collections::BTreeSet<&str> = all.iter().map(|(place, _)| place.as_str()).collect();
        for place in [
            "status.lastRun.trigger",
            "status.lastRun.mode",
            "status.lastRun.method",
            "status.lastRun.result",
            "status.repositories[0].result",
            "status.conditions[0].status",
            "status.history[0].trigger",
            "status.interruptedRun.mode",
        ] {
            assert!(places.contains(place), "{place} is not among {places:?}");
        }
        for (place, status) in &all {
            assert!(serde_json::from_value::<PolicyStatus>(status.clone()).is_err(), "{place} is no closed set");
            let hours = hours(status).unwrap_or_else(|| panic!("{place}: the hours are lost"));
            assert_eq!(hours.others_eligible_time, known.others_eligible_time, "{place}");
            assert_eq!(hours.reserved_hours, known.reserved_hours, "{place}");
            let until = |status: &PolicyStatus| -> Vec<_> {
                let of = |repository: &super::super::RepositoryStatus| {
                    (repository.id, repository.next_eligible_time.clone())
                };
                status.repositories.iter().map(of).collect()
            };
            assert_eq!(until(&hours), until(&known), "{place}");
            let (now, before) = (hours.last_run.unwrap(), known.last_run.clone().unwrap());
            assert_eq!((now.gitlab, now.registry), (before.gitlab, before.registry), "{place}");
            assert!(now.result.is_under_way(), "{place}");
        }
    }

    #[test]
    fn every_closed_set_of_words_of_a_spec_may_have_more_and_makes_it_unreadable() {
        let (example, schema) = example();
        let all = changed(&example["spec"], &schema["spec"], "spec", reworded);
        assert!(all.iter().any(|(place, _)| place == "spec.mode") && all.len() >= 4, "{all:?}");
        for (place, spec) in all {
            assert!(serde_json::from_value::<RegistryCleanupPolicySpec>(spec).is_err(), "{place} is passed over");
        }
    }

    #[test]
    fn a_field_of_a_spec_that_is_not_known_is_told_wherever_it_is() {
        let (example, _) = example();
        assert_eq!(unknown_field(&example["spec"]), None);
        let all = changed(&example["spec"], &Value::Null, "spec", widened);
        assert!(all.len() > 10, "{all:?}");
        for (place, spec) in all {
            let told = unknown_field(&spec).unwrap_or_else(|| panic!("{place} is passed over"));
            assert!(told.starts_with(&format!("{place} is not known to this operator")), "{told}");
        }
    }

    #[test]
    fn reserved_hours_of_another_shape_do_not_lose_the_others() {
        let (example, _) = example();
        let mut status = example["status"].clone();
        status["lastRun"]["trigger"] = LATER.into();
        status["reservedHours"] = serde_json::json!("later");
        let hours = hours(&status).unwrap();
        assert!(!hours.repositories.is_empty() && hours.reserved_hours.is_empty());
        assert_eq!(super::hours(&serde_json::json!({"observedGeneration": 1})), None, "no run, no hour");
    }
}
