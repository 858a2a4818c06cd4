#!/usr/bin/env python3
"""The Dockerfiles, as far as they can be held to something without a container engine: bases by plain names, sources that exist, nothing but the
programs in the last stage, a user without rights, an entry point that is there. The chart starts what the images hold."""
import json
import pathlib
import re
import shlex
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
wrong = []


def instructions(text):
    """[(word, rest)], comments and continuations resolved."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.M)
    return [tuple(line.strip().split(None, 1)) for line in re.sub(r"\\\n", " ", text).splitlines() if line.strip()]


def lint(path):
    told = lambda message: wrong.append(f"{path.relative_to(ROOT)}: {message}")
    stages, stage, user, entry, programs = [], [], None, None, []
    for word, rest in instructions(path.read_text()):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(name)
            stage, user = [], None
            if not re.fullmatch(r"scratch|debian:12(-slim)?", base):
                told(f"base {base} is neither scratch nor Debian 12 by its plain name")
        elif word == "COPY":
            sources = [w for w in shlex.split(rest)[:-1] if not w.startswith("--")]
            origin = re.search(r"--from=(\S+)", rest)
            if origin and origin[1] not in stages[:-1]:
                told(f"COPY --from={origin[1]}: there is no such stage before")
            for source in sources if not origin else []:
                if not (ROOT / source).exists():
                    told(f"COPY {source}: there is no such file")
        elif word == "RUN":
            if "apt-get install" in rest and "--no-install-recommends" not in rest:
                told("apt-get install without --no-install-recommends")
            for script in re.findall(r"(?:^|&& )((?:images|tests|tools)/\S+)", rest):
                if not (ROOT / script).exists():
                    told(f"RUN {script}: there is no such file")
            programs += re.findall(r"build/release/bin/([\w-]+)", rest)
        elif word == "USER":
            user = rest
        elif word == "ENTRYPOINT":
            entry = json.loads(rest)  # the form without a shell, which there is none
        elif word == "ADD":
            told("ADD: use COPY")
        stage.append(word)
    if "RUN" in stage:
        told("the last stage runs something: it has no shell")
    if not user or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", user):
        told(f"USER is {user}: the kubelet's runAsNonRoot needs a number that is not root's")
    if not entry or pathlib.PurePath(entry[0]).name not in programs or not entry[0].startswith("/usr/local/bin/"):
        told(f"ENTRYPOINT {entry} is none of its programs: {programs}")
    cmake = (ROOT / "CMakeLists.txt").read_text()
    made = set(re.findall(r"^fairlead_binary\(\S+ (\S+)", cmake, re.M)) | set(re.search(r"^foreach\(name (kubectl[^)]*)\)", cmake, re.M)[1].split())
    for program in set(programs) - made:
        told(f"no build makes {program}")
    return user, programs


files = sorted((ROOT / "images").glob("*/Dockerfile"))
held = {path.parent.name: lint(path) for path in files}
if set(held) != {"control", "proxy", "cli"}:
    wrong.append(f"images: there are {sorted(held)}")
chart = "".join(p.read_text() for p in (ROOT / "helm/fairlead/templates").rglob("*.*"))
for user in set(re.findall(r"runAs(?:User|Group): (\d+)", chart)):
    for name, (of_image, _) in held.items():
        if of_image != f"{user}:{user}":
            wrong.append(f"images/{name}: USER is {of_image}, and the chart runs it as {user}")
for program in set(re.findall(r"/usr/local/bin/([\w-]+)", chart)):
    if program not in held["control"][1]:
        wrong.append(f"images/control: the chart starts {program}, which is not in it")
ignored = (ROOT / ".dockerignore").read_text().split()
for name in (".git", "build"):
    if name not in ignored:
        wrong.append(f".dockerignore: {name} would be sent to the builder")
for line in wrong:
    print(line)
print(f"{len(files)} Dockerfiles, {len(wrong)} wrong")
sys.exit(1 if wrong else 0)
