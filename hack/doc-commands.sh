#!/usr/bin/env bash
# Runs the commands of the documentation, block by block, as a reader would: against a real control plane and a simulated GitLab on
# this machine. A block that ends with an error ends this with one.
#
#   hack/doc-commands.sh                     every page below with commands
#   hack/doc-commands.sh docs/incident.md    these pages
#
# What is run are blocks of ```sh. One below a comment `<!-- not run: why -->` is passed over, and so is what no machine without nodes
# can do. The policy that a page says to save as policy.yaml is saved, with the address of the simulated GitLab.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
demo=.doc-commands
logs=$demo/logs
work=$root/$demo/work
programs=${CARGO_TARGET_DIR:-$root/target}/debug
policy_wait=180s

# shellcheck source=hack/demo/lib.sh
. "$root/hack/demo/lib.sh"

pages=(README.md docs/getting-started.md docs/plan.md docs/limits-and-approval.md docs/in-use.md docs/conditions.md
    docs/troubleshooting.md docs/upgrades.md docs/incident.md)

main() {
    if [ "$#" -gt 0 ]; then pages=("$@"); fi
    prepare
    local page ran=0
    for page in "${pages[@]}"; do
        step "$page"
        blocks "$page"
        fresh
        case $page in
        docs/getting-started.md | README.md) ;;
        docs/plan.md | docs/limits-and-approval.md)
            given 'mode: RequireApproval' 'method: Exact'
            asked_to_run '{.status.pendingApproval.planHash}'
            ;;
        docs/incident.md)
            given 'mode: Delete' 'method: Exact'
            asked_to_run '{.status.lastRun.completionTime}'
            ;;
        *) given 'mode: DryRun' 'method: Exact' ;;
        esac
        run_blocks "$page"
    done
    printf '\n%s blocks of %s pages were run, and %s were not.\n' "$ran" "${#pages[@]}" "$passed_over"
    [ "$ran" -gt 0 ] || fail 'nothing was run'
}

prepare() {
    rm -rf "$demo"
    mkdir -p "$demo/running" "$demo/bin" "$logs" "$work"
    # Everything that is started hangs on this pipe and ends when its last writer is gone.
    mkfifo "$demo/open"
    exec 9<>"$demo/open"
    trap stop_all EXIT
    trap 'exit 130' INT TERM HUP
    cargo build --quiet --locked --workspace --bins
    start control-plane "$programs/control-plane" up --directory "$demo/control-plane" --kubeconfig "$demo/kubeconfig"
    start gitlab "$programs/gitlab-simulator" --seed demo --job-delay 1s --tls-directory "$demo" --token-file "$demo/token"
    ready gitlab 30
    ready control-plane 120
    gitlab=$(said gitlab url)
    export KUBECONFIG=$root/$demo/kubeconfig KUBECACHEDIR=$root/$demo/kubectl-cache KUBERC=off
    kubectl_with_a_pod "$(said control-plane kubectl)"
    ln -s "$("$programs/control-plane" which helm)" "$demo/bin/helm"
    command_of_the_operator
    export PATH=$root/$demo/bin:$PATH HELM_CACHE_HOME=$root/$demo/helm HELM_CONFIG_HOME=$root/$demo/helm HELM_DATA_HOME=$root/$demo/helm
    # The cluster of the policies, where a page speaks of several.
    kubectl config set-context policies --cluster="$(kubectl config view --output jsonpath='{.contexts[0].context.cluster}')" \
        --user="$(kubectl config view --output jsonpath='{.contexts[0].context.user}')" >/dev/null
    passed_over=0
}

