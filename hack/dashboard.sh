#!/usr/bin/env bash
# Scrapes a run of the operator with a real Prometheus (that of Debian's package, as promtool.sh has it), looks whether both formats
# are taken, puts every question of the dashboard to it, and draws the answers: docs/dashboard.svg.
#
# Builds what `make demo` builds; PROGRAMS=target/debug takes programs that are there.
set -euo pipefail

cd "$(dirname "$0")/.."
hack/promtool.sh >/dev/null
tools=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/prometheus/usr/bin
[ -x "$tools/prometheus" ] || { echo 'there is no Debian that could download Prometheus' && exit 1; }
programs=${PROGRAMS:-}
if [ -z "$programs" ]; then
    cargo build --quiet --release --locked --workspace --bins
    programs=${CARGO_TARGET_DIR:-target}/release
fi
work=$(mktemp -d)
running=()
cleanup() {
    for process in "${running[@]}"; do kill "$process" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap cleanup EXIT

start() {
    local name=$1
    shift
    "$@" >"$work/$name.out" 2>"$work/$name.log" &
    running+=($!)
}
# Waits until a file has a line.
ready() {
    for _ in $(seq 600); do
        ! grep -q "$2" "$work/$1" 2>/dev/null || return 0
        sleep 0.2
    done
    tail "$work/$1" && return 1
}
said() { sed -n "s/.*\"$2\":\"\([^\"]*\)\".*/\1/p" "$work/$1.out"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

world() {
    start control-plane "$programs/control-plane" up --directory "$work/control-plane" --kubeconfig "$work/kubeconfig"
    start gitlab "$programs/gitlab-simulator" --seed demo --job-delay 1s --tls-directory "$work" --token-file "$work/token"
    ready control-plane.out url
    ready gitlab.out url
    kubectl=$(said control-plane kubectl)
    gitlab=$(said gitlab url)
    export KUBECONFIG=$work/kubeconfig
    "$kubectl" apply --server-side --filename deploy/crds.yaml --filename deploy/operator.yaml
    "$kubectl" wait --for=condition=Established crd/registrycleanuppolicies.registrycleanup.dev --timeout=60s
    "$kubectl" config view --raw >"$work/operator.kubeconfig"
    "$kubectl" config --kubeconfig "$work/operator.kubeconfig" unset users
    "$kubectl" config --kubeconfig "$work/operator.kubeconfig" set-credentials user \
        --token="$("$kubectl" create token registry-cleanup-operator --namespace registry-cleanup)"
    port=$(free_port)
    KUBECONFIG=$work/operator.kubeconfig start operator "$programs/registry-cleanup-operator" run "--listen=127.0.0.1:$port" \
        --allowed-gitlab-hosts=127.0.0.1 --leader-election-namespace=registry-cleanup --max-requests-per-second-per-host=50
}

# namespace name token spec: a policy of its own kind.
policy() {
    "$kubectl" create namespace "$1" 2>/dev/null || true
    "$kubectl" create secret generic "$2-token" --namespace "$1" --from-literal=token="$3"
    "$kubectl" create secret generic "$2-ca" --namespace "$1" --from-file="ca.crt=$work/ca.crt"
    "$kubectl" apply --server-side --namespace "$1" --filename - <<YAML
apiVersion: registrycleanup.dev/v1alpha1
kind: RegistryCleanupPolicy
metadata:
  name: $2
spec:
  gitlab:
    url: $gitlab
    secretRef: {name: $2-token}
    certSecretRef: {name: $2-ca}
  schedule: 17 3 * * *
$4
YAML
}

policies() {
    local token
    token=$(cat "$work/token")
    policy team-shop builds "$token" '  target: {groups: [{path: shop}], repositories: {exclude: [.*/cache]}}
  rules: [{name: builds, nameRegexDelete: mr-.*, keepN: 20, olderThan: 3d}]
  mode: Delete'
    policy team-shop releases "$token" '  target: {projects: [shop/backend]}
  method: Exact
  rules: [{name: releases, nameRegexDelete: "v[0-9].*", groupBy: "v([0-9]+)[.].*", sortBy: SemVer, keepN: 3}]
  mode: Delete'
    policy team-web frontend "$token" '  target: {projects: [shop/frontend]}
  method: Exact
  rules: [{name: old, nameRegexDelete: .*, nameRegexKeep: "v[0-9].*|main|stable", olderThan: 1month}]
  mode: RequireApproval'
    policy team-web preview "$token" '  target: {groups: [{path: shop}]}
  rules: [{name: old, nameRegexDelete: .*, olderThan: 1y}]
  mode: DryRun'
    policy team-data expired glpat-not-a-token '  target: {projects: [shop/backend]}
  rules: [{name: old, nameRegexDelete: .*, olderThan: 1y}]
  mode: Delete'
    "$kubectl" wait --for=condition=Ready --timeout=60s --namespace team-shop rcp/builds rcp/releases
    "$kubectl" wait --for=condition=Ready --timeout=60s --namespace team-web rcp/frontend rcp/preview
    "$kubectl" wait --for=condition=Ready=False --timeout=60s --namespace team-data rcp/expired
}

scrape() {
    prometheus=$(free_port)
    cat >"$work/prometheus.yml" <<YAML
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: registry-cleanup-operator
    static_configs: [{targets: ["127.0.0.1:$port"]}]
YAML
    start prometheus "$tools/prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" \
        --web.listen-address="127.0.0.1:$prometheus" --enable-feature=exemplar-storage
    ready prometheus.log 'Server is ready'
}

# Each policy runs, one after the other, so that graphs have something to show.
runs() {
    local round policy namespace name
    for round in one two three; do
        for policy in team-shop/builds team-shop/releases team-web/frontend team-web/preview; do
            namespace=${policy%/*} name=${policy#*/}
            "$kubectl" annotate --overwrite --namespace "$namespace" "rcp/$name" "registrycleanup.dev/run-requested-at=$round"
            "$kubectl" wait --for=jsonpath="{.status.lastHandledRunAt}=$round" --timeout=60s --namespace "$namespace" "rcp/$name"
            "$kubectl" wait --for=jsonpath='{.status.lastRun.completionTime}' --timeout=120s --namespace "$namespace" "rcp/$name"
            sleep 5
        done
    done
}

world >/dev/null
scrape
policies >/dev/null
runs >/dev/null
curl --fail --silent "http://127.0.0.1:$port/metrics" | "$tools/promtool" check metrics
python3 hack/dashboard.py "http://127.0.0.1:$prometheus" charts/registry-cleanup-operator/files/dashboard.json docs/dashboard.svg
