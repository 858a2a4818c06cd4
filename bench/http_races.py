"""Races of HTTP proxies: the same load through each in turn, one worker on a core of its own, CPU per request as a ratio.

Each race is an upstream, a configuration per proxy, and a load; all proxies of a race run at once and are loaded one after the other,
round by round, so that the machine's noise meets all of them."""
import re
import statistics
import subprocess
import time

from lab import BIN, Lab, await_port, envoy, free_port
from measure import OTHER_CORES, SERVER_CORE, cpu, pinned, rss, table, verdict

TEMP = "client_body_temp_path {dir}/{n}b; proxy_temp_path {dir}/{n}p; fastcgi_temp_path {dir}/{n}f; uwsgi_temp_path {dir}/{n}u; scgi_temp_path {dir}/{n}s;"
NGINX_UPSTREAM = """
daemon off; worker_processes 1; pid {dir}/up.pid; error_log {dir}/up.err;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_max_body_size 0; TEMP
  server {{ listen 127.0.0.1:{port} backlog=1024; root {dir}; location = / {{ return 200 "{body}"; }} location = /taken {{ return 200 "taken"; }}
    location = /take {{ client_body_buffer_size 11m; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://127.0.0.1:{port}/taken; }} }} }}
""".replace("TEMP", TEMP.replace("{n}", "up"))
# /take reads the whole body before it answers.
# Bodies: proxy_buffering is nginx's default (on); no temporary files, so that a body passes through memory as in the others.
NGINX_PROXY = """
daemon off; worker_processes 1; pid {dir}/px.pid; error_log {dir}/px.err;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_max_body_size 0; proxy_max_temp_file_size 0; proxy_request_buffering off; TEMP
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  {tls} server {{ listen 127.0.0.1:{port} backlog=1024{listen}; location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""".replace("TEMP", TEMP.replace("{n}", "px"))
HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}{front}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}{back}
"""
ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - {chain}filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main{hcm}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
          route_config:
            name: main
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: up, timeout: 60s{route}}}{operations}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 1s
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}{cluster}
"""
HTTP2_CLUSTER = """
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"""
TLS_CHAIN = """transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context: {{tls_certificates: [{{certificate_chain: {{filename: {tls}}}, private_key: {{filename: {tls}}}}}]}}
      """
JSON_LOG = """
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
              log_format: {{json_format: {{time: "%START_TIME%", method: "%REQ(:METHOD)%", path: "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", sent: "%BYTES_SENT%", took: "%DURATION%", host: "%UPSTREAM_HOST%", id: "%REQ(X-REQUEST-ID)%", agent: "%REQ(USER-AGENT)%"}}}}"""
RETRIES = ", retry_policy: {retry_on: \"5xx,reset,connect-failure\", num_retries: 2}"
OPERATIONS = "".join(f"""
                {side}_headers_to_add:""" + "".join(f"""
                - {{header: {{key: x-{side}-{i}, value: "value-{i}-%PROTOCOL%"}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}""" for i in range(15)) for side in ("request", "response"))


def start_envoy_like(lab, name, port, upstream, hcm="", route="", operations="", cluster="", tls=None):
    text = ENVOY.format(admin=free_port(), port=port, upstream=upstream, hcm=hcm.format(log=lab.dir / f"{name}.access"), route=route, operations=operations, cluster=cluster,
                        chain=TLS_CHAIN.format(tls=tls) if tls else "")
    command = [envoy() if name == "envoy" else BIN / "fairlead-proxy", "-c", lab.write(f"{name}.yaml", text), "--concurrency", "1", "--log-level", "error"]
    return command + (["--base-id", str(port)] if name == "envoy" else [])


