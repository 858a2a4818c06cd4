"""connection_balance_config: few long connections, counted in the epoll set of each worker, of Envoy and of fairlead-proxy: with exact_balance as many in
each, also after those of one worker have gone."""
import json
import os
import pathlib
import re
import socket

import lab as labs

WORKERS, CONNECTIONS = 2, 8
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def listener(name, port, **more):
    manager = {"@type": HCM, "stat_prefix": name, "http_filters": [{"name": "r", "typed_config": {"@type": ROUTER}}],
               "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]}]}}
    return {"name": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}], **more}


def established(port):
    """{inode: the client's port} of the server's sockets."""
    out = {}
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01" and int(fields[1].split(":")[1], 16) == port:
            out[fields[9]] = int(fields[2].split(":")[1], 16)
    return out


def spread(pid, port):
    """The clients' ports, by the epoll set that their connection is in."""
    sockets = established(port)
    folder = pathlib.Path(f"/proc/{pid}/fd")
    links = {}
    for fd in folder.iterdir():
        try:
            links[fd.name] = os.readlink(fd)
        except OSError:
            pass  # closed meanwhile
    owner = {fd: sockets[link[8:-1]] for fd, link in links.items() if link.startswith("socket:[") and link[8:-1] in sockets}
    out = []
    for fd, link in links.items():
        if link != "anon_inode:[eventpoll]":
            continue
        watched = re.findall(r"^tfd:\s*(\d+)", pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text(), re.M)
        ports = {owner[f] for f in watched if f in owner}
        if ports:
            out.append(ports)
    return out


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    s.sendall(REQUEST)
    labs.require(s.recv(4096).startswith(b"HTTP/1.1 200"), "a request")
    return s


def even(pid, port, count):
    labs.await_true(f"{count} connections are spread evenly: {[len(s) for s in spread(pid, port)]}", lambda: sorted(len(s) for s in spread(pid, port)) == [count // WORKERS] * WORKERS)


def observe(lab, kind):
    ports = labs.free_ports(["admin", "exact", "kernel"])
    config = {"admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ports["admin"]}}},
              "static_resources": {"listeners": [listener("exact", ports["exact"], connection_balance_config={"exact_balance": {}}), listener("kernel", ports["kernel"])]}}
    program = [labs.envoy(), "--base-id", str(labs.free_port()), "--log-level", "warning"] if kind == "envoy" else [labs.BIN / "fairlead-proxy"]
    process = lab.start(kind, [*program, "-c", lab.write(f"{kind}.json", json.dumps(config)), "--concurrency", str(WORKERS)])
    labs.await_http(f"127.0.0.1:{ports['admin']}", "/ready", process)
    pid, port = process.process.pid, ports["exact"]
    clients = {}
    for n in range(1, CONNECTIONS + 1):
        s = connect(port)
        clients[s.getsockname()[1]] = s
        if n % WORKERS == 0:
            even(pid, port, n)
    for gone in spread(pid, port)[0]:
        clients.pop(gone).close()
    labs.await_true("they are gone", lambda: len(established(port)) == len(clients))
    while len(clients) < CONNECTIONS:
        s = connect(port)
        clients[s.getsockname()[1]] = s
    even(pid, port, CONNECTIONS)
    by_kernel = [connect(ports["kernel"]) for _ in range(CONNECTIONS)]
    found = sorted(len(s) for s in spread(pid, ports["kernel"]))
    for s in [*clients.values(), *by_kernel]:
        s.close()
    lab.stop(process)
    return f"{kind}: {CONNECTIONS // WORKERS} in each of {WORKERS} workers, again after one had lost its own; without exact_balance {found}"


def run(lab):
    for kind in ("envoy", "fairlead-proxy"):
        print(f"  {observe(lab, kind)}")
