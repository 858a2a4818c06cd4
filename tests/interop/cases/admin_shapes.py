"""The admin address of Envoy and of fairlead-proxy on one configuration, after the same requests: status codes, content types, the structure of every
JSON answer, the lines of every text answer, the names of all statistics, what a wrong request gets, and drain and exit on request."""
import json
import re

import lab as interop
from echo import Echo
from lab import Failed, free_port
from parity import get


# What Envoy shows and fairlead-proxy has not: features and flags that do not exist here, Envoy's own build and its list of extensions, and the
# statistics that docs/differences.md names.
ABSENT = (r"user_agent_build_version|node\.(extensions|client_features|dynamic_parameters|listening_addresses)|command_line_options.allow|hot_restart_version|static_endpoint_configs|computed_quantiles|http\.admin|^cluster.echo.upstream_rq_(pending_)?active: 0$"
          r"|\.(http1|http2|http3|tracing|worker_|ssl|extension)|http3|0_?rtt|http_|tls_|^(main_thread|server|workers|filesystem|runtime|access_logs|vhost|cluster_manager|thread_local|dns|listener_manager|listener\.admin|http\.(admin|async-client))"
          r"|assignment_|lb_|original_dst|internal_redirect|queue_overloaded|warming_state|remaining|overload|premature|ip_detection|global_cx|default\.|match_count|admin"
          r"|envoy_(filesystem|main_thread|runtime|server|thread_local|workers|dns|access_log)|listener_worker|extension_config|workers_pinned|merge|metadata_not_supported|^'?\(?'?(envoy_)?http1|_http1_|watchdog"
          r"|refused\.upstream_rq_completed|deprecated")
ONLY_HERE = r"control_plane.connected_state|^disabled$|ignored_fields|\.http1\."  # made before they count, or not at all in Envoy
NOT_COMPARED = {"/config_dump?resource=static_listeners&mask=static_listeners.listener", "/hot_restart_version"}

JSON = ["/clusters?format=json", "/listeners?format=json", "/config_dump", "/config_dump?include_eds", "/config_dump?resource=static_clusters", "/config_dump?resource=static_listeners&mask=static_listeners.listener", "/certs", "/memory",
        "/server_info", "/init_dump", "/stats?format=json", "/stats?format=json&filter=upstream_rq_total", "/runtime"]
TEXT = ["/ready", "/listeners", "/hot_restart_version", "/stats?filter=main.downstream_rq_total", "/stats?filter=downstream_rq_total&type=Counters", "/stats?filter=main.downstream_cx_length&type=Histograms",
        "/stats?usedonly&filter=cluster.echo.upstream_rq_", "/clusters", "/clusters?filter=refused"]
WRONG = [("GET", "/nothing"), ("GET", "/quitquitquit"), ("GET", "/drain_listeners"), ("GET", "/healthcheck/fail"), ("GET", "/logging"), ("GET", "/reset_counters"), ("POST", "/stats?filter=("), ("GET", "/stats?filter=("), ("GET", "/stats?type=Odd"),
         ("GET", "/stats?format=odd"), ("GET", "/config_dump?resource=odd"), ("GET", "/config_dump?mask=odd"), ("GET", "/clusters?filter=("), ("POST", "/logging?level=odd"), ("POST", "/logging?odd=info"), ("POST", "/ready"), ("HEAD", "/ready"),
         ("POST", "/drain_listeners?skip_exit"), ("GET", "/config_dump?name_regex=("), ("PUT", "/ready")]


def structure(value):
    """Keys and kinds, without values; lists by the union of their members."""
    if isinstance(value, dict):
        return {k: structure(v) for k, v in value.items()}
    if isinstance(value, list):
        return [x for i, x in enumerate([structure(v) for v in value]) if x not in [structure(v) for v in value[:i]]]
    return type(value).__name__


def paths(value, at=""):
    if isinstance(value, dict):
        return set().union({at}, *(paths(v, f"{at}.{k}") for k, v in value.items()))
    if isinstance(value, list):
        return set().union({at}, *(paths(v, f"{at}[]") for v in value))
    return {f"{at}:{value}"}


