#!/usr/bin/env bash
# Puts the image of each architecture together and pushes both under one name, without a daemon: the program and the licenses as one
# layer on the base that deploy/Dockerfile names. Prints the name with the digest. usage: image.sh FOLDER NAME:TAG
#
# FOLDER has registry-cleanup-operator-linux-{amd64,arm64} and THIRD-PARTY. BASE=scratch takes an empty base, for a rehearsal without
# a network.
set -euo pipefail

folder=$(cd "$1" && pwd)
name=$2
cd "$(dirname "$0")/.."
base=${BASE:-$(sed -n 's/^ARG BASE=//p' deploy/Dockerfile)}
version=${name##*:}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

crane() { GOWORK=off GOFLAGS=-mod=readonly go -C hack/crane tool crane "$@"; }

images=()
for architecture in amd64 arm64; do
    program=$folder/registry-cleanup-operator-linux-$architecture
    [ -e "$program" ] || continue
    mkdir -p "$work/$architecture/licenses"
    install -m 0755 "$program" "$work/$architecture/registry-cleanup-operator"
    install -m 0644 LICENSE "$folder/THIRD-PARTY" "$work/$architecture/licenses"
    # Nothing in the layer tells when or by whom it was made.
    tar --create --file "$work/$architecture.tar" --directory "$work/$architecture" --sort=name --mtime=@0 --owner=0 --group=0 \
        --numeric-owner registry-cleanup-operator licenses
    if [ "$base" = scratch ]; then
        from=(--oci-empty-base)
        on=()
    else
        from=(--base "$base")
        on=(--label "org.opencontainers.image.base.name=${base%@*}" --label "org.opencontainers.image.base.digest=${base#*@}")
    fi
    crane append --platform "linux/$architecture" "${from[@]}" --new_layer "$work/$architecture.tar" \
        --new_tag "$name-$architecture" >/dev/null
    image=$(crane mutate "$name-$architecture" --tag "$name-$architecture" --set-platform "linux/$architecture" \
        --user 65532:65532 --entrypoint /registry-cleanup-operator --cmd run --exposed-ports 8080 \
        --label "org.opencontainers.image.title=registry-cleanup-operator" \
        --label "org.opencontainers.image.description=Keeps GitLab container registries clean from inside Kubernetes" \
        --label "org.opencontainers.image.licenses=Apache-2.0" \
        --label "org.opencontainers.image.source=https://github.com/registry-cleanup/registry-cleanup-operator" \
        --label "org.opencontainers.image.version=$version" \
        --label "org.opencontainers.image.revision=$(git rev-parse HEAD)" "${on[@]}")
    images+=(--manifest "$image")
done
crane index append "${images[@]}" --tag "$name"
