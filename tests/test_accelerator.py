"""`benchmarks/accelerator.py` in miniature on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "accelerator.py"
ANYWHERE = {
    "sampling: halo": {"tokens_per_second"},
    "sampling: generate": {"tokens_per_second"},
    "sampling: bandwidth limit": {"tokens_per_second", "gib_per_second"},
    "draw": {"milliseconds"},
    "merge and restore": {"merge_seconds", "restore_seconds"},
    "cycle": {"sample_seconds", "train_seconds", "heldout_seconds"},
}
"""The figures of each part that works on every device; `generate_batch` needs an accelerator."""


def run(folder: Path, *arguments: str) -> tuple[dict[str, dict[str, object]], str]:
    output = folder / "result.json"
    words = [
        sys.executable,
        str(SCRIPT),
        "--shape",
        "tiny",
        "--device",
        "cpu",
        "--output",
        str(output),
        *arguments,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(output.read_text())["models"]["tiny"]["parts"], done.stdout


def test_every_part_gives_its_figures(tmp_path: Path) -> None:
    parts, printed = run(tmp_path)
    assert {name: set(parts[name]) for name in ANYWHERE} == ANYWHERE
    for name in ANYWHERE:
        assert all(isinstance(value, float) and value > 0 for value in parts[name].values()), name
        assert f"| {name} |" in printed
    assert set(parts) == {*ANYWHERE, "sampling: generate_batch"}


def test_no_part_starts_after_the_time_is_up(tmp_path: Path) -> None:
    parts, printed = run(tmp_path, "--seconds", "-1")
    assert all(part == {"error": "out of time"} for part in parts.values())
    assert printed.count("out of time") == len(parts)
