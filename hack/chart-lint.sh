#!/usr/bin/env bash
# What chart-testing's `ct lint` does besides helm's own: yamllint, Chart.yaml by a schema (yamale), and a new version of the chart
# whenever it differs from the last release. Python puts both programs into the cache once.
set -euo pipefail

yamllint=1.38.0
yamale=6.1.0
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/yamllint-$yamllint-yamale-$yamale

cd "$(dirname "$0")/.."
chart=charts/registry-cleanup-operator

last=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
version=$(sed -n 's/^version: //p' "$chart/Chart.yaml")
if [ -n "$last" ] && [ "$version" = "${last#v}" ] && ! git diff --quiet "$last" -- "$chart"; then
    echo "the chart is another one than that of $last and has its version" && exit 1
fi

if [ ! -x "$folder/bin/yamale" ] && ! {
    python3 -m venv "$folder" &&
        "$folder/bin/pip" install --quiet --disable-pip-version-check "yamllint==$yamllint" "yamale==$yamale"
} >/dev/null 2>&1; then
    echo 'chart NOT CHECKED: there is no Python that could install yamllint and yamale'
    exit
fi
"$folder/bin/yamllint" --strict --config-file hack/yamllint.yaml "$chart"/{Chart,values}.yaml "$chart"/{ci,files,tests} \
    deploy .github SECURITY-INSIGHTS.yml artifacthub-repo.yml
"$folder/bin/yamale" --schema hack/chart-schema.yaml "$chart/Chart.yaml" >/dev/null
echo 'chart ok'
