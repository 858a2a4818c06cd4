"""The cluster of tests/lab/run, from inside its namespaces: its processes, its addresses, kubectl.

Addresses: 10.99.0.1 the node and the API server; 10.244.0.0/16 pods and 10.96.0.0/16 Services, local; 10.98.0.0/17 Gateways, each in a
network namespace of its own behind a veth; 10.98.128.0/17 LoadBalancers, local.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LAB = ROOT / "build/lab"
BIN = pathlib.Path(os.environ.get("FAIRLEAD_BIN", ROOT / "build/release/bin"))
NODE, API, DNS = "10.99.0.1", "https://10.99.0.1:6443", "10.96.0.10"
XDS, XDS_NAME, CONTROL_ADMIN = f"{NODE}:18000", "xds.lab", "127.0.0.1:18001"
TOKEN = "laboratory"  # of system:masters, in a namespace that nobody else reaches
CONTROLLER = "fairlead.io/gateway-controller"
IMAGES = {"fairlead/control": ("fairlead-control", "fairlead"), "fairlead/proxy": ("fairlead-proxy",)}  # and the programs in them
# What an account of the chart's namespace asks of the API server, and what comes of it, is written down.
AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ["system:serviceaccounts:fairlead-system"]}
- {level: None}
"""
PATIENCE = float(os.environ.get("LAB_PATIENCE", "1"))  # how much slower than usual this machine may be


class Failed(Exception):
    pass


def run(*command, **more):
    """Runs a command that must succeed; returns what it printed."""
    answer = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if answer.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {answer.returncode}: {answer.stderr.strip() or answer.stdout.strip()}")
    return answer.stdout


def await_true(what, check, timeout=30, pause=0.05):
    """Waits until check() returns something true, which it returns; an error of check() counts as not yet."""
    timeout *= PATIENCE
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except (OSError, Failed, http.client.HTTPException) as error:
            last = error
        time.sleep(pause)
    raise Failed(f"{what}: not within {timeout:g} s (last: {last})")


def built(*programs):
    for program in programs:
        if not (BIN / program).exists():
            raise Failed(f"{BIN / program} is missing: `make build`")


