"""HTTP/2 frame by frame, for scenarios of wire.py whose client or upstream speaks it: what is sent is what the script says, right or wrong; what is read
is told stream by stream, without what belongs to the sender (where frames begin, the order of header fields, windows).

Steps, besides those of wire.py that have no bytes in them (a float, CLOSE, RESET, HALF, REST):
  H D R      HEADERS, DATA, RST_STREAM          F          any frame               bytes      as they are
  READY      until the peer's SETTINGS came
  Await      until a stream ended or was reset, or (what="head") its head came     GOAWAY     until one was read
An upstream's steps may also be REQUEST: until the next request's head came, END: until that request has ended."""
import dataclasses
import socket
import struct
import threading
import time

import wire
from lab import python_package
from wire import CLOSE, HALF, RESET, REST

hpack = python_package("hpack", "4.2.0")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY_FRAME, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
GOAWAY, REQUEST, END, READY = "goaway", "request", "end", "ready"
HTTP2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}


@dataclasses.dataclass
class H:
    stream: int
    fields: list
    end: bool = True
    split: int = 0  # bytes of the block that go into HEADERS; the rest into CONTINUATION


@dataclasses.dataclass
class D:
    stream: int
    data: bytes = b""
    end: bool = True


@dataclasses.dataclass
class R:
    stream: int
    code: int = 8


@dataclasses.dataclass
class F:
    type: int
    flags: int
    stream: int
    payload: bytes = b""


@dataclasses.dataclass
class Await:
    stream: int
    what: str = "end"


def goaway(last, code=0):
    return F(GOAWAY_FRAME, 0, 0, struct.pack(">II", last, code))


def settings(**values):
    numbers = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "list": 6, "connect": 8}
    return F(SETTINGS, 0, 0, b"".join(struct.pack(">HI", numbers[n], v) for n, v in values.items()))


