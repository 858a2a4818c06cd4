"""Nearly two thousand small bootstraps: `envoy --mode validate` and `fairlead-proxy --mode validate` accept and refuse the same ones.
The table and the explained differences are in tests/interop/validate/."""
import pathlib
import subprocess
import sys

from lab import BIN, envoy, require

RUN = pathlib.Path(__file__).resolve().parents[1] / "validate" / "run.py"


def run(lab):
    done = subprocess.run([sys.executable, RUN, "--envoy", envoy(), "--proxy", BIN / "fairlead-proxy"],
                          capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("explained")]
    require(done.returncode == 0, "the same verdicts:\n" + "\n".join(lines[-60:]) + done.stderr)
    print(f"        {lines[-1]}")
