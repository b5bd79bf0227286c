"""The scripts of experiments/ can be started, and the hand-over to JAX makes its files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(ROOT.glob("experiments/*/*.py"))
# They need packages that the tests do not install.
NEEDS = {"run_there.py": "jax", "take_back.py": "ml_dtypes", "screenshots.py": "playwright"}


def run(script, *arguments):
    command = [sys.executable, str(script), *arguments]
    # The packages of this checkout, not installed ones.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.name != "digits.py"], ids=lambda path: path.stem
)
def test_script_shows_its_flags(script):
    pytest.importorskip(NEEDS.get(script.name, "absl"))
    result = run(script, "--help")
    assert "Traceback" not in result.stderr and "--" in result.stdout, result.stderr


@pytest.mark.slow
def test_hand_over_writes_the_step(tmp_path):
    flags = ["--dataset=digits", "--config=tiny", "--nr_filters=4", "--max_steps=1"]
    flags += ["--batch_size=8", "--eval_interval=0", "--num_samples=0", "--nopolyak_warmup"]
    script = ROOT / "experiments" / "accelerator" / "hand_over.py"
    result = run(script, *flags, f"--to={tmp_path}/to", f"--workdir={tmp_path}/run")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "to" / "step.mlir.gz").stat().st_size > 1000
