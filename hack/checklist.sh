#!/usr/bin/env bash
# Runs the checklists and writes docs/checklist.md; see hack/checklist/run.py.
set -euo pipefail

cd "$(dirname "$0")/.."
if ! python3 -c 'import tomllib' 2>/dev/null; then
    echo 'error: the checklist needs Python 3.11 or later' >&2
    exit 1
fi
cargo build --quiet --locked --workspace
exec python3 hack/checklist/run.py
