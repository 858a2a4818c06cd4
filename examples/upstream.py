#!/usr/bin/env python3
"""Small upstreams for the examples: each NAME:PORT answers every HTTP request with one line of JSON that says who answered. tcp+NAME:PORT answers each
line of a connection, and udp+NAME:PORT each datagram, with its name before it; grpc+NAME:PORT answers every call as a health check does: SERVING."""
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


def tcp(name):
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(name.encode() + b": " + line)

    return Handler


def udp(name):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            data, reply = self.request
            reply.sendto(name.encode() + b": " + data, self.client_address)

    return Handler


def grpc(name):
    """HTTP/2 as far as one answer for all needs it: what is asked is not even decoded."""
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload

    def header(key, value):
        return b"\0" + bytes((len(key),)) + key.encode() + bytes((len(value),)) + value.encode()

    headers = b"\x88" + header("content-type", "application/grpc") + header("x-served-by", name)  # 0x88: ":status: 200"
    serving = b"\0\0\0\0\2\x08\1"  # grpc.health.v1.HealthCheckResponse

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.read(24)  # the preface
            self.wfile.write(frame(4, 0, 0))
            while head := self.rfile.read(9):
                payload = self.rfile.read(int.from_bytes(head[:3], "big"))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
                if kind in (4, 6) and not flags & 1:  # SETTINGS and PING want to be acknowledged
                    self.wfile.write(frame(kind, 1, 0, payload if kind == 6 else b""))
                if kind == 0 and payload:  # what was read of the connection's window may be sent again
                    self.wfile.write(frame(8, 0, 0, len(payload).to_bytes(4, "big")))
                if kind in (0, 1) and flags & 1:  # the call is complete
                    self.wfile.write(frame(1, 4, stream, headers) + frame(0, 0, stream, serving) + frame(1, 5, stream, header("grpc-status", "0")))

    return Handler


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


KINDS = {"http": (Server, handler), "tcp": (TcpServer, tcp), "udp": (socketserver.UDPServer, udp), "grpc": (TcpServer, grpc)}


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: upstream.py [tcp+|udp+|grpc+]NAME:PORT...")
    servers = []
    for spec in sys.argv[1:]:
        name, _, port = spec.rpartition(":")
        kind, _, name = name.rpartition("+")
        server, answer = KINDS[kind or "http"]
        try:
            servers.append(server(("127.0.0.1", int(port)), answer(name)))
        except OSError as error:
            sys.exit(f"upstream {name}: cannot listen on 127.0.0.1:{port}: {error.strerror}")
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
