//! Whether the definition of policies in the cluster is as new as this operator. The API server drops fields that the
//! definition does not know, so a policy under an older one may do less than it says, and remove more.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::api::conditions::{self, READY, Reason};
use crate::api::limits::MAX_MESSAGE;
use crate::api::{Mode, PolicyStatus};

use super::compile::CompiledPolicy;

/// How every sentence about an older definition begins.
pub const PREFIX: &str = "CRD is older than the operator";

/// How often the definition is read while nothing is wrong with it.
const CHECK_INTERVAL: SignedDuration = SignedDuration::from_hours(6);
/// How often while it is older, so that an upgrade is noticed soon.
const OUTDATED_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
/// The pause after it could not be read.
const RETRY_INTERVAL: SignedDuration = SignedDuration::from_mins(30);
/// How long after an upgrade a policy that was stored before it waits to be applied again, with the fields that were
/// dropped.
const SETTLE: SignedDuration = SignedDuration::from_mins(10);
/// Most fields that a sentence names.
const MAX_NAMED: usize = 5;

/// Fields of the spec without which no policy removes more than it says, with all below them. Every other one guards,
/// also one that is added later.
const HARMLESS: &[&str] = &[
    "spec.activeDeadlineSeconds",
    "spec.emptyRepositories",
    "spec.gitlab.certSecretRef",
    "spec.gitlab.insecure",
    "spec.gitlab.timeout",
    "spec.historyLimit",
    "spec.startingDeadlineSeconds",
    "spec.timeZone",
];

/// Fields of the status without which a run might begin twice, or a bulk deletion be sent twice in an hour.
const STATUS_GUARDS: &[&str] = &[
    "status.lastHandledRunAt",
    "status.lastRun",
    "status.nextScheduleTime",
    "status.observedGeneration",
    "status.othersEligibleTime",
    "status.pendingApproval",
    "status.repositories[].nextEligibleTime",
    "status.reservedHours",
];

/// What is known of the definition in the cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Definition {
    /// The fields that it lacks; `None` until it could be read.
    missing: Option<Vec<String>>,
    /// Since when it is known to lack none that guards.
    sound_since: Option<Timestamp>,
    /// When to read it again.
    next: Option<Timestamp>,
}

/// Why a policy removes nothing for now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hold {
    /// When to look again.
    pub until: Timestamp,
    /// What to say.
    pub message: String,
}

impl Definition {
    /// Whether it is time to read the definition.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// When to look at every policy again: while the definition is older, as often as it is read.
    #[must_use]
    pub fn next_look(&self) -> Option<Timestamp> {
        self.next.filter(|_| !self.dropped().is_empty())
    }

    /// Notes that somebody reads it now, so that nobody else does.
    pub fn claim(&mut self, now: Timestamp) {
        self.next = Some(later(now, OUTDATED_INTERVAL));
    }

    /// Notes the fields that the definition lacks; answers whether that is news.
    pub fn note(&mut self, missing: Vec<String>, now: Timestamp) -> bool {
        let outdated = !missing.is_empty();
        self.next = Some(later(now, if outdated { OUTDATED_INTERVAL } else { CHECK_INTERVAL }));
        let news = self.missing.as_ref() != Some(&missing);
        self.missing = Some(missing);
        self.sound_since = if self.guards_missing() { None } else { self.sound_since.or(Some(now)) };
        news
    }

    /// Notes that it could not be read. What was known stays known.
    pub fn note_unreadable(&mut self, now: Timestamp) {
        let pause = if self.guards_missing() { OUTDATED_INTERVAL } else { RETRY_INTERVAL };
        self.next = Some(later(now, pause));
    }

    /// The fields that the definition lacks, as far as it could be read.
    #[must_use]
    pub fn dropped(&self) -> &[String] {
        self.missing.as_deref().unwrap_or_default()
    }

