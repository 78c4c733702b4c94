#!/usr/bin/env bash
# Prints docs/supported.md, from docs/supported.yaml.
set -euo pipefail

cd "$(dirname "$0")/.."
source=docs/supported.yaml

# The entries below a key as rows of a table: `- {name: "text", …}` becomes `| text | … |`.
rows() {
    awk -v key="$1:" '
        /^[a-z-]+:/ { inside = $1 == key }
        inside && /^- / {
            row = ""
            while (match($0, /"[^"]*"/)) {
                row = row "| " substr($0, RSTART + 1, RLENGTH - 2) " "
                $0 = substr($0, RSTART + RLENGTH)
            }
            print row "|"
        }' "$source"
}

cat <<TEXT
<!-- Generated from docs/supported.yaml by hack/supported.sh; \`make generate\` writes it anew. -->

# Supported versions

"Supported" means that a bug there is mended. Versions that are tested but not named here may work.

## Operator

| Version | Released | Supported | Until |
|---|---|---|---|
$(rows operator)

The latest minor version gets fixes, security fixes first. The one before it is at its end of life on the day of the release. From
1.0 on a minor version will be supported for a year. What an upgrade takes is in [upgrades.md](upgrades.md).

## Kubernetes

| Versions | State | Tests |
|---|---|---|
$(rows kubernetes-notes)

We support what [Kubernetes supports](https://kubernetes.io/releases/), and older versions for as long as nothing stands against it.

## GitLab

| Versions | State | Tests |
|---|---|---|
$(rows gitlab-notes)

With and without the metadata database, of every tier, self-managed, Dedicated and GitLab.com. The tests run against a simulated
GitLab that behaves as each version did; its facts are in
[tests/gitlab-simulator/cases](../tests/gitlab-simulator/cases/README.md). What a version lacks is found out by asking, not
by its number, wherever that is possible.

| From | There is | Without it |
|---|---|---|
| 12.10 | patterns of what to keep | \`Bulk\` skips where anything is kept by pattern or in use; \`Exact\` refuses |
| 13.7 | GraphQL for containers, with removals of 20 tags a request | REST, one request a tag |
| 15.5 | what a token says of itself | its end is not known |
| 16.11, with the metadata database | the last push of a tag | ages by the first push, or by the build |
| 17.0, with the metadata database | tags sorted by push | every tag is read |
| 17.8 | tag protection rules | previews do not know them |
| 18.10, with the metadata database | what is inside of an index | indexes stay while one image in use may be inside |
TEXT
