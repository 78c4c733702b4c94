#!/usr/bin/env bash
# Runs the tests that show whether the operator works on a Kubernetes at all: on the oldest that is supported, or on the one that
# KUBERNETES names. Everything else runs on the newest.
set -euo pipefail

cd "$(dirname "$0")/.."
export KUBERNETES=${KUBERNETES:-1.30.14}

# The definition, admission, both methods, images in use, approvals, requests, rights, chart, manifests, guard rails.
smoke=(
    acceptance::the_installed_definition_is_the_generated_one_and_the_server_finds_no_fault_with_it
    acceptance::the_largest_policy_that_the_bounds_allow_is_taken
    admission::every_rule_of_the_definition_has_a_sample_that_it_refuses
    approval::a_run_proposes_and_an_approval_removes_exactly_that
    exact::exactly_the_planned_tags_go_and_the_preview_names_them
    forced_dry_run::nothing_is_removed_while_dry_runs_are_forced_and_the_policy_says_why::case_1_bulk
    in_use::late::a_deployment_created_while_others_go_saves_its_image_unless_its_own_request_is_on_its_way
    in_use::kinds::a_custom_workload_counts
    in_use::unknown::a_permission_that_is_taken_away_stops_everything
    install::guardrails::each_guard_rail_refuses_its_sample_and_all_let_the_good_one_through
    install::lifecycle::an_uninstall_leaves_the_definition_and_the_policies_and_nothing_hangs
    install::lifecycle::an_upgrade_brings_the_new_definition_and_keeps_the_policies
    install::lifecycle::the_api_server_takes_every_overlay_and_the_namespaced_one_has_rights_in_its_namespace_only
    install::lifecycle::whoever_deletes_the_manifest_of_the_operator_keeps_the_policies
    install::rights::a_namespace_that_enforces_pod_security_restricted_takes_the_pod
)

echo "Kubernetes $KUBERNETES, ${#smoke[@]} tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --locked --test it -- --exact "${smoke[@]}" | tee "$log"
# A name that no test has is passed over in silence.
grep -q "^running ${#smoke[@]} tests" "$log" || { echo 'some of the tests above are not there any more' && exit 1; }
