#!/usr/bin/env bash
# Checks that each file has a license (https://reuse.software), with a reuse that Python puts into the cache once.
set -euo pipefail

version=6.2.0

cd "$(dirname "$0")/.."
. hack/python-programs.sh
if ! bin=$(python_programs "reuse==$version"); then
    echo 'licenses of files NOT CHECKED: there is no Python that could install reuse'
    exit
fi
"$bin/reuse" lint --quiet || { "$bin/reuse" lint --lines && exit 1; }
echo 'reuse ok'
