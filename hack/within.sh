#!/usr/bin/env bash
# Runs tests for a limited time, such as `hack/within.sh 40m make test`, and names those that had not ended by then.
set -uo pipefail

limit=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

timeout --kill-after=30s "$limit" "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
if [ "$status" = 124 ] || [ "$status" = 137 ]; then
    echo "not over after $limit; these tests had not ended:"
    # What the tests print says of a slow one that it is slow, and of every one how it ended.
    awk '/^test .* has been running for over/ { slow[$2] } /^test .* \.\.\. / { ended[$2] }
        END { for (test in slow) if (!(test in ended)) print "    " test }' "$log" | sort
fi
exit "$status"
