#!/usr/bin/env bash
# Checks the dependencies by deny.toml: versions, licenses, sources, and known vulnerabilities if their list can be had.
# Builds the cargo-deny of the given version once, into the cache.
set -euo pipefail

version=$1
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/cargo-deny-$version
deny=$folder/bin/cargo-deny

if [ ! -x "$deny" ]; then
    echo "building cargo-deny $version (1 to 2 minutes, once)"
    # Quick to build matters more than quick to run.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0 \
        cargo install --quiet --locked --debug --no-track --root "$folder" "cargo-deny@$version"
fi

"$deny" --locked check bans licenses sources
if "$deny" --locked fetch db 2>/dev/null; then
    "$deny" --locked check --disable-fetch advisories
else
    echo 'advisories NOT CHECKED: the advisory database (https://github.com/RustSec/advisory-db) cannot be fetched'
fi
