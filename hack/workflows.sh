#!/usr/bin/env bash
# Checks the workflows of GitHub Actions: actionlint (types, expressions, shell), zizmor (security), and that what they run is
# there. zizmor is put into the cache by Python once.
set -euo pipefail

version=1.32.0

cd "$(dirname "$0")/.."
. hack/python-programs.sh
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

if ! bin=$(python_programs "zizmor==$version"); then
    echo 'actionlint ok; security of workflows NOT CHECKED: there is no Python that could install zizmor'
    exit
fi
"$bin/zizmor" --quiet --offline --no-progress --persona=pedantic "$root/.github/workflows"
echo 'workflows ok'
