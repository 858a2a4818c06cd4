#!/usr/bin/env python3
"""The chart, as far as it can be held to something without Helm: its values against their schema, the values that templates name, flags against the
programs', permissions against the requests that need them, our CRDs against what the code reads, metrics of the dashboard against those there are,
the Kustomize base against its list. `make test-helm` renders it."""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/fairlead"
wrong = []


def source(*paths):
    return "\n".join(p.read_text() for path in paths for p in sorted(ROOT.glob(path)))


# --- values and their schema: as much of JSON schema as the chart uses ------------------------------------------------------
TYPES = {"string": str, "boolean": bool, "integer": int, "object": dict, "array": list}


def invalid(value, schema, path="values"):
    """What is wrong with a value, as messages."""
    out = []
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        return [f"{path}: {value!r} is no {kind}"]
    if "anyOf" in schema and all(invalid(value, s, path) for s in schema["anyOf"]):
        out.append(f"{path}: {value!r} is none of what it may be")
    if "const" in schema and value != schema["const"]:
        out.append(f"{path}: {value!r} is not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        out.append(f"{path}: {value!r} is none of {schema['enum']}")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            out.append(f"{path}: {value!r} does not match {schema['pattern']}")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 20):
            out.append(f"{path}: {value!r} has a wrong length")
    if isinstance(value, int) and not isinstance(value, bool) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        out.append(f"{path}: {value} is out of range")
    if isinstance(value, list):
        for i, item in enumerate(value):
            out += invalid(item, schema.get("items", {}), f"{path}[{i}]")
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        for key in schema.get("required", []):
            if key not in value:
                out.append(f"{path}.{key}: is required")
        for key, item in value.items():
            if key in properties:
                out += invalid(item, properties[key], f"{path}.{key}")
            elif more is False:
                out.append(f"{path}.{key}: is not known")
            elif isinstance(more, dict):
                out += invalid(item, more, f"{path}.{key}")
        if "if" in schema and not invalid(value, schema["if"], path):
            out += invalid(value, schema.get("then", {}), path)
    return out


VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
wrong += invalid(VALUES, SCHEMA)


def undescribed(schema, path="values"):
    if not schema.get("description") and path != "values":
        yield path
    for key, sub in schema.get("properties", {}).items():
        yield from undescribed(sub, f"{path}.{key}")


def unset(schema, values, path="values"):
    for key, sub in schema.get("properties", {}).items():
        if key not in values:
            if f"{path}.{key}" != "values.global" and not path.endswith("issuerRef"):
                yield f"{path}.{key}"
        elif isinstance(values[key], dict):
            yield from unset(sub, values[key], f"{path}.{key}")


wrong += [f"values.schema.json: {path} has no description" for path in undescribed(SCHEMA)]
wrong += [f"values.yaml: {path} is in the schema and has no default" for path in unset(SCHEMA, VALUES)]


def changed(path, value):
    copy = json.loads(json.dumps(VALUES))
    at = copy
    for key in path.split(".")[:-1]:
        at = at[key]
    at[path.split(".")[-1]] = value
    return copy


for path, value in (("replicas", "two"), ("replica", 2), ("xds.port", 0), ("tls.mode", "plaintext"), ("proxy.enabled", True), ("proxy.gateway", "edge"), ("proxy.ports", [{"name": "HTTP", "port": 80, "protocol": "TCP"}]),
                    ("xds.authorize", ["anybody"]), ("podDisruptionBudget.minAvailable", "half"), ("image.digest", "sha256:12"), ("logLevel", "loud")):
    if not invalid(changed(path, value), SCHEMA):
        wrong.append(f"values.schema.json: takes {path}: {value!r}")

# --- templates name values that there are, and there are none that no template names ----------------------------------------
TEMPLATES = "\n".join(p.read_text() for p in sorted((CHART / "templates").rglob("*")) if p.is_file())
named = set(re.findall(r"\.Values\.([\w.]*\w)", TEMPLATES)) | {"image.digest", "image.repository", "image.tag"}


def leaves(values, path=""):
    for key, value in values.items():
        yield from leaves(value, f"{path}{key}.") if isinstance(value, dict) and value and not key.endswith(("resources", "labels")) else [f"{path}{key}"]


for path in named:
    at = VALUES
    for key in path.split("."):
        if at == {} and path.startswith("tls.issuerRef."):
            break  # free for the user to fill in; the schema says with what
        if not isinstance(at, dict) or key not in at:
            wrong.append(f"templates name .Values.{path}, and values.yaml has no {path}")
            break
        at = at[key]
for path in leaves(VALUES):
    parts = path.split(".")
    if not any(".".join(parts[:n]) in named for n in range(1, len(parts) + 1)):
        wrong.append(f"values.yaml: no template names {path}")

# --- flags ------------------------------------------------------------------------------------------------------------------
control, proxy = source("apps/control/*.cc"), source("dataplane/server/options.cc", "apps/proxy/*.cc")
deployment = (CHART / "templates/deployment.yaml").read_text()
runs_proxy = (CHART / "templates/proxy.yaml").read_text() + (CHART / "templates/tests/connection.yaml").read_text()
for text, program, code in ((deployment, "fairlead-control", control), (runs_proxy, "fairlead-proxy", proxy)):
    flags = set(re.findall(r'(?:- |\[|"|, )(--[a-z-]+)', text)) - {"--server", "--proxy"}
    if len(flags) < 4:
        wrong.append(f"only {len(flags)} flags of {program} found: is this test reading the right files?")
    for flag in sorted(flags):
        if not re.search(rf'"(?:-\w,)?{flag}[",]', code):
            wrong.append(f"the chart gives {program} {flag}, which it does not know")

# --- permissions: no wildcard, none twice; those of objects are held against the code's tables by tests/unit/apps/pipeline/permissions_test.cc ----
rules = {name: yaml.safe_load((CHART / "files" / name).read_text()) for name in ("cluster-rules.yaml", "leader-rules.yaml", "lease-rules.yaml", "managed-rules.yaml", "node-rules.yaml")}
granted = []
for name, listed in rules.items():
    for rule in listed:
        if set(rule) - {"resourceNames"} != {"apiGroups", "resources", "verbs"}:
            wrong.append(f"{name}: {sorted(rule)} in a rule")
        for key, items in rule.items():
            if items != sorted(set(items)):
                wrong.append(f"{name}: {key} {items} are not sorted, or twice there")
        granted += [(g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]]
for permission in granted:
    if any("*" in part for part in permission):
        wrong.append(f"RBAC: {permission} has a wildcard")
    if granted.count(permission) > 1:
        wrong.append(f"RBAC: {permission} is granted twice")
VERBS = {"POST": "create", "PUT": "update", "GET": "get", "PATCH": "patch"}
for group, resource, code, request in (("events.k8s.io", "events", "adapters/kubernetes/event_book.cc", r'Request\{"(\w+)"'), ("coordination.k8s.io", "leases", "adapters/kubernetes/lease.cc", r'\{"(POST|PUT|GET|PATCH)", path')):
    text = source(code)
    asked, given = {VERBS[m] for m in re.findall(request, text)}, {v for g, r, v in granted if (g, r) == (group, resource)}
    if asked != given or f"/apis/{group}/v1" not in text:
        wrong.append(f"RBAC: the code asks for {sorted(asked)} of {resource}, and {sorted(given)} are granted")
if len(re.findall(r"^rules:$", TEMPLATES, re.M)) != 2 or TEMPLATES.count('.Files.Get "files/') != 6:
    wrong.append("templates: rules that are not in files/*-rules.yaml")

# --- every container and pod goes by the helpers that take rights away ---------------------------------------------------------
images, held = TEMPLATES.count('image: {{ include "fairlead.image"'), TEMPLATES.count('securityContext: {{- include "fairlead.containerSecurity"')
if images != held or images != len(re.findall(r"^\s+image:", TEMPLATES, re.M)):
    wrong.append(f"templates: {images} containers, {held} with containerSecurity")
for line in ("runAsNonRoot: true", "seccompProfile: {type: RuntimeDefault}", "allowPrivilegeEscalation: false", "readOnlyRootFilesystem: true", "capabilities: {drop: [ALL]}"):
    if line not in TEMPLATES:
        wrong.append(f"templates: {line} is nowhere")
for line in ("hostNetwork", "hostPID", "hostPath", "privileged: true", "runAsUser: 0"):
    if line in TEMPLATES:
        wrong.append(f"templates: {line}")

# --- our CRDs say what the code reads ------------------------------------------------------------------------------------------
crd = yaml.safe_load((CHART / "crds/envoyresources.fairlead.io.yaml").read_text())
reader = source("adapters/xds/envoy_resources.cc")
version = crd["spec"]["versions"][0]
spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
fields = set(re.findall(r'spec\.\w+\("(\w+)"', reader)), set(re.findall(r'nodes\.\w+\("(\w+)"', reader))
if fields != (set(spec["properties"]), set(spec["properties"]["nodes"]["properties"])):
    wrong.append(f"crds: the fields of EnvoyResources are not those that the code reads: {fields}")
if f'"{version["name"]}"' not in reader or crd["spec"]["names"]["kind"] != "EnvoyResources" or crd["spec"]["group"] not in source("adapters/xds/envoy_resources.h"):
    wrong.append("crds: group, version or kind is not the code's")


def structural(schema, path):
    if not {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string"} & set(schema) and "type" not in schema:
        yield f"{path} has no type"
    if schema.get("type") == "object" and not {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(schema) and path.rpartition(".")[2] != "metadata":
        yield f"{path} is an object without properties"
    if "additionalProperties" in schema and "maxProperties" not in schema:
        yield f"{path} is a map without an end"
    if schema.get("type") == "array" and ("items" not in schema or "maxItems" not in schema):
        yield f"{path} is an array without items, or without an end"  # an end, so that the cost of rules has one
    for key, sub in schema.get("properties", {}).items():
        yield from structural(sub, f"{path}.{key}")
    if "items" in schema:
        yield from structural(schema["items"], f"{path}[]")


wrong += [f"crds: {line}" for line in structural(version["schema"]["openAPIV3Schema"], "EnvoyResources")]
if not crd["spec"]["names"].get("shortNames") or not version.get("additionalPrinterColumns") or "status" not in version.get("subresources", {}) or "example" not in spec or "x-kubernetes-validations" not in spec["properties"]["nodes"]:
    wrong.append("crds: short names, columns, status, an example or rules are missing")

parameters = yaml.safe_load((CHART / "crds/gatewayparameters.fairlead.io.yaml").read_text())
reader = source("adapters/provision/parameters.cc")
version = parameters["spec"]["versions"][0]
top = version["schema"]["openAPIV3Schema"]
wrong += [f"crds: {line}" for line in structural(top, "GatewayParameters")]


def field_names(schema):
    for key, sub in schema.get("properties", {}).items():
        yield key
        yield from field_names(sub)
        yield from field_names(sub.get("items", {}))


free = {"requests", "limits"}  # the API server's to know
read = set(re.findall(r'\("(\w+)"[,)]', re.sub(r'"(?:apiVersion|status|metadata)"', "", reader))) | set(re.findall(r'(?:as_it_is|number_or_percent)\(\w+, "(\w+)"', reader))
if set(field_names(top["properties"]["spec"])) - free != read - {"spec", "Deployment"}:
    wrong.append(f"crds: the fields of GatewayParameters are not those that the code reads: {sorted((set(field_names(top['properties']['spec'])) - free) ^ (read - {'spec', 'Deployment'}))}")
if not parameters["spec"]["names"].get("shortNames") or not version.get("additionalPrinterColumns") or "status" not in version.get("subresources", {}) or "example" not in top["properties"]["spec"] or "x-kubernetes-validations" not in top["properties"]["spec"]:
    wrong.append("crds: of GatewayParameters short names, columns, status, an example or rules are missing")
wrong += invalid(top["properties"]["spec"]["example"], {**top["properties"]["spec"], "additionalProperties": False}, "the example of GatewayParameters")

# --- the rest ------------------------------------------------------------------------------------------------------------------
chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
project = re.search(r"project\(fairlead VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
if chart["appVersion"] != project:
    wrong.append(f"Chart.yaml: appVersion {chart['appVersion']}, and the project is at {project}")
metrics = source("controlplane/serve/metrics.cc", "adapters/kubernetes/*.cc")
dashboard = json.loads((CHART / "files/dashboard.json").read_text())
for panel in dashboard["panels"]:
    for name in re.findall(r"fairlead_control_(\w+?)(?:_bucket)?\b", json.dumps(panel["targets"])):
        stem = re.sub(r"_total$", "", name)
        if f"fairlead_control_{name}" not in metrics and f'"{stem}"' not in metrics:
            wrong.append(f"dashboard: there is no metric fairlead_control_{name}")
for controller in ("fairlead.io/gateway-controller", "fairlead.io/ingress-controller"):
    if controller not in TEMPLATES or f'"{controller}"' not in source("adapters/*/schema.h"):
        wrong.append(f"templates: {controller} is not what the code calls itself")

base = ROOT / "helm/kustomize"
for listing in sorted(base.rglob("kustomization.yaml")):
    listed = yaml.safe_load(listing.read_text())
    for name in listed.get("resources", []) + listed.get("components", []) + [p["path"] for p in listed.get("patches", []) if "path" in p]:
        if not (listing.parent / name).exists():
            wrong.append(f"{listing.relative_to(ROOT)}: there is no {name}")
    for path in listing.parent.glob("*.yaml"):
        if path.name not in ("kustomization.yaml", "values.yaml") and path.name not in json.dumps(listed):
            wrong.append(f"{listing.relative_to(ROOT)}: {path.name} is not listed")
for crd_file in sorted((CHART / "crds").iterdir()):
    if not (base / "base" / crd_file.name).exists() or (base / "base" / crd_file.name).read_text() != crd_file.read_text():
        wrong.append(f"helm/kustomize: its {crd_file.name} is not the chart's")

for line in wrong:
    print(line)
print(f"{len(list(leaves(VALUES)))} values, {len(granted)} permissions, {len(dashboard['panels'])} panels, {len(wrong)} wrong")
sys.exit(1 if wrong else 0)
