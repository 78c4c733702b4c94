//! What the watch keeps of a status. That it decides the same is seen in every case of the tables.

use serde_json::{Value, json};

use super::super::*;
use super::NOON;

#[test]
fn what_is_told_to_people_only_is_forgotten_and_nothing_else() {
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "reason": "A", "message": "m", "lastTransitionTime": NOON});
    let told =
        |kind: &str| json!({"type": kind, "status": "True", "reason": "A", "message": "", "lastTransitionTime": NOON});
    let rest = json!({"observedGeneration": 3, "nextScheduleTime": NOON, "lastHandledRunAt": "one"});
    let with = |more: &Value| -> PolicyStatus {
        let mut status = rest.clone();
        more.as_object().unwrap().iter().for_each(|(key, value)| status[key] = value.clone());
        serde_json::from_value(status).unwrap()
    };
    let mut status = with(&json!({
        "conditions": [condition("Ready"), condition("Stalled"), condition("Overlapping")],
        "repositories": [{"path": "shop/web", "id": 1, "result": "Unchanged"}],
        "overlapping": {"policies": ["other"], "others": 0, "repositories": 1},
    }));
    forget_details(&mut status);
    assert_eq!(status, with(&json!({"conditions": [condition("Ready"), condition("Stalled"), told("Overlapping")]})));
}
