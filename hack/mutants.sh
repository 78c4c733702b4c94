#!/usr/bin/env bash
# Changes the files that plan and that choose the next action, one small mutation at a time, and shows which mutations no
# unit test notices (https://mutants.rs). usage: hack/mutants.sh VERSION [ARGUMENTS OF CARGO-MUTANTS]
#
# Builds the cargo-mutants of the given version once, into the cache. The configuration is .cargo/mutants.toml.
set -euo pipefail

version=$1
shift
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/cargo-mutants-$version

cd "$(dirname "$0")/.."
if [ ! -x "$folder/bin/cargo-mutants" ]; then
    echo "building cargo-mutants $version (1 to 2 minutes, once)"
    # Quick to build matters more than quick to run.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0 \
        cargo install --quiet --locked --debug --no-track --root "$folder" "cargo-mutants@$version"
fi
# A mutation costs a build, so debug information is left out, and so is all that does not decide.
REGISTRY_CLEANUP_CORE_ONLY=1 CARGO_PROFILE_DEV_DEBUG=0 PATH="$folder/bin:$PATH" cargo mutants --output target "$@"
