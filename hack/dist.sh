#!/usr/bin/env bash
# Builds the program as it is released: static, for each architecture, with cargo-zigbuild, which brings a linker and a C compiler
# for all of them. usage: dist.sh FOLDER [TARGET...]
#
# The bytes depend on the sources, the compiler and the versions below only: paths of this machine are not in them.
set -euo pipefail

zigbuild=0.24.1
zig=0.15.2
cd "$(dirname "$0")/.."
. hack/python-programs.sh
root=$PWD
folder=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
profile=${PROFILE:-dist}

bin=$(python_programs "cargo-zigbuild==$zigbuild" "ziglang==$zig") ||
    { echo 'there is no Python that could install cargo-zigbuild and ziglang' && exit 1; }
export PATH=$bin:$PATH

cargo_home=${CARGO_HOME:-$HOME/.cargo}
artifacts=${CARGO_TARGET_DIR:-$root/target}
# The last that fits wins, so the artifacts come after the sources that they may lie in.
export RUSTFLAGS="--remap-path-prefix=$root=/source --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$artifacts=/artifacts"
export CFLAGS="-ffile-prefix-map=$root=/source -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$artifacts=/artifacts"
mkdir -p "$folder"
for target in "${targets[@]}"; do
    rustup target add "$target"
    cargo zigbuild --locked --profile "$profile" --target "$target" --bin registry-cleanup-operator
    case $target in
    x86_64-*) name=amd64 ;;
    aarch64-*) name=arm64 ;;
    *) name=$target ;;
    esac
    # `dev` is the one profile whose folder is called otherwise.
    built=$artifacts/$target/${profile/#dev/debug}/registry-cleanup-operator
    install -m 0755 "$built" "$folder/registry-cleanup-operator-linux-$name"
    [ "${target%%-*}" != "$(uname -m)" ] || hack/empty-root.sh "$folder/registry-cleanup-operator-linux-$name"
done