class Cluster:
    """All state is in the folder, so that any process in the namespaces can open it and stop or start a part."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.kubeconfig = self.folder / "kubeconfig"

    @classmethod
    def create(cls, folder):
        return cls(folder)

    @classmethod
    def current(cls):
        """The cluster that this process runs in."""
        folder = os.environ.get("FAIRLEAD_LAB")
        if not folder:
            sys.exit("this runs inside the laboratory: tests/lab/run COMMAND")
        return cls(folder)

    def environment(self):
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "FAIRLEAD_LAB": str(self.folder), "FAIRLEAD_BIN": str(BIN),
                "PATH": f"{LAB}:{os.environ['PATH']}"}

    # ---- processes

    def start(self, name, *command):
        """Starts a part of the cluster; its output goes to NAME.log."""
        (self.folder / f"{name}.json").write_text(json.dumps([str(c) for c in command]))
        return self.restart(name)

    def restart(self, name):
        """Starts a part that has ended, as it was."""
        command = json.loads((self.folder / f"{name}.json").read_text())
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, env=self.environment(),
                                       start_new_session=True)  # a terminal's Ctrl-C is for the command
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        return process

    def kill(self, name, number=signal.SIGKILL, wait=True):
        """Ends a part and waits until it is gone; or sends it another signal."""
        pid = int((self.folder / f"{name}.pid").read_text())
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return  # it has ended by itself
        if wait:
            await_true(f"the end of {name}", lambda: not alive(pid))

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def up(self, channel="standard"):
        self.addresses()
        self.credentials()
        (self.folder / "etcd").mkdir()
        run("mount", "-t", "tmpfs", "etcd", self.folder / "etcd")  # nothing here needs to outlive the machine: no waiting for disks
        self.start("etcd", "etcd", "--data-dir", self.folder / "etcd/data", "--log-level", "error")
        (self.folder / "audit-policy.yaml").write_text(AUDIT_POLICY)
        self.start("kube-apiserver", LAB / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={NODE}", "--secure-port=6443",
                   f"--cert-dir={self.folder}/certs", f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC", "--allow-privileged",
                   "--service-cluster-ip-range=10.96.0.0/16", "--kubelet-preferred-address-types=InternalIP", "--service-account-issuer=https://kubernetes.default.svc",
                   f"--service-account-signing-key-file={self.folder}/sa.key", f"--service-account-key-file={self.folder}/sa.pub",
                   f"--audit-policy-file={self.folder}/audit-policy.yaml", f"--audit-log-path={self.folder}/audit.jsonl", "--audit-log-mode=blocking")
        self.await_api()
        # without node ranges of its own: node.go gives pods their addresses
        self.start("kube-controller-manager", LAB / "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
                   f"--service-account-private-key-file={self.folder}/sa.key", f"--root-ca-file={self.folder}/certs/apiserver.crt",
                   "--use-service-account-credentials", f"--cert-dir={self.folder}/kcm")
        self.start("kube-scheduler", LAB / "kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", f"--cert-dir={self.folder}/scheduler")
        for name in ("images", "pods"):
            (self.folder / name).mkdir()
        self.start("node", LAB / "lab-node", "--kubeconfig", self.kubeconfig, "--address", NODE, "--dns", DNS, "--images", self.folder / "images", "--state", self.folder / "pods")
        if channel != "none":
            self.kubectl("apply", "--server-side", "-f", LAB / "crd" / channel)
            self.kubectl("wait", "--for=condition=Established", "crd", "--all", f"--timeout={int(30 * PATIENCE)}s")
        await_true("the node's readiness", lambda: any(c["type"] == "Ready" and c["status"] == "True" for c in self.get("node/node0")["status"]["conditions"]))
        await_true("the default ServiceAccount", lambda: self.get("serviceaccount/default"))

    def addresses(self):
        """What is local here, and a resolv.conf that names our DNS server."""
        run("ip", "link", "set", "lo", "up")
        run("ip", "addr", "add", f"{NODE}/32", "dev", "lo")
        for local in ("10.244.0.0/16", "10.96.0.0/16", "10.98.128.0/17"):
            run("ip", "route", "add", "local", local, "dev", "lo")
        run("ip", "route", "add", "unreachable", "10.98.0.0/17")  # but for the Gateways' own routes
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # between Gateways
        (self.folder / "resolv.conf").write_text(f"nameserver {DNS}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 timeout:1\n")
        if os.path.exists("/etc/resolv.conf"):
            run("mount", "--bind", self.folder / "resolv.conf", os.path.realpath("/etc/resolv.conf"))

    def credentials(self):
        run("openssl", "genrsa", "-out", self.folder / "sa.key", "2048")
        run("openssl", "rsa", "-in", self.folder / "sa.key", "-pubout", "-out", self.folder / "sa.pub")
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')

    def await_api(self):
        def ready():
            if not alive(int((self.folder / "kube-apiserver.pid").read_text())):
                raise RuntimeError(f"kube-apiserver ended:\n{self.log('kube-apiserver')[-3000:]}")
            return self.ask("GET", "/readyz").status == 200
        try:
            await_true("the API server's readiness", ready, timeout=60)
        except RuntimeError as error:
            raise Failed(str(error)) from error
        if not self.kubeconfig.exists():
            config = {"apiVersion": "v1", "kind": "Config", "current-context": "lab",
                      "clusters": [{"name": "lab", "cluster": {"server": API, "certificate-authority": str(self.folder / "certs/apiserver.crt")}}],
                      "users": [{"name": "admin", "user": {"token": TOKEN}}], "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}]}
            self.kubeconfig.write_text(json.dumps(config))

    def certificate(self, name, san):
        """NAME.pem and NAME.key in the folder, signed by the laboratory's authority, ca.pem, which comes first."""
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        if not (self.folder / "ca.pem").exists():
            run(*make, "-subj", "/CN=the laboratory's authority", "-keyout", self.folder / "ca.key", "-out", self.folder / "ca.pem")
        run(*make, "-subj", f"/CN={name}", "-CA", self.folder / "ca.pem", "-CAkey", self.folder / "ca.key", "-addext", f"subjectAltName={san}", "-addext", "basicConstraints=critical,CA:false",
            "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def run_fairlead(self, data_plane):
        """fairlead-control on this cluster, and proxies for its Gateways."""
        self.run_control()
        if data_plane == "fairlead-proxy":
            built("fairlead-proxy")
        self.start("data-planes", sys.executable, HERE / "data_planes.py", "--proxy", data_plane)

    def run_control(self):
        """Secrets go to proxies over TLS only, and only to the Gateway's own."""
        built("fairlead-control", "fairlead")
        certificate, key = self.certificate("xds", f"DNS:{XDS_NAME}")
        return self.start("fairlead-control", BIN / "fairlead-control", "--source", f"kubernetes:{self.kubeconfig}", "--xds-address", XDS, "--admin-address", CONTROL_ADMIN,
                   "--xds-tls-cert", certificate, "--xds-tls-key", key, "--xds-tls-client-ca", self.folder / "ca.pem",
                   "--xds-authorize", "spiffe://lab/ns/{ns}/gateway/{name}=id:*,cluster:{name},gateway:{ns}/{name}")

    def images(self):
        """From now on pods of our images are run: with the very file systems that `docker build` would give them."""
        for name, programs in IMAGES.items():
            built(*programs)
            made = self.folder / "images" / f"{name}.making"
            run(ROOT / "images/rootfs", made, *(BIN / program for program in programs))
            made.rename(self.folder / "images" / name)

    def audit(self, since=0):
        """What accounts of the chart's namespace have asked of the API server, from byte `since` of the log on."""
        with open(self.folder / "audit.jsonl", "rb") as log:
            log.seek(since)
            return [json.loads(line) for line in log if line.endswith(b"\n")]

    def audited(self):
        path = self.folder / "audit.jsonl"
        return path.stat().st_size if path.exists() else 0

    # ---- the API

    def ask(self, method, path, body=None, content_type="application/json", timeout=10):
        """One request to the API server; the answer has been read into .body."""
        context = ssl._create_unverified_context()  # the certificate is not there yet when this is asked first
        connection = http.client.HTTPSConnection(NODE, 6443, timeout=timeout, context=context)
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body),
                               headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type, "Accept": "application/json"})
            answer = connection.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            connection.close()

    def etcd(self, method, body):
        """A call of etcd's own API, by its JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", 2379, timeout=10)
        try:
            connection.request("POST", f"/v3/{method}", body=json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise Failed(f"etcd, {method}: {answer.status} {text[:500]}")
            return json.loads(text)
        finally:
            connection.close()

    def kubectl(self, *arguments, text=None):
        return run(LAB / "kubectl", *arguments, env=self.environment(), input=text)

    def apply(self, text):
        return self.kubectl("apply", "-f", "-", text=text)

    def get(self, what, namespace=None):
        """An object, or a list of objects, as kubectl names it."""
        return json.loads(self.kubectl("get", what, "-o", "json", *(["-n", namespace] if namespace else [])))


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
