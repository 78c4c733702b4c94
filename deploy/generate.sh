#!/bin/sh
# Writes what is generated below charts/ and deploy/: the chart's copy of the definition, the kustomize base, the two
# manifests for `kubectl apply`, and Argo CD's settings. Needs helm, as the program that $HELM names or on PATH.
set -eu

helm=${HELM:-helm}
root=$(cd "$(dirname "$0")/.." && pwd)
chart=$root/charts/registry-cleanup-operator
deploy=$root/deploy
note='# Generated from charts/registry-cleanup-operator by deploy/generate.sh; `make generate` writes it anew.'

# Helm names itself in two labels and in comments, and puts empty lines between documents, or not, by version. Whoever
# applies a file has no use for either. Runs as a step of its own, not in a pipe, so that an error of helm ends the script.
tidy() {
  sed -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: /d' -e '/^# Source: /d' |
    awk '
      /^$/ { empty++; next }
      $0 != "---" { for (; empty > 0; empty--) print "" }
      { empty = 0; print }
    '
}

render() {
  "$helm" template registry-cleanup-operator "$chart" --namespace registry-cleanup --set crds.keep=false "$@"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$root/crds/registrycleanuppolicies.yaml" "$chart/files/registrycleanuppolicies.yaml"
cp "$chart/files/alerts.yaml" "$chart/files/slo.yaml" "$deploy/monitoring/"

render --show-only templates/crd.yaml > "$work/crd"
render --set crds.install=false > "$work/operator"

{
  echo "$note"
  cat <<'EOF'
# The definition alone, because its deletion deletes every policy: kubectl delete --filename operator.yaml keeps them.
# kubectl apply --server-side --filename crds.yaml
EOF
  tidy < "$work/crd"
} > "$deploy/crds.yaml"

{
  echo "$note"
  cat <<'EOF'
# Needs the definition in crds.yaml.
# kubectl apply --server-side --filename operator.yaml
---
apiVersion: v1
kind: Namespace
metadata:
  labels:
    app.kubernetes.io/instance: registry-cleanup-operator
    app.kubernetes.io/name: registry-cleanup-operator
    pod-security.kubernetes.io/enforce: restricted
  name: registry-cleanup
EOF
  tidy < "$work/operator"
} > "$deploy/operator.yaml"

# Kustomize reads no file outside of its folder.
{
  echo "$note"
  sed -n '/^---$/,$p' "$deploy/operator.yaml"
} > "$deploy/base/operator.yaml"

# What overlays add to the base. An overlay of your own copies it, or takes the chart.
overlay() {
  file=$deploy/overlays/$1
  shift
  render --set crds.install=false "$@" > "$work/overlay"
  {
    echo "$note"
    tidy < "$work/overlay"
  } > "$file"
}
overlay namespaced/roles.yaml --show-only templates/rbac.yaml --set 'watchNamespaces={team-shop}'
overlay locked-network/networkpolicy.yaml --show-only templates/networkpolicy.yaml --set networkPolicy.enabled=true
overlay monitoring/monitoring.yaml --show-only templates/service.yaml --show-only templates/servicemonitor.yaml \
  --show-only templates/prometheusrule.yaml --show-only templates/grafana-dashboard.yaml \
  --set metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.grafanaDashboard.enabled=true

# Argo CD reads scripts from a ConfigMap: each file becomes a block of text, indented.
scripts=$deploy/argocd/resource_customizations/registrycleanup.dev/RegistryCleanupPolicy
block() {
  sed -e "s/^/$1/" -e 's/ *$//' "$2"
}
{
  cat <<'EOF'
# Generated from resource_customizations/ by deploy/generate.sh; `make generate` writes it anew.
# kubectl patch configmap argocd-cm --namespace argocd --patch-file argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
  resource.customizations.health.registrycleanup.dev_RegistryCleanupPolicy: |
EOF
  block '    ' "$scripts/health.lua"
  cat <<'EOF'
  resource.customizations.actions.registrycleanup.dev_RegistryCleanupPolicy: |
    discovery.lua: |
EOF
  block '      ' "$scripts/actions/discovery.lua"
  echo '    definitions:'
  for action in dry-run run suspend resume; do
    echo "    - name: $action"
    echo '      action.lua: |'
    block '        ' "$scripts/actions/$action/action.lua"
  done
} > "$deploy/argocd/argocd-cm.yaml"
