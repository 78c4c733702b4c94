#!/usr/bin/env bash
# Upgrades from each chart in charts/released and goes back, with Helm 3; `make test` does it with Helm 4.
set -euo pipefail

cd "$(dirname "$0")/.."
HELM=$(GOWORK=off GOFLAGS=-mod=readonly go -C hack/helm3 tool -n helm)
export HELM
"$HELM" version --short
name=install::upgrades::an_upgrade_from_each_published_chart_keeps_policies_account_and_selector_and_can_be_rolled_back
cargo test --locked --test it -- --exact "$name" | tee /dev/stderr | grep -q '^test result: ok. 1 passed' || {
    echo 'the test did not pass' && exit 1
}
