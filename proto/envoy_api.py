#!/usr/bin/env python3
"""Gets the Envoy API and turns it into C++.

  envoy_api.py prepare   downloads the two packages of sources.json (pinned by hash, cached), gathers the serialised
                         descriptors inside them into one FileDescriptorSet and lists, for CMake, what will be generated
  envoy_api.py generate  runs protoc over that set

Neither package carries .proto files. The Go module has each file's descriptor as the string constant `..._rawDesc`,
the Python wheel as the argument of `AddSerializedFile`. Only the standard library is used (Python 3.9 or later).
"""
import argparse
import ast
import base64
import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
# A compilation unit includes generated files until their descriptors exceed this many bytes: most of the time of a
# single generated file goes into the headers it shares with its neighbours.
BATCH_BYTES = 42000
GRPC_BATCH = 3


def fail(message):
    sys.exit(f"proto: {message}")


def run(command, package, **options):
    """Runs a command and returns its standard output; `package` is what to install when the program is missing."""
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout
    except FileNotFoundError:
        fail(f"'{command[0]}' not found: install the Debian package {package}")
    except subprocess.CalledProcessError as error:
        said = (error.stdout or b"").decode(errors="replace").strip()
        fail(f"'{' '.join(command)}' failed with status {error.returncode}" + (f": {said}" if said else ""))


# --- the two downloads ------------------------------------------------------------------------------------------

def module_sum(path):
    """The h1 sum of a Go module zip: the hash of the sorted list of its files' hashes."""
    with zipfile.ZipFile(path) as archive:
        lines = [f"{hashlib.sha256(archive.read(name)).hexdigest()}  {name}\n" for name in sorted(archive.namelist())]
    return "h1:" + base64.b64encode(hashlib.sha256("".join(lines).encode()).digest()).decode()


def file_sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def into_cache(source, target):
    """Copies through a temporary name, so that build trees that share the cache never see half a file."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target))
    os.close(handle)
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)


def check(path, found, wanted):
    if found != wanted:
        fail(f"{path} has the hash {found}, sources.json says {wanted}: delete the file, or correct the pin")
    return path


def go_module(pin, cache):
    path = os.path.join(cache, f"go-control-plane-envoy-{pin['version']}.zip")
    if not os.path.exists(path):
        print(f"proto: downloading Go module {pin['module']}@{pin['version']}", flush=True)
        with tempfile.TemporaryDirectory() as empty:  # outside any Go module, whose go.mod could interfere
            environment = dict(os.environ, GO111MODULE="on", GOFLAGS="-mod=mod", GOTOOLCHAIN="local")
            answer = run(["go", "mod", "download", "-json", f"{pin['module']}@{pin['version']}"], "golang-go",
                         cwd=empty, env=environment)
        into_cache(json.loads(answer)["Zip"], path)
    return check(path, module_sum(path), pin["sum"])


def python_wheel(pin, cache):
    path = os.path.join(cache, pin["wheel"])
    if not os.path.exists(path):
        print(f"proto: downloading Python package {pin['package']} {pin['version']}", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--only-binary", ":all:", "--dest", directory, f"{pin['package']}=={pin['version']}"], "python3-pip")
            into_cache(os.path.join(directory, pin["wheel"]), path)
    return check(path, file_sha256(path), pin["sha256"])


# --- descriptors ------------------------------------------------------------------------------------------------

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def write_varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def length_delimited(data):
    """Yields (field number, bytes) of each length-delimited field of a serialised message."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            _, at = varint(data, at)
        elif tag & 7 == 2:
            size, at = varint(data, at)
            yield tag >> 3, data[at:at + size]
            at += size
        else:
            fail(f"wire type {tag & 7} in a file descriptor")


class File:
    """One serialised FileDescriptorProto."""

    def __init__(self, data):
        self.data, self.name, self.imports, self.has_services = data, "", [], False
        for number, value in length_delimited(data):
            if number == 1:
                self.name = value.decode()
            elif number == 3:
                self.imports.append(value.decode())
            elif number == 6:
                self.has_services = True


GO_CONSTANT = re.compile(r'^const \w+_rawDesc = ((?:"(?:[^"\\\n]|\\.)*"(?:\s*\+\s*)?)+)$', re.M)
GO_PIECE = re.compile(r'\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)|([^\\]+)', re.S)
GO_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "'": 39, '"': 34}


def go_string(literal):
    """The bytes of one quoted Go string constant, without its quotes."""
    out = bytearray()
    for escape, text in GO_PIECE.findall(literal):
        if text:
            out += text.encode()
        elif escape[0] == "x":
            out.append(int(escape[1:], 16))
        elif escape[0] in "uU":
            out += chr(int(escape[1:], 16)).encode()
        elif escape in GO_ESCAPES:
            out.append(GO_ESCAPES[escape])
        else:
            out.append(int(escape, 8))
    return bytes(out)


