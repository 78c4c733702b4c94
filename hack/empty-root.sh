#!/usr/bin/env bash
# Runs a program of this machine's architecture in a folder with nothing else in it, as its image has it: without a C library, a
# shell, time zones or certificates. usage: empty-root.sh PROGRAM
set -euo pipefail

program=$1
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -m 0755 "$program" "$root/program"

inside() { "$@" "$root" /program plan --help; }
if [ "$(id -u)" = 0 ]; then
    said=$(inside chroot)
elif unshare --map-root-user true 2>/dev/null; then
    said=$(inside unshare --map-root-user chroot)
elif sudo --non-interactive true 2>/dev/null; then
    said=$(inside sudo --non-interactive chroot)
else
    echo 'empty root NOT CHECKED: neither root nor a user namespace can be had'
    exit
fi
grep -q '^Usage: ' <<<"$said"
echo "$(basename "$program") runs in an empty root"
