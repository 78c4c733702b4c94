#!/usr/bin/env bash
# Checks the alerts and runs their tests, with the promtool on PATH or, on Debian, the one of its package prometheus, which
# is put into the cache once.
set -euo pipefail

folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/prometheus

cd "$(dirname "$0")/.."
if command -v promtool >/dev/null; then
    promtool=promtool
elif [ -x "$folder/usr/bin/promtool" ] || {
    mkdir -p "$folder" && (cd "$folder" && apt-get download prometheus && dpkg -x prometheus_*.deb . && rm prometheus_*.deb)
} >/dev/null 2>&1; then
    promtool=$folder/usr/bin/promtool
else
    echo 'alerts NOT CHECKED: there is neither promtool nor a Debian that could download it'
    exit
fi
"$promtool" check rules deploy/monitoring/{alerts,slo}.yaml >/dev/null
"$promtool" test rules deploy/monitoring/{alerts,slo}_test.yaml >/dev/null
echo 'promtool ok'
