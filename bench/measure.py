"""What every benchmark measures with: CPU time and memory of a process tree from /proc, cores for server and load, tables, verdicts."""
import os
import pathlib
import re

CORES = os.cpu_count() or 1
SERVER_CORE = "0"
OTHER_CORES = f"1-{CORES - 1}" if CORES > 2 else "1" if CORES > 1 else "0"


def tree(pid):
    """A process and its descendants."""
    out = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            out += tree(int(child))
    return out


def cpu(pid):
    """Seconds of CPU of a process, all threads, and its children. From schedstat: nanoseconds, not clock ticks."""
    total = 0
    for one in tree(pid):
        for stat in pathlib.Path(f"/proc/{one}/task").glob("*/schedstat"):
            total += int(stat.read_text().split()[0])
    return total / 1e9


def rss(pid):
    """Resident bytes of a process and its children."""
    total = 0
    for one in tree(pid):
        resident = re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{one}/status").read_text())
        total += int(resident[1]) * 1024 if resident else 0  # a child that has ended has none
    return total


def pinned(core, command):
    return ["taskset", "-c", core, *command]


RESULTS = []  # every verdict of this run: {"title", "what", "value", "bar"}
_title = ""


def table(title, rows, head):
    global _title
    _title = title
    print(f"\n{title}")
    cells = [head] + [[str(c) for c in r] for r in rows]
    widths = [max(len(r[i]) for r in cells) for i in range(len(head))]
    for r in cells:
        print("  " + "  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip())


def verdict(what, value, bar):
    RESULTS.append({"title": _title, "what": what, "value": round(value, 4), "bar": bar})
    print(f"  {what}: {value:.2f}" + ("" if bar is None else "  (met)" if value <= bar else f"  (NOT met: {bar})"))
