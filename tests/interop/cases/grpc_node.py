"""gRPC's own client for Node (@grpc/grpc-js-xds) driven by fairlead-control: raw resources, an edit of the endpoints, a listener that goes and comes back."""
import importlib.util
import pathlib
import shutil
import subprocess

from lab import BIN, PEERS, ROOT, await_true, build_go_peers, require

_spec = importlib.util.spec_from_file_location("grpc_client_case", pathlib.Path(__file__).with_name("grpc_client.py"))
grpc_client = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(grpc_client)


def node_client():
    """The packages that tests/interop/node pins, installed once."""
    folder, source = PEERS / "node", ROOT / "tests/interop/node"
    lock = (source / "package-lock.json").read_text()
    kept = folder / "package-lock.json"
    if not (folder / "node_modules").exists() or kept.read_text() != lock:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder, check=True, capture_output=True)
    shutil.copy(source / "client.js", folder / "client.js")
    return folder / "client.js"


def run(lab):
    build_go_peers()
    client = node_client()
    ports = {}
    for name in ("a", "b"):
        backend = lab.start(f"backend-{name}", [PEERS / "backend", "--name", name])
        ports[name] = backend.await_line(r"listening 127\.0\.0\.1:(\d+)")[1]

    def config(*names):
        return grpc_client.RESOURCES.format(endpoints="\n".join(grpc_client.ENDPOINT.format(port=ports[n]) for n in names))

    path = lab.write("source/greeter.yaml", config("a"))
    _, xds, admin = lab.control(path.parent)
    bootstrap = lab.write("grpc.json", subprocess.run([BIN / "fairlead", "bootstrap", "--for", "grpc", "--id", "grpc-client", "--xds-address", xds],
                                                      check=True, capture_output=True, text=True).stdout)

    def answers(count=40):
        done = subprocess.run(["node", client, "xds:///greeter", str(count)], env={"GRPC_XDS_BOOTSTRAP": str(bootstrap), "PATH": "/usr/local/bin:/usr/bin:/bin"}, capture_output=True, text=True)
        require(done.returncode == 0, f"the client failed: {done.stderr}")
        return dict(line.split() for line in done.stdout.splitlines())

    require(answers() == {"a": "40"}, f"wrong backends: {answers()}")
    lab.write("source/greeter.yaml", config("a", "b"))
    await_true("the client uses both backends", lambda: set(answers()) == {"a", "b"})
    nacks = subprocess.run([BIN / "fairlead", "--server", admin, "nacks"], check=True, capture_output=True, text=True).stdout
    require("grpc-client" not in nacks, f"it refused something: {nacks}")
