#!/usr/bin/env bash
# Looks at the report of `plan -o html` in Chromium as people do, and fails on what axe-core finds: hack/axe/look.mjs.
# The plan is that of the demo's policy over the demo's registry. Takes Chromium (CHROMIUM, if it is not
# /usr/bin/chromium) and Node; axe-core and puppeteer-core are pinned by hack/axe/package-lock.json and put into the
# cache by npm once.
#
#   hack/axe.sh            look
#   hack/axe.sh FOLDER     keep the report, screenshots and a print of it there as well
set -euo pipefail

cd "$(dirname "$0")/.."
keep=${1:-}
hash=$(cat hack/axe/package-lock.json hack/axe/look.mjs | cksum | cut -d ' ' -f 1)
tools=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/axe-$hash
programs=${CARGO_TARGET_DIR:-target}/debug

for program in node npm "${CHROMIUM:-/usr/bin/chromium}"; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2 && exit 1; }
done
if [ ! -e "$tools/installed" ]; then
    mkdir -p "$tools"
    cp hack/axe/package.json hack/axe/package-lock.json hack/axe/look.mjs "$tools"
    npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund --loglevel=error
    touch "$tools/installed"
fi
cargo build --quiet --locked --workspace --bins

folder=$(mktemp -d)
gitlab=
finish() {
    if [ -n "$gitlab" ]; then kill "$gitlab" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap finish EXIT
"$programs/gitlab-simulator" --seed demo --tls-directory "$folder" --token-file "$folder/token" \
    >"$folder/ready" 2>"$folder/log" &
gitlab=$!
for _ in $(seq 100); do
    [ -s "$folder/ready" ] && break
    sleep 0.1
done
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$folder/ready")
sed "s|https://gitlab.example.com|$url|" hack/demo/policy.yaml >"$folder/policy.yaml"
"$programs/registry-cleanup-operator" plan --filename "$folder/policy.yaml" --all --token-file "$folder/token" \
    --ca-file "$folder/ca.crt" --allowed-gitlab-hosts 127.0.0.1 --max-requests-per-second-per-host 1000 \
    --output html >"$folder/plan.html"
if [ -n "$keep" ]; then
    mkdir -p "$keep"
    cp "$folder/plan.html" "$keep"
fi
node "$tools/look.mjs" "$folder/plan.html" ${keep:+"$keep"}