    /// What to say of the definition, if there is anything.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        remark(self.dropped())
    }

    /// Whether a policy removes nothing for now: while a field that guards is dropped, and for a while after the
    /// upgrade unless it was applied again.
    #[must_use]
    pub fn hold(
        &self,
        policy: &CompiledPolicy,
        status: &PolicyStatus,
        generation: i64,
        now: Timestamp,
    ) -> Option<Hold> {
        if policy.suspended || policy.mode == Mode::DryRun {
            return None;
        }
        if self.guards_missing() {
            let remark = self.remark().unwrap_or_default();
            let message = format!(
                "{remark}; what this policy asked for is not known, so nothing is removed until the CRD is upgraded"
            );
            return Some(Hold { until: self.next.unwrap_or(now), message });
        }
        let held = conditions::find(&status.conditions, READY).is_some_and(|ready| {
            ready.known_reason() == Some(Reason::DefinitionOutdated) && ready.observed_generation == Some(generation)
        });
        let until = later(self.sound_since?, SETTLE);
        (held && now < until).then(|| Hold {
            until,
            message: format!(
                "the CRD was upgraded; fields that were dropped before are missing here until the policy is applied \
                 again, so nothing is removed until then, or until {}",
                Timestamp::from_second(until.as_second()).unwrap_or(until)
            ),
        })
    }

    /// Whether Ready does not say what is so with the definition.
    #[must_use]
    pub fn is_misstated(
        &self,
        policy: &CompiledPolicy,
        status: &PolicyStatus,
        generation: i64,
        now: Timestamp,
    ) -> bool {
        let Some(ready) = conditions::find(&status.conditions, READY) else { return false };
        match (ready.known_reason(), self.hold(policy, status, generation, now)) {
            (Some(Reason::DefinitionOutdated), Some(hold)) => {
                ready.message != conditions::shorten(&hold.message, MAX_MESSAGE)
            }
            (Some(Reason::DefinitionOutdated), None) | (_, Some(_)) => true,
            (Some(Reason::Scheduled | Reason::Suspended), None) => {
                ready.message.starts_with(PREFIX) != self.remark().is_some()
            }
            (_, None) => false,
        }
    }

    fn guards_missing(&self) -> bool {
        any_guards(self.dropped())
    }
}

/// The fields, and the values of enumerations, that an operator's own schema has and the one in the cluster lacks.
/// Those that guard come first.
#[must_use]
pub fn missing(own: &Value, served: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    for part in ["spec", "status"] {
        let of = |schema: &Value| schema.pointer(&format!("/properties/{part}")).cloned().unwrap_or_default();
        compare(&of(own), &of(served), part, &mut fields);
    }
    fields.sort_by_key(|field| !guards(field));
    fields
}

/// What to say of fields that the definition lacks, if there are any.
#[must_use]
pub fn remark(missing: &[String]) -> Option<String> {
    let named: Vec<&str> = missing.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = match missing.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!named.is_empty()).then(|| format!("{PREFIX}: the API server drops {}{more}", named.join(", ")))
}

/// Whether nothing may be removed while the definition lacks these fields.
#[must_use]
pub fn any_guards(missing: &[String]) -> bool {
    missing.iter().any(|field| guards(field))
}

fn compare(own: &Value, served: &Value, path: &str, missing: &mut Vec<String>) {
    let keeps_unknown = served["x-kubernetes-preserve-unknown-fields"] == true;
    for (name, property) in own["properties"].as_object().into_iter().flatten() {
        let below = format!("{path}.{name}");
        match served["properties"].get(name) {
            Some(known) => compare(property, known, &below, missing),
            None if keeps_unknown => {}
            None => missing.push(below),
        }
    }
    if own["items"].is_object() && (served["items"].is_object() || !keeps_unknown) {
        compare(&own["items"], &served["items"], &format!("{path}[]"), missing);
    }
    if let (Some(own), Some(served)) = (own["enum"].as_array(), served["enum"].as_array()) {
        let values = own.iter().filter(|value| !served.contains(value)).filter_map(Value::as_str);
        missing.extend(values.map(|value| format!("{path}: {value}")));
    }
}

/// Whether a policy may remove more than it says where the API server drops this field.
fn guards(field: &str) -> bool {
    if field.starts_with("status") {
        STATUS_GUARDS.iter().any(|guard| is_within(guard, field) || is_within(field, guard))
    } else {
        !HARMLESS.iter().any(|harmless| is_within(field, harmless))
    }
}

/// Whether a field is another one, or lies below it.
fn is_within(field: &str, parent: &str) -> bool {
    field.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ':']))
}

