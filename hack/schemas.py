#!/usr/bin/env python3
"""Makes JSON schemas of an API server's OpenAPI: usage: schemas.py OPENAPI DEFINITION ROOT

Each kind has a small file that points into one file with all definitions, of which those are left out that nothing points at.
As kubeconform -strict wants it, an object has no other fields than those that are named.
"""

import json
import pathlib
import sys

# Kinds that manifests of this repository have: group, version, kind.
KINDS = [
    ("", "v1", "ConfigMap"),
    ("", "v1", "Namespace"),
    ("", "v1", "Secret"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
    ("apps", "v1", "Deployment"),
    ("argoproj.io", "v1alpha1", "Application"),
    ("argoproj.io", "v1alpha1", "ApplicationSet"),
    ("batch", "v1", "CronJob"),
    ("cilium.io", "v2", "CiliumNetworkPolicy"),
    ("helm.toolkit.fluxcd.io", "v2", "HelmRelease"),
    ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization"),
    ("monitoring.coreos.com", "v1", "PodMonitor"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("source.toolkit.fluxcd.io", "v1", "GitRepository"),
]
PREFIX = "#/definitions/"
# Written as a string or as a number.
EITHER = ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity")


def strict(schema, described):
    """The schema with nothing in it but what a validator or a reader needs."""
    if isinstance(schema, list):
        return [strict(item, described) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {}
    for key, value in schema.items():
        if key == "properties":
            made[key] = {name: strict(part, described) for name, part in value.items()}
        elif key in ("enum", "required", "default"):
            made[key] = value
        elif key.startswith("x-kubernetes-") or (key in ("description", "default") and not described):
            continue
        else:
            made[key] = strict(value, described)
    open_to_all = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if "properties" in schema and not open_to_all:
        made["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("format", None)
        made["type"] = ["string", "integer"]
    if schema.get("format") == "int-or-string":
        made = {"type": ["string", "integer"]}
    return made


def reachable(definitions, names):
    found, ahead = set(), list(names)
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            text = json.dumps(definitions[name])
            ahead.extend(part.split('"')[0] for part in text.split('"' + PREFIX)[1:])
    return found


def write(path, schema):
    path.write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n")


def main():
    openapi, definition, root = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    definitions = json.loads(pathlib.Path(openapi).read_text())["definitions"]
    kinds = {}
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            kinds[kind["group"], kind["version"], kind["kind"]] = name

    folder = root / "tests/schemas"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    kept = reachable(definitions, [kinds[kind] for kind in KINDS])
    # What the operator writes is never in a manifest.
    made = {name: strict(definitions[name], False) for name in kept}
    for name in EITHER:
        if name in made:
            made[name] = {"type": ["string", "number"]}
    # A line for each, so that a change shows what changed without being as long as the API.
    lines = (f"{json.dumps(name)}: {json.dumps(made[name], sort_keys=True)}" for name in sorted(made))
    (folder / "definitions.json").write_text('{"definitions": {\n' + ",\n".join(lines) + "\n}}\n")
    for group, version, kind in KINDS:
        pointer = {"$ref": f"definitions.json{PREFIX}{kinds[group, version, kind]}"}
        name = f"{kind.lower()}-{group.split('.')[0]}-{version}.json" if group else f"{kind.lower()}-{version}.json"
        write(folder / name, pointer)

    schema = json.loads(pathlib.Path(definition).read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    whole = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "RegistryCleanupPolicy registrycleanup.dev/v1alpha1",
        **strict(schema, True),
    }
    whole["properties"] |= {
        "apiVersion": {"const": "registrycleanup.dev/v1alpha1"},
        "kind": {"const": "RegistryCleanupPolicy"},
        "metadata": {"type": "object"},
    }
    whole["required"] = ["apiVersion", "kind", "metadata", "spec"]
    target = root / "docs/schema"
    target.mkdir(parents=True, exist_ok=True)
    write(target / "registrycleanuppolicy_v1alpha1.json", whole)


main()
