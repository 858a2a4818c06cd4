"""original_dst in a network namespace of its own: connections that nftables redirects, IPv4 and IPv6, to Envoy and to fairlead-proxy: which listener and chain, where to."""
import json
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import lab as labs  # noqa: E402
from listener_filters import MESSAGES, TYPE, Upstream, await_line  # noqa: E402

LOG = "%FILTER_CHAIN_NAME%|%DOWNSTREAM_LOCAL_ADDRESS%|%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%|%UPSTREAM_CLUSTER%|%UPSTREAM_HOST%\n"
PORT, MEANT, HANDED, STRANGE = 15001, 9001, 9002, 9003
RULES = "\n".join(f"table {family} nat {{ chain output {{ type nat hook output priority -100; tcp dport {{ {MEANT}, {HANDED}, {STRANGE} }} redirect to :{PORT}; }}; }}" for family in ("ip", "ip6")) + "\n"
# name: (address, port)
CONNECTIONS = {"redirected": ("127.0.0.1", MEANT), "redirected from elsewhere": ("127.0.0.9", MEANT), "redirected over IPv6": ("::1", MEANT), "handed over": ("127.0.0.1", HANDED), "handed over to IPv6": ("::1", HANDED),
               "for nobody": ("127.0.0.1", STRANGE)}


def address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def bootstrap(lab, kind, admin, upstream):
    def chain(name, log, cluster="up", **match):
        access = {"name": "f", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"text_format_source": {"inline_string": LOG}}}}
        return {"name": name, **({"filter_chain_match": match} if match else {}),
                "filters": [{"name": "tcp", "typed_config": {"@type": TYPE + "network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": cluster, "access_log": [access]}}]}

    log = lab.dir / f"{kind}-access.log"
    filters = [{"name": "o", "typed_config": {"@type": f"{TYPE}listener.original_dst.v3.{MESSAGES['original_dst']}"}}]
    listeners = []
    for name, host in (("four", "0.0.0.0"), ("six", "::")):
        listeners.append({"name": name, "address": address(host, PORT), "use_original_dst": True, "listener_filters": filters,
                          "filter_chains": [chain(f"{name}-meant", log, destination_port=MEANT), chain(f"{name}-else", log)]})
        listeners.append({"name": f"{name}-handed", "address": address(host, HANDED), "bind_to_port": False, "filter_chains": [chain(f"{name}-handed", log)]})
    cluster = {"name": "up", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", upstream.port)}}]}]}}
    return lab.write(f"{kind}.json", json.dumps({"admin": {"address": address("127.0.0.1", admin)}, "static_resources": {"listeners": listeners, "clusters": [cluster]}})), log


def observe(lab, kind, upstream):
    admin = labs.free_port()
    config, log = bootstrap(lab, kind, admin, upstream)
    process = lab.proxy(kind, config, f"127.0.0.1:{admin}", "--file-flush-interval-msec", "20")
    seen = {}
    for count, (name, (host, port)) in enumerate(CONNECTIONS.items()):
        with socket.create_connection((host, port), timeout=5) as s:
            s.settimeout(5)
            answer = s.recv(10).decode()
        seen[name] = (answer, await_line(log, count).replace(str(upstream.port), "UP"))
    process.stop()
    return seen


def inside():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], input=RULES.encode(), check=True)
    with labs.Lab() as lab:
        upstream = Upstream()
        theirs, ours = observe(lab, "envoy", upstream), observe(lab, "fairlead", upstream)
        wrong = [f"{name}: Envoy {theirs[name]}, Fairlead {ours[name]}" for name in theirs if theirs[name] != ours[name]]
        if wrong:
            sys.exit("\n".join(wrong))
        print(f"  {len(theirs)} connections alike")


def run(lab):
    labs.envoy()  # installed while there is a network
    done = subprocess.run(["unshare", "--map-root-user", "--net", sys.executable, __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        raise labs.Failed(done.stdout + done.stderr)
    print(done.stdout, end="")


if __name__ == "__main__":
    inside()
