"""Bytes through a proxy that does not look at them, beside HAProxy in its TCP mode and Envoy: ping-pong and bulk. CPU per exchange, memory.
A relay without any proxy around it (net_relay.cc: one epoll turn, one recv and one send a message; splice in bulk) shows what the kernel alone takes,
and where a process may have a ring, one over io_uring (uring_relay.cc) what that would change."""
import subprocess

from http_races import nginx_upstream, race, wrk
from lab import BIN, envoy, free_port
from measure import OTHER_CORES, pinned

HAPROXY_TCP = """
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 1s{splice}
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
"""
ENVOY_TCP = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 1s
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]}}
"""


def tcp_command(lab, name, port, upstream, splice=False):
    if name == "bare relay":
        return [BIN / "bench_net_relay", "splice" if splice else "epoll", port, upstream]
    if name == "io_uring relay":
        return [BIN / "bench_uring_relay", "tcp", port, upstream]
    if name == "haproxy":
        options = "\n  option splice-request\n  option splice-response" if splice else ""
        return ["haproxy", "-db", "-f", lab.write("haproxy-tcp.cfg", HAPROXY_TCP.format(port=port, upstream=upstream, splice=options))]
    text = ENVOY_TCP.format(admin=free_port(), port=port, upstream=upstream)
    command = [envoy() if name == "envoy" else BIN / "fairlead-proxy", "-c", lab.write(f"{name}-tcp.yaml", text), "--concurrency", "1", "--log-level", "error"]
    return command + (["--base-id", str(port)] if name == "envoy" else [])


NAMES = ["fairlead-proxy", "haproxy", "envoy", "bare relay"]  # the last: the system calls alone


def io_uring_relay():
    """Its name, where the kernel and what guards it let a process have a ring; else nothing."""
    return ["io_uring relay"] if subprocess.run([BIN / "bench_uring_relay", "check"], stderr=subprocess.DEVNULL, check=False).returncode == 0 else []


def echo_upstream(lab):
    port = free_port()
    lab.start("echo", pinned(OTHER_CORES, [BIN / "bench_tcp_load", "echo", port])).await_line("ready")
    return port


def ping_pong(port, seconds):
    exchanges, broken, slow = subprocess.run(pinned(OTHER_CORES, [str(BIN / "bench_tcp_load"), "load", str(port), "--seconds", str(seconds)]),
                                             capture_output=True, text=True, check=True).stdout.split()
    return int(exchanges), int(broken), f"{int(slow) / 1000:.2f}ms"


def tcp(options):
    """Ping-pong of 128 bytes over 64 connections, beside HAProxy and Envoy."""
    race("TCP ping-pong, 128 bytes, 64 connections", NAMES + io_uring_relay(), echo_upstream, ping_pong, options, [(["haproxy"], 1.10), (["envoy"], 0.5)], unit="exchange", commands=tcp_command)


def tcp_bulk(options):
    """10 MiB at a time over 8 connections without HTTP, beside HAProxy (which may splice) and Envoy."""
    race("TCP bulk, 10 MiB over 8 connections", NAMES, nginx_upstream, lambda port, seconds: wrk(port, seconds, "/10m", 8), options, [(["haproxy"], 1.0), (["envoy"], 0.5)], commands=tcp_command, splice=True)


TCP_RACES = {"tcp": tcp, "tcp-bulk": tcp_bulk}
