#!/usr/bin/env bash
# Judges what the chart renders, as it is by default, with a locked network and with metrics, by kube-score. What is accepted has its
# reason here. usage: kube-score.sh [HELM]
set -euo pipefail

cd "$(dirname "$0")/.."
chart=charts/registry-cleanup-operator
helm=${1:-$(cargo run --quiet --locked --package control-plane -- which helm)}

accepted=(
    # A limit of the CPU makes runs slower and protects nobody: the request is what others are guarded by.
    --ignore-container-cpu-limit
    # The tag of a version is never pushed twice, and whoever wants to be sure sets image.digest. Always would let no Pod start while
    # the registry is away.
    --ignore-test container-image-pull-policy
    # The root is read-only and no volume is written, so all there is are logs, which the kubelet rotates. A limit would evict the
    # operator for them.
    --ignore-test container-ephemeral-storage-request-and-limit
    # topologySpreadConstraints do that, and still let both Pods start where there is one node.
    --ignore-test deployment-has-host-podantiaffinity
    # Recreate, so that no operator from before there were Leases works beside a new one: docs/high-availability.md. The Service is
    # for Prometheus, which loses nothing by it.
    --ignore-test deployment-strategy
)
# Off by default: not every network plug-in enforces it, and GitLab may be at any port.
default=(--ignore-test pod-networkpolicy)

score() {
    GOWORK=off GOFLAGS=-mod=readonly go -C hack/kube-score tool kube-score score --exit-one-on-warning --output-format ci \
        "${accepted[@]}" "$@" - | grep -vE '^\[(OK|SKIPPED)\]' || return "${PIPESTATUS[0]}"
}

render() { "$helm" template registry-cleanup-operator "$chart" --namespace registry-cleanup --set crds.install=false "$@"; }

render | score "${default[@]}"
render --set networkPolicy.enabled=true | score
render --set networkPolicy.enabled=true,metrics.service.enabled=true | score
echo 'kube-score ok'
