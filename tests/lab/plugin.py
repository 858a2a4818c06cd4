"""`kubectl fairlead` against our chart's release: by the real kubectl, through the API server and port-forwards to the pods."""
import contextlib
import json
import pathlib
import re
import signal
import subprocess

import yaml

import cluster
from release import NS
from space import require, same

ROLE = re.compile(r"```yaml\n(apiVersion: rbac\.authorization\.k8s\.io/v1\nkind: Role\n.*?)```", re.S)


def environment(lab, **more):
    inside = lab.environment()
    return {**inside, "PATH": f"{cluster.BIN}:{inside['PATH']}", **more}


def run(lab, *words, **more):
    return subprocess.run([cluster.LAB / "kubectl", "fairlead", *words], capture_output=True, text=True, env=environment(lab, **more), stdin=subprocess.DEVNULL, timeout=60 * cluster.PATIENCE)


def told(lab, *words, **more):
    r = run(lab, *words, **more)
    same(f"exit code and errors of kubectl fairlead {' '.join(words)}", (r.returncode, r.stderr), (0, ""))
    return r.stdout


def forwards():
    """Processes that forward ports here."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if b"\0port-forward\0" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def check(lab, served):
    """`served`: pod of the control plane -> the proxies that are connected to it."""
    wanted = {node: pod for pod, nodes in served.items() for node in nodes}
    status = json.loads(told(lab, "status", "-o", "json"))
    same("every proxy and its replica", {p["node"]: p["replica"] for p in status["proxies"]}, wanted)
    same("the replicas", {(r["namespace"], r["name"], r["asked"]) for r in status["replicas"]}, {(NS, pod, True) for pod in served})
    table = told(lab, "status")
    for node, pod in wanted.items():
        require(re.search(rf"^{re.escape(node)} .* {re.escape(pod)}$", table, re.M), f"{node} of {pod} is not in:\n{table}")
        require("forwarded to shop/web/80" in told(lab, "why", node, "GET", "http://shop.example/"), f"why {node}")
        same("diff", told(lab, "diff", node), f"{node} has accepted all it should have\n")
    require("HTTPRoute shop/web" in told(lab, "why", "--gateway", "shop/edge", "GET", "http://shop.example/"), "why of a Gateway")
    conditions = told(lab, "conditions")
    # the class of Ingresses has no proxies
    of_the_gateway = [line for line in conditions.splitlines() if "gateway:shop/edge" in line]
    require(of_the_gateway and not any("no proxy of this scope is connected" in line for line in of_the_gateway), conditions)
    require(re.search(r"HTTPRoute shop/web .*Programmed +True", conditions), conditions)
    same("ready", told(lab, "ready").splitlines(), [f"{pod}: ready" for pod in sorted(served)])
    require("status\t" in cluster.run(cluster.LAB / "kubectl", "__complete", "fairlead", "st", env=environment(lab)), "completion")
    r = run(lab, "status", "-n", "default")
    require(r.returncode == 2 and "there is no control plane in namespace default: " in r.stderr, r.stderr)
    rights(lab)


def rights(lab):
    """The Role of docs/kubernetes.md is enough, and what is missing is said in the API server's words."""
    lab.kubectl("-n", "default", "create", "serviceaccount", "operator")  # what accounts of the chart's namespace ask is counted elsewhere
    config = yaml.safe_load(lab.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": lab.kubectl("-n", "default", "create", "token", "operator", "--duration", "1h").strip()}
    mine = {"KUBECONFIG": str(lab.folder / "operator.kubeconfig")}
    pathlib.Path(mine["KUBECONFIG"]).write_text(yaml.safe_dump(config))
    user = "system:serviceaccount:default:operator"

    def refused(text, *words):
        r = run(lab, *words, **mine)
        require(r.returncode == 2 and r.stdout == "" and text in r.stderr, f"{words}: exit {r.returncode}, {r.stdout}{r.stderr}")

    refused(f'Error from server (Forbidden): pods is forbidden: User "{user}" cannot list resource "pods" in API group "" at the cluster scope; --namespace asks for those of one namespace', "status")
    role = yaml.safe_load(ROLE.search((cluster.ROOT / "docs/kubernetes.md").read_text())[1])
    role["metadata"]["namespace"] = NS
    whole = role["rules"]
    role["rules"] = whole[:1]
    lab.apply(json.dumps(role))
    lab.kubectl("-n", NS, "create", "rolebinding", "operator", f"--role={role['metadata']['name']}", "--serviceaccount=default:operator")
    cluster.await_true("that pods may be listed", lambda: "cannot list" not in run(lab, "status", "-n", NS, **mine).stderr)
    refused(f'is forbidden: User "{user}" cannot create resource "pods/portforward" in API group "" in the namespace "{NS}"', "status", "-n", NS)
    lab.apply(json.dumps({**role, "rules": whole}))
    cluster.await_true("that ports may be forwarded", lambda: run(lab, "status", "-n", NS, **mine).returncode == 0)
    refused('error: context "moon" does not exist', "status", "--context", "moon")
    lab.kubectl("-n", NS, "delete", f"role/{role['metadata']['name']}", "rolebinding/operator")
    lab.kubectl("-n", "default", "delete", "serviceaccount/operator")
    same("port-forwards that are left", forwards(), [])


@contextlib.contextmanager
def watching(lab, pods):
    """A watcher while replicas come and go: it says who is lost and who comes, and leaves no port-forward behind."""
    log = lab.folder / "plugin-watch.log"
    with open(log, "w") as out:
        p = subprocess.Popen([cluster.LAB / "kubectl", "fairlead", "watch"], stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment(lab))
        try:
            cluster.await_true("a way to each replica", lambda: len(forwards()) >= len(pods))
            yield
            cluster.await_true("that it follows another replica", lambda: [name for name in re.findall(r"^fairlead: watching (\S+)$", log.read_text(), re.M) if name not in pods])
            cluster.await_true("that it says who is lost", lambda: "; looking for replicas again" in log.read_text(), timeout=30)
            p.send_signal(signal.SIGINT)
            same("how it ends", p.wait(10 * cluster.PATIENCE), -signal.SIGINT)
            cluster.await_true("the end of each port-forward", lambda: not forwards(), timeout=5)
        finally:
            if p.poll() is None:
                p.kill()
            p.wait()
