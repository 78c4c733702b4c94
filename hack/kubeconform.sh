#!/usr/bin/env bash
# Checks every manifest by the schemas in tests/schemas and docs/schema, which come from a real API server (hack/schemas.sh):
# what the chart renders of each values file, deploy/, and what Kustomize makes of the overlays. usage: kubeconform.sh [HELM KUBECTL]
set -euo pipefail

cd "$(dirname "$0")/.."
program() { cargo run --quiet --locked --package control-plane -- which "$1"; }
helm=${1:-$(program helm)}
kubectl=${2:-$(program kubectl)}
root=$PWD

conform() {
    GOWORK=off GOFLAGS=-mod=readonly go -C hack/kubeconform tool kubeconform -strict -summary=false \
        -schema-location "$root/tests/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" \
        -schema-location "$root/docs/schema/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" "$@"
}

for values in charts/registry-cleanup-operator/ci/*-values.yaml; do
    "$helm" template registry-cleanup-operator charts/registry-cleanup-operator --namespace registry-cleanup \
        --values "$values" | conform - || { echo "$values is not as Kubernetes has it" && exit 1; }
done
for overlay in deploy/overlays/*/ deploy/guardrails/; do
    "$kubectl" kustomize "$overlay" | conform - || { echo "$overlay is not as Kubernetes has it" && exit 1; }
done
# A kustomization.yaml is for Kustomize alone, as are the patches for Argo CD's settings. Of Flux's Alert and Provider no module has
# the definition.
mapfile -t files < <(find "$root/deploy" -name '*.yaml' -not -name kustomization.yaml -not -path '*/overlays/*' \
    -not -path '*/monitoring/*' -not -name '*_test.yaml' -not -name krew.yaml -not -path '*/flux/alert.yaml')
conform "${files[@]}"
echo 'kubeconform ok'