fn later(moment: Timestamp, by: SignedDuration) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::api::crd;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile};

    fn schema() -> Value {
        crd::definition().unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// The operator's own schema, less what stands at a pointer.
    fn without(pointer: &str) -> Value {
        let mut schema = schema();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        schema.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        schema
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_795_348_800 + minute * 60).unwrap()
    }

    /// A definition that lacks a field, as known at a minute.
    pub(crate) fn lacking(fields: &[&str], minute: i64) -> Definition {
        let mut definition = Definition::default();
        definition.note(fields.iter().map(ToString::to_string).collect(), at(minute));
        definition
    }

    #[rstest]
    #[case("/properties/spec/properties/limits", "spec.limits", true)]
    #[case("/properties/spec/properties/limits/properties/maxTagsPerRun", "spec.limits.maxTagsPerRun", true)]
    #[case("/properties/spec/properties/protect/properties/nameRegex", "spec.protect.nameRegex", true)]
    #[case("/properties/spec/properties/rules/items/properties/nameRegexKeep", "spec.rules[].nameRegexKeep", true)]
    #[case("/properties/spec/properties/rules/items", "spec.rules[].nameRegexKeep", true)]
    #[case("/properties/spec/properties/mode", "spec.mode", true)]
    #[case("/properties/spec", "spec.gitlab", true)]
    #[case("/properties/spec/properties/historyLimit", "spec.historyLimit", false)]
    #[case(
        "/properties/spec/properties/emptyRepositories/properties/includeRoot",
        "spec.emptyRepositories.includeRoot",
        false
    )]
    #[case("/properties/status/properties/handledRunRequests", "status.handledRunRequests", false)]
    #[case("/properties/status/properties/repositories", "status.repositories", true)]
    #[case(
        "/properties/status/properties/pendingApproval/properties/planHash",
        "status.pendingApproval.planHash",
        true
    )]
    fn a_field_that_is_dropped_is_found_and_known_to_guard_or_not(
        #[case] pointer: &str,
        #[case] field: &str,
        #[case] guard: bool,
    ) {
        let fields = missing(&schema(), &without(pointer));
        assert!(fields.iter().any(|found| found == field), "{fields:?}");
        let definition = lacking(&fields.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        assert_eq!(definition.guards_missing(), guard, "{fields:?}");
        assert!(definition.remark().unwrap().starts_with("CRD is older than the operator: the API server drops "));
    }

    #[test]
    fn a_mode_that_the_definition_does_not_know_guards() {
        let mut old = schema();
        old["properties"]["spec"]["properties"]["mode"]["enum"] = json!(["DryRun", "Delete"]);
        assert_eq!(missing(&schema(), &old), ["spec.mode: RequireApproval"]);
        assert!(lacking(&["spec.mode: RequireApproval"], 0).guards_missing());
    }

    #[test]
    fn the_same_definition_a_newer_one_and_one_that_keeps_everything_lack_nothing() {
        assert!(missing(&schema(), &schema()).is_empty());
        assert_eq!(lacking(&[], 0).remark(), None);
        let mut newer = schema();
        newer["properties"]["spec"]["properties"]["tomorrow"] = json!({"type": "string"});
        assert!(missing(&schema(), &newer).is_empty());
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let all = json!({"type": "object", "properties": {"spec": anything, "status": anything}});
        assert!(missing(&schema(), &all).is_empty());
        let mut any_rules = schema();
        let anything = json!({"type": "array", "x-kubernetes-preserve-unknown-fields": true});
        any_rules["properties"]["spec"]["properties"]["rules"] = anything;
        assert!(missing(&schema(), &any_rules).is_empty());
    }

    fn collect(schema: &Value, path: &str, all: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let below = format!("{path}.{name}");
            collect(property, &below, all);
            collect(&property["items"], &format!("{below}[]"), all);
            all.push(below);
        }
    }

    #[test]
    fn every_listed_field_exists() {
        let mut all = Vec::new();
        let schema = schema();
        for part in ["spec", "status"] {
            collect(&schema["properties"][part], part, &mut all);
        }
        for field in HARMLESS.iter().chain(STATUS_GUARDS) {
            assert!(all.iter().any(|known| known == field), "{field}");
        }
        for field in ["spec.limits", "spec.protect", "spec.mode", "spec.suspend", "spec.target", "spec.rules"] {
            assert!(guards(field), "{field}");
        }
    }

    #[test]
    fn fields_that_guard_are_named_first_and_the_rest_is_counted() {
        let mut old = without("/properties/spec/properties/suspend");
        old["properties"]["status"] = json!({"type": "object"});
        let fields = missing(&schema(), &old);
        assert!(fields.len() > 10);
        assert!(fields.iter().is_sorted_by_key(|field| !guards(field)), "{fields:?}");
        let text = remark(&fields).unwrap();
        let more = fields.len() - MAX_NAMED;
        assert!(text.contains("drops spec.suspend, ") && text.ends_with(&format!(" and {more} more")), "{text}");
    }

    #[test]
    fn it_is_read_every_six_hours_every_minute_while_it_is_older_and_after_half_an_hour_if_it_could_not_be() {
        let mut definition = Definition::default();
        assert!(definition.is_due(at(0)));
        definition.note_unreadable(at(0));
        assert!(!definition.is_due(at(29)) && definition.is_due(at(30)));
        assert!(definition.note(Vec::new(), at(30)), "what was not known is news");
        assert!(!definition.is_due(at(389)) && definition.is_due(at(390)));
        definition.claim(at(390));
        assert!(!definition.is_due(at(390)));
        assert!(definition.note(vec!["spec.limits".to_owned()], at(390)));
        assert!(definition.is_due(at(391)));
        assert!(!definition.note(vec!["spec.limits".to_owned()], at(391)), "the same again is none");
        assert_eq!(definition.next_look(), Some(at(392)));
        assert_eq!(lacking(&[], 0).next_look(), None);
        definition.note_unreadable(at(392));
        assert!(definition.guards_missing() && definition.is_due(at(393)), "what was known stays known");
    }

    fn policy(changes: &Value) -> CompiledPolicy {
        compile(&spec(changes), &CompileOptions::default(), at(0)).unwrap()
    }

    fn held_since(generation: i64) -> PolicyStatus {
        let mut status = PolicyStatus::default();
        let outdated = Reason::DefinitionOutdated;
        conditions::set(&mut status.conditions, READY, false, outdated, "m", Some(generation), at(0));
        status
    }

    #[rstest]
    #[case::delete(json!({"mode": "Delete"}), true)]
    #[case::approval(json!({"mode": "RequireApproval", "method": "Exact"}), true)]
    #[case::dry_run(json!({}), false)]
    #[case::suspended(json!({"mode": "Delete", "suspend": true}), false)]
    fn only_what_would_remove_something_waits(#[case] changes: Value, #[case] waits: bool) {
        let fresh = PolicyStatus::default();
        let hold = |definition: Definition| definition.hold(&policy(&changes), &fresh, 1, at(0));
        assert_eq!(hold(lacking(&["spec.limits"], 0)).is_some(), waits);
        assert_eq!(hold(lacking(&["spec.historyLimit"], 0)), None);
        assert_eq!(hold(lacking(&[], 0)), None);
        assert_eq!(hold(Definition::default()), None, "what could not be read stops nothing");
    }

    #[test]
    fn after_an_upgrade_a_policy_waits_ten_minutes_unless_it_is_applied_again() {
        let mut definition = lacking(&["spec.limits"], 0);
        let hold = |definition: &Definition, generation, minute| {
            let hold = definition.hold(&policy(&json!({"mode": "Delete"})), &held_since(1), generation, at(minute));
            hold.map(|hold| hold.until)
        };
        assert_eq!(hold(&definition, 1, 0), Some(at(1)), "until it is read again");
        definition.note(Vec::new(), at(1));
        assert_eq!(hold(&definition, 1, 1), Some(at(11)));
        assert_eq!(hold(&definition, 2, 1), None, "applied again");
        assert_eq!(hold(&definition, 1, 11), None);
        definition.note(Vec::new(), at(361));
        assert_eq!(hold(&definition, 1, 361), None, "read again, it is not upgraded again");
        assert_eq!(hold(&lacking(&[], 400), 1, 400), Some(at(410)), "also where the operator has started since");
    }
}
