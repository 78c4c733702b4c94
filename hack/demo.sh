#!/usr/bin/env bash
# Shows the operator at work on this machine: a real Kubernetes control plane and a GitLab with a believable registry, both
# on 127.0.0.1; a policy with its preview, an image that the cluster uses and that stays, its run and what the registry holds
# afterwards, and a policy that removes tag by tag. Checks what it claims.
#
#   hack/demo.sh          run it; it ends by itself and leaves nothing running
#   KEEP=1 hack/demo.sh   leave everything up to play with
#   VERBOSE=1 …           show every command, also those that only set the stage
#   hack/demo.sh stop     end what KEEP=1 left
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
demo=.demo
logs=$demo/logs
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
release=$CARGO_TARGET_DIR/release

# shellcheck source=hack/demo/lib.sh
. "$root/hack/demo/lib.sh"

main() {
    case ${1:-} in
    '') ;;
    stop) stop && exit ;;
    *) fail "unknown argument: $1" ;;
    esac
    prepare
    build
    first_look
    build_cluster
    start_world
    install_operator
    apply_policy
    preview
    use_one
    clean
    clean_again
    clean_exactly
    finish
}

prepare() {
    need cargo 'install Rust: https://rustup.rs'
    need go 'install Go 1.26: https://go.dev/doc/install (it builds Kubernetes)'
    need cc 'install a C compiler: gcc or clang (it builds the cryptography)'
    # One that was killed a moment ago may still be ending.
    local end=$((SECONDS + 10))
    while any_runs && [ ! -p "$demo/stop" ] && [ "$SECONDS" -lt "$end" ]; do sleep 0.2; done
    if any_runs; then fail 'a demo is up already; make demo-stop ends it'; fi
    rm -rf "$demo"
    mkdir -p "$demo/running" "$demo/bin" "$logs"
    # Everything that is started hangs on this pipe and ends when its last writer is gone.
    mkfifo "$demo/open"
    exec 9<>"$demo/open"
    trap stop_all EXIT
    trap 'interrupted 130' INT
    trap 'interrupted 143' TERM
    trap 'interrupted 129' HUP
}

interrupted() {
    printf '%s\nending everything\n' "$erase"
    exit "$1"
}

need() { command -v "$1" >/dev/null || fail "$1 is missing: $2"; }

build() {
    step 'Build the operator' 'some minutes the first time, then some seconds'
    say "The operator and a simulator of GitLab, with Rust. Logs: $logs/"
    # Only fetched: two builds at a time would make the first wait for both.
    start downloads go -C tests/control-plane/go mod download
    start rust cargo build --release --locked --workspace --bins
    follow rust downloads
    ok "built in $(clock)"
    # Goes on while there is something to see. A set-up with KUBEBUILDER_ASSETS has most of it.
    start go "$release/control-plane" install
}

# What can be seen without a cluster.
first_look() {
    step 'A first look' 'seconds'
    start gitlab "$release/gitlab-simulator" --seed demo --job-delay 1s --tls-directory "$demo" --token-file "$demo/token"
    ready gitlab 30
    gitlab=$(said gitlab url)
    ln -s "$release/registry-cleanup-operator" "$demo/bin/registry-cleanup-operator"
    export PATH=$root/$demo/bin:$PATH
    say 'What would a policy remove? That can be asked before there is a cluster, in a merge request for example.'
    sed "s|https://gitlab.example.com|$gitlab|" hack/demo/releases.yaml >"$demo/releases.yaml"
    run "sed '1,/^  target:/d' $demo/releases.yaml"
    echo
    run "registry-cleanup-operator plan --filename $demo/releases.yaml --token-file $demo/token --ca-file $demo/ca.crt \
    --allowed-gitlab-hosts 127.0.0.1 --save html=$demo/plan.html"
    say "The same as a report for your browser, with every tag that stays: file://$root/$demo/plan.html"
    planned_first=$(in_listing)
    claim "the plan names $(lines "$planned_first") tags" [ -n "$planned_first" ]
}

build_cluster() {
    step 'Build a cluster' 'some minutes the first time, then nothing'
    say 'etcd, the Kubernetes API server, its controller manager and kubectl, with Go.'
    follow go
    ok "built in $(clock)"
}

