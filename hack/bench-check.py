#!/usr/bin/env python3
"""Fails where a run of `make bench` asks for more requests, or takes more memory, than docs/benchmarks.md says, by more than a tenth.
usage: bench-check.py DOCUMENT MEASURED

Both have the table of the benchmark `clean`; rows that only the document has were not measured. Requests do not vary from run to
run; memory does by a few percent, and seconds by more, so they are not compared.
"""

import pathlib
import sys

COLUMNS = ("Requests", "RSS MiB")
ROOM = 1.1


def rows(path):
    """The cells of each row, by its shape and method."""
    text = pathlib.Path(path).read_text().split("<!-- clean: begin -->\n")[1].split("<!-- clean: end -->")[0]
    head, _, *lines = ([cell.strip() for cell in line.strip("|\n").split(" | ")] for line in text.strip().splitlines())
    return {(row["Shape"], row["Method"]): row for row in (dict(zip(head, line, strict=True)) for line in lines)}


def number(cell):
    return float(cell.replace(",", "").strip("* "))


def main():
    budget, measured = rows(sys.argv[1]), rows(sys.argv[2])
    above = 0
    for key, row in measured.items():
        if key not in budget:
            sys.exit(f"{sys.argv[1]} has no row for {' '.join(key)}: write it with `make bench WRITE={sys.argv[1]}`")
        for column in COLUMNS:
            before, now = number(budget[key][column]), number(row[column])
            word = "ok" if now <= before * ROOM else "ABOVE"
            above += word != "ok"
            print(f"{' '.join(key):<28} {column:<9} {before:>10,.1f} {now:>10,.1f}  {word}")
    if not measured:
        sys.exit("nothing was measured")
    if above:
        sys.exit(f"{above} of them are more than a tenth above docs/benchmarks.md: mend that, or say there why it is worth it")


main()
