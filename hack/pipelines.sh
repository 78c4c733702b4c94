#!/usr/bin/env bash
# Checks what pipelines of others include, and our own, against the schemas of GitLab and GitHub: the component in
# templates/, filled in with its defaults, the action in .github/actions, and the workflows. check-jsonschema, which
# carries the schemas, is put into the cache by Python once.
set -euo pipefail

version=0.39.0

cd "$(dirname "$0")/.."
. hack/python-programs.sh
if ! bin=$(python_programs "check-jsonschema==$version"); then
    echo 'pipelines NOT CHECKED: there is no Python that could install check-jsonschema'
    exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

check() {
    local said
    said=$("$bin/check-jsonschema" --builtin-schema "vendor.$1" "${@:2}" 2>&1) || { echo "$said" && exit 1; }
}

"$bin/python" hack/component.py templates/plan/template.yml "$folder"
check gitlab-ci "$folder"/*.yml
check github-actions .github/actions/*/action.yml
check github-workflows .github/workflows/*.yml
# The schemas of GitLab and GitHub say nothing about a script: each has to be one.
bash -n "$folder/script.sh"
if grep -nE '^ *(- )?uses: ' .github/actions/*/action.yml | grep -vE '@[0-9a-f]{40} # v[0-9.]+$'; then
    echo 'an action is named by a commit, with its version behind it' && exit 1
fi
echo 'pipelines ok'
