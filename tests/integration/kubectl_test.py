#!/usr/bin/env python3
"""The command line against a control plane in a cluster: whom it asks, what it says when something is not as it should be, and that no kubectl is left, however it
ends. kubectl is fake_kubectl.py, replicas are canned answers, or fairlead-control itself. Binaries in FAIRLEAD_BIN."""
import contextlib
import http.server
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
import lab  # noqa: E402

CLI, PLUGIN, COMPLETE = (lab.BIN / name for name in ("fairlead", "kubectl-fairlead", "kubectl_complete-fairlead"))
QUICKSTART = ROOT / "examples/quickstart"
NS = "fairlead-system"


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Replica:
    """What a replica answers: path -> document, or (status, document); /debug/watch streams lines of `events` until it is closed."""

    def __init__(self, **answers):
        self.answers = {"/debug/status": {"proxies": [], "unmatched": []}, "/debug/sources": {"sources": [], "diagnostics": []}, "/debug/findings": {"findings": []}, "/readyz": "ok",
                        **{"/" + path.replace("_", "/"): answer for path, answer in answers.items()}}
        self.asked, self.events, self.changed = [], [], threading.Condition()
        replica = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                replica.asked.append(self.path)
                if url.path == "/debug/watch" and "/debug/watch" not in replica.answers:
                    return self.watch()
                answer = replica.answers.get(url.path, (404, {"error": f"nothing at {url.path}"}))
                status, answer = answer if isinstance(answer, tuple) else (200, answer)
                body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = True

            def watch(self):
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                sent = 0
                while True:
                    with replica.changed:
                        replica.changed.wait_for(lambda: len(replica.events) > sent, timeout=1)
                        lines = replica.events[sent:] or [""]
                        sent = len(replica.events)
                    text = "".join(line + "\n" for line in lines).encode()
                    try:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
                    except OSError:
                        self.close_connection = True
                        return

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def event(self, **event):
        with self.changed:
            self.events.append(json.dumps({"at": "2026-01-01T00:00:00.000Z", **event}))
            self.changed.notify_all()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def proxy(node, connected="2026-01-01T00:00:00.000Z", state="SYNCED"):
    return {"node": node, "cluster": "edge", "scope": "gateway:shop/edge", "reason": "", "class": "fairlead-proxy/1", "peer": "10.0.0.1:1", "kind": "delta", "connected": connected,
            "types": {t: {"state": state} for t in ("cds", "eds", "lds", "rds")}}


def status_of(*proxies):
    return {"proxies": list(proxies), "unmatched": []}


def pod(name, ready=True, namespace=NS, instance="fairlead", args=(), labels=None, **status):
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "fairlead", "app.kubernetes.io/component": "control", "app.kubernetes.io/instance": instance,
                                                                           **(labels or {})}},
            "spec": {"containers": [{"name": "control", "args": ["--source=kubernetes", *args]}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False",
                                                           **({} if ready else {"reason": "ContainersNotReady", "message": "containers with unready status: [control]"})}], **status}}


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        (self.dir / "bin").mkdir()
        self.cluster = {"pods": [], "contexts": ["lab", "other"], "ports": {}, "modes": {}, "fails": {}}
        self.kubectl(f'exec {sys.executable} {ROOT}/tests/integration/fake_kubectl.py "$@"')
        self.save()

    def kubectl(self, script):
        path = self.dir / "bin/kubectl"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def save(self):
        fresh = self.dir / "cluster.json.new"
        fresh.write_text(json.dumps(self.cluster))
        fresh.rename(self.dir / "cluster.json")

    def replica(self, name, replica, **more):
        """A pod whose admin address is a port here."""
        if isinstance(replica, Replica):
            self.addCleanup(replica.close)
        self.cluster["pods"].append(pod(name, **more))
        self.cluster["ports"][f"{more.get('namespace', NS)}/{name}"] = replica.port if isinstance(replica, Replica) else replica
        self.save()
        return replica

    def two(self, a, b):
        return self.replica("fairlead-a", Replica(**a)), self.replica("fairlead-b", Replica(**b))

    def mode(self, **modes):
        self.cluster["modes"] = {name if name == "list" else f"{NS}/fairlead-{name}": mode for name, mode in modes.items()}
        self.save()

    def environment(self, **more):
        return {**os.environ, "PATH": f"{self.dir}/bin:/usr/bin:/bin", "FAKE_KUBECTL": str(self.dir), **more}

    def run_cli(self, *words, program=CLI, env=None, **more):
        r = subprocess.run([program, *map(str, words)], capture_output=True, text=True, env={**self.environment(), **(env or {})}, stdin=subprocess.DEVNULL, timeout=100, **more)
        self.nothing_is_left()
        return r

    def ask(self, *words, **more):
        return self.run_cli("--kubernetes", *words, **more)

    def calls(self):
        path = self.dir / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def forwards(self):
        return [c for c in self.calls() if c["words"] and "port-forward" in c["words"]]

    def left(self):
        return [c for c in self.calls() if alive(c["pid"])]

    def nothing_is_left(self):
        self.assertEqual(self.left(), [])