# The operator's program. The simulated GitLab is on this machine, which has to be allowed, and has an authority of its own.
command_of_the_operator() {
    cat >"$demo/bin/registry-cleanup-operator" <<SCRIPT
#!/bin/sh
[ -z "\${GITLAB_TOKEN:-}" ] || export GITLAB_TOKEN="\$(cat '$root/$demo/token')"
case "\$*" in
plan*' -f '*) set -- "\$@" --ca-file '$root/$demo/ca.crt' --allowed-gitlab-hosts 127.0.0.1 ;;
plan*) set -- "\$@" --allowed-gitlab-hosts 127.0.0.1 ;;
esac
exec '$programs/registry-cleanup-operator' "\$@"
SCRIPT
    chmod +x "$demo/bin/registry-cleanup-operator"
}

# kubectl. A process stands in for the operator's Pod, so its log is that of the process, and what is executed in it is executed here,
# with nothing but its permissions. The authority of the simulated GitLab belongs to this machine and not to a page, so it is there as
# soon as the namespace is.
kubectl_with_a_pod() {
    cat >"$demo/bin/kubectl" <<SCRIPT
#!/bin/sh
case "\$*" in
logs*deployment/registry-cleanup-operator*) exec cat '$root/$logs/operator.log' ;;
exec*deployment/registry-cleanup-operator*' -- /registry-cleanup-operator '*)
    while [ "\$1" != -- ]; do shift; done
    shift 2
    KUBECONFIG='$root/$demo/operator.kubeconfig' exec registry-cleanup-operator "\$@"
    ;;
'create namespace team-shop')
    '$1' "\$@" && '$1' create secret generic gitlab-ca --namespace team-shop --from-file=ca.crt='$root/$demo/ca.crt' >/dev/null
    exit
    ;;
esac
exec '$1' "\$@"
SCRIPT
    chmod +x "$demo/bin/kubectl"
}