start_world() {
    step 'A cluster and a GitLab' 'seconds'
    start control-plane "$release/control-plane" up --directory "$demo/control-plane" --kubeconfig "$demo/kubeconfig"
    ready control-plane 90
    ln -s "$(said control-plane kubectl)" "$demo/bin/kubectl"
    export KUBECONFIG=$demo/kubeconfig
    # The settings that somebody has for their own kubectl are left out of it.
    export KUBECACHEDIR=$root/$demo/kubectl-cache KUBERC=off
    snapshot before
    printf 'Kubernetes %s: etcd, API server and controller manager, without nodes: %s\n' \
        "$(kubectl version | sed -n 's/^Server Version: //p')" "$(said control-plane url)"
    printf 'GitLab: a simulator of its registry API, with the two years of the company "shop": %s\n\n' "$gitlab"
    table before
}

install_operator() {
    step 'Install the operator' 'seconds'
    say 'One file holds the CustomResourceDefinition, one the permissions and the Deployment: whoever deletes the second keeps
the policies.'
    run 'kubectl apply --server-side --filename deploy/crds.yaml --filename deploy/operator.yaml'
    run 'kubectl wait --for=condition=Established crd/registrycleanuppolicies.registrycleanup.dev --timeout=30s'
    say 'This control plane has no nodes, so no Pod can start. The operator runs as a process on your machine instead, under the
same ServiceAccount and with nothing but its permissions.'
    detail 'kubectl scale deployment/registry-cleanup-operator --namespace registry-cleanup --replicas=0'
    detail "kubectl create token registry-cleanup-operator --namespace registry-cleanup --duration=8h > $demo/operator.token"
    service_account_kubeconfig
    detail "KUBECONFIG=$demo/operator.kubeconfig kubectl auth whoami --output jsonpath='{.status.userInfo.username}{\"\n\"}'"
    local flags=(--allowed-gitlab-hosts=127.0.0.1 --max-requests-per-second-per-host=100 --listen=127.0.0.1:0)
    # In a Pod it is the namespace of the Pod.
    flags+=(--leader-election-namespace=registry-cleanup)
    # Here everybody may know what others run. Without it, users in other namespaces are counted by kind.
    flags+=(--name-other-namespaces)
    printf '%s$ KUBECONFIG=%s registry-cleanup-operator run %s &%s\n' \
        "$bold" "$demo/operator.kubeconfig" "${flags[*]}" "$plain"
    KUBECONFIG=$demo/operator.kubeconfig start operator "$release/registry-cleanup-operator" run "${flags[@]}"
}

# A copy of the administrator's kubeconfig with the token in place of the certificate.
service_account_kubeconfig() {
    local file=$demo/operator.kubeconfig
    (umask 077 && kubectl config view --raw >"$file")
    kubectl config --kubeconfig "$file" unset users >/dev/null
    kubectl config --kubeconfig "$file" set-credentials user --token="$(cat "$demo/operator.token")" >/dev/null
}

apply_policy() {
    step 'A team commits a policy' 'seconds'
    say 'A namespace with the access token for GitLab and, as this GitLab has a certificate of its own, its authority.'
    run 'kubectl create namespace team-shop'
    run 'kubectl config set-context --current --namespace=team-shop'
    run "kubectl create secret generic gitlab-token --from-file=token=$demo/token"
    run "kubectl create secret generic gitlab-ca --from-file=ca.crt=$demo/ca.crt"
    say 'The policy. It says no mode, and so it is a dry run: it only reports.'
    sed "s|https://gitlab.example.com|$gitlab|" hack/demo/policy.yaml >"$demo/policy.yaml"
    run "cat $demo/policy.yaml"
    echo
    run "kubectl apply --server-side --filename $demo/policy.yaml"
    run 'kubectl wait --for=condition=Ready rcp/shop --timeout=30s'
    run 'kubectl get rcp shop'
    say 'A policy that cannot be meant is refused, and says why: no age and nothing to keep.'
    run 'kubectl patch rcp shop --type=merge --patch '\
"'"'{"spec":{"rules":[{"name":"builds","nameRegexDelete":".*","keepN":0}]}}'"'" 1
    claim 'refused' contains "$output" 'this rule would remove every tag'
}

preview() {
    step 'Preview' 'seconds'
    say 'What would it remove? An annotation asks for a dry run; any new value will do.'
    run 'kubectl annotate rcp/shop registrycleanup.dev/dry-run-requested-at=first'
    handled lastHandledDryRunAt first
    run "kubectl wait --for=jsonpath='{.status.lastRun.completionTime}' rcp/shop --timeout=60s"
    echo
    run 'kubectl get rcp shop --output go-template-file=hack/demo/repositories.gotmpl'
    say 'Samples of one repository, as the status has them.'
    run "kubectl get rcp shop --output jsonpath='{.status.repositories[0].samples}{\"\n\"}'"
    say 'Every single tag has its verdict and reason in the log of the operator. One of each kind:'
    planned=$(planned)
    verdicts
    echo
    claim 'the result is Succeeded' equal "$(field lastRun.result)" Succeeded
    claim "the plan names $(lines "$planned") tags, and the status says the same number" \
        equal "$(lines "$planned")" "$(field lastRun.tags.matched)"
    claim 'nothing was removed, and GitLab was not asked to' untouched before
}

