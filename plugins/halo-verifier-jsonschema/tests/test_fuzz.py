"""Short runs of `benchmarks/fuzz_json.py`, whose full runs have a million texts and 350,000 schemas."""

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


@pytest.mark.skipif(not SCRIPT.exists(), reason="outside halo's repository")
@pytest.mark.parametrize("seed", [1, 2])
def test_closing_accepts_what_both_schemas_accept(seed: int) -> None:
    command = [sys.executable, str(SCRIPT), "--closing", "1500", "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "invalid, closed valid" in done.stdout
