#!/usr/bin/env bash
# Builds the program of the version before and lets it loose on a definition and on statuses of a later one: it has to keep the hour,
# and to remove nothing for what it does not know. REVISION=1a2b3c4 for another one than that of the last published chart.
set -euo pipefail

cd "$(dirname "$0")/.."
revision=${REVISION:-$(git log --diff-filter=A --format=%H -1 -- charts/released)}
[ -n "$revision" ] || { echo 'error: the history does not say which version was before: this needs a whole clone' >&2 && exit 1; }
work=$(mktemp -d)
trap 'git worktree remove --force "$work/source"; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/source" "$revision"
target=${CARGO_TARGET_DIR:-$PWD/target}/older
CARGO_TARGET_DIR=$target cargo build --quiet --locked --manifest-path "$work/source/Cargo.toml"
export OLDER_PROGRAM=$target/debug/registry-cleanup-operator
"$OLDER_PROGRAM" --version
cargo test --locked --test it -- newer:: | tee "$work/log"
# A name that no test has is passed over in silence.
grep -q '^running 1 test$' "$work/log" || { echo 'the test is not there any more' && exit 1; }
