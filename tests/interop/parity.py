"""A raw reply as something that two proxies can be compared by: what changes from one moment to the next is replaced."""
import json
import re

VOLATILE = {"date", "x-envoy-upstream-service-time", "x-request-id"}


def dechunked(body):
    """A chunked body without its framing: where chunks begin and end is the sender's business."""
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        out += rest[:length]
        body = rest[length + 2:] if length else b""
    return out


def shape(received):
    data, end = received
    head, _, body = data.partition(b"\r\n\r\n")
    interim = []
    while re.match(rb"HTTP/1.1 1(?!01)", head) and body:
        interim.append(head.decode("latin1"))
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("latin1").split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
    kept = [(h[0], h[1] if len(h) > 1 else "") for h in headers if h[0].lower() not in VOLATILE]
    if any(n.lower() == "transfer-encoding" and v == "chunked" for n, v in kept):
        body = dechunked(body)
    present = sorted(h[0].lower() for h in headers if h[0].lower() in VOLATILE)
    if body.startswith(b"{"):
        seen = json.loads(body[: body.rindex(b"}") + 1])
        again = any(n == "x-envoy-attempt-count" and v != "1" for n, v in seen["headers"])  # the time that is left: all of it after a short back-off
        seen["headers"] = [(n, "*" if n == "x-request-id" and v != "mine" else "less" if again and n == "x-envoy-expected-rq-timeout-ms" and 14000 < int(v) <= 15000 else v)
                           for n, v in seen["headers"]]
        kept = [(n, "*" if n == "content-length" else v) for n, v in kept]
        body = seen
    else:
        body = body.decode("latin1")
        body = body if len(body) < 500 else f"{len(body)} bytes"
    return {"interim": interim, "status": lines[0], "headers": kept, "volatile": present, "body": body, "end": end}
