#!/usr/bin/env python3
"""Small HTTP upstreams for the examples: each NAME:PORT answers every request with one line of JSON that says who answered."""
import http.server
import json
import signal
import socketserver
import sys
import threading


def handler(name):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # head and body in one packet: two would wait 40 ms for each other's acknowledgement

        def answer(self):
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            reply = {"service": name, "method": self.command, "path": self.path, "host": self.headers.get("host"),
                     "headers": {k.lower(): v for k, v in self.headers.items()}, "body_bytes": len(body)}
            payload = (json.dumps(reply) + "\n").encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

        def log_message(self, *args):
            pass

    return Handler


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: upstream.py NAME:PORT...")
    servers = []
    for spec in sys.argv[1:]:
        name, _, port = spec.rpartition(":")
        try:
            servers.append(Server(("127.0.0.1", int(port)), handler(name)))
        except OSError as error:
            sys.exit(f"upstream {name}: cannot listen on 127.0.0.1:{port}: {error.strerror}")
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
