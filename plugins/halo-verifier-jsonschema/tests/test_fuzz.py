"""A short run of `benchmarks/fuzz_json.py`, whose full run has a million inputs."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "fuzz_json.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="outside halo's repository")
@pytest.mark.parametrize("seed", [1, 2])
def test_no_text_raises_hangs_or_passes_wrongly(seed: int) -> None:
    command = [sys.executable, str(SCRIPT), "--inputs", "5000", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pass correct" in done.stdout
