#!/usr/bin/env python3
"""The root file system of each image, made by images/rootfs of this build's programs, is all that they need: each starts in it, alone, as a user without
rights. Without permission for namespaces the loader of the root file system is asked to find every library there."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
import lab  # noqa: E402


def programs(image):
    return re.findall(r"build/release/bin/([\w-]+)", (ROOT / "images" / image / "Dockerfile").read_text())


class Images(unittest.TestCase):
    def inside(self, root, program, *words):
        """The program in that root, as the image's user where a namespace can be had."""
        chroot = ["unshare", "--user", "--map-root-user", "chroot", root, f"/usr/local/bin/{program}", *words]
        if subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True).returncode == 0:
            return subprocess.run(chroot, capture_output=True, text=True)
        loader = next(root.glob("lib*/ld-linux*"))
        folders = ":".join(sorted({str(p.parent) for p in root.rglob("*.so*")}))
        return subprocess.run([loader, "--inhibit-cache", "--library-path", folders, root / "usr/local/bin" / program, *words], capture_output=True, text=True, env={})

    def check(self, image):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "root"
            bundle = pathlib.Path(folder) / "ca.crt"
            bundle.write_text("# none\n")
            made = subprocess.run([ROOT / "images/rootfs", root, *(lab.BIN / p for p in programs(image))], capture_output=True, text=True, env={**os.environ, "CA_CERTIFICATES": str(bundle)})
            self.assertEqual((made.returncode, made.stderr), (0, ""))
            for program in programs(image):
                r = self.inside(root, program, "--version")
                self.assertEqual((r.returncode, r.stderr), (0, ""), program)
                self.assertIn(program, r.stdout)
            kinds = {p.relative_to(root).parts[0] for p in root.rglob("*") if p.is_file()}
            self.assertEqual(kinds - {"lib", "lib64", "usr", "etc"}, set())
            self.assertEqual(sorted(p.name for p in (root / "usr/local/bin").iterdir()), sorted(programs(image)))
            self.assertFalse([p for p in root.rglob("*") if p.name in ("sh", "bash", "dash", "apt", "dpkg")])
            self.assertFalse([p for p in root.rglob("*") if p.stat().st_mode & 0o6000 and p.is_file()], "set-user-id files")

    def test_control(self):
        self.check("control")

    def test_proxy(self):
        self.check("proxy")

    def test_cli(self):
        self.check("cli")


if __name__ == "__main__":
    unittest.main()
