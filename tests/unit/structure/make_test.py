#!/usr/bin/env python3
"""The Makefile on machines other than this one: what it installs and how, what it needs itself, and what a preset changes.
Programs that would change the machine are stand-ins that write down how they were called."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
ESSENTIAL = ("bash", "sh", "make", "awk", "grep", "sed", "env", "nproc")  # there before anything is installed


class Make(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.calls = self.dir / "calls"
        self.calls.touch()
        self.path = self.dir / "bin"
        self.path.mkdir()
        for name in ESSENTIAL:
            (self.path / name).symlink_to(shutil.which(name))

    def stand_in(self, name, text):
        path = self.path / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def debian(self, missing=(), user=0, sudo=True):
        """A machine on which all packages but `missing` are installed."""
        installed = "[[ ' %s ' == *\" ${!#} \"* ]] || echo 'install ok installed'" % " ".join(missing)
        self.stand_in("dpkg-query", installed)
        self.stand_in("id", f"echo {user}")
        self.stand_in("go", "")
        self.stand_in("apt-get", f'echo "apt-get $* ${{DEBIAN_FRONTEND:-}}" >>{self.calls}')
        if sudo:
            self.stand_in("sudo", f'echo "sudo $*" >>{self.calls}; unset DEBIAN_FRONTEND; "$@"')  # sudo forgets the environment

    def make(self, *words, cwd=ROOT, **variables):
        return subprocess.run(["make", "-C", cwd, "--no-print-directory", *words, *(f"{k}={v}" for k, v in variables.items())],
                              capture_output=True, text=True, env={"PATH": str(self.path), "HOME": str(self.dir)})

    def test_help_needs_nothing_and_lists_every_target(self):
        r = self.make("help")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        for target in ("run", "test", "build", "bench", "interop", "fuzz", "format", "install", "check-full", "help"):
            self.assertRegex(r.stdout, rf"(?m)^  {target} +\S")

    def test_nothing_missing_is_silent(self):
        self.debian()
        r = self.make("deps")
        self.assertEqual((r.returncode, r.stdout, r.stderr, self.calls.read_text()), (0, "", "", ""))

    def test_missing_packages_are_named_and_installed(self):
        self.debian(missing=["ccache", "mold"])
        r = self.make("deps")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "Installing Debian packages: ccache mold\n", ""))
        self.assertEqual(self.calls.read_text(), "apt-get -o DPkg::Lock::Timeout=300 update -qq \napt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends ccache mold noninteractive\n")

    def test_sudo_when_not_root_never_asks_questions_of_packages(self):
        self.debian(missing=["mold"], user=1000)
        r = self.make("deps")
        self.assertEqual((r.returncode, r.stdout), (0, "Installing Debian packages through sudo: mold\n"))
        self.assertIn("apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends mold noninteractive\n", self.calls.read_text())

    def test_without_sudo_it_says_what_is_missing(self):
        self.debian(missing=["mold"], user=1000, sudo=False)
        r = self.make("deps")
        self.assertEqual((r.returncode, self.calls.read_text()), (2, ""))
        self.assertIn("These Debian packages are missing, and only root can install them with apt-get: mold\n", r.stderr)

    def test_a_preset_s_binaries_are_what_runs(self):
        for target in ("run", "bench", "interop"):
            r = self.make("-n", target, PRESET="debug")
            self.assertIn("cmake --build build/debug ", r.stdout)
        self.assertIn(f"BIN={ROOT}/build/debug/bin exec examples/run quickstart\n", self.make("-n", "run", PRESET="debug").stdout)
        self.stand_in("show", 'echo "$FAIRLEAD_BIN"')
        (self.dir / "Makefile").write_text(f"include {ROOT}/Makefile\nshow: ; @show\n")
        self.assertEqual(self.make("show", cwd=self.dir, PRESET="debug").stdout, f"{self.dir}/build/debug/bin\n")

    @unittest.skipUnless(shutil.which("git-clang-format-14"), "clang-format-14 is not installed")
    def test_format_touches_changed_lines_and_new_files_alone(self):
        for name in ("git", "git-clang-format-14", "clang-format-14", "xargs", "python3", "find"):
            (self.path / name).symlink_to(shutil.which(name))
        self.debian()
        for name in ("Makefile", ".clang-format"):
            shutil.copy(ROOT / name, self.dir / name)
        git = lambda *words: subprocess.run(["git", "-C", self.dir, "-c", "user.name=a", "-c", "user.email=a@a", *words], check=True, capture_output=True)
        git("init", "-q")
        old = self.dir / "old.cc"
        old.write_text("int  a;\nint x;\nint b;\n")
        git("add", "old.cc", "Makefile", ".clang-format")
        git("commit", "-qm", "Begin")
        self.assertEqual(self.make("format", cwd=self.dir).returncode, 0)
        old.write_text("int  a;\nint x;\nint  b  ;\n")
        (self.dir / "new.cc").write_text("int  c;\n")
        r = self.make("format", cwd=self.dir)
        self.assertEqual((r.returncode, old.read_text(), (self.dir / "new.cc").read_text()), (0, "int  a;\nint x;\nint b;\n", "int c;\n"), r.stderr)


if __name__ == "__main__":
    unittest.main()
