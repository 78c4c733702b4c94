#!/usr/bin/env bash
# Checks the workflows of GitHub Actions: actionlint (types, expressions, shell), zizmor (security), and that what they run is
# there. zizmor is put into the cache by Python once.
set -euo pipefail

version=1.32.0
folder=${REGISTRY_CLEANUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/registry-cleanup-operator}/zizmor-$version

cd "$(dirname "$0")/.."
root=$PWD
workflows=("$root"/.github/workflows/*.yml)
GOWORK=off GOFLAGS=-mod=readonly go -C hack/actionlint tool actionlint "${workflows[@]}"

for target in $(sed -n 's/.*[ :-] make \([a-z-]*\).*/\1/p' "${workflows[@]}" | sort -u); do
    grep -q "^$target:" Makefile || { echo "a workflow runs make $target, which there is not" && exit 1; }
done
for script in $(grep -oEh '(hack/[a-z-]+\.sh|\.ci/run)' "${workflows[@]}" | sort -u); do
    [ -x "$script" ] || { echo "a workflow runs $script, which there is not" && exit 1; }
done
if grep -nE '^ *(- )?uses: ' "${workflows[@]}" | grep -vE '@[0-9a-f]{40} # v[0-9.]+$'; then
    echo 'an action is named by a commit, with its version behind it' && exit 1
fi

if [ ! -x "$folder/bin/zizmor" ] && ! {
    python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "zizmor==$version"
} >/dev/null 2>&1; then
    echo 'actionlint ok; security of workflows NOT CHECKED: there is no Python that could install zizmor'
    exit
fi
"$folder/bin/zizmor" --quiet --offline --no-progress --persona=pedantic "$root/.github/workflows"
echo 'workflows ok'
