#!/usr/bin/env bash
# Runs the tests of the chart (https://github.com/helm-unittest/helm-unittest) and sees to it that each template has some.
set -euo pipefail

cd "$(dirname "$0")/.."
chart=$PWD/charts/registry-cleanup-operator
for template in "$chart"/templates/*.yaml; do
    suite=$chart/tests/$(basename "$template" .yaml)_test.yaml
    [ -e "$suite" ] || { echo "${template#"$PWD"/} has no tests: write ${suite#"$PWD"/}" && exit 1; }
done
report=$(GOWORK=off GOFLAGS=-mod=readonly go -C hack/helm-unittest tool helm-unittest --strict "$chart" 2>&1) ||
    { echo "$report" && exit 1; }
echo 'helm-unittest ok'