def descriptors_of_go(path):
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".pb.go"):
                for constant in GO_CONSTANT.findall(archive.read(name).decode()):
                    literals = re.findall(r'"((?:[^"\\\n]|\\.)*)"', constant)
                    yield b"".join(go_string(literal) for literal in literals)


def descriptors_of_python(path):
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith("_pb2.py"):
                call = re.search(r"AddSerializedFile\((b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\")\)", archive.read(name).decode())
                if call:
                    yield ast.literal_eval(call.group(1))


def well_known(protoc, include):
    """google/protobuf/*.proto of the installed protobuf: protoc does not add them to --descriptor_set_in by itself."""
    folder = os.path.join(include, "google", "protobuf")
    names = sorted("google/protobuf/" + name for name in os.listdir(folder) if name.endswith(".proto"))
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "well_known.binpb")
        run([protoc, f"-I{include}", "--include_imports", f"--descriptor_set_out={out}", *names], "protobuf-compiler")
        with open(out, "rb") as file:
            return [value for number, value in length_delimited(file.read()) if number == 1]


def gather(pins, cache, protoc, include):
    """All usable files by name; a file is left out when something it imports is in neither package."""
    files = {}

    def add(datas, prefixes):
        before = len(files)
        for data in datas:
            file = File(data)
            if file.name.startswith(tuple(prefixes)):
                files.setdefault(file.name, file)
        if len(files) == before:
            fail("a package holds no descriptors: its layout has changed")

    add(well_known(protoc, include), ["google/protobuf/"])
    add(descriptors_of_go(go_module(pins["go"], cache)), pins["go"]["files"])
    add(descriptors_of_python(python_wheel(pins["python"], cache)), pins["python"]["files"])
    while True:
        broken = [file for file in files.values() if any(name not in files for name in file.imports)]
        for file in broken:
            missing = [name for name in file.imports if name not in files]
            print(f"proto: without {file.name}, which imports {', '.join(missing)}")
            del files[file.name]
        if not broken:
            return files


def closure(files, names):
    """names and all they import, every file after its imports."""
    ordered, seen = [], set()

    def visit(name):
        if name not in seen:
            seen.add(name)
            for dependency in files[name].imports:
                visit(dependency)
            ordered.append(name)

    for name in sorted(names):
        visit(name)
    return ordered


def read_roots(path, files):
    classes, services = set(), set()
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            words = line.split("#")[0].split()
            if not words:
                continue
            matches = [name for name in files if fnmatch.fnmatchcase(name, words[-1])]
            if not matches or len(words) > 2 or (len(words) == 2 and words[0] != "grpc"):
                fail(f"{path}:{number}: '{line.strip()}' is not a glob that matches a file, with or without 'grpc' before it")
            classes.update(matches)
            if len(words) == 2:
                services.update(name for name in matches if files[name].has_services)
    return classes, services


# --- prepare and generate ---------------------------------------------------------------------------------------

def batches(files, names):
    groups, size = [[]], 0
    for name in names:
        if groups[-1] and size + len(files[name].data) > BATCH_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += len(files[name].data)
    return groups


def write_if_different(path, data):
    if os.path.exists(path):
        with open(path, "rb") as file:
            if file.read() == data:
                return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def stem(name):
    return name[:-len(".proto")]


def stamp(arguments):
    parts = [arguments.protoc, arguments.include]
    for path in (os.path.abspath(__file__), arguments.roots, arguments.sources):
        parts.append(file_sha256(path))
    return json.dumps(parts).encode()


