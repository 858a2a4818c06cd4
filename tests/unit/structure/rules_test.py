#!/usr/bin/env python3
"""Every rule of docs/xds-rules.md has a test that carries its number, and no test a number that is no rule's."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
LAST = 62

rules = [int(n) for n in re.findall(r"^\| (\d+) \| \S", (ROOT / "docs/xds-rules.md").read_text(), re.M)]
tests = {}
for path in sorted((ROOT / "tests/unit/controlplane").rglob("*_test.cc")):
    for name in re.findall(r'^(?:TEMPLATE_)?TEST_CASE\("(rules? [^"]*)"', path.read_text(), re.M):
        head = name.split(":")[0]
        for number in re.findall(r"\d+", head):
            tests.setdefault(int(number), []).append(f"{path.relative_to(ROOT)}: {name}")

wrong = []
if rules != list(range(1, LAST + 1)):
    wrong.append(f"docs/xds-rules.md: the rules are not 1 to {LAST} in order: {rules}")
for number in range(1, LAST + 1):
    if number not in tests:
        wrong.append(f"rule {number} has no test")
for number in sorted(set(tests) - set(rules)):
    wrong += [f"{test}: there is no rule {number}" for test in tests[number]]
if wrong:
    sys.exit("\n".join(wrong))
print(f"{len(rules)} rules, {sum(len(t) for t in tests.values())} tests")
