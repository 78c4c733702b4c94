#!/usr/bin/env bash
# Cleans the small registries of `make bench` and compares with docs/benchmarks.md. usage: bench-check.sh [SHAPE...]
set -euo pipefail

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '<!-- clean: begin -->\n<!-- clean: end -->\n' >"$work/measured.md"
cargo bench --locked ${PROFILE:+--profile "$PROFILE"} --bench clean -- "${@:-S}" --write="$work/measured.md"
python3 hack/bench-check.py docs/benchmarks.md "$work/measured.md"
