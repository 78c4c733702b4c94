#!/usr/bin/env bash
# Checks the Markdown by .markdownlint-cli2.yaml, with the markdownlint-cli2 that hack/markdownlint/package-lock.json pins and npm
# puts into the cache once.
set -euo pipefail

cd "$(dirname "$0")/.."
hash=$(cksum <hack/markdownlint/package-lock.json | cut -d ' ' -f 1)
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/markdownlint-$hash

if ! command -v npm >/dev/null; then
    echo 'Markdown NOT CHECKED: there is no npm that could install markdownlint-cli2'
    exit
fi
if [ ! -e "$folder/installed" ]; then
    mkdir -p "$folder"
    cp hack/markdownlint/package.json hack/markdownlint/package-lock.json "$folder"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --loglevel=error
    touch "$folder/installed"
fi
"$folder/node_modules/.bin/markdownlint-cli2"
echo 'markdownlint ok'
