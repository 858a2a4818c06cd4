#!/usr/bin/env python3
"""Gives every configuration of cases.py and the modules beside it to `envoy --mode validate` and `fairlead-proxy --mode validate` and compares.

    run.py --envoy PATH --proxy PATH [--only GLOB] [--show accepted|refused|all]

Each difference must stand in differences.json with fairlead-proxy's verdict and the reason; a name there may end in '*'.
A difference without an entry, or an entry that no longer is a difference, makes the run fail. An Envoy that crashes counts
as one that refuses; a fairlead-proxy that crashes is always a difference. Exit status: 0 as expected, 1 not.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import os
import subprocess
import sys
import tempfile

import discovery_cases  # noqa: F401  adds to CASES
import listener_filter_cases  # noqa: F401  too
import mean_cases  # noqa: F401  too
import network_cases  # noqa: F401  too
from cases import CASES

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS = 30


class Verdict:
    def __init__(self, status, output):
        self.status = status
        self.accepted = status == 0
        self.crashed = status < 0 or status >= 126
        self.text = output

    def __str__(self):
        return "crash" if self.crashed else "accept" if self.accepted else "refuse"


def ask(program, path):
    try:
        done = subprocess.run([program, "--mode", "validate", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=SECONDS, check=False)
    except OSError as error:
        sys.exit(f"cannot run {program}: {error}")
    except subprocess.TimeoutExpired:
        return Verdict(-9, f"no answer within {SECONDS} s")
    return Verdict(done.returncode, done.stdout.decode(errors="replace"))


def reason(text):
    """The line of a program's output that says why."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        for mark in ("error initializing", "Error:", "error:"):
            if mark in line:
                return line[line.index(mark) + len(mark):].strip()
    return lines[-1].strip() if lines else ""


def covers(pattern, name):
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def explanation(entries, name, proxy):
    for entry in entries:
        for pattern in entry["cases"]:
            if entry["proxy"] == str(proxy) and covers(pattern, name):
                return pattern, entry
    return None, None


def compare(number, name, folder, envoy, proxy):
    content = CASES[name]
    path = os.path.join(folder, f"{number}.{'yaml' if isinstance(content, str) else 'json'}")
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return name, ask(envoy, path), ask(proxy, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envoy", required=True)
    parser.add_argument("--proxy", required=True)
    parser.add_argument("--only", default="*", help="glob over case names")
    parser.add_argument("--show", choices=["differences", "accepted", "refused", "all"], default="differences")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with open(os.path.join(HERE, "differences.json"), encoding="utf-8") as file:
        explained = json.load(file)
    names = [name for name in CASES if fnmatch.fnmatchcase(name, arguments.only)]
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda job: compare(*job, folder, arguments.envoy, arguments.proxy), enumerate(names)))

    counts, wrong, used = collections.Counter(), 0, set()
    for name, envoy, proxy in results:
        same = envoy.accepted == proxy.accepted and not proxy.crashed
        counts[f"{'same' if same else 'differ'}, Envoy: {envoy}"] += 1
        pattern, entry = explanation(explained, name, proxy)
        if not same and entry is not None:
            used.add(pattern)
            counts["explained"] += 1
            print(f"explained {name}: Envoy {envoy}, fairlead-proxy {proxy}: {entry['reason']}")
        elif not same:
            wrong += 1
            print(f"DIFFERS   {name}: Envoy {envoy}, fairlead-proxy {proxy}")
        elif arguments.show == "all" or arguments.show == {"accept": "accepted", "refuse": "refused"}.get(str(proxy)):
            print(f"same      {name}: {envoy}")
        else:
            continue
        for program, verdict in (("Envoy", envoy), ("fairlead-proxy", proxy)):
            if not verdict.accepted:
                print(f"              {program}: {reason(verdict.text)[:300]}")
    for pattern in sorted({case for entry in explained for case in entry["cases"]} - used):
        if any(covers(pattern, name) for name in names) or not any(covers(pattern, name) for name in CASES):
            wrong += 1
            print(f"STALE     {pattern}: listed in differences.json, but no such difference was found")
    print(f"{len(results)} configurations: " + "; ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
