#!/usr/bin/env python3
"""The documents keep their word: relative links lead somewhere, every path that a page, a README or a comment names exists, so do
programs, make targets and examples; the tour's filter is the one that is compiled."""
import itertools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOPS = sorted(p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name != "build")
wrong = []


def files(*patterns):
    found = {p for top in TOPS for pattern in patterns for p in (ROOT / top).rglob(pattern)}
    return sorted(found | {p for pattern in patterns for p in ROOT.glob(pattern)})


def alternatives(text):
    """a{b,c}d -> abd, acd"""
    parts = [p.split(",") if i % 2 else [p] for i, p in enumerate(re.split(r"\{([^{}]*)\}", text))]
    return ["".join(choice) for choice in itertools.product(*parts)]


def dead_paths(text):
    """Words of a text that are paths of the repository (their first folder is one of its own) and lead nowhere. <name>, NAME and * stand for any name;
    what a line number follows is an example of a message."""
    for word in re.findall(rf"(?<![\w./<>-])(?:{'|'.join(TOPS)})/[\w./<>*{{}},-]*(?![\w./<>*{{}},-]|:\d)", text):
        path = re.sub(r"<[^<>]*>|\b(?:PATH|NAME)\b", "*", word.rstrip(".,")).rstrip("/")
        for one in alternatives(path):
            if not any(ROOT.glob(one)):
                yield word


def programs():
    """What a build makes, by name: binaries, test programs of rooms that have tests, and whatever else CMake is told to link."""
    text = (ROOT / "CMakeLists.txt").read_text()
    names = set(re.findall(r"^fairlead_binary\(\S+ (\S+)", text, re.M))
    for room in re.findall(r"^fairlead_room\((\S+)", text, re.M):
        if any((ROOT / "tests/unit" / room).glob("*_test.cc")):
            names.add("test_" + room.replace("/", "_"))
    for part in files("CMakeLists.txt"):
        names |= set(re.findall(r"add_executable\(([\w-]+)", part.read_text()))
        names |= {"fuzz_" + n for n in re.findall(r"^fairlead_fuzz\((\S+)", part.read_text(), re.M)}
        names |= {f"bench_{n}" for n in re.findall(r"^fairlead_bench\((\S+)", part.read_text(), re.M)}
        names |= set(re.findall(r"^add_custom_target\((\w+)\)", part.read_text(), re.M))
    return names


PAGES = [p for p in files("*.md") if p != ROOT / "docs/support.md"]
PROGRAMS = programs()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
links = paths = 0
for page in PAGES:
    text, name = page.read_text(), page.relative_to(ROOT)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        if "://" in target:
            continue
        links += 1
        if not (page.parent / target).exists():
            wrong.append(f"{name}: the link to {target} leads nowhere")
    code = "\n".join(re.findall(r"^```.*?^```", text, re.M | re.S)) + "\n" + "\n".join(re.findall(r"`[^`\n]+`", text))
    paths += len(re.findall(rf"(?:{'|'.join(TOPS)})/", code))
    for word in dead_paths(code):
        wrong.append(f"{name}: there is no {word}")
    for program in re.findall(r"build/\w+/bin/([\w-]+)", code) + re.findall(r"--target ([\w-]+)", code):
        if program not in PROGRAMS:
            wrong.append(f"{name}: no build makes {program}")
    for target in re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+)", text, re.M):
        if target not in TARGETS:
            wrong.append(f"{name}: there is no make {target}")
    for example in re.findall(r"EXAMPLE=([a-z-]+)", text):
        if not (ROOT / "examples" / example).is_dir():
            wrong.append(f"{name}: there is no example {example}")
if links < 8 or paths < 50:
    wrong.append(f"only {links} links and {paths} paths found: is this test reading the right files?")

comments = 0
for source in files("*.h", "*.cc", "*.inc", "*.py", "*.sh", "*.cmake", "CMakeLists.txt", "Makefile"):
    for number, line in enumerate(source.read_text().splitlines(), 1):
        for comment in re.findall(r"(?:^|\s)(?://|#+)\s(.*)", line):
            comments += 1
            for word in dead_paths(comment):
                wrong.append(f"{source.relative_to(ROOT)}:{number}: there is no {word}")
if comments < 1000:
    wrong.append(f"only {comments} comments found: is this test reading the right files?")

source = (ROOT / "tests/integration/http/tour_filter_test.cc").read_text()
code = source[source.index("// tour: begin\n") + len("// tour: begin\n"):source.index("// tour: end")].rstrip("\n")
if code not in (ROOT / "docs/tour.md").read_text():
    wrong.append("docs/tour.md: its filter is not the one of tests/integration/http/tour_filter_test.cc")

for line in wrong:
    print(line)
print(f"{len(PAGES)} pages, {links} links, {paths} paths, {comments} comments, {len(wrong)} wrong")
sys.exit(1 if wrong else 0)
