#!/usr/bin/env python3
"""The documents keep their word: relative links lead somewhere, the tour's filter is the one that is compiled, make targets and
examples that are named exist."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
wrong = []

pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
links = 0
for page in pages:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" in target:
            continue
        links += 1
        if not (page.parent / target).exists():
            wrong.append(f"{page.relative_to(ROOT)}: the link to {target} leads nowhere")
if links < 8:
    wrong.append(f"only {links} links found: is this test reading the right files?")

source = (ROOT / "tests/integration/http/tour_filter_test.cc").read_text()
code = source[source.index("// tour: begin\n") + len("// tour: begin\n"):source.index("// tour: end")].rstrip("\n")
if code not in (ROOT / "docs/tour.md").read_text():
    wrong.append("docs/tour.md: its filter is not the one of tests/integration/http/tour_filter_test.cc")

targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
for page in pages:
    for target in re.findall(r"`make ([a-z-]+)", page.read_text()) + re.findall(r"^make ([a-z-]+)", page.read_text(), re.M):
        if target not in targets:
            wrong.append(f"{page.relative_to(ROOT)}: there is no make {target}")
    for example in re.findall(r"EXAMPLE=([a-z-]+)", page.read_text()):
        if not (ROOT / "examples" / example).is_dir():
            wrong.append(f"{page.relative_to(ROOT)}: there is no example {example}")

for line in wrong:
    print(line)
print(f"{len(pages)} pages, {links} links, {len(wrong)} wrong")
sys.exit(1 if wrong else 0)
