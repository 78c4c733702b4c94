#!/usr/bin/env bash
# Checks spelling everywhere, by .typos.toml, with a typos of the given version that Python puts into the cache once.
set -euo pipefail

version=$1

cd "$(dirname "$0")/.."
. hack/python-programs.sh
if ! bin=$(python_programs "typos==$version"); then
    echo 'spelling NOT CHECKED: there is no Python that could install typos'
    exit
fi
"$bin/typos" --hidden
echo 'typos ok'
