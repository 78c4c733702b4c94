#!/usr/bin/env bash
# Fuzzes each target of fuzz/ for so many seconds, on the pinned compiler, from the corpus that is kept there. What is found
# is in fuzz/artifacts. usage: hack/fuzz.sh VERSION SECONDS [TARGET]...
#
# Builds the cargo-fuzz of the given version once, into the cache. Without a sanitizer no nightly compiler is needed: the
# crate has no unsafe code, so what is looked for are panics and what the targets assert.
set -euo pipefail

version=$1
duration=$2
shift 2
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/cargo-fuzz-$version

cd "$(dirname "$0")/.."
if [ ! -x "$folder/bin/cargo-fuzz" ]; then
    echo "building cargo-fuzz $version (1 to 2 minutes, once)"
    # Quick to build matters more than quick to run.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0 \
        cargo install --quiet --locked --debug --no-track --root "$folder" "cargo-fuzz@$version"
fi
if [ $# -eq 0 ]; then
    for target in fuzz/targets/*.rs; do
        set -- "$@" "$(basename "$target" .rs)"
    done
fi
for target in "$@"; do
    echo "fuzzing $target for $duration s"
    # What is new goes to the first folder, so that the corpus of the repository stays small; `cargo fuzz cmin` picks.
    mkdir -p "fuzz/target/corpus/$target"
    PATH="$folder/bin:$PATH" cargo fuzz run --sanitizer none "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$duration" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 -verbosity=0
done
