"""The stock istioctl reads fairlead-control with Envoy and fairlead-proxy connected: `proxy-status` as table, with all types, as JSON and by namespace;
`proxy-status POD` beside the dump of either proxy, before and after a change; `internal-debug`; in clear and over TLS with a client's certificate."""
import json
import pathlib
import shutil
import subprocess
import sys

from lab import EDGE_LISTENER, await_true, free_port, get, istioctl, require

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tls import authority, certificate  # noqa: E402

SOURCE = """apiVersion: fairlead.io/v1alpha1
kind: EnvoyResources
metadata: {{name: {name}}}
spec:
  nodes: {{clusters: [{name}]}}
  resources:
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: app
    connect_timeout: {timeout}
    load_assignment:
      cluster_name: app
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 9}}}}}}}}]}}]
  - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: zoo
    type: EDS
    eds_cluster_config: {{eds_config: {{ads: {{}}, resource_api_version: V3}}}}
  - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
    cluster_name: zoo
    endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 9}}}}}}}}]}}]
""" + EDGE_LISTENER + """  - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
    name: edge
    virtual_hosts:
    - {{name: z, domains: [z.test], routes: [{{match: {{prefix: /}}, route: {{cluster: zoo}}}}]}}
    - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, direct_response: {{status: 200}}}}]}}
"""
TYPE = "type.googleapis.com/envoy.config.{}"
NOWHERE = """apiVersion: v1
kind: Config
clusters: [{{name: nowhere, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: nowhere, context: {{cluster: nowhere, user: nobody}}}}]
current-context: nowhere
users: [{{name: nobody, user: {{}}}}]
"""


