"""One configuration in Envoy and in fairlead-proxy, the same requests to both: replies, requests upstream and access logs must be alike. A raw reply
becomes something that can be compared: what changes from one moment to the next is replaced."""
import json
import re

import lab as interop
from echo import Echo
from lab import Failed, free_port

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
    if body.startswith(b"{\"upstream\""):
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


def get(path, host="any.test", method="GET", body=None, **headers):
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}"] + [f"{n.replace('_', '-')}: {v}" for n, v in headers.items()]
    data = ""
    if body is not None:
        lines.append(f"content-length: {len(body)}")
        data = body
    return ("\r\n".join(lines) + "\r\n\r\n" + data).encode("latin1")


def raw_request(*lines):
    return "\r\n".join((*lines, "", "")).encode("latin1")


def run_one(lab, kind, config, requests, echo, refused):
    port, admin = free_port(), free_port()
    log = lab.dir / f"{kind}-access.log"
    text = (interop.ROOT / "tests/interop" / config).read_text()
    for name, value in {"ADMIN": admin, "PORT": port, "ECHO": echo.port, "REFUSED": refused, "LOG": log}.items():
        text = text.replace(f"@{name}@", str(value))
    proxy = lab.proxy(kind, lab.write(f"{kind}.yaml", text), f"127.0.0.1:{admin}")
    out = []
    for request in requests:
        reply = json.dumps(shape(interop.raw(port, request.replace(b"{}", kind[:5].encode()))))
        out.append(json.loads(reply.replace(str(port), "PORT").replace(f"once-{kind[:5]}", "once")))
    code = lab.stop(proxy)
    if kind != "envoy" and code != 0:
        raise Failed(f"{kind}: exit code {code}:\n{proxy.text()[-2000:]}")
    return out, log.read_text().splitlines()


def compare(lab, config, requests, meant):
    """meant: (pattern on the request or on the line of our access log, reason) of the differences that stand in docs/differences.md."""
    def is_meant(text):
        return any(re.search(pattern, text, re.S) for pattern, _ in meant)

    echo, refused = Echo(), free_port()
    theirs, their_log = run_one(lab, "envoy", config, requests, echo, refused)
    ours, our_log = run_one(lab, "fairlead-proxy", config, requests, echo, refused)
    echo.close()
    differences = []
    for request, a, b in zip(requests, ours, theirs):
        if a != b and not is_meant(request.decode("latin1")):
            fields = "\n".join(f"    {k}:\n      fairlead {a[k]}\n      envoy    {b[k]}" for k in a if a[k] != b[k])
            differences.append(f"  {request!r}\n{fields}")
    for i, (a, b) in enumerate(zip(sorted(our_log), sorted(their_log))):
        if a != b and not is_meant(a):
            differences.append(f"  access log line {i}:\n      fairlead {a}\n      envoy    {b}")
    if len(our_log) != len(their_log):
        differences.append(f"  access log: {len(our_log)} lines, Envoy wrote {len(their_log)}")
    if differences:
        raise Failed(f"{len(differences)} differences in {len(theirs)} requests:\n" + "\n".join(differences))
    print(f"        {len(theirs)} requests, {len(their_log)} access log lines alike")
