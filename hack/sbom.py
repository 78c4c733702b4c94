#!/usr/bin/env python3
"""Writes the SBOM of the operator (CycloneDX 1.6, JSON) to stdout, by what cargo knows. usage: sbom.py TARGET

It names the crates that are linked into the program for that target, with their licenses and the checksums of Cargo.lock. The
same sources give the same bytes: no time, no random serial number.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = "registry-cleanup-operator"


def tree(target):
    """The crates that are linked into the program, as (name, version) with their license, and what each links.

    cargo tree resolves features for this program alone, as a build of it does; those of tests are not in it.
    """
    command = [
        *("cargo", "tree", "--locked", "--package", PROGRAM, "--target", target),
        *("--edges", "normal,no-proc-macro", "--no-dedupe", "--prefix", "depth", "--format", ":{p}:{l}"),
    ]
    licenses, links, above = {}, {}, []
    for line in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        depth, package, license = line.split(":", 2)
        name, version = package.split()[:2]
        crate = (name, version.removeprefix("v"))
        licenses[crate] = license
        links.setdefault(crate, set())
        del above[int(depth) :]
        if above:
            links[above[-1]].add(crate)
        above.append(crate)
    return licenses, links


def reference(crate):
    name, version = crate
    return f"pkg:cargo/{name}@{version}"


def main():
    target = sys.argv[1]
    licenses, links = tree(target)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(it["name"], it["version"]): it.get("checksum") for it in lock["package"]}
    root = next(crate for crate in links if crate[0] == PROGRAM)

    def component(crate):
        name, version = crate
        purl = reference(crate)
        made = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        if license := licenses[crate]:
            made["licenses"] = [{"expression": license.replace("/", " OR ")}]
        if checksum := checksums[crate]:
            made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
        return made

    order = sorted(links)
    body = {
        "metadata": {
            "component": {**component(root), "type": "application"},
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": [component(crate) for crate in order if crate != root],
        "dependencies": [
            {"ref": reference(crate), "dependsOn": [reference(on) for on in sorted(links[crate])]} for crate in order
        ],
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
        "version": 1,
        **body,
    }
    json.dump(bom, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
