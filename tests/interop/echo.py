"""An upstream that answers with the exact request it read, and misbehaves when the request asks for it:
x-test-status: N, x-test-header: name=value, x-test-chunked: 1, x-test-size: N, x-test-close: 1 (no reply), x-test-reset: 1,
x-test-delay: SECONDS, x-test-fail-first: KEY (503 the first time a KEY is seen), x-test-type: content type, x-test-body: hexadecimal bytes,
x-test-trailer: name=value (with x-test-chunked)."""
import http.server
import json
import socket
import struct
import threading
import time


def get_server(answer):
    """A server whose answer to each GET is answer(request): status and headers, without a body. A peer that gives up is no error."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, headers = answer(self)
            self.send_response(status)
            self.send_header("content-length", "0")
            for name, value in headers.items():
                self.send_header(name, value)
            try:
                self.end_headers()
            except OSError:
                pass

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128  # the first checks of all clusters come at once

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a check that is given up resets its connection
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Echo:
    def __init__(self, name="echo"):
        self.name = name
        self.seen = {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def close(self):
        self.listener.close()

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            try:
                while self.one(connection, stream):
                    pass
            except (OSError, ValueError):
                pass  # the peer ended in the middle of a request

    def one(self, connection, stream):
        line = stream.readline()
        if not line.strip():
            return False
        headers = []
        while (text := stream.readline().rstrip(b"\r\n")):
            name, _, value = text.decode("latin1").partition(":")
            headers.append((name, value.strip()))
        values = {n.lower(): v for n, v in headers}
        body = b""
        if values.get("transfer-encoding") == "chunked":
            while (size := int(stream.readline().split(b";")[0], 16)):
                body += stream.read(size)
                stream.readline()
            while stream.readline().strip():
                pass
        elif "content-length" in values:
            body = stream.read(int(values["content-length"]))
        if values.get("upgrade", "").lower() == "websocket":
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            while (data := connection.recv(65536)):
                connection.sendall(data)
            return False
        if "x-test-delay" in values:
            time.sleep(float(values["x-test-delay"]))
        if "x-test-reset" in values:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if "x-test-close" in values:
            return False
        status = values.get("x-test-status", "200")
        key = values.get("x-test-fail-first")
        if key:
            self.seen[key] = self.seen.get(key, 0) + 1
            if self.seen[key] == 1:
                status = "503"
        payload = json.dumps({"upstream": self.name, "line": line.decode("latin1").strip(), "headers": headers, "body": body.decode("latin1")[:200], "bytes": len(body)}).encode()
        if "x-test-size" in values:
            payload = b"x" * int(values["x-test-size"])
        if "x-test-body" in values:
            payload = bytes.fromhex(values["x-test-body"])
        head = f"HTTP/1.1 {status} Because\r\ncontent-type: {values.get('x-test-type', 'application/json')}\r\n"
        for n, v in headers:
            if n.lower() == "x-test-header":
                head += v.replace("=", ": ", 1) + "\r\n"
        trailers = "".join(v.replace("=", ": ", 1) + "\r\n" for n, v in headers if n.lower() == "x-test-trailer")
        if status in ("204", "304"):
            connection.sendall(head.encode() + b"\r\n")
        elif line.startswith(b"HEAD "):
            connection.sendall(head.encode() + f"content-length: {len(payload)}\r\n\r\n".encode())
        elif "x-test-chunked" in values:
            connection.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + f"{len(payload):x}\r\n".encode() + payload + b"\r\n0\r\n" + trailers.encode() + b"\r\n")
        else:
            connection.sendall(head.encode() + f"content-length: {len(payload)}\r\n\r\n".encode() + payload)
        return values.get("connection", "").lower() != "close"
