#!/usr/bin/env bash
# Times how long a real API server takes for the largest policy that the bounds allow: less than 200 ms, in the middle of nine tries.
# The test acceptance::the_largest_policy_that_the_bounds_allow_is_taken writes it. usage: largest.sh [KUBECTL]
set -euo pipefail

cd "$(dirname "$0")/.."
. hack/control-plane.sh
policy=${CARGO_TARGET_DIR:-target}/tmp/largest.json
[ -e "$policy" ] || cargo test --quiet --locked --test it -- the_largest_policy_that_the_bounds_allow_is_taken >/dev/null
kubectl=${1:-}
start_control_plane
"$kubectl" apply --server-side --filename deploy/crds.yaml >/dev/null
"$kubectl" wait --for=condition=Established crd --all --timeout=60s >/dev/null

for _ in $(seq 9); do
    "$kubectl" create --dry-run=server --validate=false --filename "$policy" --v=6 2>&1 |
        sed -nE 's/.*(POST|verb="POST").*registrycleanuppolicies.*[ =]([0-9]+)( milliseconds)?$/\2/p'
done >"$work/times"
[ "$(wc -l <"$work/times")" = 9 ] || { echo 'the API server was not asked nine times' && exit 1; }
middle=$(sort -n "$work/times" | sed -n 5p)
echo "the largest policy, $(wc -c <"$policy") bytes, is taken within $middle ms"
[ "$middle" -lt 200 ]