def command_of(lab, name, port, upstream, front="", back="", tls=None, **settings):
    """The command line of one proxy. `front`, `back`: "h2" where that side speaks HTTP/2 without TLS. `tls`: a file with certificate and key, for clients over TLS."""
    if name == "nginx":
        return ["nginx", "-p", lab.dir, "-c", lab.write("px.conf", NGINX_PROXY.format(
            dir=lab.dir, port=port, upstream=upstream, listen=(" http2" if front else "") + (" ssl" if tls else ""),
            tls=f"ssl_certificate {tls}; ssl_certificate_key {tls}; ssl_protocols TLSv1.2 TLSv1.3;" if tls else ""))]
    if name == "haproxy":
        return ["haproxy", "-db", "-f", lab.write("haproxy.cfg", HAPROXY.format(
            port=port, upstream=upstream, front=(" proto h2" if front else "") + (f" ssl crt {tls}" if tls else ""), back=" proto h2" if back else ""))]
    if name == "nghttpx":
        return ["nghttpx", "--conf=/dev/null", "--workers=1", f"--frontend=127.0.0.1,{port};no-tls", f"--backend=127.0.0.1,{upstream};;proto={'h2' if back else 'http/1.1'}", "--errorlog-file=/dev/null"]
    return start_envoy_like(lab, name, port, upstream, cluster=HTTP2_CLUSTER if back else "", tls=tls, **settings)


def wrk(port, seconds, path="/", connections=64, script=None, scheme="http"):
    done = subprocess.run(pinned(OTHER_CORES, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *(["-s", str(script)] if script else []), f"{scheme}://127.0.0.1:{port}{path}"]),
                          capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", done)[1])
    bad = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done)
    codes = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    errors = sum(map(int, bad.groups())) if bad else 0
    return requests, errors + (int(codes[1]) if codes else 0), re.search(r"99%\s+(\S+)", done)[1]


def h2load(port, seconds, *options):
    done = subprocess.run(pinned(OTHER_CORES, ["h2load", "-c4", "-m32", f"-D{seconds}", *options, f"http://127.0.0.1:{port}/"]), capture_output=True, text=True, check=True).stdout
    good, failed, errored, timeout = (int(re.search(rf"(\d+) {word}", done)[1]) for word in ("succeeded", "failed", "errored", "timeout"))
    return good, failed + errored + timeout, re.search(r"time for request:\s+\S+\s+(\S+)", done)[1] + " max"


def start_all(lab, names, start_upstream, commands=command_of, **settings):
    """Starts the upstream and every proxy; returns their ports and processes by name. `commands`: what makes their command lines."""
    upstream = start_upstream(lab)
    ports = {name: free_port() for name in names}
    running = {}
    for name, port in ports.items():
        running[name] = lab.start(name, pinned(SERVER_CORE, commands(lab, name, port, upstream, **settings)))
        await_port(port, running[name])
    return ports, running


