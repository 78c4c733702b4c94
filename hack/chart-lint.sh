#!/usr/bin/env bash
# What chart-testing's `ct lint` does besides helm's own: yamllint, Chart.yaml by a schema (yamale), and a new version of the chart
# whenever it differs from the last release. Python puts both programs into the cache once.
set -euo pipefail

yamllint=1.38.0
yamale=6.1.0

cd "$(dirname "$0")/.."
. hack/python-programs.sh
chart=charts/registry-cleanup-operator

last=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
version=$(sed -n 's/^version: //p' "$chart/Chart.yaml")
if [ -n "$last" ] && [ "$version" = "${last#v}" ] && ! git diff --quiet "$last" -- "$chart"; then
    echo "the chart is another one than that of $last and has its version" && exit 1
fi

if ! bin=$(python_programs "yamllint==$yamllint" "yamale==$yamale"); then
    echo 'chart NOT CHECKED: there is no Python that could install yamllint and yamale'
    exit
fi
"$bin/yamllint" --strict --config-file hack/yamllint.yaml "$chart"/{Chart,values}.yaml "$chart"/{ci,files,tests} \
    deploy .github SECURITY-INSIGHTS.yml artifacthub-repo.yml
"$bin/yamale" --schema hack/chart-schema.yaml "$chart/Chart.yaml" >/dev/null
echo 'chart ok'
