"""Fills in a CI/CD component of GitLab, for hack/pipelines.sh.

    component.py TEMPLATE FOLDER

Writes into the folder what the component declares (spec.yml), what a pipeline gets that gives nothing but what has no
default (job.yml), and the script of the job (script.sh). Fails where an input is used and not declared, or declared and
not used.
"""

import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

USE = re.compile(r"\$\[\[ inputs\.([a-z-]+) \]\]")


def main(template, folder):
    text = Path(template).read_text()
    spec, job = text.split("\n---\n")
    yaml = YAML(typ="safe")
    inputs = yaml.load(spec)["spec"]["inputs"]
    used = set(USE.findall(job))
    if used != set(inputs):
        sys.exit(f"{template}: declared and used are not the same inputs: {sorted(used ^ set(inputs))}")
    for name, about in inputs.items():
        if not about.get("description"):
            sys.exit(f"{template}: the input {name} has no description")
    filled = USE.sub(lambda use: str(inputs[use[1]].get("default", "registry.example.com/tools")), job)
    left = re.search(r"\$\[\[[^]]*\]\]", filled)
    if left:
        sys.exit(f"{template}: nothing fills in {left[0]}")
    (content,) = yaml.load(filled).values()
    # GitLab behaviour: other characters are refused. https://docs.gitlab.com/ci/yaml/#artifactsexpose_as
    if not re.fullmatch(r"[A-Za-z0-9_ -]+", content["artifacts"]["expose_as"]):
        sys.exit(f"{template}: GitLab refuses {content['artifacts']['expose_as']!r} in expose_as")
    folder = Path(folder)
    (folder / "spec.yml").write_text(spec)
    (folder / "job.yml").write_text(filled)
    (folder / "script.sh").write_text("\n".join(content["script"]))


main(*sys.argv[1:])
