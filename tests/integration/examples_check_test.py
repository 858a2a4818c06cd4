#!/usr/bin/env python3
"""Every example is without an error or a warning."""
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
import lab  # noqa: E402


class Examples(unittest.TestCase):
    def test_each_passes_a_strict_check(self):
        examples = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())
        self.assertGreaterEqual(len(examples), 6)
        for example in examples:
            with self.subTest(example=example.name):
                r = subprocess.run([lab.BIN / "fairlead", "check", "--strict", "-f", example], capture_output=True, text=True)
                self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
                self.assertIn("0 errors, 0 warnings", r.stdout)
                self.assertTrue((example / "try.txt").exists(), "the lines to try are missing")


if __name__ == "__main__":
    unittest.main()
