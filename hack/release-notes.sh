#!/usr/bin/env bash
# Prints what CHANGELOG.md says of a version, for the page of its release. usage: release-notes.sh VERSION (or Unreleased)
set -euo pipefail

cd "$(dirname "$0")/.."
notes=$(awk -v wanted="[$1]" '
    /^## / { found = index($0, "## " wanted) == 1; next }
    /^\[.*\]: / { next }
    found { print }
' CHANGELOG.md | sed -e '/./,$!d')
[ -n "$notes" ] || { echo "CHANGELOG.md has nothing under [$1]" >&2 && exit 1; }
printf '%s\n' "$notes"