use_one() {
    step 'An image that the cluster uses' 'seconds'
    used=$(printf '%s\n' "$planned" | grep -m 1 '^shop/frontend/web mr-')
    local image
    image=$(registry_of "${used% *}"):${used#* }
    say "One of those tags, ${used#* }, is what another team runs. The operator watches workloads in all namespaces and sees it.
It was told --name-other-namespaces, so it says whose it is; without, it counts users of other namespaces by kind."
    run 'kubectl create namespace shop-preview'
    run "kubectl create deployment web --namespace shop-preview --image=$image"
    run 'kubectl annotate rcp/shop registrycleanup.dev/dry-run-requested-at=second --overwrite'
    handled lastHandledDryRunAt second
    run "kubectl wait --for=jsonpath='{.status.lastRun.completionTime}' rcp/shop --timeout=60s"
    run "kubectl get rcp shop --output jsonpath='{range .status.repositories[?(@.path==\"${used% *}\")]}{.path}: {.message}{\"\n\"}{end}'"
    echo
    claim 'it names the Deployment' contains "$output" "${used#* } by shop-preview/Deployment/web"
    claim 'the status counts one tag in use' equal "$(field lastRun.tags.inUse)" 1
    local without
    without=$(printf '%s\n' "$planned" | grep -vxF "$used")
    planned=$(planned)
    claim "the plan names $(lines "$planned") tags, all those from before but this one" equal "$planned" "$without"
    claim 'nothing was removed, and GitLab was not asked to' untouched before
}

clean() {
    step 'Run' 'half a minute'
    say 'The preview is as wanted: let the policy remove. That edit alone removes nothing; it waits for its schedule...'
    run "kubectl patch rcp shop --type=merge --patch '{\"spec\":{\"mode\":\"Delete\"}}'"
    run 'kubectl wait --for=condition=Ready rcp/shop --timeout=30s'
    claim 'nothing was removed, and GitLab was not asked to' untouched before
    say '... or for somebody who asks for a run now.'
    run 'kubectl annotate rcp/shop registrycleanup.dev/run-requested-at=first'
    handled lastHandledRunAt first
    run "kubectl wait --for=jsonpath='{.status.lastRun.completionTime}' rcp/shop --timeout=300s"
    echo
    run 'kubectl get rcp shop --output wide'
    echo
    run 'kubectl get rcp shop --output go-template-file=hack/demo/repositories.gotmpl'
    say 'And what does the registry itself say? Before and after:'
    snapshot after
    table before after
    cleaned=$(field lastRun.repositories.changed)
    gone=$(comm -23 "$demo/before" "$demo/after")
    echo
    claim "$(lines "$gone") tags are gone from the registry, and they are exactly those of the preview" equal "$gone" "$planned"
    claim 'the status says the same number' equal "$(field lastRun.tags.confirmed)" "$(lines "$gone")"
    claim "GitLab got $cleaned requests for it, one per repository" equal "$(deletions)" "$cleaned"
    claim "${used#* }, which the Deployment uses, is there" grep -qxF "$used" "$demo/after"
    claim "all $(grep -cE "$protected" "$demo/before") releases, main, stable and latest are there" \
        equal "$(grep -E "$protected" "$demo/before")" "$(grep -E "$protected" "$demo/after")"
    claim 'the repository of build caches was not touched' \
        equal "$(grep '^shop/frontend/cache ' "$demo/before")" "$(grep '^shop/frontend/cache ' "$demo/after")"
}

clean_again() {
    step 'Once more, within the hour' 'seconds'
    say 'GitLab takes one bulk deletion per repository and hour. A second run sends none before its time and says when that is.'
    run 'kubectl annotate rcp/shop registrycleanup.dev/run-requested-at=second --overwrite'
    handled lastHandledRunAt second
    run "kubectl wait --for=jsonpath='{.status.lastRun.completionTime}' rcp/shop --timeout=60s"
    echo
    run 'kubectl get rcp shop --output go-template-file=hack/demo/repositories.gotmpl'
    echo
    claim "each of the $cleaned repositories of the first run is Skipped, RateLimited, with a time" \
        equal "$(rate_limited)" "$cleaned"
    claim 'nothing was removed, and GitLab was not asked again' untouched after "$cleaned"
    say 'What the cluster was told meanwhile:'
    run 'kubectl events --for rcp/shop'
    run "kubectl get rcp shop --output jsonpath='{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{\"\n\"}{end}'"
}

clean_exactly() {
    step 'Tag by tag' 'seconds'
    say "GitLab's bulk deletion knows neither groups nor versions. The method Exact removes precisely what the operator planned:"
    policy=releases
    say 'Its policy is that of the first look. What has been removed since was none of its tags.'
    planned=$planned_first
    claim "nothing of its plan of $(lines "$planned") tags was removed yet" untouched after "$cleaned"
    run "kubectl apply --server-side --filename $demo/releases.yaml"
    run 'kubectl wait --for=condition=Ready rcp/releases --timeout=30s'
    say 'There is no hour to wait for.'
    run 'kubectl annotate rcp/releases registrycleanup.dev/run-requested-at=first'
    handled lastHandledRunAt first
    run "kubectl wait --for=jsonpath='{.status.lastRun.completionTime}' rcp/releases --timeout=60s"
    run 'kubectl get rcp releases --output go-template-file=hack/demo/repositories.gotmpl'
    run 'kubectl get rcp'
    snapshot exact
    gone=$(comm -23 "$demo/after" "$demo/exact")
    echo
    claim "$(lines "$gone") tags are gone from the registry, and they are exactly those of the plan" equal "$gone" "$planned"
    claim 'the status says the same number' equal "$(field lastRun.tags.confirmed)" "$(lines "$gone")"
    claim 'of each major version the three highest are left: '"$(releases | tr '\n' ' ')" \
        equal "$(releases)" "$(releases_of after | highest)"
}

finish() {
    step 'What next'
    cat <<TEXT
docs/conditions.md          every condition, reason and event, and what to do about it
docs/in-use.md              what counts as in use, several clusters, and what is not seen
docs/methods.md             Bulk or Exact
docs/plan.md                plans on the command line and in pipelines
deploy/examples/            policies to start from
charts/                     the Helm chart; deploy/ has Kustomize, Flux and Argo CD
kubectl explain rcp.spec    every field
.demo/logs/operator.log     what the operator logged, with the verdict on every tag
TEXT
    if [ "${KEEP:-}" = 1 ]; then
        keep
        return
    fi
    stop_all
    printf '\n%sDone in %s. Nothing is left running.%s\n' "$bold" "$(clock)" "$plain"
}

# Leaves the pipe open in a process that only waits to be told to stop.
keep() {
    mkfifo "$demo/stop"
    set -m
    sh -c 'read -r _ <"$1"' sh "$demo/stop" >/dev/null 2>&1 &
    set +m
    trap - EXIT
    cat <<TEXT

${bold}Everything stays up. In another terminal:$plain
  export KUBECONFIG=$root/$demo/kubeconfig PATH=$root/$demo/bin:\$PATH
  kubectl get rcp
GitLab: $gitlab, with the token in $demo/token and the authority in $demo/ca.crt
${bold}make demo-stop$plain ends it.
TEXT
}

stop() {
    if ! any_runs; then
        echo 'no demo is up'
        return
    fi
    # Opened for both directions, so that nothing waits if nobody reads.
    if [ -p "$demo/stop" ]; then echo stop 1<>"$demo/stop"; fi
    stop_all
    echo 'the demo has ended'
}

# --- What the registry holds, asked of GitLab and not of the operator -------------------------------------------------------

# What the policy or GitLab protects, in lines of a snapshot.
protected=' (v[0-9]+\..*|main|stable|latest)$'

# kubectl is the only HTTPS client that is certain to be here.
ask_gitlab() { kubectl --kubeconfig=/dev/null --token=none --server="$gitlab" --certificate-authority="$demo/ca.crt" get --raw "$1" 9>&-; }

# Writes all tags into a file, sorted, as lines of repository and name.
snapshot() {
    local repository
    for repository in $(ask_gitlab /-/simulator/repositories | grep -o '"path":"[^"]*"' | cut -d '"' -f 4); do
        ask_gitlab "/-/simulator/tags?repository=$repository" | grep -o '"name":"[^"]*"' | cut -d '"' -f 4 | sed "s|^|$repository |"
    done | sort >"$demo/$1"
}

# How many requests to remove something GitLab has had.
deletions() { ask_gitlab /-/simulator/requests | grep -o '"method":"DELETE"' | wc -l | tr -d ' '; }

# Whether the registry is as in a snapshot, after so many requests to remove something.
untouched() {
    snapshot now
    same "$1" now && equal "$(deletions)" "${2:-0}"
}

# What a repository is called in Pods.
registry_of() {
    ask_gitlab /-/simulator/settings | grep -o '"registry_host":"[^"]*"' | cut -d '"' -f 4 | sed "s|$|/$1|"
}

# The releases of the API in a snapshot, in the order of their versions.
releases_of() { sed -n 's|^shop/backend/api \(v[0-9.]*\)$|\1|p' "$demo/$1" | sort -V; }
releases() { releases_of exact; }

# The three highest of each major version.
highest() { sort -rV | awk -F . '++seen[$1] <= 3' | sort -V; }

# A table of one snapshot, or of what changed between two.
table() {
    awk -v first="$demo/$1" '
        function kind(name) {
            if (name ~ /^v[0-9]/) return "releases"
            if (name ~ /^mr-/) return "MR"
            if (name ~ /^nightly-/) return "nightlies"
            if (name ~ /^[0-9a-f]+$/ && length(name) == 40) return "commits"
            return "others"
        }
        function cell(row, column) {
            if (!two) return before[row, column] + 0
            return (before[row, column] + 0) " -> " (after[row, column] + 0)
        }
        function short(row) { sub("^shop/", "", row); return row }
        function line(row,   i) {
            printf "%-29s %10s", short(row), cell(row, "all")
            for (i = 1; i <= 5; i++) printf " %10s", cell(row, kinds[i])
            print ""
        }
        BEGIN { split("releases;MR;commits;nightlies;others", kinds, ";") }
        {
            if (!($1 in seen)) { seen[$1] = 1; rows[++n] = $1 }
            if (FILENAME == first) {
                before[$1, "all"]++; before[$1, kind($2)]++; before["together", "all"]++; before["together", kind($2)]++
            } else {
                two = 1; after[$1, "all"]++; after[$1, kind($2)]++; after["together", "all"]++; after["together", kind($2)]++
            }
        }
        END {
            printf "%-29s %10s", "REPOSITORY", "TAGS"
            for (i = 1; i <= 5; i++) printf " %10s", toupper(kinds[i])
            print ""
            for (i = 1; i <= n; i++) line(rows[i])
            line("together")
        }
    ' "${@/#/$demo/}"
}

# --- What the operator says ------------------------------------------------------------------------------------------------

# The policy that is spoken of.
policy=shop

# Waits until the operator has begun with a request.
handled() {
    runs operator || fail 'the operator has ended' "$logs/operator.log"
    kubectl wait --for=jsonpath="{.status.$1}=$2" "rcp/$policy" --timeout=30s >/dev/null 2>&1 9>&- ||
        fail 'the operator did not take the request up' "$logs/operator.log"
}

field() { kubectl get rcp "$policy" --output "jsonpath={.status.$1}"; }

# What the last preview would remove: repository and tag, sorted.
planned() { audited Remove | cut -d ' ' -f 1,2 | sort; }

# Lines of the audit trail of the last run with this verdict: repository, tag, verdict, reason.
audited() {
    grep '"target":"audit"' "$logs/operator.log" | grep -F "\"run\":\"$(field lastRun.id)\"" |
        grep -F "\"policy\":\"$policy\"" | grep -F "\"verdict\":\"$1\"" |
        sed 's/.*"repository":"\([^"]*\)","tag":"\([^"]*\)".*"verdict":"\([^"]*\)","reason":"\([^"]*\)".*/\1 \2 \3 \4/'
}

# What the plan that was just printed would remove: repository and tag, sorted.
in_listing() {
    printf '%s\n' "$output" |
        awk '/^[^ ].* would be removed/ { sub(":$", "", $1); repository = $1 } /^  / && $2 == "RuleMatches" { print repository, $1 }' |
        sort
}

# One tag of each verdict and reason.
verdicts() {
    { audited Remove; audited Keep; } | awk '!seen[$4]++ { printf "%-24s %-44s %-7s %s\n", $1, $2, $3, $4 }'
}

# How many repositories of the last run were left alone for the hour's sake, with a time.
rate_limited() {
    kubectl get rcp shop --output 'go-template={{range .status.repositories}}{{with .nextEligibleTime}}{{.}} {{end}}{{.reason}}
{{end}}' | grep -c 'Z RateLimited$'
}

# --- Small words -------------------------------------------------------------------------------------------------------------

equal() { [ "$1" = "$2" ]; }
contains() { case $1 in *"$2"*) ;; *) return 1 ;; esac; }
same() { cmp -s "$demo/$1" "$demo/$2"; }
lines() { printf '%s\n' "$1" | grep -c .; }

main "$@"