class Asks(Case):
    def test_status_is_that_of_all_replicas_and_names_them(self):
        self.two({"debug_status": status_of(proxy("edge-2"), proxy("edge-3"))}, {"debug_status": status_of(proxy("edge-1", state="STALE"))})
        self.cluster["pods"].append(pod("fairlead-c", ready=False, containerStatuses=[{"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}]))
        self.save()
        r = self.ask("status")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        rows = [re.split(r" {3,}", line) for line in r.stdout.splitlines()[:4]]
        self.assertEqual([(row[0], row[6], row[-1]) for row in rows],
                         [("PROXY", "CDS", "REPLICA"), ("edge-1", "STALE", "fairlead-b"), ("edge-2", "SYNCED", "fairlead-a"), ("edge-3", "SYNCED", "fairlead-a")])
        self.assertEqual(r.stdout.splitlines()[4:], ["  fairlead-c is not asked: it is not ready: CrashLoopBackOff: back-off 10s"])
        self.assertEqual({tuple(c["words"][1:3]) for c in self.forwards()}, {(f"--namespace={NS}", "--address=127.0.0.1")})
        one = self.ask("status", "--pod", "fairlead-b")
        self.assertEqual([line.split()[0] for line in one.stdout.splitlines()], ["PROXY", "edge-1"])

    def test_as_json_each_proxy_names_its_replica_and_each_replica_is_there(self):
        finding = {"severity": "error", "object": "HTTPRoute a/b", "place": "x:1", "reason": "Invalid", "message": "m"}
        own = {"severity": "warning", "object": "HTTPRoute a/c", "place": "x:2", "reason": "Invalid", "message": "n"}
        self.two({"debug_status": status_of(proxy("edge-1")), "debug_findings": {"findings": [finding]}, "debug_sources": {"sources": [{"name": "kubernetes", "synced": True}]}},
                 {"debug_findings": {"findings": [finding, own]}, "debug_sources": {"sources": [{"name": "kubernetes", "synced": True}]}})
        told = json.loads(self.ask("status", "-o", "json").stdout)
        self.assertEqual([(p["node"], p["replica"]) for p in told["proxies"]], [("edge-1", "fairlead-a")])
        self.assertEqual([(s["name"], s["replica"]) for s in told["sources"]], [("kubernetes", "fairlead-a"), ("kubernetes", "fairlead-b")])
        self.assertEqual([(f["object"], f["replicas"]) for f in told["findings"]], [("HTTPRoute a/b", ["fairlead-a", "fairlead-b"]), ("HTTPRoute a/c", ["fairlead-b"])])
        self.assertEqual(told["replicas"], [{"name": f"fairlead-{n}", "namespace": NS, "asked": True} for n in "ab"])
        lines = self.ask("status").stdout.splitlines()
        self.assertEqual(lines[2:], ["error: x:1: HTTPRoute a/b: m", "warning: x:2: HTTPRoute a/c: n [fairlead-b]"])

    def test_without_a_proxy_it_says_who_was_asked(self):
        self.two({}, {})
        self.assertEqual(self.ask("status").stdout, "no proxy is connected to any of 2 replicas\n")
        self.assertEqual(self.ask("status", "--pod", f"{NS}/fairlead-a").stdout, "no proxy is connected to fairlead-a\n")

    def test_a_replica_that_is_lost_meanwhile_is_told_and_the_others_count(self):
        self.two({"debug_status": status_of(proxy("edge-1"))}, {})
        for mode, said in (("lost", "kubectl port-forward has ended: error: lost connection to pod"), ("refused", "connect: connection refused; error: lost connection to pod")):
            self.mode(b=mode)
            r = self.ask("status")
            self.assertEqual(r.returncode, 2)
            self.assertIn("edge-1", r.stdout)
            self.assertRegex(r.stderr, rf"^fairlead: fairlead-b is left out: no answer from fairlead-control in pod {NS}/fairlead-b \(.+\): .*{re.escape(said)}\n$")
        self.mode(a="lost", b="lost")
        r = self.ask("status")
        self.assertEqual((r.returncode, r.stdout, len(r.stderr.splitlines())), (2, "", 2))
        self.mode(b="forbidden")
        r = self.ask("status")
        self.assertEqual((r.returncode, "edge-1" in r.stdout), (2, True))
        self.assertIn('fairlead-b is left out: kubectl port-forward to fairlead-system/fairlead-b: error: error upgrading connection: unable to upgrade connection: pods "fairlead-b" is forbidden: User "jane"', r.stderr)

    def test_what_is_asked_of_a_proxy_goes_to_the_replica_that_has_it(self):
        diff = {"proxy": "edge-1", "scope": "s", "types": {"cds": [{"name": "c", "wanted": "2", "sent": "1", "accepted": "1", "why": "not yet sent"}]}}
        answer = {"request": "GET http://h/", "kind": "forwarded", "steps": [{"step": "listener", "what": "l"}], "near": [], "notes": []}
        a, b = self.two({"debug_status": status_of(proxy("edge-1"), proxy("edge-2")), "why": answer}, {"debug_status": status_of(proxy("edge-1", connected="2026-02-01T00:00:00.000Z")), "debug_diff": diff, "why": answer})
        self.assertIn("not yet sent", self.ask("diff", "edge-1").stdout)  # moved from a to b
        self.assertFalse([p for p in a.asked if p.startswith("/debug/diff")])
        self.assertIn("listener", self.ask("why", "edge-2", "GET", "http://h/").stdout)
        self.assertEqual([p.startswith("/why") for p in a.asked].count(True), 1)
        self.assertFalse([p for p in b.asked if p.startswith("/why")])
        for words in (("diff", "egde-2"), ("why", "egde-2", "GET", "/"), ("config", "all", "egde-2")):
            r = self.ask(*words)
            self.assertEqual((r.returncode, r.stderr), (1, 'fairlead: no proxy "egde-2" is connected to any of 2 replicas; did you mean "edge-2"?; there are: edge-1, edge-2\n'))

    def test_what_all_must_know_is_compared(self):
        same = {"request": "GET /", "kind": "forwarded", "steps": [{"step": "answer", "what": "here"}], "near": [], "notes": []}
        a, b = self.two({"why": same}, {"why": same})
        r = self.ask("why", "GET", "/")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        b.answers["/why"] = {**same, "steps": []}
        r = self.ask("why", "GET", "/")
        self.assertEqual((r.returncode, r.stderr), (0, "fairlead: this is what fairlead-a says; fairlead-b says otherwise, perhaps for a moment: --pod asks one of them\n"))
        self.assertIn("here", r.stdout)

    def test_conditions_of_all_replicas_are_one_list(self):
        c = lambda kind, status, message, scope="gateway:a/b": {"object": "Gateway a/b", "place": "x:1", "scope": scope, "type": kind, "status": status, "reason": "R", "message": message}
        sources = lambda writes: {"status": [{"source": "kubernetes", "leader": "fairlead-b_1", "lease": "n/l", "writes": writes}]}
        self.two({"debug_conditions": {"conditions": [c("Accepted", "True", "m"), c("Programmed", "Unknown", "no proxy of this scope is connected")]}, "debug_sources": sources(False)},
                 {"debug_conditions": {"conditions": [c("Accepted", "True", "m"), c("Programmed", "True", "by 1 proxy")]}, "debug_sources": sources(True)})
        lines = [re.split(r" {3,}", line) for line in self.ask("conditions").stdout.splitlines()]
        self.assertEqual([(row[3], row[4], row[-1]) for row in lines[1:3]], [("Accepted", "True", "all"), ("Programmed", "True", "fairlead-b")])
        self.assertEqual(lines[3:], [["status of kubernetes: written by fairlead-b (Lease n/l)"]])

    def test_refusals_and_loads_name_their_replica(self):
        nack = {"type": "rds", "name": "r", "class": "envoy/1", "nodes": ["edge-1"], "count": 1, "latest": "t", "message": "bad", "origins": [{"place": "x:1"}], "serving": ""}
        cluster = {"cluster": "c", "dropped": 0, "localities": []}
        self.two({"debug_nacks": {"nacks": [nack]}, "debug_load": {"clusters": [], "reporters": []}}, {"debug_nacks": {"nacks": []}, "debug_load": {"clusters": [cluster], "reporters": ["n"]}})
        self.assertIn("x:1: rds r refused by envoy/1 (edge-1), 1 time, t [fairlead-a]\n", self.ask("nacks").stdout)
        self.assertRegex(self.ask("load").stdout, r"DROPPED +REPLICA\nc .* fairlead-b\n$")
        self.assertEqual(json.loads(self.ask("load", "-o", "json").stdout), {"clusters": [{**cluster, "replica": "fairlead-b"}], "reporters": ["n"]})

    def test_ready_is_each_replica(self):
        a, b = self.two({}, {})
        self.assertEqual((self.ask("ready").returncode, self.ask("ready").stdout), (0, "fairlead-a: ready\nfairlead-b: ready\n"))
        b.answers["/readyz"] = (503, "shutting down")
        r = self.ask("ready")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (1, "fairlead-a: ready\n", f"fairlead: fairlead-control in pod {NS}/fairlead-b is not ready: shutting down\n"))
        self.cluster["pods"][1]["status"]["conditions"][0] = {"type": "Ready", "status": "False", "message": "m"}
        self.save()
        r = self.ask("ready")
        self.assertEqual((r.returncode, r.stderr), (1, f"fairlead: pod {NS}/fairlead-b is not ready: m\n"))

    def test_the_port_is_the_pod_s_own(self):
        self.replica("fairlead-a", Replica(), args=["--admin-address=127.0.0.1:1", "--admin-address", "127.0.0.1:18555"])
        self.replica("fairlead-b", Replica())
        self.assertEqual(self.ask("status").returncode, 0)
        self.assertEqual(sorted(c["words"][-2:] for c in self.forwards()), [["pod/fairlead-a", ":18555"], ["pod/fairlead-b", ":18001"]])

    def test_pods_that_end_are_not_asked(self):
        self.two({}, {})
        self.cluster["pods"][0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.save()
        self.assertEqual(self.ask("status").stdout, "no proxy is connected to fairlead-b\n  fairlead-a is not asked: it is ending\n")

    def test_words_of_kubectl_choose_the_cluster_and_imply_it(self):
        self.two({}, {})
        config = self.dir / "config"
        config.touch()
        for words in (("--context", "lab"), ("--context=other",), ("--kubeconfig", config), ("-n", NS), ("--namespace", NS), ("-l", "app.kubernetes.io/instance=fairlead"), ("--pod", "fairlead-a"), ("--kubernetes",)):
            (self.dir / "calls").unlink(missing_ok=True)
            for order in ((*words, "status"), ("status", *words)):
                r = self.run_cli(*order)
                self.assertEqual((r.returncode, r.stderr), (0, ""), order)
            for call in self.calls():
                if words[0].startswith(("--context", "--kubeconfig")):
                    self.assertIn("=".join(map(str, words)), call["words"])
        self.assertEqual(self.run_cli("status", "-n", "shop").returncode, 2)
        both = self.run_cli("--server", "127.0.0.1:1", "-n", "x", "status")
        self.assertEqual((both.returncode, both.stderr), (2, "fairlead: --server is an address, --namespace is of a cluster: one or the other\n"))
        (self.dir / "calls").unlink(missing_ok=True)
        r = self.run_cli("--server", "127.0.0.1:1", "status")
        self.assertEqual((r.returncode, self.calls()), (2, []))
        self.assertEqual(self.run_cli("--kubernetes", "status", env={"FAIRLEAD_SERVER": "127.0.0.1:1"}).returncode, 0)

    def test_files_need_no_cluster(self):
        self.kubectl("exit 9")
        for program in (CLI, PLUGIN):
            self.assertEqual(self.run_cli("check", "-f", QUICKSTART, program=program).returncode, 0)
            self.assertEqual(self.run_cli("diff", "-f", QUICKSTART, "-f", QUICKSTART, program=program).stdout, "nothing changes\n")
            self.assertEqual(self.run_cli("why", "-f", QUICKSTART, "GET", "http://h:8080/", program=program).returncode, 0)
            self.assertEqual(self.run_cli("translate", "-f", QUICKSTART, program=program).returncode, 0)

    def test_real_replicas_and_their_proxies(self):
        with lab.Lab() as first, lab.Lab() as second:
            for l, name in ((first, "a"), (second, "b")):  # two proxies of one machine cannot have one port
                source = l.example("quickstart", {8080: lab.free_port()})
                _, xds, admin = l.control(source)
                self.replica(f"fairlead-{name}", int(admin.rpartition(":")[2]))
                own = f"127.0.0.1:{lab.free_port()}"
                l.proxy("proxy", l.bootstrap("proxy", "quickstart", xds, own, "--id", f"edge-{name}"), own)
            told = lab.await_true("both proxies are in sync", lambda: (t := json.loads(self.ask("status", "-o", "json").stdout)) and
                                  all(p["types"].get("rds", {}).get("state") == "SYNCED" for p in t["proxies"]) and len(t["proxies"]) == 2 and t)
            self.assertEqual([(p["node"], p["replica"]) for p in told["proxies"]], [("edge-a", "fairlead-a"), ("edge-b", "fairlead-b")])
            for node in ("edge-a", "edge-b"):
                r = self.ask("why", node, "GET", "/")
                self.assertEqual((r.returncode, r.stderr), (0, ""))
                self.assertIn("forwarded to", r.stdout)
                self.assertEqual(self.ask("diff", node).stdout, f"{node} has accepted all it should have\n")
            self.assertEqual((r := self.ask("diff", "-f", source, "--pod", "fairlead-b")).stdout, "nothing changes\n", r.stderr)
            self.assertIn("fairlead-b says otherwise", self.ask("config", "clusters").stderr)  # the files have other paths
            self.assertEqual(self.ask("config", "clusters", "--pod", "fairlead-a").stderr, "")
            conditions = self.ask("conditions").stdout
            self.assertIn("Programmed", conditions)
            self.assertNotIn("no proxy of this scope is connected", conditions)
            self.assertEqual(self.ask("nacks").stdout, "nothing was refused\n")


class Fails(Case):
    def check(self, told, *words, code=2, **more):
        r = self.ask(*(words or ("status",)), **more)
        self.assertEqual((r.returncode, r.stdout), (code, ""), r.stderr)
        self.assertTrue(r.stderr.startswith("fairlead: "), r.stderr)
        self.assertEqual(len(r.stderr.splitlines()), 1, r.stderr)
        self.assertIn(told, r.stderr)

    def test_every_command_says_what_is_wrong(self):
        for words in (("status",), ("config",), ("diff", "x"), ("why", "GET", "/"), ("watch",), ("nacks",), ("conditions",), ("load",), ("ready",), ("diff", "-f", QUICKSTART),
                      ("route-test", ROOT / "examples/route-tests.yaml")):
            self.check("there is no control plane in any namespace: no pod with the labels app.kubernetes.io/name=fairlead,app.kubernetes.io/component=control (others are given with --selector)\n", *words)

    def test_no_kubectl(self):
        (self.dir / "bin/kubectl").unlink()
        self.check("kubectl is not on the PATH: a cluster is reached through it (--server asks an address instead)\n", env={"PATH": str(self.dir / "bin")})
        (self.dir / "bin/kubectl").write_text("x")
        self.check("cannot run kubectl: Permission denied", env={"PATH": str(self.dir / "bin")})

    def test_no_such_context_or_kubeconfig(self):
        self.check('kubectl cannot list the control plane\'s pods: error: context "moon" does not exist\n', "status", "--context", "moon")
        self.check("pods: error: stat /nonexistent: no such file or directory\n", "status", "--kubeconfig", "/nonexistent")

    def test_pods_must_not_be_listed(self):
        told = 'Error from server (Forbidden): pods is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope'
        self.cluster["fails"] = {"list": told}
        self.save()
        self.check(f"kubectl cannot list the control plane's pods: {told}; --namespace asks for those of one namespace\n")
        self.check(f"kubectl cannot list the control plane's pods: {told}\n", "status", "-n", NS)

    def test_a_log_full_of_the_same_is_told_once(self):
        line = 'E1126 20:40:0%d.123456   12345 memcache.go:265] "Unhandled Error" err="couldn\'t get: Get \\"http://h\\": refused"'
        self.cluster["fails"] = {"list": "\n".join([line % n for n in range(5)] + ["The connection to the server h was refused - did you specify the right host or port?"])}
        self.save()
        self.check('pods: couldn\'t get: Get "http://h": refused; The connection to the server h was refused - did you specify the right host or port?\n')

    def test_kubectl_says_nothing_or_something_else(self):
        self.kubectl("exit 7")
        self.check("kubectl cannot list the control plane's pods: exit 7")
        self.kubectl("kill -9 $$")
        self.check("kubectl cannot list the control plane's pods: signal 9")
        self.kubectl("echo hello")
        self.check("kubectl:1")

    def test_no_pod_in_that_namespace_or_with_these_labels(self):
        self.replica("fairlead-a", Replica())
        self.check("there is no control plane in namespace shop: ", "status", "-n", "shop")
        self.check("no pod with the labels app.kubernetes.io/name=mesh,app.kubernetes.io/component=control", "status", "-l", "app.kubernetes.io/name=mesh")
        self.check('no pod "fairlead-x" of a control plane in any namespace; did you mean "fairlead-a"?; there are: fairlead-system/fairlead-a\n', "status", "--pod", "fairlead-x")

    def test_no_pod_is_ready(self):
        self.replica("fairlead-a", Replica(), ready=False)
        self.check("no pod of the control plane is ready: fairlead-system/fairlead-a (containers with unready status: [control]); --pod asks one all the same\n")
        self.assertEqual(self.ask("status", "--pod", "fairlead-a").stdout, "no proxy is connected to fairlead-a\n")
        self.cluster["pods"] = [pod("fairlead-a", ready=False, phase="Pending", conditions=[])]
        self.save()
        self.check("fairlead-a (its phase is Pending)")
        self.mode(a="pending")
        self.check("kubectl port-forward to fairlead-system/fairlead-a: error: unable to forward port because pod is not running. Current status=Pending\n", "status", "--pod", "fairlead-a")

    def test_several_control_planes_are_never_mixed(self):
        self.replica("fairlead-a", Replica())
        self.replica("mesh-a", Replica(debug_status=status_of(proxy("mine"))), namespace="mesh", instance="mesh")
        self.check("there are 2 control planes in any namespace: fairlead-system/fairlead, mesh/mesh; say which with --namespace NAMESPACE, or with --selector app.kubernetes.io/instance=NAME\n")
        for words in (("-n", "mesh"), ("-l", "app.kubernetes.io/instance=mesh"), ("--pod", "mesh-a")):
            self.assertIn("mine", self.ask("status", *words).stdout)
        self.cluster["pods"].append(pod("mesh-a", namespace="third"))
        self.save()
        self.check("several pods are called mesh-a: mesh/mesh-a, third/mesh-a; say which with --namespace\n", "status", "--pod", "mesh-a")

    def test_port_forward_is_forbidden_or_never_there(self):
        self.two({}, {})
        self.mode(a="forbidden", b="forbidden")
        self.check('kubectl port-forward to fairlead-system/fairlead-a: error: error upgrading connection: unable to upgrade connection: pods "fairlead-a" is forbidden: User "jane" cannot create resource "pods/portforward"')

    def test_the_way_is_lost_meanwhile(self):
        self.replica("fairlead-a", Replica())
        self.mode(a="lost")
        for words in (("status",), ("conditions",), ("ready",), ("why", "GET", "/"), ("diff", "x")):
            self.check(f"in pod {NS}/fairlead-a (", *words)
            self.check("): kubectl port-forward has ended: error: lost connection to pod\n", *words)

    def test_what_answers_in_the_pod_is_something_else(self):
        self.replica("fairlead-a", Replica(debug_nacks="<html>", debug_load=(500, "")))
        self.check(f"what answers in pod {NS}/fairlead-a is not fairlead-control: ", "nacks")
        self.check(f"the server in pod {NS}/fairlead-a answered /debug/load with status 500", "load", code=1)

    def test_nobody_at_the_usual_address_names_the_cluster(self):
        r = self.run_cli("status", env={"FAIRLEAD_SERVER": ""})
        if r.returncode == 0:
            self.skipTest("a control plane runs here")
        self.assertIn("is its --admin-address this one? One in a cluster is asked with --kubernetes\n", r.stderr)

    def test_who_must_log_in_is_asked_at_the_terminal(self):
        self.replica("fairlead-a", Replica())
        self.mode(list="asks")
        for answer, code in (("secret", 0), ("wrong", 2)):
            ours, theirs = pty.openpty()
            with subprocess.Popen([CLI, "--kubernetes", "status"], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment()) as p:
                asked = b""
                while not asked.endswith(b"Password: "):
                    part = os.read(p.stderr.fileno(), 100)
                    self.assertTrue(part, asked)
                    asked += part
                os.write(ours, answer.encode() + b"\n")
                out, err = p.communicate(timeout=60)
            os.close(ours)
            os.close(theirs)
            self.assertEqual((p.returncode, out), (code, b"no proxy is connected to fairlead-a\n" if code == 0 else b""))
            self.assertEqual(b"You must be logged in to the server" in err, code == 2)
        self.mode(list="asks")
        self.check("You must be logged in to the server (Unauthorized)")  # nobody is there to ask


class Followed(Case):
    def setUp(self):
        super().setUp()
        self.there = self.two({}, {})

    @contextlib.contextmanager
    def watching(self, *words, program=CLI, replicas=2, stdout=subprocess.PIPE):
        """A watcher that follows that many replicas."""
        p = subprocess.Popen([program, "--kubernetes", "watch", *words], stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=self.environment(), start_new_session=True)
        try:
            lab.await_true("every replica is watched", lambda: sum(any("/debug/watch" in path for path in r.asked) for r in self.there) >= replicas)
            yield p
        finally:
            if p.poll() is None:
                p.kill()
            p.wait()
            for stream in (p.stdout, p.stderr):
                if stream:
                    stream.close()


class Ends(Followed):
    """However it ends, no kubectl is left."""

    def test_by_every_signal(self):
        for mode, script in (("", "exec {}"), ("deaf", "exec {}"), ("deaf", "{}; exit $?")):  # the last: a wrapper, whose kubectl is our grandchild
            self.kubectl(script.format(f'{sys.executable} {ROOT}/tests/integration/fake_kubectl.py "$@"'))
            self.mode(a=mode, b=mode)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT) + ((signal.SIGKILL,) if script.startswith("exec") else ()):
                with self.watching() as p:
                    self.assertEqual(len(self.left()), 2)
                    p.send_signal(number)
                    self.assertEqual(p.wait(20), -number)
                lab.await_true(f"the end of each kubectl after signal {number}", lambda: not self.left())
                for r in self.there:
                    r.asked.clear()

    def test_while_kubectl_is_not_there_yet(self):
        self.mode(a="silent", b="silent")
        for number in (signal.SIGINT, signal.SIGTERM):
            before = len(self.forwards())
            p = subprocess.Popen([CLI, "--kubernetes", "status"], env=self.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            lab.await_true("two ways are asked for", lambda: len(self.forwards()) == before + 2)
            p.send_signal(number)
            self.assertEqual(p.wait(20), -number)
            p.stderr.close()
            lab.await_true("the end of each kubectl", lambda: not self.left())

    def test_when_nobody_reads_any_more(self):
        with self.watching() as p:
            p.stdout.close()
            self.there[0].event(kind="push", node="edge-1")
            self.assertEqual(p.wait(20), -signal.SIGPIPE)
            p.stdout = None
        lab.await_true("the end of each kubectl", lambda: not self.left())

    def test_when_the_output_cannot_be_written(self):
        with open("/dev/full", "w") as full, self.watching(stdout=full) as p:
            self.there[1].event(kind="push", node="edge-1")
            self.assertEqual(p.wait(20), 2)
        self.nothing_is_left()

    def test_a_hangup_that_is_ignored_stays_ignored(self):
        self.kubectl(f'exec {sys.executable} {ROOT}/tests/integration/fake_kubectl.py "$@"')
        p = subprocess.Popen(["nohup", CLI, "--kubernetes", "watch"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True, env=self.environment())
        lab.await_true("both are watched", lambda: all(any("/debug/watch" in path for path in r.asked) for r in self.there))
        p.send_signal(signal.SIGHUP)
        self.there[0].event(kind="push", node="edge-1")
        self.assertIn("edge-1", p.stdout.readline())
        p.terminate()
        self.assertEqual(p.wait(20), -signal.SIGTERM)
        p.stdout.close()
        lab.await_true("the end of each kubectl", lambda: not self.left())


class Watches(Followed):
    def next_line(self, stream, what):
        told = []
        reader = threading.Thread(target=lambda: told.append(stream.readline()), daemon=True)
        reader.start()
        reader.join(30)
        self.assertTrue(told and told[0], f"no line: {what}")
        return told[0]

    def test_events_of_all_replicas_name_them(self):
        with self.watching() as p:
            self.there[0].event(kind="push", node="edge-1")
            self.assertEqual(self.next_line(p.stdout, "of a"), "00:00:00.000  fairlead-a  push          edge-1\n")
            self.there[1].event(kind="push", node="edge-2")
            self.assertEqual(self.next_line(p.stdout, "of b"), "00:00:00.000  fairlead-b  push          edge-2\n")
        for r in self.there:
            r.asked.clear()
            r.events.clear()
        with self.watching("-o", "json", "push") as p:
            self.assertTrue(all("kind=push" in r.asked[-1] for r in self.there))
            self.there[1].event(kind="push", node="edge-2")
            self.assertEqual(json.loads(self.next_line(p.stdout, "as JSON"))["replica"], "fairlead-b")

    def test_a_replica_that_is_lost_is_said_and_one_that_comes_is_followed(self):
        with self.watching() as p:
            gone, = (c for c in self.forwards() if "pod/fairlead-b" in c["words"])
            third = Replica()
            del self.cluster["pods"][1]
            self.replica("fairlead-c", third)
            os.kill(gone["pid"], signal.SIGKILL)
            self.assertRegex(self.next_line(p.stderr, "that it is lost"), rf"^fairlead: (the connection to the server|no answer from fairlead-control) in pod {NS}/fairlead-b (broke )?\(.+\): kubectl port-forward has ended: signal 9; looking for replicas again\n$")
            self.assertEqual(self.next_line(p.stderr, "that there is another"), "fairlead: watching fairlead-c\n")
            lab.await_true("it is followed", lambda: third.asked)
            third.event(kind="push", node="edge-3")
            self.assertIn("fairlead-c  push", self.next_line(p.stdout, "of c"))
            self.there[0].event(kind="push", node="edge-1")  # the other was followed all the time
            self.assertIn("fairlead-a  push", self.next_line(p.stdout, "of a"))

    def test_it_waits_for_a_control_plane_that_is_away_and_says_so_once(self):
        with self.watching() as p:
            self.cluster["pods"], away = [pod("fairlead-a", ready=False)], self.cluster["pods"]
            self.save()
            for call in self.forwards():
                os.kill(call["pid"], signal.SIGKILL)
            lines = [self.next_line(p.stderr, "what is lost") for _ in range(3)]
            self.assertEqual(len([line for line in lines if "looking for replicas again" in line]), 2, lines)
            self.assertEqual(len([line for line in lines if "no pod of the control plane is ready: " in line]), 1, lines)
            listed = len(self.calls())
            lab.await_true("it looks again", lambda: len(self.calls()) > listed)
            self.cluster["pods"] = away
            self.save()
            self.assertEqual(sorted(self.next_line(p.stderr, "that they are back") for _ in range(2)), ["fairlead: watching fairlead-a\n", "fairlead: watching fairlead-b\n"])

    def test_one_pod_that_is_gone_ends_it(self):
        with self.watching("--pod", "fairlead-a", replicas=1) as p:
            self.cluster["pods"] = [pod("fairlead-b")]
            self.save()
            os.kill(self.forwards()[-1]["pid"], signal.SIGKILL)
            self.assertEqual(p.wait(30), 2)
            self.assertIn('no pod "fairlead-a" of a control plane', p.stderr.read())
        self.nothing_is_left()

    def test_a_refusal_ends_it(self):
        self.there[0].answers["/debug/watch"] = (400, {"error": "nothing of kind \"x\" ever happens"})
        self.there[1].answers["/debug/watch"] = (400, {"error": "nothing of kind \"x\" ever happens"})
        r = self.ask("watch", "x")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (1, "", 'fairlead: nothing of kind "x" ever happens\n'))


class Plugin(Case):
    def test_it_is_called_as_kubectl_calls_it(self):
        r = self.run_cli("--help", program=PLUGIN)
        self.assertIn("Usage: kubectl fairlead [OPTIONS] SUBCOMMAND\n", r.stdout)
        self.assertLessEqual(max(map(len, r.stdout.splitlines())), 140)
        self.assertNotIn("--kubernetes", r.stdout)
        for flag in ("--context", "--kubeconfig", "-n,--namespace", "-l,--selector", "--pod"):
            self.assertIn(flag, r.stdout)
            self.assertIn(flag, self.run_cli("--help").stdout)
        self.assertIn("Usage: kubectl fairlead status [OPTIONS]\n", self.run_cli("status", "--help", program=PLUGIN).stdout)
        self.assertRegex(self.run_cli("--version", program=PLUGIN).stdout, r"^kubectl-fairlead \d+\.\d+\.\d+\n$")
        r = self.run_cli("statsu", program=PLUGIN)
        self.assertEqual((r.returncode, r.stderr), (2, 'fairlead: unknown command "statsu"; did you mean "status"?\nkubectl fairlead --help lists commands and flags.\n'))
        r = self.run_cli("status", "--nope", program=PLUGIN)
        self.assertTrue(r.stderr.endswith("\nkubectl fairlead --help lists commands and flags.\n"), r.stderr)

    def test_it_asks_the_cluster_unless_told_an_address(self):
        self.replica("fairlead-a", Replica())
        r = self.run_cli("status", program=PLUGIN, env={"FAIRLEAD_SERVER": "127.0.0.1:1"})
        self.assertEqual((r.returncode, r.stdout), (0, "no proxy is connected to fairlead-a\n"))
        direct = Replica()
        self.addCleanup(direct.close)
        r = self.run_cli("status", "--server", f"127.0.0.1:{direct.port}", program=PLUGIN)
        self.assertEqual((r.returncode, r.stdout), (0, "no proxy is connected\n"))
        self.assertEqual(self.run_cli("status", "--server", "127.0.0.1:1", "--pod", "x", program=PLUGIN).returncode, 2)

    def complete(self, *words):
        r = self.run_cli(*words, program=COMPLETE)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        *offered, directive = r.stdout.splitlines()
        return [o.partition("\t")[0] for o in offered], directive

    def test_kubectl_completes_its_words(self):
        self.replica("fairlead-a", Replica(debug_status=status_of(proxy("edge-1"))))
        self.replica("fairlead-b", Replica(debug_status=status_of(proxy("edge-2"))))
        for words, offered, directive in ((("st",), ["status"], ":4"), (("co",), ["config", "conditions", "completion"], ":4"), (("config", "cl"), ["clusters"], ":4"),
                                          (("config", "clusters", ""), ["edge-1", "edge-2"], ":4"), (("why", "--context", "lab", "edge-2"), ["edge-2"], ":4"), (("why", "edge-2", "P"), ["POST", "PUT", "PATCH"], ":4"),
                                          (("diff", "--pod=fairlead-a", ""), ["edge-1"], ":4"), (("status", "--cont"), ["--context"], ":4"), (("status", "--context", ""), ["lab", "other"], ":4"),
                                          (("status", "-n", "fair"), [NS], ":4"), (("status", "--pod", "fairlead-"), ["fairlead-a", "fairlead-b"], ":4"), (("check", "-f", ""), [], ":0"),
                                          (("check", "--st"), ["--strict"], ":4"), (("bootstrap", "--for", "e"), ["envoy"], ":4"), (("nacks", "-o", "y"), ["yaml"], ":4"),
                                          (("route-test", ""), [], ":0")):
            self.assertEqual(self.complete(*words), (offered, directive), words)
        self.assertIn("status", self.complete("")[0])
        self.assertIn("status", self.complete()[0])

    def test_completion_never_speaks_of_errors(self):
        (self.dir / "bin/kubectl").unlink()
        for words in (("diff", ""), ("status", "--pod", ""), ("status", "--context", ""), ("status", "-n", "")):
            r = subprocess.run([COMPLETE, *words], capture_output=True, text=True, env={**self.environment(), "PATH": str(self.dir / "bin")})
            self.assertEqual((r.returncode, r.stdout, r.stderr), (0, ":4\n", ""), words)

    def test_it_is_installed_beside_the_program(self):
        build = lab.BIN.parent
        cmake = shutil.which("cmake")
        if not cmake or not (build / "cmake_install.cmake").exists():
            self.skipTest("these programs were not built here")
        for name in ("fairlead-control", "fairlead-proxy"):
            self.assertTrue((lab.BIN / name).exists())
        subprocess.run([cmake, "--install", build, "--prefix", self.dir / "installed"], check=True, capture_output=True)
        for name, target in (("kubectl-fairlead", "fairlead"), ("kubectl_complete-fairlead", "fairlead")):
            self.assertEqual(os.readlink(self.dir / "installed/bin" / name), target)
        r = subprocess.run([self.dir / "installed/bin/kubectl-fairlead", "status", "--help"], capture_output=True, text=True)
        self.assertIn("Usage: kubectl fairlead status", r.stdout)


if __name__ == "__main__":
    unittest.main()
