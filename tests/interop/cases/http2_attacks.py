"""Clients that abuse HTTP/2, each for 2 seconds from a process of its own: the proxy stays up, its memory and its connections upstream stay bounded (the
memory's curve is printed), another client is served meanwhile, and the counter of the limit moves. Tunnels among them: CONNECT that ends here, and
WebSocket by extended CONNECT."""
import socket
import struct
import threading
import time

import attack
import http2
from attack import SECONDS, Attack
from http2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST, SETTINGS, WINDOW, frame
from lab import require

HEAD = bytes.fromhex("828684") + b"\x01\x08any.test"  # GET / http, not indexed
BIG = b"x" * 4000


def settings(**values):
    return frame(SETTINGS, 0, 0, http2.settings(**values).payload)


def streams(start=1):
    return range(start, 1 << 30, 2)


def batches(make, size=100):
    """Endless pieces of output, `size` calls of make(stream) each."""
    numbers = iter(streams())
    while True:
        yield b"".join(make(next(numbers)) for _ in range(size))


def reset(stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD) + frame(RST, 0, stream, struct.pack(">I", 8))


def once(first, again):
    yield first
    while True:
        yield again


def bomb():
    """One large entry in the table, then heads that name it thousands of times."""
    literal = b"\x40\x05x-big" + b"\x7f\xa1\x1e" + BIG  # 127 + 30 * 128 + 33 - 127 = 4000
    numbers = iter(streams())
    yield frame(HEADERS, END_STREAM | END_HEADERS, next(numbers), HEAD + literal)
    while True:
        yield frame(HEADERS, END_STREAM | END_HEADERS, next(numbers), HEAD + b"\xbe" * 16000)


def large_head(stream):
    field = b"\x00\x05x-big\x7f\xa1\x1e" + BIG
    block = HEAD + field * 20
    return (frame(HEADERS, END_STREAM, stream, block[:16000]) + b"".join(frame(CONTINUATION, 0, stream, block[i:i + 16000]) for i in range(16000, 64000, 16000))
            + frame(CONTINUATION, END_HEADERS, stream, block[64000:]))


def large_answers(stream):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, bytes.fromhex("8286") + b"\x04\x06/large" + b"\x41\x08any.test") if stream < 200 else frame(PING, 0, 0, b"12345678")


def field(name, value):
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


TUNNEL = field(b":method", b"CONNECT") + field(b":authority", b"any.test")
WEBSOCKET = TUNNEL + field(b":protocol", b"websocket") + field(b":scheme", b"http") + field(b":path", b"/large")


def opened(head, data=b""):
    """A stream that stays open, after `data`."""
    return lambda stream: frame(HEADERS, END_HEADERS, stream, head) + (frame(DATA, 0, stream, data) if data else b"")


def opened_and_reset(head):
    return lambda stream: frame(HEADERS, END_HEADERS, stream, head) + frame(RST, 0, stream, struct.pack(">I", 8))


def at_most(count, make):
    """So many streams, then PINGs now and then, so that it is this side that waits."""
    return lambda: (make(stream) if stream < 2 * count else slow_ping() for stream in streams())


def slow_ping():
    time.sleep(0.02)
    return frame(PING, 0, 0, b"12345678")


