"""Clients that abuse HTTP/1.1 and TCP: slow heads and bodies, heads, chunks and trailers without an end, smuggling, answers that nobody reads, connections without
end: the proxy stays up, its memory stays bounded (the curve is printed), another client is served meanwhile, and the counter of the limit moves."""
import asyncio
import collections
import itertools
import os
import socket
import struct
import time

import attack
from attack import SECONDS, Attack
from h1_table import STRICTER, TABLE
from lab import require

GET = b"GET / HTTP/1.1\r\nHost: any.test\r\n"
LARGE = b"GET /large HTTP/1.1\r\nHost: any.test\r\n\r\n"
CHUNKED = b"POST /large HTTP/1.1\r\nHost: any.test\r\nTransfer-Encoding: chunked\r\n\r\n"
TOTAL, OPEN = 100_000, 15_000


def once(first, again=None):
    """`first`, then `again` without an end, or nothing more."""
    def output():
        yield first
        while again is not None:
            yield again
    return output


def swarm(count, output, interval=0.0, reads=True):
    """So many connections at a time, each made again when it ends; a piece of output every `interval` seconds, or as fast as it goes."""
    def play(port, connections):
        asyncio.run(many(port, connections))

    async def many(port, connections):
        end = time.monotonic() + SECONDS
        await asyncio.gather(*(one(port, connections, end, n) for n in range(count)))

    async def one(port, connections, end, n):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.2 * n / count)  # not all in one moment
        while (left := end - time.monotonic()) > 0:
            s = socket.socket()
            s.setblocking(False)
            if not reads:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                async with asyncio.timeout(left):
                    await loop.sock_connect(s, ("127.0.0.1", port))
                    connections.value += 1
                    await talk(loop, s)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.01)  # cut off
            finally:
                s.close()

    async def talk(loop, s):
        async def listen():
            while await loop.sock_recv(s, 1 << 16):
                pass

        async def speak():
            for piece in output():
                await loop.sock_sendall(s, piece)
                await asyncio.sleep(interval)
            await asyncio.sleep(SECONDS)

        tasks = [asyncio.create_task(speak())] + ([asyncio.create_task(listen())] if reads else [])
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    return play


def connects(port, connections):
    """Opens TOTAL connections as fast as it goes, OPEN of them at a time; every third one says the beginning of a head."""
    held = collections.deque()
    linger = struct.pack("ii", 1, 0)
    end = time.monotonic() + 120
    for n in range(TOTAL):
        s = socket.socket()
        s.settimeout(5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # no ports of closed ones are kept
        s.connect(("127.0.0.1", port))
        if n % 3 == 0:
            s.send(GET)
        held.append(s)
        connections.value += 1
        if len(held) == OPEN:
            held.popleft().close()
        if time.monotonic() > end:
            break
    for s in held:
        s.close()


MALFORMED = itertools.cycle([data for name, data in TABLE if name in STRICTER or any(word in name for word in ("length", "chunk", "bare", "fold", "space", "nul", "host"))])
ATTACKS = {
    "slow heads": Attack(swarm(500, once(GET, b"X-A: b\r\n"), 0.1), ("http.downstream_rq_header_timeout",)),
    "slow bodies": Attack(swarm(300, once(b"POST /large HTTP/1.1\r\nHost: any.test\r\nContent-Length: 100000\r\n\r\n", b"x"), 0.1), ("http.downstream_rq_timeout",), {"silent": True}),
    "slow bodies to nobody": Attack(swarm(300, once(b"POST / HTTP/1.1\r\nHost: any.test\r\nContent-Length: 100000\r\n\r\n", b"x"), 0.1), ("http.downstream_rq_2xx",)),
    "heads without an end": Attack(swarm(8, once(GET, b"X-A: " + b"x" * 1000 + b"\r\n")), ("http.downstream_rq_4xx",)),
    "heads of many fields": Attack(swarm(8, once(GET, b"a:b\r\n" * 200)), ("http.downstream_rq_4xx",)),
    "a line without an end": Attack(swarm(8, once(GET + b"X-A: ", b"x" * 16384)), ("http.downstream_rq_4xx",)),
    "a request line without an end": Attack(swarm(8, once(b"GET /", b"x" * 16384)), ("http.downstream_rq_4xx", "http.downstream_cx_protocol_error")),
    "empty lines": Attack(swarm(8, once(b"\r\n", b"\r\n" * 8000)), ()),
    "a chunk extension without an end": Attack(swarm(8, once(CHUNKED + b"5;a=", b"x" * 16384)), ("http.downstream_cx_protocol_error",), {"silent": True}),
    "trailers without an end": Attack(swarm(8, once(CHUNKED + b"0\r\n", b"X-T: " + b"x" * 1000 + b"\r\n")), ("http.downstream_cx_protocol_error",), {"silent": True}),
    "chunks of a byte": Attack(swarm(8, once(CHUNKED, b"1\r\nx\r\n" * 3000)), ("http.downstream_rq_timeout", "http.downstream_flow_control_paused_reading_total"), {"silent": True}),
    "pipelined, answers unread": Attack(swarm(20, once(b"", (GET + b"\r\n") * 500), reads=False), ("http.downstream_rq_2xx",)),
    "large answers unread": Attack(swarm(100, once(LARGE), reads=False), ("http.downstream_rq_idle_timeout", "http.downstream_cx_destroy_local")),
    "malformed, smuggling among them": Attack(swarm(16, lambda: iter([next(MALFORMED)])), ("http.downstream_cx_protocol_error",)),
    "garbage": Attack(swarm(16, lambda: iter([os.urandom(500)])), ("http.downstream_cx_protocol_error",)),
    "idle connections": Attack(swarm(1000, once(b"")), ("http.downstream_cx_idle_timeout",)),
    "a hundred thousand connects": Attack(connects, ("http.downstream_cx_total",), growth=15_000 * 4, patience=5,
                                          hcm={"common_http_protocol_options": {"idle_timeout": "300s"}, "request_headers_timeout": "300s"}),
}


def visit(port, until, latencies):
    """Another client on the same listener: a request after the other, on one connection as long as that lives, each answered with 200."""
    connection = None
    while until.is_alive():
        start = time.monotonic()
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.sendall(GET + b"\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\nok"):
            part = connection.recv(65536)
            require(part, f"the other client's connection ended after {answer!r}")
            answer += part
        require(answer.startswith(b"HTTP/1.1 200"), f"the other client got {answer!r}")
        latencies.append(time.monotonic() - start)
        time.sleep(0.01)
    if connection is not None:
        connection.close()


def run(lab):
    # What an edge would set: small buffers, short timeouts, a bound on connections upstream.
    hcm = {"request_headers_timeout": "0.8s", "request_timeout": "1s", "stream_idle_timeout": "1s", "common_http_protocol_options": {"idle_timeout": "1s"}, "access_log": None}
    attack.play(lab, ATTACKS, hcm, visit)
