"""The build step that gets the Envoy API (proto/envoy_api.py): reading both packages, choosing files, adapting generated code."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "proto"))
import envoy_api  # noqa: E402


def descriptor(name, *imports, service=False):
    """A serialised FileDescriptorProto of a file that only has a name and imports."""
    out = b""
    for number, values in ((1, [name]), (3, imports), (6, [""] if service else [])):
        for value in values:
            out += bytes([number << 3 | 2]) + envoy_api.write_varint(len(value)) + value.encode()
    return out


def files(*datas):
    return {file.name: file for file in map(envoy_api.File, datas)}


class Reading(unittest.TestCase):
    def test_go_strings(self):
        self.assertEqual(envoy_api.go_string(r'a\n\t\x12\u00e9\U0001F600\101\"\\'), b'a\n\t\x12' + "é😀".encode() + b'A"\\')
        self.assertEqual(envoy_api.go_string("\\x9aň"), b"\x9a" + "ň".encode())

    def test_varints(self):
        for value in (0, 1, 127, 128, 300, 2**32, 2**63):
            data = envoy_api.write_varint(value)
            self.assertEqual(envoy_api.varint(data, 0), (value, len(data)))

    def test_a_descriptor_tells_its_name_and_imports(self):
        file = envoy_api.File(descriptor("a.proto", "b.proto", "c.proto", service=True))
        self.assertEqual((file.name, file.imports, file.has_services), ("a.proto", ["b.proto", "c.proto"], True))

    def test_both_packages_give_their_descriptors(self):
        data = descriptor("envoy/a.proto", "x" * 130)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p.zip")
            with zipfile.ZipFile(path, "w") as archive:
                pieces = ["".join(f"\\x{byte:02x}" for byte in data[at:at + 40]) for at in range(0, len(data), 40)]
                constant = " +\n\t".join(f'"{piece}"' for piece in ["", *pieces])
                archive.writestr("m@v1/a.pb.go", f'package a\n\nconst file_a_proto_rawDesc = {constant}\n\nvar x = 1\n')
                archive.writestr("m@v1/a.go", 'const file_b_proto_rawDesc = "no"\n')
                archive.writestr("a_pb2.py", f"DESCRIPTOR = pool().AddSerializedFile({data!r})\n")
            self.assertEqual(list(envoy_api.descriptors_of_go(path)), [data])
            self.assertEqual(list(envoy_api.descriptors_of_python(path)), [data])

    def test_module_sums_are_those_of_go(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m.zip")
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("m@v1/b", "two")
                archive.writestr("m@v1/a", "one")
            self.assertEqual(envoy_api.module_sum(path), "h1:QioaE1iy6ZDvqZamf7vDXvT1moS1nWAooMrZ8QpmCNU=")


class Choosing(unittest.TestCase):
    def test_imports_come_first(self):
        known = files(descriptor("a", "b", "c"), descriptor("b", "c"), descriptor("c"), descriptor("d"))
        self.assertEqual(envoy_api.closure(known, ["a"]), ["c", "b", "a"])

    def test_roots(self):
        known = files(descriptor("x/a.proto"), descriptor("x/s.proto", service=True), descriptor("y/b.proto"))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "roots.txt")
            pathlib.Path(path).write_text("# comment\n\ngrpc x/*  # both\n")
            self.assertEqual(envoy_api.read_roots(path, known), ({"x/a.proto", "x/s.proto"}, {"x/s.proto"}))
            pathlib.Path(path).write_text("y/*\nz/*\n")
            with self.assertRaisesRegex(SystemExit, r"roots.txt:2: 'z/\*' is not a glob that matches a file"):
                envoy_api.read_roots(path, known)

    def test_every_file_is_in_one_batch(self):
        known = files(*(descriptor(f"f{n:03}.proto", "i" * 100) for n in range(500)))
        groups = envoy_api.batches(known, sorted(known))
        self.assertGreater(len(groups), 1)
        self.assertEqual([name for group in groups for name in group], sorted(known))


class Generating(unittest.TestCase):
    def test_keywords_become_identifiers(self):
        code = b'const T& requires() const;  // requires\nint requires_any;\nf("requires");\n'
        self.assertEqual(envoy_api.adapt("a.pb.h", code), b'const T& requires_() const;  // requires\nint requires_any;\nf("requires");\n')

    def test_static_names_are_told_apart(self):
        code = b"static const M schemas[] = {};\nT file_default_instances[] = {};\nf(schemas, file_default_instances);\nint schemas_size;\n"
        self.assertEqual(envoy_api.adapt("x/a.pb.cc", code),
                         b"static const M schemas_x_a_pb_cc[] = {};\nT file_default_instances_x_a_pb_cc[] = {};\n"
                         b"f(schemas_x_a_pb_cc, file_default_instances_x_a_pb_cc);\nint schemas_size;\n")
        self.assertEqual(envoy_api.adapt("x/a.pb.h", b"int schemas[];"), b"int schemas[];")

    def test_deprecated_fields_cause_no_warnings(self):
        self.assertEqual(envoy_api.adapt("a.pb.h", b"  PROTOBUF_DEPRECATED void set_a();\n  A PROTOBUF_DEPRECATED_ENUM = 0,\n"),
                         b"  void set_a();\n  A = 0,\n")


class Failing(unittest.TestCase):
    def run_with(self, *arguments, **environment):
        return subprocess.run([sys.executable, ROOT / "proto/envoy_api.py", *arguments], env={**os.environ, **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    def test_a_damaged_download_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "xds_protos-1.wheel")
            pathlib.Path(path).write_text("x")
            pin = {"package": "p", "version": "1", "wheel": "xds_protos-1.wheel", "sha256": "0" * 64}
            with self.assertRaisesRegex(SystemExit, "has the hash 2d711642.*sources.json says 0000"):
                envoy_api.python_wheel(pin, folder)

    def test_a_missing_program_names_its_package(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.run_with("prepare", "--out", folder, "--cache", folder, "--protoc", "protoc-that-is-not-there")
            self.assertEqual(done.returncode, 1)
            self.assertIn("'protoc-that-is-not-there' not found: install the Debian package protobuf-compiler", done.stdout)


if __name__ == "__main__":
    unittest.main()
