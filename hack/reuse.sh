#!/usr/bin/env bash
# Checks that each file has a license (https://reuse.software), with a reuse that Python puts into the cache once.
set -euo pipefail

version=6.2.0
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/reuse-$version

cd "$(dirname "$0")/.."
if [ ! -x "$folder/bin/reuse" ] && ! {
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "reuse==$version"
} >/dev/null 2>&1; then
    echo 'licenses of files NOT CHECKED: there is no Python that could install reuse'
    exit
fi
"$folder/bin/reuse" lint --quiet || { "$folder/bin/reuse" lint --lines && exit 1; }
echo 'reuse ok'
