"""original_dst in network namespaces of its own: connections that nftables redirects (REDIRECT) or hands to a transparent listener as they are (TPROXY),
IPv4 and IPv6, to Envoy and to fairlead-proxy: which listener and chain, where to."""
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
REDIRECTED = {"redirected": ("127.0.0.1", MEANT), "redirected from elsewhere": ("127.0.0.9", MEANT), "redirected over IPv6": ("::1", MEANT), "handed over": ("127.0.0.1", HANDED), "handed over to IPv6": ("::1", HANDED),
              "for nobody": ("127.0.0.1", STRANGE)}
# From another namespace, to hosts that are nowhere.
TPROXIED = {"taken": ("10.99.0.5", MEANT), "taken over IPv6": ("fd99::5", MEANT), "taken and handed over": ("10.99.0.5", HANDED), "taken and handed over to IPv6": ("fd99::5", HANDED), "taken for nobody": ("10.99.0.5", STRANGE)}
NEIGHBOUR = f"""
mount -t tmpfs none /run
ip netns add client
ip link add near type veth peer name far netns client
ip address add 10.77.0.1/24 dev near
ip address add fd77::1/64 dev near nodad
ip link set near up
ip -n client address add 10.77.0.2/24 dev far
ip -n client address add fd77::2/64 dev far nodad
ip -n client link set far up
ip -n client route add default via 10.77.0.1
ip -n client route add default via fd77::1
ip rule add fwmark 1 lookup 100
ip -6 rule add fwmark 1 lookup 100
ip route add local default dev lo table 100
ip -6 route add local default dev lo table 100
nft 'table ip t {{ chain p {{ type filter hook prerouting priority mangle; tcp dport {{ {MEANT}, {HANDED}, {STRANGE} }} tproxy to :{PORT} meta mark set 1 accept; }}; }}'
nft 'table ip6 t {{ chain p {{ type filter hook prerouting priority mangle; tcp dport {{ {MEANT}, {HANDED}, {STRANGE} }} tproxy to :{PORT} meta mark set 1 accept; }}; }}'
"""
HEAR = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5); s.settimeout(5); print(s.recv(10).decode())"


def address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def bootstrap(lab, kind, admin, upstream, transparent):
    def chain(name, log, cluster="up", **match):
        access = {"name": "f", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"text_format_source": {"inline_string": LOG}}}}
        return {"name": name, **({"filter_chain_match": match} if match else {}),
                "filters": [{"name": "tcp", "typed_config": {"@type": TYPE + "network.tcp_proxy.v3.TcpProxy", "stat_prefix": name, "cluster": cluster, "access_log": [access]}}]}

    log = lab.dir / f"{kind}-{transparent}-access.log"
    filters = [{"name": "o", "typed_config": {"@type": f"{TYPE}listener.original_dst.v3.{MESSAGES['original_dst']}"}}]
    listeners = []
    for name, host in (("four", "0.0.0.0"), ("six", "::")):
        listeners.append({"name": name, "address": address(host, PORT), "use_original_dst": True, "transparent": transparent, "listener_filters": filters,
                          "filter_chains": [chain(f"{name}-meant", log, destination_port=MEANT), chain(f"{name}-else", log)]})
        listeners.append({"name": f"{name}-handed", "address": address(host, HANDED), "bind_to_port": False, "filter_chains": [chain(f"{name}-handed", log)]})
    cluster = {"name": "up", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", upstream.port)}}]}]}}
    return lab.write(f"{kind}.json", json.dumps({"admin": {"address": address("127.0.0.1", admin)}, "static_resources": {"listeners": listeners, "clusters": [cluster]}})), log


def redirected(host, port):
    with socket.create_connection((host, port), timeout=5) as s:
        s.settimeout(5)
        return s.recv(10).decode()


def taken(host, port):
    return subprocess.run(["ip", "netns", "exec", "client", sys.executable, "-c", HEAR, host, str(port)], capture_output=True, text=True, check=True).stdout.strip()


def observe(lab, kind, upstream, connections, connect, transparent):
    admin = labs.free_port()
    config, log = bootstrap(lab, kind, admin, upstream, transparent)
    process = lab.proxy(kind, config, f"127.0.0.1:{admin}", "--file-flush-interval-msec", "20")
    seen = {}
    for count, (name, (host, port)) in enumerate(connections.items()):
        answer = connect(host, port)
        seen[name] = (answer, await_line(log, count).replace(str(upstream.port), "UP"))
    process.stop()
    return seen


def inside():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with labs.Lab() as lab:
        upstream = Upstream()
        for rules, *how in ((f"nft -f - <<'END'\n{RULES}END\n", REDIRECTED, redirected, False), (NEIGHBOUR, TPROXIED, taken, True)):
            subprocess.run(["sh", "-e", "-c", rules], check=True)
            theirs, ours = observe(lab, "envoy", upstream, *how), observe(lab, "fairlead", upstream, *how)
            wrong = [f"{name}: Envoy {theirs[name]}, Fairlead {ours[name]}" for name in theirs if theirs[name] != ours[name]]
            if wrong:
                sys.exit("\n".join(wrong))
            require_all(theirs)
            print(f"  {len(theirs)} connections alike")


def require_all(seen):
    mute = [name for name, (answer, line) in seen.items() if answer != "hello" or not line]
    if mute:
        sys.exit(f"nobody answered or logged: {mute}")


def run(lab):
    labs.envoy()  # installed while there is a network
    done = subprocess.run(["unshare", "--map-root-user", "--net", "--mount", sys.executable, __file__], capture_output=True, text=True, check=False)
    if done.returncode:
        raise labs.Failed(done.stdout + done.stderr)
    print(done.stdout, end="")


if __name__ == "__main__":
    inside()