def run(lab):
    program = istioctl()
    # istioctl makes a client of a Kubernetes API server whatever it is asked, and with --revision given does not talk to it
    kubeconfig = lab.write("kubeconfig", NOWHERE.format(port=free_port()))

    def ask(xds, *words, plain=("--plaintext",)):
        done = subprocess.run([program, "--kubeconfig", kubeconfig, *words, "--revision", "default", "--xds-address", xds, *plain], capture_output=True, text=True, timeout=60)
        require(done.returncode == 0, f"istioctl {' '.join(map(str, words))} failed: {done.stdout}\n{done.stderr}")
        return done.stdout

    ports = {name: free_port() for name in ("envoy", "fairlead")}
    for name, port in ports.items():
        lab.write(f"source/{name}.yaml", SOURCE.format(name=name, port=port, timeout="1s"))
    _, xds, admin = lab.control(lab.dir / "source")
    admins = {name: f"127.0.0.1:{free_port()}" for name in ports}
    lab.proxy("envoy", lab.bootstrap("envoy", "envoy", xds, admins["envoy"], "--id", "envoy-1"), admins["envoy"])
    lab.proxy("proxy", lab.bootstrap("proxy", "fairlead", xds, admins["fairlead"], "--id", "fairlead-1"), admins["fairlead"])
    for name, port in ports.items():
        await_true(f"{name} serves", lambda: get(f"127.0.0.1:{port}", "/").status == 200)

    def rows(*words):
        lines = [line.split() for line in ask(xds, "proxy-status", *words).splitlines()]
        return lines[0], {line[0]: line[1:] for line in lines[1:]}

    head, table = rows()
    require(head == ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED", "TYPES"], f"head: {head}")
    require(set(table) == {"envoy-1", "fairlead-1"}, f"who is there, and who asks is not: {table}")
    require(table["envoy-1"][0] == "envoy" and table["envoy-1"][1].startswith("fairlead-control") and table["envoy-1"][2] == "envoy/1.40.0", f"Envoy: {table}")
    require(table["fairlead-1"][0] == "fairlead" and table["fairlead-1"][2].startswith("fairlead-proxy/"), f"fairlead-proxy: {table}")
    for row in table.values():
        require(row[3:] == ["4", "(CDS,LDS,EDS,RDS)"], f"types: {row}")

    def synced():
        head, table = rows("-v", "1")
        require(set(head) == {"NAME", "CLUSTER", "CDS", "LDS", "EDS", "RDS", "ECDS", "ISTIOD", "VERSION"}, f"columns: {head}")
        return all(" ".join(row).count("SYNCED (") == 4 and "IGNORED" in row for row in table.values())
    await_true("every type is in sync", synced)
    _, table = rows("-n", "elsewhere")
    require(table == {}, f"of another namespace: {table}")

    answer = json.loads(ask(xds, "proxy-status", "-o", "json"))
    told = {r["node"]["id"]: {c["typeUrl"]: c.get("configStatus", "UNKNOWN") for c in r["genericXdsConfigs"]} for r in answer["resources"]}
    require({k: set(v.values()) for k, v in told.items()} == {"envoy-1": {"SYNCED", "UNKNOWN"}, "fairlead-1": {"SYNCED", "UNKNOWN"}}, f"as JSON: {told}")
    require(told["envoy-1"][TYPE.format("route.v3.RouteConfiguration")] == "SYNCED", f"as JSON: {told}")

    def dump(name):
        return lab.write(f"{name}.json", get(admins[name], "/config_dump").body.decode())

    def compare(name, *words):
        text = ask(xds, "proxy-status", f"{name}-1.default", "--file", lab.dir / f"{name}.json", *words)
        return [line for line in text.splitlines() if "Match" in line], text

    for name in ports:
        dump(name)
        verdicts, text = compare(name)
        require([v.split(" (")[0] for v in verdicts] == ["Clusters Match", "Listeners Match", "Routes Match"], f"{name}: {text}")
        lab.write(f"source/{name}.yaml", SOURCE.format(name=name, port=ports[name], timeout="7s"))
        await_true(f"{name} has the change", lambda: b'"7s"' in get(admins[name], "/config_dump").body)
        verdicts, text = compare(name)  # with what it had before
        require(verdicts[0] == "Clusters Don't Match" and verdicts[1] == "Listeners Match", f"{name}, from before: {text}")
        require('"7s"' in text and '"1s"' in text, f"{name}: what differs is not told: {text}")
        dump(name)
        require(compare(name)[0][0] == "Clusters Match", f"{name}, changed: {compare(name)[1]}")
    lab.write("nobody.json", (lab.dir / "envoy.json").read_text())
    done = subprocess.run([program, "--kubeconfig", kubeconfig, "proxy-status", "nobody-1.default", "--file", lab.dir / "nobody.json", "--revision", "default", "--xds-address", xds, "--plaintext"],
                          capture_output=True, text=True, timeout=60)
    require(done.returncode != 0 and "unable to find config dump" in done.stderr, f"of nobody: {done.stdout}\n{done.stderr}")

    pages = json.loads(ask(xds, "experimental", "internal-debug", "syncz"))
    require({p["proxy"]: p["cluster_sent"] == p["cluster_acked"] != "" for p in pages} == {"envoy-1": True, "fairlead-1": True}, f"syncz: {pages}")
    require("syncz" in json.loads(ask(xds, "experimental", "internal-debug", "--list")), "the list of pages")
    page = json.loads(ask(xds, "experimental", "internal-debug", "config_dump?proxyID=envoy-1"))
    require(len(page["configs"]) == 4, f"config_dump: {page}")

    # with a certificate, as istioctl --cert-dir has it
    for name in ("ca", "clients"):
        authority(lab.dir, name)
    certificate(lab.dir, "server", "/CN=server", "DNS:control.test", ca="ca")
    certificate(lab.dir, "person", "/CN=person", "URI:spiffe://test/person", ca="clients")
    certs = lab.dir / "certs"
    certs.mkdir()
    for theirs, ours in (("root-cert.pem", "ca.pem"), ("cert-chain.pem", "person.pem"), ("key.pem", "person.key")):
        shutil.copy(lab.dir / ours, certs / theirs)
    _, secured, _ = lab.control(lab.dir / "source", "--xds-tls-cert", lab.dir / "server.pem", "--xds-tls-key", lab.dir / "server.key", "--xds-tls-client-ca", lab.dir / "clients.pem")
    text = ask(secured, "proxy-status", plain=("--cert-dir", certs, "--authority", "control.test"))
    require(text.split() == ["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED", "TYPES"], f"over TLS: {text}")
