#!/usr/bin/env bash
# Writes tests/schemas/: a JSON schema of each kind that a manifest of this repository has, for kubeconform; and the one of
# RegistryCleanupPolicy for editors, docs/schema/. All come from the OpenAPI of a real API server, which has the definitions of
# this repository, of the Prometheus operator, Argo CD, Flux and Cilium.
#
# Needs what the integration tests need, and a Go module proxy. Run it after a change of the definition or of a version below.
set -euo pipefail

cd "$(dirname "$0")/.."
. hack/control-plane.sh
root=$PWD

# Where the definitions of others are: module, version, file. Of each, the newest that does not ask for a newer Go.
foreign='
github.com/argoproj/argo-cd/v3 v3.4.0 manifests/crds/application-crd.yaml
github.com/argoproj/argo-cd/v3 v3.4.0 manifests/crds/applicationset-crd.yaml
github.com/cilium/cilium v1.20.2 pkg/k8s/apis/cilium.io/client/crds/v2/ciliumnetworkpolicies.yaml
github.com/fluxcd/helm-controller v1.4.0 config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml
github.com/fluxcd/kustomize-controller v1.9.0 config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml
github.com/fluxcd/source-controller v1.8.0 config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml
github.com/prometheus-operator/prometheus-operator v0.85.0 example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml
github.com/prometheus-operator/prometheus-operator v0.85.0 example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
github.com/prometheus-operator/prometheus-operator v0.85.0 example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml
'

start_control_plane

"$kubectl" apply --server-side --filename deploy/crds.yaml
while read -r module version file; do
    [ -n "$module" ] || continue
    # Outside of any module: what theirs requires is of no interest here.
    folder=$(cd "$work" && GOWORK=off GOFLAGS='' go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    "$kubectl" apply --server-side --filename "$folder/$file"
done <<<"$foreign"
"$kubectl" wait --for=condition=Established crd --all --timeout=60s
# The API server publishes what it learned a moment later.
for _ in $(seq 60); do
    "$kubectl" get --raw /openapi/v2 >"$work/openapi.json"
    ! grep -q 'com.coreos.monitoring.v1.ServiceMonitor"' "$work/openapi.json" || break
    sleep 1
done
"$kubectl" get crd registrycleanuppolicies.registrycleanup.dev --output json >"$work/definition.json"
python3 hack/schemas.py "$work/openapi.json" "$work/definition.json" "$root"