def frame(type, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((type, flags)) + struct.pack(">I", stream) + payload


class Lost(Exception):
    pass


class Connection:
    """One end. streams: number → events in the order they came: ("head", fields, end), ("data", bytes, end), ("reset", code)."""

    def __init__(self, sock, server, first=None):
        self.socket, self.server = sock, server
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder(max_header_list_size=1 << 22)
        self.streams, self.goaways, self.requests, self.block = {}, [], [], None
        self.end, self.ahead = "open", b""
        self.window_open = True  # give back what is read
        self.peer_settings = None
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server:
            self.need(len(PREFACE))
            if self.ahead[:len(PREFACE)] != PREFACE:
                raise Lost("no preface")
            self.ahead = self.ahead[len(PREFACE):]
        else:
            sock.sendall(PREFACE)
        self.send(first or settings(push=0) if not server else first or settings())

    def need(self, size):
        while len(self.ahead) < size:
            part = self.socket.recv(65536)
            if not part:
                self.end = "closed"
                raise Lost("closed")
            self.ahead += part

    def send(self, step):
        if isinstance(step, bytes):
            self.socket.sendall(step)
        elif isinstance(step, H):
            block = step.fields if isinstance(step.fields, bytes) else self.encoder.encode([f if isinstance(f, tuple) else (f, "") for f in step.fields], huffman=False)
            end = END_STREAM if step.end else 0
            if not step.split and len(block) <= 16384:
                return self.socket.sendall(frame(HEADERS, end | END_HEADERS, step.stream, block))
            size = step.split or 16384
            out = frame(HEADERS, end, step.stream, block[:size])
            rest = [block[i:i + 16384] for i in range(size, len(block), 16384)]
            for i, part in enumerate(rest):
                out += frame(CONTINUATION, END_HEADERS if i == len(rest) - 1 else 0, step.stream, part)
            self.socket.sendall(out)
        elif isinstance(step, D):
            parts = [step.data[i:i + 16384] for i in range(0, len(step.data), 16384)] or [b""]
            self.socket.sendall(b"".join(frame(DATA, END_STREAM if step.end and i == len(parts) - 1 else 0, step.stream, p) for i, p in enumerate(parts)))
        elif isinstance(step, R):
            self.socket.sendall(frame(RST, 0, step.stream, struct.pack(">I", step.code)))
        elif isinstance(step, F):
            self.socket.sendall(frame(step.type, step.flags, step.stream, step.payload))
        else:
            raise TypeError(step)

    def read_frame(self):
        self.need(9)
        size, type, flags, stream = int.from_bytes(self.ahead[:3], "big"), self.ahead[3], self.ahead[4], int.from_bytes(self.ahead[5:9], "big")
        self.need(9 + size)
        payload, self.ahead = self.ahead[9:9 + size], self.ahead[9 + size:]
        if flags & PADDED and type in (DATA, HEADERS):
            payload = payload[1:len(payload) - payload[0]]
        events = self.streams.setdefault(stream, []) if stream else None
        if type == DATA:
            if events and events[-1][0] == "data":
                events[-1] = ("data", events[-1][1] + payload, bool(flags & END_STREAM))
            else:
                events.append(("data", payload, bool(flags & END_STREAM)))
            if self.window_open and size:
                self.quietly(frame(WINDOW, 0, 0, struct.pack(">I", size)) + (b"" if flags & END_STREAM else frame(WINDOW, 0, stream, struct.pack(">I", size))))
        elif type in (HEADERS, CONTINUATION):
            if type == HEADERS:
                self.block = (stream, flags & END_STREAM, b"")
                if self.server and stream not in self.requests:
                    self.requests.append(stream)
            self.block = (self.block[0], self.block[1], self.block[2] + payload)
            if flags & END_HEADERS:
                fields = [(n if isinstance(n, str) else n.decode("latin1"), v if isinstance(v, str) else v.decode("latin1")) for n, v in self.decoder.decode(self.block[2], raw=True)]
                events.append(("head", fields, bool(self.block[1])))
        elif type == RST:
            events.append(("reset", int.from_bytes(payload, "big")))
        elif type == GOAWAY_FRAME:
            self.goaways.append(struct.unpack(">II", payload[:8]))
        elif type == SETTINGS and not flags & 1:
            self.peer_settings = {n: v for n, v in struct.iter_unpack(">HI", payload)}
            self.quietly(frame(SETTINGS, 1, 0))
        elif type == PING and not flags & 1:
            self.quietly(frame(PING, 1, 0, payload))

    def quietly(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def head(self, stream):
        return next((e[1] for e in self.streams.get(stream, []) if e[0] == "head" and not dict(e[1]).get(":status", "2").startswith("1")), None)

    def over(self, stream):
        return any(e[0] == "reset" or e[2] for e in self.streams.get(stream, []))

    def until(self, done):
        while not done():
            self.read_frame()

    def step(self, step, silence):
        if isinstance(step, Await):
            self.until(lambda: self.over(step.stream) or (step.what == "head" and self.head(step.stream)))
        elif step == READY:
            self.until(lambda: self.peer_settings is not None)
        elif step == GOAWAY:
            self.until(lambda: self.goaways)
        elif step == REQUEST:
            self.awaited = getattr(self, "awaited", 0) + 1
            self.until(lambda: len(self.requests) >= self.awaited and any(e[0] == "head" for e in self.streams[self.requests[self.awaited - 1]]))
        elif step == END:
            self.until(lambda: self.over(self.requests[self.awaited - 1]))
        elif isinstance(step, float):
            time.sleep(step)
        elif step == HALF:
            self.socket.shutdown(socket.SHUT_WR)
        elif step in (CLOSE, RESET):
            if step == RESET:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.end = f"we {'reset' if step == RESET else 'closed'}"
            self.socket.close()
            raise Lost("ours")
        elif step == REST:
            self.socket.settimeout(silence)
            try:
                while True:
                    self.read_frame()
            except TimeoutError:
                pass
        else:
            self.send(step)

    def text(self):
        """What was read, as bytes that wire.normal() takes."""
        out = []
        for stream, events in sorted(self.streams.items()):
            out.append(f"\r\nstream {stream}:")
            for kind, what, *end in events:
                if kind == "head":
                    out += [f"\r\n{n}: {v}" for n, v in sorted(what, key=lambda f: f[0])]
                elif kind == "data":
                    out.append(f"\r\n<{what.decode('latin1') if len(what) < 3000 else f'{len(what)} bytes'}>")
                else:
                    # What is given up upstream: INTERNAL_ERROR in Envoy, CANCEL in fairlead-proxy. docs/differences.md
                    out.append(f"\r\nRST_STREAM {what}" if not self.server or what not in (2, 8) else "\r\ngiven up")
                if end and end[0]:
                    out.append(" END")
        # A peer that is at fault is told so by fairlead-proxy alone: docs/differences.md.
        out += [f"\r\nGOAWAY {code}" for code in dict.fromkeys(code for _, code in self.goaways) if code == 0 and not self.server]
        return "".join(out).encode("latin1")


def play(connection, steps, silence, times=None):
    start = time.monotonic()
    for step in steps:
        connection.step(step, silence)
        if times is not None and isinstance(step, Await):
            times.append(time.monotonic() - start)


def ended(connection, error):
    if isinstance(error, Lost):
        return connection.end
    return {ConnectionResetError: "reset", BrokenPipeError: "closed while we sent", TimeoutError: "silent"}.get(type(error), str(error))


class Upstream(wire.Upstream):
    """An HTTP/2 upstream. Without steps it answers 200 to whatever has ended."""

    def __init__(self, scenario):
        self.first = scenario.upstream_settings
        super().__init__(scenario)

    def serve(self, sock, record, steps):
        connection = None
        sock.settimeout(3)
        try:
            connection = Connection(sock, True, self.first)
            if steps is None:
                self.answer_all(connection)
            else:
                play(connection, steps, 3 * wire.SILENCE)
                connection.step(REST, 3 * wire.SILENCE)
        except (Lost, OSError) as error:
            record["end"] = ended(connection, error) if connection else "no preface"
        if connection:
            record["read"] = connection.text()
        sock.close()

    def answer_all(self, connection):
        answered = set()
        connection.socket.settimeout(3 * wire.SILENCE)
        while True:
            connection.read_frame()
            for stream in connection.requests:
                if stream not in answered and connection.over(stream):
                    answered.add(stream)
                    head = any(n == ":method" and v == "HEAD" for n, v in connection.head(stream) or [])
                    connection.send(H(stream, [(":status", "200"), ("content-length", "2")], head))
                    if not head:
                        connection.send(D(stream, b"ok"))


@dataclasses.dataclass
class Scenario(wire.Scenario):
    """up: the upstream's protocol; h1: the client speaks HTTP/1.1, with wire.py's steps."""
    up: str = "h1"
    h1: bool = False
    client_settings: object = None
    upstream_settings: object = None

    def __post_init__(self):
        if self.up == "h2":
            self.cluster = wire.merged(HTTP2, self.cluster)

    def end(self, how):
        return how if how not in ("open", "silent", "closed") else "left"  # whether the proxy has ended by then is chance

    def serve(self):
        return Upstream(self) if self.up == "h2" else wire.Upstream(self)

    def play(self, port):
        if self.h1:
            return wire.play_client(port, self.client)
        record = {"read": b"", "end": "open", "times": []}
        connection = None
        with socket.create_connection(("127.0.0.1", port), timeout=3) as sock:
            own = sock.getsockname()[1]
            try:
                connection = Connection(sock, False, self.client_settings)
                play(connection, self.client, wire.SILENCE, record["times"])
                connection.step(REST, wire.SILENCE)
            except (Lost, OSError) as error:
                record["end"] = ended(connection, error)
            if record["end"] == "open" and connection.end != "open":
                record["end"] = connection.end
            if record["end"] == "reset":
                record["end"] = "closed"  # whoever closes with bytes unread resets
            record["read"] = connection.text()
        return own, record