OPEN = frame(HEADERS, END_HEADERS, 1, bytes.fromhex("8386") + b"\x04\x06/large" + b"\x41\x08any.test")
# name: (output after the preface, whether it reads what comes back, counters of which one must move: "http." of the listener's connection manager,
# "upstream_" of the cluster)
ATTACKS = {
    "rapid reset": (lambda: batches(reset), True, ("http2.too_many_premature_resets",)),
    "rapid reset, one by one": (lambda: batches(reset, 1), True, ("http2.too_many_premature_resets",)),
    "continuation flood": (lambda: once(frame(HEADERS, END_STREAM, 1, HEAD), frame(CONTINUATION, 0, 1, b"\x00\x01x\x7f\xa1\x1e" + BIG)), True, ("http.downstream_cx_protocol_error",)),
    "empty continuation flood": (lambda: once(frame(HEADERS, END_STREAM, 1, HEAD), frame(CONTINUATION, 0, 1) * 100), True, ("http2.inbound_empty_frames_flood",)),
    "ping flood, unread": (lambda: once(b"", frame(PING, 0, 0, b"12345678") * 500), False, ("http2.outbound_control_flood",)),
    "ping flood, read": (lambda: once(b"", frame(PING, 0, 0, b"12345678") * 100), True, ()),
    "settings flood, unread": (lambda: once(b"", settings(window=1000) * 500), False, ("http2.outbound_control_flood",)),
    "large heads": (lambda: batches(large_head, 5), True, ("http2.header_list_size_too_large",)),
    "hpack bomb": (bomb, True, ("http2.header_list_size_too_large", "http2.header_overflow")),
    "zero windows, large answers": (lambda: batches(large_answers, 1), True, ("http.downstream_rq_idle_timeout", "http2.tx_flush_timeout")),
    "empty data flood": (lambda: once(OPEN, frame(DATA, 0, 1) * 100), True, ("http2.inbound_empty_frames_flood",)),
    "priority flood": (lambda: once(b"", frame(PRIORITY, 0, 1, b"\0\0\0\x03\x10") * 100), True, ("http2.inbound_priority_frames_flood",)),
    "window update flood": (lambda: once(OPEN, frame(WINDOW, 0, 1, b"\0\0\0\x01") * 100), True, ("http2.inbound_window_update_frames_flood",)),
    "malformed requests": (lambda: batches(lambda stream: frame(HEADERS, END_STREAM | END_HEADERS, stream, b"\x82"), 1), True, ("http.downstream_cx_protocol_error",)),
    "CONNECT, rapid reset": (lambda: batches(opened_and_reset(TUNNEL)), True, ("http2.too_many_premature_resets",)),
    "CONNECT, rapid reset, one by one": (lambda: batches(opened_and_reset(TUNNEL), 1), True, ("http2.too_many_premature_resets",)),
    "WebSocket, rapid reset": (lambda: batches(opened_and_reset(WEBSOCKET)), True, ("http2.too_many_premature_resets",)),
    "CONNECT without a pause": (lambda: batches(opened(TUNNEL), 1), True, ("upstream_cx_overflow", "upstream_rq_pending_overflow")),
    "CONNECT, idle tunnels": (at_most(10, opened(TUNNEL)), True, ("http.downstream_rq_idle_timeout",)),
    "CONNECT, zero windows": (at_most(20, opened(TUNNEL)), True, ("http.downstream_rq_idle_timeout", "http2.tx_flush_timeout")),
    "CONNECT, bytes that nobody reads": (at_most(20, opened(TUNNEL, b"x" * 16000)), True, ("http.downstream_rq_idle_timeout",)),
    "WebSocket, upstream stalls": (at_most(20, opened(WEBSOCKET)), True, ("http.downstream_rq_idle_timeout",)),
    "WebSocket without a pause, upstream stalls": (lambda: batches(opened(WEBSOCKET), 1), True, ("upstream_cx_overflow", "upstream_rq_pending_overflow")),
    "requests without a pause": (lambda: batches(lambda stream: frame(HEADERS, END_STREAM | END_HEADERS, stream, HEAD), 20), True, ()),
}


def abuse(port, connections, name):
    """Four connections at a time, each made again when it ends; how many is told through `connections`."""
    output, reads, _ = ATTACKS[name]
    end = time.monotonic() + SECONDS

    def one():
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=0.5) as s:
                    with connections.get_lock():
                        connections.value += 1
                    s.sendall(PREFACE + settings(push=0, window=0 if "zero windows" in name else 1 << 20) + frame(SETTINGS, 1, 0))
                    for part in output():
                        if time.monotonic() > end:
                            break
                        s.settimeout(0.5)
                        s.sendall(part)
                        s.settimeout(0.001)
                        try:
                            if reads and not s.recv(1 << 20):
                                break
                        except TimeoutError:
                            pass
            except OSError:
                time.sleep(0.01)  # cut off

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def visit(port, until, latencies):
    """Another client on the same listener: a request after the other, each answered with 200."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        client = http2.Connection(s, False)
        for stream in streams():
            if not until.is_alive():
                return
            start = time.monotonic()
            client.send(http2.H(stream, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "any.test")]))
            client.step(http2.Await(stream), 0)
            require(dict(client.head(stream) or []).get(":status") == "200", f"the other client got {client.streams[stream]}")
            latencies.append(time.monotonic() - start)
            time.sleep(0.01)


def attack_of(name, counters):
    upstream = {"silent": name.startswith(("CONNECT", "WebSocket"))}
    if "zero windows" in name:
        upstream = {"at_once": name.startswith("CONNECT")}
    out = Attack(lambda port, connections: abuse(port, connections, name), counters, upstream)
    if name.startswith("CONNECT"):
        out.route = {"match": {"connect_matcher": {}}, "route": {"upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}}
    return out


def run(lab):
    # What an edge would set: few streams, small buffers, an idle timeout, a bound on connections upstream.
    hcm = {"http2_protocol_options": {"max_concurrent_streams": 100, "initial_stream_window_size": 65536, "initial_connection_window_size": 1048576, "allow_connect": True},
           "upgrade_configs": [{"upgrade_type": "CONNECT"}, {"upgrade_type": "websocket"}], "stream_idle_timeout": "1s", "access_log": None}
    attack.play(lab, {name: attack_of(name, counters) for name, (_, _, counters) in ATTACKS.items()}, hcm, visit)