def ask(address, path, method="GET"):
    reply = interop.get(address, path, method=method)
    return reply.status, (reply.header("content-type") or "").replace(" ", ""), reply.body


def lines(text, ports):
    for port, name in ports:
        text = text.replace(str(port), name)
    return sorted(re.sub(r"P0\(.*", "*", line) for line in text.splitlines())


def look(lab, kind, echo, refused):
    port, admin = free_port(), free_port()
    text = (interop.ROOT / "tests/interop/static_config.yaml").read_text()
    for name, value in {"ADMIN": admin, "PORT": port, "ECHO": echo.port, "REFUSED": refused, "LOG": lab.dir / f"{kind}-admin.log"}.items():
        text = text.replace(f"@{name}@", str(value))
    address = f"127.0.0.1:{admin}"
    proxy = lab.proxy(kind, lab.write(f"{kind}-admin.yaml", text), address)
    for path in ("/x", "/exact", "/dead-upstream", "/empty", "/retry"):
        interop.raw(port, get(path))
    out = {}
    for path in JSON:
        status, content, body = ask(address, path)
        out[path] = (status, content, sorted(paths(structure(json.loads(body)))) if status == 200 and "json" in content else body.decode())
    ports = [(port, "PORT"), (admin, "ADMIN"), (echo.port, "ECHO"), (refused, "REFUSED")]
    for path in TEXT:
        status, content, body = ask(address, path)
        out[path] = (status, content, lines(body.decode(), ports))
    for method, path in WRONG:
        status, content, body = ask(address, path, method)
        out[f"{method} {path}"] = (status, content)
    names = {line.split(": ")[0] for line in ask(address, "/stats")[2].decode().splitlines()}
    out["names"] = {re.sub(rf"127.0.0.1_{port}", "MAIN", n) for n in names}
    metrics = ask(address, "/stats/prometheus")[2].decode()
    out["prometheus"] = {re.sub(r"\{.*", "", line) for line in metrics.splitlines() if not line.startswith("#") and line}
    out["prometheus labels"] = {(m[1], tuple(sorted(re.findall(r'(\w+)="', m[2])))) for m in re.finditer(r"^(envoy_\w+)\{(.*?)\}", metrics, re.M)}
    out["level"] = ask(address, "/logging?level=info", "POST")[0]
    out["failed"] = (ask(address, "/healthcheck/fail", "POST")[::2], ask(address, "/ready")[::2], ask(address, "/healthcheck/ok", "POST")[::2], ask(address, "/ready")[::2])
    out["quit"] = ask(address, "/quitquitquit", "POST")[::2]
    proxy.process.wait(10)
    out["exit"] = proxy.process.returncode
    return out


def run(lab):
    echo, refused = Echo(), free_port()
    theirs, ours = look(lab, "envoy", echo, refused), look(lab, "fairlead-proxy", echo, refused)
    echo.close()
    wrong = []
    for key, b in theirs.items():
        a = ours[key]
        if key in NOT_COMPARED:
            continue
        if isinstance(b, set) or isinstance(b, tuple) and len(b) == 3 and isinstance(b[2], list):
            listed = isinstance(b, tuple)
            if listed and a[:2] != b[:2]:
                wrong.append(f"  {key}: {a[:2]}, Envoy {b[:2]}")
            here, there = (set(map(str, a[2])), set(map(str, b[2]))) if listed else (set(map(str, a)), set(map(str, b)))
            more, less = {x for x in here - there if not re.search(ONLY_HERE, x)}, {x for x in there - here if not re.search(ABSENT, x)}
            if more or less:
                wrong.append(f"  {key}\n    only here:  {sorted(more)}\n    only Envoy: {sorted(less)}")
        elif (a[:1] if isinstance(b, tuple) and b[0] in (400, 404) else a) != (b[:1] if isinstance(b, tuple) and b[0] in (400, 404) else b):
            wrong.append(f"  {key}: {a}, Envoy {b}")
    if wrong:
        raise Failed(f"{len(wrong)} of {len(theirs)} answers differ:\n" + "\n".join(wrong))
    print(f"        {len(theirs)} answers alike, {len(theirs['names'])} names of statistics")
