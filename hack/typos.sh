#!/usr/bin/env bash
# Checks spelling everywhere, by .typos.toml, with a typos of the given version that Python puts into the cache once.
set -euo pipefail

version=$1
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/typos-$version

cd "$(dirname "$0")/.."
if [ ! -x "$folder/bin/typos" ] && ! {
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "typos==$version"
} >/dev/null 2>&1; then
    echo 'spelling NOT CHECKED: there is no Python that could install typos'
    exit
fi
"$folder/bin/typos" --hidden
echo 'typos ok'