def prepare(arguments):
    out, mark = arguments.out, os.path.join(arguments.out, "prepared")
    current = stamp(arguments)
    if os.path.exists(mark):
        with open(mark, "rb") as file:
            if file.read() == current:
                return
    os.makedirs(out, exist_ok=True)
    os.makedirs(arguments.cache, exist_ok=True)
    with open(arguments.sources, encoding="utf-8") as file:
        pins = json.load(file)
    files = gather(pins, arguments.cache, arguments.protoc, arguments.include)
    merged = bytearray()
    for name in closure(files, files):
        data = files[name].data
        merged += b"\x0a" + write_varint(len(data)) + data
    write_if_different(os.path.join(out, "all.binpb"), bytes(merged))

    classes, services = read_roots(arguments.roots, files)
    # Sorted, so that neighbours in a batch share most of their includes.
    generated = sorted(name for name in closure(files, classes) if not name.startswith("google/protobuf/"))
    groups = batches(files, generated)
    service_list = sorted(services)
    plan = {"generated": generated, "services": service_list, "batches": groups,
            "service_batches": [service_list[at:at + GRPC_BATCH] for at in range(0, len(service_list), GRPC_BATCH)]}
    write_if_different(os.path.join(out, "plan.json"), json.dumps(plan, indent=1).encode())
    outputs = [stem(name) + ending for name in generated for ending in (".pb.h", ".pb.cc")]
    outputs += [stem(name) + ending for name in service_list for ending in (".grpc.pb.h", ".grpc.pb.cc")]
    lines = []
    for variable, names in (("PROTO_FILES", outputs), ("PROTO_BATCHES", [f"batch_{n}.cc" for n in range(len(groups))]),
                            ("PROTO_SERVICE_BATCHES", [f"service_batch_{n}.cc" for n in range(len(plan["service_batches"]))])):
        lines += [f"set({variable}", *("  " + name for name in names), ")"]
    write_if_different(os.path.join(out, "plan.cmake"), ("\n".join(lines) + "\n").encode())
    print(f"proto: {len(files)} files gathered, {len(generated)} become C++ in {len(groups)} units", flush=True)
    with open(mark, "wb") as file:
        file.write(current)


# Words of C++20 that protobuf 3.21 does not yet escape in identifiers; later versions append the same underscore.
KEYWORDS = re.compile(rb"\b(requires|concept|co_await|co_return|co_yield|consteval|constinit|char8_t)\b")
# Names of file scope that are the same in every generated file; with a suffix, several files fit in one unit.
FILE_SCOPE = re.compile(rb"\b(schemas(?=\[\]| = nullptr|, file_default_instances)|file_default_instances)\b")


# A proxy has to read deprecated fields too: no warning for that.
DEPRECATED = re.compile(rb" ?\bPROTOBUF_DEPRECATED(_ENUM)?\b")


def adapt(name, data):
    """A generated file with no keyword as identifier (strings and comments stay), no common static name, no deprecation."""
    data = DEPRECATED.sub(b"", data)
    if KEYWORDS.search(data):
        lines = []
        for line in data.split(b"\n"):
            code, mark, comment = line.partition(b"//")
            if b'"' not in code:
                code = KEYWORDS.sub(rb"\1_", code)
            lines.append(code + mark + comment)
        data = b"\n".join(lines)
    if name.endswith(".pb.cc"):
        suffix = b"_" + re.sub(r"\W", "_", name).encode()
        data = FILE_SCOPE.sub(lambda match: match.group(0) + suffix, data)
    return data


def generate(arguments):
    out = arguments.out
    with open(os.path.join(out, "plan.json"), encoding="utf-8") as file:
        plan = json.load(file)
    descriptors = os.path.join(out, "all.binpb")
    with tempfile.TemporaryDirectory(dir=out) as fresh:
        run([arguments.protoc, f"--descriptor_set_in={descriptors}", f"--cpp_out={fresh}", *plan["generated"]],
            "protobuf-compiler")
        run([arguments.protoc, f"--descriptor_set_in={descriptors}", f"--plugin=protoc-gen-grpc={arguments.grpc_plugin}",
             f"--grpc_out={fresh}", *plan["services"]], "protobuf-compiler-grpc")
        gen = os.path.join(out, "gen")
        for folder, _, names in os.walk(fresh):
            for name in names:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, fresh)
                with open(path, "rb") as file:
                    write_if_different(os.path.join(gen, relative), adapt(relative, file.read()))
    for kind, ending, groups in (("batch", ".pb.cc", plan["batches"]), ("service_batch", ".grpc.pb.cc", plan["service_batches"])):
        for number, group in enumerate(groups):
            text = "".join(f'#include "{stem(name)}{ending}"\n' for name in group)
            write_if_different(os.path.join(gen, f"{kind}_{number}.cc"), text.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "generate"])
    parser.add_argument("--out", required=True, help="folder for all.binpb, plan.json, plan.cmake and gen/")
    parser.add_argument("--cache", help="folder that keeps the downloads")
    parser.add_argument("--protoc", default="protoc")
    parser.add_argument("--grpc-plugin", default="grpc_cpp_plugin")
    parser.add_argument("--include", default="/usr/include", help="where google/protobuf/*.proto are")
    parser.add_argument("--roots", default=os.path.join(HERE, "roots.txt"))
    parser.add_argument("--sources", default=os.path.join(HERE, "sources.json"))
    arguments = parser.parse_args()
    if arguments.step == "prepare":
        if not arguments.cache:
            parser.error("prepare needs --cache")
        prepare(arguments)
    else:
        generate(arguments)


if __name__ == "__main__":
    main()
