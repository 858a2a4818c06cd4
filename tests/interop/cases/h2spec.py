"""h2spec's 145 cases against a proxied route, on an HTTP/2 listener and on one that takes HTTP/1.1 as well: fairlead-proxy must pass them; Envoy's
figure stands beside. Where the listener takes both, what is no HTTP/2 preface is a broken HTTP/1.1 request, so it is answered with 400 before the close."""
import re
import subprocess

import wire
from echo import Echo
from lab import free_port, go_tool, require

TOTAL = 145
EXCEPTIONS = {"HTTP2": [], "AUTO": ["Sends invalid connection preface"]}


def run(lab):
    h2spec = go_tool("h2spec", "github.com/summerwind/h2spec/cmd/h2spec")
    echo = Echo()
    for kind, codec in (("envoy", "HTTP2"), ("envoy", "AUTO"), ("fairlead-proxy", "HTTP2"), ("fairlead-proxy", "AUTO")):
        port, admin = free_port(), free_port()
        text = wire.configuration([wire.Scenario("h2spec", [], hcm={"codec_type": codec})], [port], [echo.port], admin, lab.dir / f"{kind}.access")
        proxy = lab.proxy(kind, lab.write(f"{kind}-h2spec.json", text), f"127.0.0.1:{admin}")
        out = subprocess.run([h2spec, "-h", "127.0.0.1", "-p", str(port), "-o", "3"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300).stdout
        lab.write(f"{kind}-{codec}.txt", out)
        code = lab.stop(proxy)
        total = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", out)
        require(total, f"h2spec said: {out[-1000:]}")
        failed = re.findall(r"^ *\u00d7 \d+: (.*)$", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", out).partition("Failures:")[2], re.M)
        print(f"        {kind}, {codec}: {total[2]} of {total[1]} cases pass", flush=True)
        if kind == "envoy":
            continue
        require(int(total[1]) == TOTAL and int(total[2]) == TOTAL - len(failed), f"h2spec ran {total[1]} cases, {total[3]} skipped")
        require(failed == EXCEPTIONS[codec], f"cases that fail: {failed}")
        require(code == 0, f"exit code {code}")
    echo.close()
