#!/usr/bin/env python3
"""The direction of dependencies: a room (folder) includes only from rooms that CMakeLists.txt gives it, itself or through others;
heavy libraries stay in the rooms meant for them. Prints each #include that breaks this."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]

# library header -> the only rooms that may include it
ONLY = {
    r"boost/asio": {"dataplane/net"},
    r"openssl/": {"dataplane/tls", "base"},
    r"nghttp2/": {"dataplane/http/h2"},
    r"ares\.h": {"dataplane/net"},
    r"yaml-cpp/": {"base"},
    r"spdlog/": {"base"},
    r"zlib\.h": {"dataplane/compression", "controlplane/rpc"},
    r"zstd\.h": {"dataplane/compression"},
    r"brotli/": {"dataplane/compression"},
    r"grpcpp/": {"dataplane/xds"},
    r"httplib\.h": {"dataplane/admin", "controlplane/serve", "adapters/kubernetes", "apps/cli"},
    r"CLI/": {"apps/control", "apps/cli", "apps/proxy", "dataplane/server"},
}
# rooms that know no Envoy message at all
NO_ENVOY = ("dataplane/net", "dataplane/tls", "dataplane/http", "dataplane/http/h1", "dataplane/http/h2", "dataplane/stats", "base",
            "controlplane/rpc", "controlplane/intent", "controlplane/topology", "controlplane/plan", "adapters/object", "adapters/core", "adapters/file", "adapters/kubernetes", "adapters/gatewayapi", "adapters/ingress")


# headers that exist to gather generated ones for the .cc files of their own room
GATHERING = {"controlplane/resources/messages.h"}


def rooms():
    """Room -> rooms it may include from, in the order of CMakeLists.txt; and what breaks that order."""
    out, wrong = {}, []
    names = {}
    for line in (ROOT / "CMakeLists.txt").read_text().splitlines():
        room = re.match(r"fairlead_room\((\S+)(.*)\)", line)
        binary = re.match(r"fairlead_binary\((\S+) (\S+)(.*)\)", line)
        if not room and not binary:
            continue
        path, rest = (room[1], room[2]) if room else (binary[1], binary[3])
        allowed = {path}
        for dependency in rest.partition("DEPS")[2].partition("TEST_DEPS")[0].split():  # what its tests use may lie below
            if dependency in names:
                allowed |= out[names[dependency]]
            elif re.match(r"(base|dataplane|controlplane|adapters|apps)(_|$)", dependency):
                wrong.append(f"CMakeLists.txt: {path} depends on {dependency}, which is not above it")
        out[path] = allowed
        names[path.replace("/", "_")] = path
    return out, wrong


def main():
    allowed, wrong = rooms()
    if len(allowed) < 30:
        sys.exit(f"only {len(allowed)} rooms found in CMakeLists.txt: is this test reading it right?")
    checked = 0
    for top in ("base", "dataplane", "controlplane", "adapters", "apps"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cc", ".inc"):
                continue
            room = str(path.parent.relative_to(ROOT))
            if room not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}: the folder {room} is no room of CMakeLists.txt")
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                include = re.match(r'\s*#include\s+[<"]([^>"]+)[>"]', line)
                if not include:
                    continue
                checked += 1
                what, place = include[1], f"{path.relative_to(ROOT)}:{number}"
                if re.match(r"(base|dataplane|controlplane|adapters|apps)/", what):
                    target = str(pathlib.PurePath(what).parent)
                    if target not in allowed[room]:
                        wrong.append(f"{place}: {room} may not include from {target}")
                    if not (ROOT / what).exists():
                        wrong.append(f"{place}: no file {what}")
                for library, only in ONLY.items():
                    if re.match(library, what) and room not in only:
                        wrong.append(f"{place}: {what} belongs to {', '.join(sorted(only))} alone")
                if what.startswith("envoy/") and not what.startswith("envoy/annotations/") and room in NO_ENVOY:
                    wrong.append(f"{place}: {room} knows no Envoy message")
                if what.startswith("envoy/") and path.suffix == ".h" and what.endswith(".pb.h") and str(path.relative_to(ROOT)) not in GATHERING:
                    wrong.append(f"{place}: generated headers are heavy: forward-declare the message and include it in the .cc")
    if checked < 500:
        sys.exit(f"only {checked} includes read: is this test looking in the right place?")
    for line in wrong:
        print(line)
    print(f"{checked} includes in {len(allowed)} rooms, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


main()