def race(title, names, start_upstream, load, options, bars, unit="request", **settings):
    """Runs one race and prints it. `bars`: (peers, factor) pairs: at most factor times the best of those peers; None: there is none.

    The column `cores` says how busy a proxy was. Well below 1 on a machine that is otherwise idle, something else was the bottleneck, and what is
    measured is waking up for few requests at a time."""
    with Lab() as lab:
        ports, running = start_all(lab, names, start_upstream, **settings)
        for port in ports.values():
            load(port, 1)
        figures = {name: [] for name in names}
        errors = dict.fromkeys(names, 0)
        for _ in range(options.rounds):
            for name, port in ports.items():
                pid = running[name].process.pid
                before, begun = cpu(pid), time.monotonic()
                requests, bad, slow = load(port, options.seconds)
                spent = cpu(pid) - before
                figures[name].append((spent / max(requests, 1) * 1e6, requests / options.seconds, slow, rss(pid), spent / (time.monotonic() - begun)))
                errors[name] += bad
        median = {name: statistics.median(f[0] for f in fs) for name, fs in figures.items()}
        memory = {name: max(f[3] for f in fs) for name, fs in figures.items()}
        rows = [(name, f"{median[name]:.1f}", *(f"{median[name] / median[p]:.2f}" for p in names if p != "fairlead-proxy"),
                 f"{statistics.median(f[1] for f in fs):.0f}", f"{statistics.median(f[4] for f in fs):.2f}", sorted(f[2] for f in fs)[len(fs) // 2], f"{memory[name] / 1e6:.1f}", errors[name])
                for name, fs in figures.items()]
        table(f"{title}, {options.rounds} rounds of {options.seconds} s, one worker on core {SERVER_CORE}", rows,
              ["proxy", f"CPU µs/{unit}", *(f"x {p}" for p in names if p != "fairlead-proxy"), f"{unit}s/s", "cores", "p99", "RSS MB", "errors"])
        for peers, factor in bars:
            limit = f" at most {factor:.4g}" if factor else ""
            verdict(f"CPU per {unit}{limit} of the best of {', '.join(peers)}", median["fairlead-proxy"] / min(median[p] for p in peers), factor)
        verdict("RSS at most Envoy's", memory["fairlead-proxy"] / memory["envoy"], 1.0)
        verdict("errors", errors["fairlead-proxy"], 0)


def open_loop(lab, port, seconds, rate, *options):
    """Requests at a fixed rate whatever the answers take; their times in microseconds, and the errors. A request that finds no free place
    on its connection waits and is timed from when it is sent: at 70 % of the peak that is rare."""
    log = lab.dir / "open_loop.log"
    clients = int(options[0][2:])
    log.unlink(missing_ok=True)
    done = subprocess.run(pinned(OTHER_CORES, ["h2load", *options, f"-D{seconds}", f"--rps={rate / clients:.1f}", f"--log-file={log}", f"http://127.0.0.1:{port}/"]),
                          capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in log.read_text().splitlines()]
    errors = sum(int(re.search(rf"(\d+) {word}", done)[1]) for word in ("failed", "errored", "timeout")) + sum(r[1] != "200" for r in rows)
    return sorted(int(r[2]) for r in rows), errors


def at_rate(title, names, options, connections, **settings):
    """p99 at 70 % of the slowest proxy's peak rate, open loop; median of five rounds."""
    with Lab() as lab:
        ports, _ = start_all(lab, names, nginx_upstream, **settings)
        peak = {}
        for name, port in ports.items():
            done = subprocess.run(pinned(OTHER_CORES, ["h2load", *connections, f"-D{options.seconds}", f"http://127.0.0.1:{port}/"]), capture_output=True, text=True, check=True).stdout
            peak[name] = int(re.search(r"(\d+) succeeded", done)[1]) / options.seconds
        rate = 0.7 * min(peak[name] for name in names if name != "fairlead-proxy")
        figures, errors = {name: [] for name in names}, dict.fromkeys(names, 0)
        for _ in range(5):
            for name, port in ports.items():
                times, bad = open_loop(lab, port, options.seconds, rate, *connections)
                figures[name].append([times[min(len(times) - 1, int(len(times) * part))] for part in (0.5, 0.99, 0.999)])
                errors[name] += bad
        median = {name: [statistics.median(x) for x in zip(*fs)] for name, fs in figures.items()}
        table(f"{title}: {rate:.0f} requests/s, 70 % of the slowest peer's peak, open loop, median of 5 rounds of {options.seconds} s",
              [(name, f"{peak[name]:.0f}", *(f"{x / 1000:.2f}" for x in median[name]), errors[name]) for name in names], ["proxy", "peak/s", "p50 ms", "p99 ms", "p99.9 ms", "errors"])
        verdict("p99 at most 1.2 of the best peer's", median["fairlead-proxy"][1] / min(median[name][1] for name in names if name != "fairlead-proxy"), 1.2)
        verdict("errors", errors["fairlead-proxy"], 0)


def nginx_upstream(lab):
    port = free_port()
    for size, name in ((1024, "1k"), (64 * 1024, "64k"), (1024 * 1024, "1m"), (10 * 1024 * 1024, "10m")):
        (lab.dir / name).write_bytes(b"x" * size)
    lab.dir.chmod(0o755)
    await_port(port, lab.start("upstream", pinned(OTHER_CORES, ["nginx", "-p", lab.dir, "-c", lab.write("up.conf", NGINX_UPSTREAM.format(dir=lab.dir, port=port, body="x" * 128))])))
    return port


def nghttpd_upstream(*flags, body="x" * 128):
    def start(lab):
        port = free_port()
        (lab.dir / "index.html").write_text(body)
        await_port(port, lab.start("upstream", pinned(OTHER_CORES, ["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(lab.dir), *flags, str(port)])))
        return port
    return start


MESSAGE = "\0\0\0\0\x7b" + "x" * 123  # of gRPC: not compressed, 123 bytes


def grpc_upstream(lab):
    """Answers every call with one message and trailers. It does not echo: with --echo-upload nghttpd keeps each upload in a temporary file, opened,
    written, read and removed, and at an eighth of the speed is what the race then waits for."""
    types = lab.write("types", "application/grpc html\n")
    return nghttpd_upstream("--no-content-length", f"--mime-types-file={types}", "--trailer=grpc-status: 0", body=MESSAGE)(lab)


def http1(options):
    """HTTP/1.1 to HTTP/1.1, 64 keep-alive connections: CPU per request and memory beside nginx, HAProxy and Envoy."""
    race("HTTP/1.1 to HTTP/1.1, 64 connections", ["fairlead-proxy", "nginx", "haproxy", "envoy"], nginx_upstream, wrk, options, [(["envoy"], 0.33), (["nginx"], 1.0)])


def http2(options):
    """HTTP/2, 4 connections x 32 streams, to HTTP/1.1, beside HAProxy, nginx and Envoy."""
    race("HTTP/2 (4 x 32) to HTTP/1.1", ["fairlead-proxy", "nginx", "haproxy", "envoy"], nginx_upstream, h2load, options, [(["haproxy"], 1.15), (["envoy"], 0.30)], front="h2")


def http2_http2(options):
    """HTTP/2, 4 connections x 32 streams, to HTTP/2, beside nghttpx, HAProxy and Envoy."""
    race("HTTP/2 (4 x 32) to HTTP/2", ["fairlead-proxy", "nghttpx", "haproxy", "envoy"], nghttpd_upstream(), h2load, options, [(["nghttpx", "haproxy", "envoy"], 1.0), (["envoy"], 0.52)], front="h2", back="h2")


def grpc(options):
    """gRPC unary calls (a 128-byte message each way, trailers), 4 connections x 32 streams, beside nghttpx, HAProxy and Envoy."""
    def load(port, seconds):
        with Lab() as lab:
            return h2load(port, seconds, "-d", str(lab.write("message", MESSAGE)), "-H", "content-type: application/grpc", "-H", "te: trailers")
    race("gRPC unary (4 x 32)", ["fairlead-proxy", "nghttpx", "haproxy", "envoy"], grpc_upstream, load, options,
         [(["nghttpx", "haproxy", "envoy"], 1.0), (["envoy"], 0.52)], front="h2", back="h2")


def bodies(options):
    """64 KiB and 10 MiB bodies, down and up, over HTTP/1.1, beside nginx, HAProxy and Envoy."""
    names = ["fairlead-proxy", "nginx", "haproxy", "envoy"]
    bars = [(["nginx", "haproxy", "envoy"], 1.1)]
    for name, connections in (("64k", 32), ("10m", 8)):
        race(f"HTTP/1.1, {name} down, {connections} connections", names, nginx_upstream, lambda port, seconds: wrk(port, seconds, f"/{name}", connections), options, bars)
    for name, size, connections in (("64k", 64 * 1024, 32), ("10m", 10 * 1024 * 1024, 8)):
        with Lab() as lab:
            script = lab.write("post.lua", f'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\n')
            race(f"HTTP/1.1, {name} up, {connections} connections", names, nginx_upstream, lambda port, seconds: wrk(port, seconds, "/take", connections, script), options, bars)


def features(options):
    """HTTP/1.1 with access log in JSON, 30 header operations and a retry policy, beside Envoy with the same."""
    race("HTTP/1.1 with JSON log, 30 header operations, retries", ["fairlead-proxy", "envoy"], nginx_upstream, wrk, options, [(["envoy"], 0.40)],
         hcm=JSON_LOG, route=RETRIES, operations=OPERATIONS)


def latency(options):
    """p99 at 70 % of the slowest peer's peak rate, open loop, HTTP/1.1 and HTTP/2 clients, beside nginx, HAProxy and Envoy."""
    names = ["fairlead-proxy", "nginx", "haproxy", "envoy"]
    at_rate("HTTP/1.1, 64 connections", names, options, ["-c64", "-m1", "--h1"])
    at_rate("HTTP/2, 4 connections x 32 streams", names, options, ["-c4", "-m32"], front="h2")


RACES = {"http1": http1, "http2": http2, "http2-http2": http2_http2, "grpc": grpc, "bodies": bodies, "features": features, "latency": latency}