# Takes a page apart: $demo/blocks/NN.sh for commands, NN.why beside it where they are not run, NN.yaml for a policy to save.
blocks() {
    rm -rf "$demo/blocks"
    mkdir -p "$demo/blocks"
    awk -v folder="$demo/blocks" '
        function name(end) { return sprintf("%s/%02d.%s", folder, count, end) }
        /^```sh$/ { count++; inside = "sh"; if (why != "") { print why > name("why"); close(name("why")) } why = ""; next }
        /^```yaml$/ && save { count++; inside = "yaml"; save = 0; next }
        /^```/ { inside = inside == "" ? "other" : ""; next }
        inside == "sh" || inside == "yaml" { print > name(inside); next }
        /^<!-- not run: .* -->$/ { why = $0; gsub(/^<!-- not run: | -->$/, "", why); next }
        /Save this as `policy.yaml`/ { save = 1 }
    ' "$1"
}

# A namespace as if nobody had been here.
fresh() {
    if kubectl get crd registrycleanuppolicies.registrycleanup.dev >/dev/null 2>&1; then
        kubectl delete rcp --all --all-namespaces --wait >/dev/null
    fi
    helm uninstall registry-cleanup-operator --namespace registry-cleanup >/dev/null 2>&1 || true
    kubectl delete namespace team-shop registry-cleanup --ignore-not-found --wait >/dev/null
    follow_deployment
    rm -rf "$work"
    mkdir -p "$work"
    ln -s "$root/charts" "$root/crds" "$root/deploy" "$work/"
    cp "$demo/token" "$work/token.txt"
    cp "$demo/ca.crt" "$work/ca.crt"
    policy 'mode: DryRun' 'method: Exact' >"$work/policy.yaml"
}

# The policy that a page takes for granted: that of the first pages, as far as the page changes nothing.
policy() {
    cat <<YAML
apiVersion: registrycleanup.dev/v1alpha1
kind: RegistryCleanupPolicy
metadata: {name: shop, namespace: team-shop}
spec:
  gitlab: {url: $gitlab, secretRef: {name: gitlab-token}, certSecretRef: {name: gitlab-ca}}
  target: {groups: [{path: shop}]}
  rules: [{name: builds, nameRegexDelete: '.*', keepN: 20, olderThan: 30d}]
  schedule: "17 3 * * *"
  $1
  $2
YAML
}

given() {
    helm install registry-cleanup-operator charts/registry-cleanup-operator --namespace registry-cleanup --create-namespace >/dev/null
    kubectl create namespace team-shop >/dev/null
    kubectl create secret generic gitlab-token --namespace team-shop --from-file=token="$demo/token" >/dev/null
    follow_deployment
    policy "$1" "$2" >"$work/policy.yaml"
    kubectl apply --server-side --filename "$work/policy.yaml" >/dev/null
    kubectl wait --for=condition=Ready rcp/shop --namespace team-shop --timeout=$policy_wait >/dev/null
}

asked_to_run() {
    kubectl annotate rcp/shop --namespace team-shop registrycleanup.dev/run-requested-at=first >/dev/null
    kubectl wait --for=jsonpath="$1" rcp/shop --namespace team-shop --timeout=120s >/dev/null
}

# There are no nodes: where the Deployment wants a Pod, a process with the permissions of its ServiceAccount takes its place.
follow_deployment() {
    local wanted
    wanted=$(kubectl get deployment registry-cleanup-operator --namespace registry-cleanup --output jsonpath='{.spec.replicas}' \
        2>/dev/null || echo 0)
    if [ "$wanted" != 0 ] && [ ! -e "$demo/running/operator" ]; then
        kubectl create token registry-cleanup-operator --namespace registry-cleanup --duration=8h >"$demo/operator.token"
        (umask 077 && kubectl config view --raw >"$demo/operator.kubeconfig")
        kubectl config --kubeconfig "$demo/operator.kubeconfig" unset users >/dev/null
        local user
        user=$(kubectl config view --output jsonpath='{.contexts[0].context.user}')
        kubectl config --kubeconfig "$demo/operator.kubeconfig" set-credentials "$user" --token="$(cat "$demo/operator.token")" >/dev/null
        KUBECONFIG=$demo/operator.kubeconfig POD_NAME=registry-cleanup-operator-0 start operator \
            "$programs/registry-cleanup-operator" run --allowed-gitlab-hosts=127.0.0.1 --max-requests-per-second-per-host=100 \
            --listen=127.0.0.1:0 --leader-election-namespace=registry-cleanup
    elif [ "$wanted" = 0 ] && [ -e "$demo/running/operator" ]; then
        kill -TERM -- "-$(cat "$demo/running/operator")" 2>/dev/null || true
        wait "$(cat "$demo/running/operator")" 2>/dev/null || true
        rm -f "$demo/running/operator"
    fi
}

run_blocks() {
    local file why
    for file in "$demo"/blocks/*.yaml "$demo"/blocks/*.sh; do echo "$file"; done | sort >"$demo/order"
    while read -r file <&3; do
        [ -e "$file" ] || continue
        if [ "${file##*.}" = yaml ]; then
            sed -e "s|https://gitlab.example.com|$gitlab|" \
                -e 's|^    secretRef: .*|&\n    certSecretRef: {name: gitlab-ca}|' "$file" >"$work/policy.yaml"
            continue
        fi
        why=$(reason_not_to_run "$file")
        sed "s/^/$dim  /; s/$/$plain/" "$file"
        if [ -n "$why" ]; then
            passed_over=$((passed_over + 1))
            printf '   not run: %s\n' "$why"
            continue
        fi
        if ! (cd "$work" && timeout 300 bash -euo pipefail "$root/$file") >"$demo/output" 2>&1 9>&- 3<&-; then
            cat "$demo/output"
            fail "a block of $1 failed: $file" "$logs/operator.log"
        fi
        tail -n 4 "$demo/output" | cut -c -160
        ran=$((ran + 1))
        follow_deployment
    done 3<"$demo/order"
}

reason_not_to_run() {
    if [ -e "${1%.sh}.why" ]; then
        cat "${1%.sh}.why"
    elif grep -qE 'kubectl (rollout|port-forward)' "$1"; then
        echo 'a control plane without nodes starts no Pod'
    fi
}

main "$@"
