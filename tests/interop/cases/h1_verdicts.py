"""Raw HTTP/1 requests, well-formed and not, smuggling attempts among them: Envoy and fairlead-proxy accept and refuse the same ones.
Where fairlead-proxy is stricter on purpose, STRICTER says so, and docs/differences.md too."""
import json

import lab as interop
from h1_table import TABLE, STRICTER
from echo import Echo
from lab import Failed, free_port
from parity import shape

SMOKE = True


def run_one(lab, kind, echo):
    port, admin = free_port(), free_port()
    text = (interop.ROOT / "tests/interop/static_config.yaml").read_text()
    for name, value in {"ADMIN": admin, "PORT": port, "ECHO": echo.port, "REFUSED": free_port(), "LOG": lab.dir / f"{kind}-h1.log"}.items():
        text = text.replace(f"@{name}@", str(value))
    proxy = lab.proxy(kind, lab.write(f"{kind}-h1.yaml", text), f"127.0.0.1:{admin}")
    out = {name: json.loads(json.dumps(shape(interop.raw(port, data, timeout=1)))) for name, data in TABLE}
    lab.stop(proxy)
    return out


def run(lab):
    echo = Echo()
    theirs, ours = run_one(lab, "envoy", echo), run_one(lab, "fairlead-proxy", echo)
    echo.close()
    wrong = []
    for name, data in TABLE:
        a, b = ours[name], theirs[name]
        if name in STRICTER:
            if not a["status"].startswith("HTTP/1.1 400") or not b["status"].startswith("HTTP/1.1 200"):
                wrong.append(f"  {name}: said to be refused by fairlead-proxy alone, but:\n      fairlead {a}\n      envoy    {b}")
        elif a != b:
            wrong.append(f"  {name}: {data[:120]!r}\n      fairlead {a}\n      envoy    {b}")
    if wrong:
        raise Failed(f"{len(wrong)} of {len(TABLE)} verdicts differ:\n" + "\n".join(wrong))
    print(f"        {len(TABLE)} verdicts alike, {len(STRICTER)} stricter on purpose")
