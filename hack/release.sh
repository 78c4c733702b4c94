#!/usr/bin/env bash
# Makes a release, or rehearses one. What is published is in dist/ first.
#
#   hack/release.sh build v0.1.0     programs, SBOM, manifests, chart, krew manifest, checksums; the tag must fit the versions
#   hack/release.sh publish v0.1.0   pushes image and chart to $REGISTRY, signs them as the workflow that runs it, makes the page
#   hack/release.sh --local          both on this machine: a registry on loopback, a key that is thrown away, everything verified;
#                                    --push HOST:PORT takes a registry without TLS that is there already
#
# The rehearsal takes an empty base for the image and TARGETS="x86_64-unknown-linux-musl" PROFILE=dev where time is short.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
dist=$root/dist
chart=charts/registry-cleanup-operator
name='registry-cleanup-operator'
home=https://github.com/registry-cleanup/registry-cleanup-operator

go_tool() { GOWORK=off GOFLAGS=-mod=readonly go -C "$root/hack/$1" tool "$@"; }
cosign() { go_tool cosign "$@"; }
crane() { go_tool crane "$@"; }
helm() { "$(cargo run --quiet --locked --package control-plane -- which helm)" "$@"; }
fail() { echo "release: $1" >&2 && exit 1; }

main() {
    case ${1:-} in
    build) check_versions "${2:?which tag?}" && build ;;
    publish) check_versions "${2:?which tag?}" && publish ;;
    --local)
        [ "${2:-}" != --push ] || REGISTRY=${3:?which registry?}
        rehearse
        ;;
    *) fail 'usage: release.sh build TAG | publish TAG | --local [--push HOST:PORT]' ;;
    esac
}

read_version() {
    version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    [ -n "$version" ] || version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    [ -n "$version" ] || fail 'Cargo.toml has no version'
    section=$version
}

# One version everywhere, and words about it.
check_versions() {
    read_version
    [ "$1" = "v$version" ] || fail "the tag is $1, and Cargo.toml has $version"
    for field in version appVersion; do
        grep -qx "$field: \"\?$version\"\?" "$chart/Chart.yaml" || fail "$field of Chart.yaml is not $version"
    done
    cmp --quiet crds/registrycleanuppolicies.yaml "crds/released/$version.yaml" ||
        fail "crds/released/$version.yaml is not the definition: later versions are held against it"
    hack/release-notes.sh "$version" >/dev/null
}

build() {
    rm -rf "$dist"
    mkdir -p "$dist"
    # shellcheck disable=SC2086 # The targets are words.
    hack/dist.sh "$dist" ${TARGETS:-}
    for program in "$dist/$name"-linux-*; do
        case $program in
        *-amd64) target=x86_64-unknown-linux-musl ;;
        *-arm64) target=aarch64-unknown-linux-musl ;;
        esac
        python3 hack/sbom.py "$target" >"$program.cdx.json"
    done
    python3 hack/notices.py x86_64-unknown-linux-musl aarch64-unknown-linux-musl >"$dist/THIRD-PARTY"
    cp deploy/crds.yaml deploy/operator.yaml deploy/monitoring/alerts.yaml docs/schema/registrycleanuppolicy_v1alpha1.json "$dist"
    helm package "$chart" --destination "$dist" >/dev/null
    archives
    hack/release-notes.sh "$section" >"$dist/release-notes.md"
    sums
    (cd "$dist" && krew >"$name.krew.yaml")
    sums
}

# The program as krew and people without a container take it: with all licenses, and the same bytes each time.
archives() {
    for program in "$dist/$name"-linux-*[0-9]; do
        cp "$program" "$dist/kubectl-rcp"
        cp LICENSE "$dist"
        tar --create --directory "$dist" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner kubectl-rcp LICENSE THIRD-PARTY |
            gzip --no-name >"$program.tar.gz"
        rm "$dist/kubectl-rcp" "$dist/LICENSE"
    done
}

sums() { (cd "$dist" && rm -f SHA256SUMS && sha256sum -- * >SHA256SUMS); }

krew() {
    sed "s/@VERSION@/$version/" "$root/deploy/krew.yaml"
    for architecture in amd64 arm64; do
        archive=$name-linux-$architecture.tar.gz
        [ -e "$archive" ] || continue
        cat <<YAML
    - selector:
        matchLabels:
          os: linux
          arch: $architecture
      uri: $home/releases/download/v$version/$archive
      sha256: $(sha256sum "$archive" | cut -d ' ' -f 1)
      bin: kubectl-rcp
YAML
    done
}

