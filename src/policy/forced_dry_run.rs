//! The switch with which an administrator stops every removal: each run only tells, whatever the policy says.
//!
//! The compiled policy has the mode `DryRun` then ([`CompiledPolicy::forced_from`]), so that nothing that decides needs
//! to know of the switch. Here is what a policy says of it.

use jiff::Timestamp;

use crate::api::conditions::{self, DRY_RUN_FORCED, Reason};
use crate::api::{Mode, PolicyStatus};

use super::compile::CompiledPolicy;

/// What a run says that would have removed something, or proposed it.
#[must_use]
pub fn remark(instead_of: Mode) -> String {
    format!("the operator runs with --force-dry-run, so nothing is removed in the mode {}", instead_of.as_str())
}

/// Records whether the switch is on for a policy. While it is, no plan waits for an approval: when it is off again,
/// what is to be removed is planned and looked at anew.
pub fn note(status: &mut PolicyStatus, policy: &CompiledPolicy, generation: i64, now: Timestamp) {
    let Some(mode) = policy.forced_from else {
        return conditions::remove(&mut status.conditions, DRY_RUN_FORCED);
    };
    status.pending_approval = None;
    let (why, message) = (Reason::ForcedByOperator, remark(mode));
    conditions::set(&mut status.conditions, DRY_RUN_FORCED, true, why, &message, Some(generation), now);
}

/// Whether the status does not say what is so.
#[must_use]
pub fn is_misstated(status: &PolicyStatus, policy: &CompiledPolicy) -> bool {
    conditions::is_true(&status.conditions, DRY_RUN_FORCED) != policy.forced_from.is_some()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::policy::compile::tests::spec;
    use crate::policy::{CompileOptions, compile};

    fn policy(mode: &str, force_dry_run: bool) -> CompiledPolicy {
        let options = CompileOptions { force_dry_run, ..CompileOptions::default() };
        compile(&spec(&json!({"mode": mode, "method": "Exact"})), &options, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[rstest]
    #[case("Delete", true, Mode::DryRun, Some(Mode::Delete))]
    #[case("RequireApproval", true, Mode::DryRun, Some(Mode::RequireApproval))]
    #[case::it_would_only_tell_anyway("DryRun", true, Mode::DryRun, None)]
    #[case("Delete", false, Mode::Delete, None)]
    fn every_mode_becomes_a_dry_run(
        #[case] mode: &str,
        #[case] force: bool,
        #[case] effective: Mode,
        #[case] forced_from: Option<Mode>,
    ) {
        let policy = policy(mode, force);
        assert_eq!((policy.mode, policy.forced_from), (effective, forced_from));
    }

    #[test]
    fn a_policy_says_whether_the_switch_is_on_and_its_plan_no_longer_waits() {
        let plan = json!({"planHash": "4f2a", "time": "2026-11-22T11:00:00Z", "tags": 3, "repositories": 1});
        let mut status: PolicyStatus = serde_json::from_value(json!({"pendingApproval": plan})).unwrap();
        let (off, on) = (policy("Delete", false), policy("Delete", true));
        assert!(!is_misstated(&status, &off) && is_misstated(&status, &on));
        note(&mut status, &off, 1, Timestamp::UNIX_EPOCH);
        assert!(status.conditions.is_empty() && status.pending_approval.is_some());

        note(&mut status, &on, 1, Timestamp::UNIX_EPOCH);
        let said = conditions::find(&status.conditions, DRY_RUN_FORCED).unwrap();
        assert!(said.message.contains("--force-dry-run") && said.message.contains("Delete"), "{}", said.message);
        assert_eq!(status.pending_approval, None);
        assert!(is_misstated(&status, &off) && !is_misstated(&status, &on));

        note(&mut status, &off, 1, Timestamp::UNIX_EPOCH);
        assert!(status.conditions.is_empty());
    }
}
