#!/usr/bin/env bash
# Builds what is committed twice, in two folders with two homes of artifacts, and compares the programs byte by byte.
# usage: reproducible.sh [TARGET] (PROFILE=release for a quicker build)
set -euo pipefail

cd "$(dirname "$0")/.."
target=${1:-x86_64-unknown-linux-musl}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for name in one another-folder; do
    mkdir -p "$work/$name/source"
    git archive HEAD | tar -x -C "$work/$name/source"
    CARGO_TARGET_DIR=$work/$name/artifacts "$work/$name/source/hack/dist.sh" "$work/$name/dist" "$target"
    # Room for the second build.
    rm -rf "$work/$name/artifacts"
done
(cd "$work/one/dist" && sha256sum -- *) | tee "$work/sums"
(cd "$work/another-folder/dist" && sha256sum --check --quiet "$work/sums") || {
    echo 'two builds of the same sources differ' && exit 1
}
echo 'two builds of the same sources are the same'