publish() {
    : "${REGISTRY:?where to push}" "${REGISTRY_USER:?}" "${GH_TOKEN:?}"
    (cd "$dist" && sha256sum --check --quiet SHA256SUMS)
    crane auth login "${REGISTRY%%/*}" --username "$REGISTRY_USER" --password-stdin <<<"$GH_TOKEN"
    helm registry login "${REGISTRY%%/*}" --username "$REGISTRY_USER" --password-stdin <<<"$GH_TOKEN"
    push
    # Keyless: the signature names this workflow.
    cosign sign --yes --recursive "$image"
    cosign sign --yes "$chart_image"
    cosign sign-blob --yes --bundle "$dist/SHA256SUMS.bundle" "$dist/SHA256SUMS"
    gh release create "v$version" --verify-tag --title "v$version" --notes-file "$dist/release-notes.md" "$dist"/*
}

# Pushes image and chart; sets `image` and `chart_image` to their names with digests.
push() {
    image=$(hack/image.sh "$dist" "$REGISTRY/$name:$version")
    # shellcheck disable=SC2086 # A flag, or none.
    helm push "$dist/$name-$version.tgz" "oci://$REGISTRY/charts" ${HELM_FLAGS:-} 2>&1
    chart_image=$REGISTRY/charts/$name@$(crane digest "$REGISTRY/charts/$name:$version")
    printf '%s\n%s\n' "$image" "$chart_image" >"$dist/pushed"
}

rehearse() {
    read_version
    section=Unreleased
    build
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    [ -n "${REGISTRY:-}" ] || serve
    export BASE=scratch HELM_FLAGS=--plain-http
    push

    export COSIGN_PASSWORD=
    (cd "$work" && cosign generate-key-pair --output-key-prefix "$work/test")
    provenance >"$work/statement.json"
    cosign signing-config create >"$work/signing.json"
    local sign=(--yes --key "$work/test.key" --signing-config "$work/signing.json")
    cosign sign-blob "${sign[@]}" --bundle "$dist/SHA256SUMS.bundle" "$dist/SHA256SUMS" >/dev/null
    cosign attest-blob "${sign[@]}" --statement "$work/statement.json" --bundle "$dist/provenance.bundle" >/dev/null
    cosign sign "${sign[@]}" --allow-http-registry "$image" >/dev/null
    cosign sign "${sign[@]}" --allow-http-registry "$chart_image" >/dev/null
    cp "$work/test.pub" "$dist"
    verify
}

# A registry on a free port, which ends with this script.
serve() {
    : >"$work/log"
    # By its path, so that the signal in the end reaches it and not the go command.
    "$(GOWORK=off GOFLAGS=-mod=readonly go -C "$root/hack/crane" tool -n crane)" registry serve --address 127.0.0.1:0 --disk "$work" 2>"$work/log" &
    local registry=$! port=
    # shellcheck disable=SC2064 # As it is now.
    trap "kill $registry; rm -rf '$work'" EXIT
    for _ in $(seq 100); do
        port=$(sed -n 's/.*serving on port \([0-9]*\).*/\1/p' "$work/log")
        [ -z "$port" ] || break
        sleep 0.1
    done
    REGISTRY=127.0.0.1:$port
}

# What was built of what, as SLSA says it.
provenance() {
    python3 - "$dist/SHA256SUMS" "$home" "$(git rev-parse HEAD)" <<'PYTHON'
import json, sys

sums, home, revision = sys.argv[1:]
subjects = [line.split() for line in open(sums)]
print(json.dumps({
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": name, "digest": {"sha256": digest}} for digest, name in subjects],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "buildType": f"{home}/blob/main/hack/release.sh",
            "externalParameters": {"revision": revision},
            "resolvedDependencies": [{"uri": f"git+{home}", "digest": {"gitCommit": revision}}],
        },
        "runDetails": {"builder": {"id": f"{home}/blob/main/hack/release.sh@rehearsal"}},
    },
}))
PYTHON
}

verify() {
    local key=(--key "$dist/test.pub" --insecure-ignore-tlog)
    (cd "$dist" && sha256sum --check --quiet SHA256SUMS)
    cosign verify-blob "${key[@]}" --bundle "$dist/SHA256SUMS.bundle" "$dist/SHA256SUMS"
    for program in "$dist/$name"-linux-*[0-9]; do
        cosign verify-blob-attestation "${key[@]}" --bundle "$dist/provenance.bundle" --type slsaprovenance1 "$program"
    done
    # What was changed after it was signed is found.
    echo >>"$dist/SHA256SUMS"
    if cosign verify-blob "${key[@]}" --bundle "$dist/SHA256SUMS.bundle" "$dist/SHA256SUMS" 2>/dev/null; then
        fail 'a signature holds for what was changed'
    fi
    sed -i '$d' "$dist/SHA256SUMS"
    cosign verify "${key[@]}" --allow-http-registry "$image" >/dev/null
    cosign verify "${key[@]}" --allow-http-registry "$chart_image" >/dev/null
    [ "$(crane manifest "$image" | grep -o '"architecture":"[^"]*"' | wc -l)" = "$(find "$dist" -name "$name-linux-*64" | wc -l)" ] ||
        fail 'the image is not for the architectures that were built'
    crane config --platform linux/amd64 "$image" | grep -q '"User":"65532:65532"' || fail 'the image does not run as 65532'
    helm template "$name" "oci://${chart_image}" --plain-http --set "image.digest=${image#*@}" |
        grep -q "image: .*@${image#*@}\$" || fail 'the chart does not name the image'
    echo "released to dist/, pushed to $REGISTRY, signed and verified: $(wc -l <"$dist/SHA256SUMS") files"
}

main "$@"
