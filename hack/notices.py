#!/usr/bin/env python3
"""Writes the licenses of what is linked into the operator to stdout: the texts that its crates come with, each once, with the names of
the crates that it is from. usage: notices.py TARGET...

A crate that brings no text is under one of those that its manifest names, whose texts others bring; which is an error where none does.
"""

import collections
import json
import pathlib
import re
import subprocess
import sys

from sbom import PROGRAM, ROOT, tree

# Files whose names begin so hold what has to be passed on.
NAMES = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def folders():
    """Where the source of each crate is."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    return {(it["name"], it["version"]): pathlib.Path(it["manifest_path"]).parent for it in told["packages"]}


def texts(folder):
    files = sorted(path for path in folder.iterdir() if NAMES.match(path.name))
    inner = [path for one in files if one.is_dir() for path in sorted(one.iterdir())]
    for path in [one for one in files if one.is_file()] + [one for one in inner if one.is_file()]:
        yield path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip("\n")


def main():
    licenses = {crate: license for target in sys.argv[1:] for crate, license in tree(target)[0].items()}
    where = folders()
    by_text, bare = collections.OrderedDict(), []
    for crate in sorted(licenses):
        if crate[0] == PROGRAM:
            continue
        found = list(texts(where[crate]))
        if not found:
            bare.append(crate)
        for text in found:
            # Copies differ in white space only more often than not.
            by_text.setdefault(" ".join(text.split()), (text, []))[1].append(crate)

    print(f"What is linked into {PROGRAM}, and its licenses.\n")
    for name, version in sorted(licenses):
        if name != PROGRAM:
            print(f"  {name} {version}: {licenses[name, version].replace('/', ' OR ')}")
    if bare:
        print("\nThese bring no text of their own; that of their license is below.\n")
        for name, version in bare:
            print(f"  {name} {version}")
    for text, crates in by_text.values():
        print("\n" + "-" * 100)
        print(", ".join(f"{name} {version}" for name, version in crates) + "\n")
        print(text)
    known = {word for crate in licenses if crate not in bare for word in re.split(r"[^A-Za-z0-9.-]+", licenses[crate])}
    strange = [crate for crate in bare if not known & set(re.split(r"[^A-Za-z0-9.-]+", licenses[crate])) - {"OR", "AND", "WITH"}]
    if strange:
        sys.exit(f"nobody brings the text of the license of {strange}")


if __name__ == "__main__":
    main()
