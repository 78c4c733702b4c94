#!/usr/bin/env python3
"""Runs the rows of v1.toml and v2.toml, prints what holds, and writes docs/checklist.md.

A row holds if each of its `tests` passed and each of its `commands` ended with 0. A test is a name as `cargo test -- --list` tells
it, or the beginning of some (`leadership::`); one that does not exist has not passed. `reason` says why a row does not hold whatever
its tests say; `slow`, that its commands take long and are run with SLOW=1 only; `itself`, that it is about this program.

With ROWS="v1:64 v2:9" only these rows are run, and what docs/checklist.md says of the others stays.

The lists are those of the files; nobody writes a result by hand.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "hack/checklist"
PAGE = ROOT / "docs/checklist.md"
CHART = "charts/registry-cleanup-operator"

GROUPS = [
    (1, "A. Floor and honesty"),
    (6, "B. High availability and scale"),
    (14, "C. Observability"),
    (26, "D. API"),
    (35, "E. Chart and manifests"),
    (48, "F. Supply chain"),
    (58, "G. Documentation and community"),
    (80, "J. Security at run time, tenants, GitOps"),
]


def main():
    lists = {name: tomllib.loads((HERE / f"{name}.toml").read_text())["row"] for name in ("v1", "v2")}
    told = kept(os.environ.get("ROWS", "").split(), lists)
    environment = prepared()
    wanted = [row for name, rows in lists.items() for row in rows if (name, row["number"]) not in told]
    passed, failed = run_tests({test for row in wanted for test in row.get("tests", [])})
    for name, rows in lists.items():
        for row in rows:
            before = told.get((name, row["number"]))
            row["why"] = judge(row, passed, failed, environment, lists) if before is None else before
            print(f"{name} {row['number']:>2}  weight {row['weight']}  {row['why'] or 'holds':<60}  {row['what']}", flush=True)
    PAGE.write_text(page(lists))
    print(score("second list, groups A to G and J", lists["v2"]))
    print(score("first list", lists["v1"]))
    print(f"{points(lists['v1'])} of {total(lists['v1'])}")


def kept(rows, lists):
    """What the page says of the rows that are not to be run, if only some are."""
    if not rows:
        return {}
    chosen = {(name, int(number)) for name, number in (row.split(":") for row in rows)}
    known = {(name, row["number"]) for name, of in lists.items() for row in of}
    if chosen - known:
        sys.exit(f"there is no row {', '.join(f'{name}:{number}' for name, number in sorted(chosen - known))}")
    told = {}
    for name, section in zip(lists, PAGE.read_text().split("\n## Second list\n"), strict=True):
        for number, holds in re.findall(r"^\| (\d+) \| \d \| .* \| (yes|no: .*) \|$", section, re.MULTILINE):
            told[name, int(number)] = "" if holds == "yes" else holds.removeprefix("no: ").replace(r"\|", "|")
    if known - chosen - set(told):
        sys.exit("the page lacks rows: run all of them")
    return {row: why for row, why in told.items() if row not in chosen}


def prepared():
    """What commands may refer to."""
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    helm = quiet("cargo run --quiet --locked --package control-plane -- which helm")
    environment = dict(os.environ)
    environment |= {
        "CRD": "crds/registrycleanuppolicies.yaml",
        "C": CHART,
        "HELM": helm,
        "KUBECTL": quiet("cargo run --quiet --locked --package control-plane -- which kubectl"),
        "M": f"{helm} template x {CHART} -n n",
        "OP": f"{target}/debug/registry-cleanup-operator",
        "PROMTOOL": promtool(),
        "CARGO_TARGET_DIR": target,
        "W": tempfile.mkdtemp(),
    }
    return environment


def quiet(command):
    return subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def promtool():
    """That on PATH, or the one that hack/promtool.sh has put into the cache."""
    quiet("hack/promtool.sh")
    cache = os.environ.get("REGISTRY_CLEANUP_CACHE") or f"{pathlib.Path.home()}/.cache/registry-cleanup-operator"
    cached = pathlib.Path(cache) / "prometheus/usr/bin/promtool"
    return str(cached) if cached.exists() else "promtool"


def run_tests(wanted):
    """Runs what is named, once each: the names of those that passed, and of those that failed."""
    results = {}
    for kind in ("--lib", "--test it"):
        known = tests_of(kind)
        chosen = sorted({name for name in known for test in wanted if matches(name, test)})
        if chosen:
            command = f"cargo test --locked {kind} -- --exact {' '.join(chosen)}"
            text = subprocess.run(command, shell=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
            results |= dict(re.findall(r"^test (\S+) \.\.\. (\w+)", text, re.MULTILINE))
            for name in chosen:
                results.setdefault(name, "not run")
    ok = {name for name, result in results.items() if result == "ok"}
    return ok, set(results) - ok


def tests_of(kind):
    text = quiet(f"cargo test --locked {kind} -- --list")
    return [name for name, what in re.findall(r"^(\S+): (\w+)$", text, re.MULTILINE) if what == "test"]


def matches(name, test):
    """Cases of one test are named below it. A test without modules is meant wherever it is."""
    if test.endswith("::"):
        return name.startswith(test)
    if name == test or name.startswith(f"{test}::"):
        return True
    return "::" not in test and f"::{test}" in name


def judge(row, passed, failed, environment, lists):
    """Why the row does not hold; nothing if it does."""
    if row.get("itself"):
        bare = [str(one["number"]) for one in lists["v1"] if not one.get("tests") and not one.get("commands")]
        return f"rows without a check: {', '.join(bare)}" if bare else ""
    if "reason" in row:
        return row["reason"]
    for test in row.get("tests", []):
        bad = sorted(name for name in failed if matches(name, test))
        if bad:
            return f"failed: {bad[0]}"
        if not any(matches(name, test) for name in passed):
            return f"there is no test {test}"
    if "slow" in row and not os.environ.get("SLOW"):
        return f"not run here: `{row['commands'][0]}` takes {row['slow']}"
    for command in row.get("commands", []):
        if not succeeds(command, environment):
            return f"failed: `{command.split(' ')[0]} …`" if len(command) > 60 else f"failed: `{command}`"
    if not row.get("tests") and not row.get("commands"):
        return "nothing shows it"
    return ""


COMMANDS = {}


def succeeds(command, environment):
    """Runs a command, once however many rows have it."""
    if command not in COMMANDS:
        shell = ["bash", "-c", f"set -o pipefail; {command}"]
        COMMANDS[command] = subprocess.run(shell, cwd=ROOT, env=environment, capture_output=True).returncode == 0
    return COMMANDS[command]


def points(rows):
    return sum(row["weight"] for row in rows if not row["why"])


def total(rows):
    return sum(row["weight"] for row in rows)


def score(name, rows):
    must, others = [row for row in rows if row["weight"] == 3], [row for row in rows if row["weight"] < 3]
    held = sum(not row["why"] for row in must)
    return (
        f"{name}: {points(rows)} of {total(rows)} points; "
        f"{held} of {len(must)} rows of weight 3, {points(others)} of {total(others)} points of the others"
    )


def page(lists):
    text = [
        "<!-- Written by `make checklist`. -->",
        "",
        "# Checklist",
        "",
        "What a good operator does, as two lists of rows with a weight each: 3 must, 2 should, 1 is nice. The first is what the best",
        "operators did; the second what they have in 2026, and what none of them has. `make checklist` runs the tests and commands of",
        "every row, which are in [hack/checklist](../hack/checklist), and writes this page. A row counts if all of it holds.",
        "",
        f"- {score('First list', lists['v1'])}.",
        f"- {score('Second list, groups A to G and J', lists['v2'])}.",
        "",
        "## First list",
        "",
        *table(lists["v1"]),
    ]
    starts = dict(GROUPS)
    for row in lists["v2"]:
        if row["number"] in starts:
            first = row["number"] == 1
            text += ["", *(["## Second list", ""] if first else []), f"### {starts[row['number']]}", ""]
            text += table([one for one in lists["v2"] if group(one) == row["number"]])
    return "\n".join(text) + "\n"


def group(row):
    return max(first for first, _ in GROUPS if first <= row["number"])


def table(rows):
    lines = ["| # | Weight | What | Holds |", "|---:|---:|---|---|"]
    for row in rows:
        what, why = (text.replace("|", r"\|") for text in (row["what"], row["why"]))
        lines.append(f"| {row['number']} | {row['weight']} | {what} | {'no: ' + why if why else 'yes'} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
