"""Measure how much the demo learns: held-out metrics before and after, for several seeds, with paired intervals.

    python benchmarks/bench_demo.py --verifier gcc --seeds 0 1 2

Goals for gcc: the share that compiles rises by at least 12 points with an interval that excludes 0, the pass rate rises
by at least 5 points, and a run takes less than 3 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def run_once(verifier: str, policy: str, seed: int, extra: list[str]) -> tuple[dict[str, Any], float]:
    """Run the demo with the command line; return its last JSON line and its wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "halo_core", "run", "--verifier", verifier, "--lr-policy", policy]
        command += ["--seed", str(seed), "--json", "--output", str(Path(folder) / "run"), *extra]
        started = time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1]), time.monotonic() - started


def points(pair: dict[str, Any]) -> str:
    """Format a paired difference in percentage points."""
    low, high = (100 * bound for bound in pair["interval"])
    before, after, difference = 100 * pair["before"], 100 * pair["after"], 100 * pair["difference"]
    return f"{before:5.1f} > {after:5.1f}  {difference:+5.1f} [{low:+5.1f}, {high:+5.1f}]"


def main() -> None:
    """Print a row for each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--lr-policy", default="exponential")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments, extra = parser.parse_known_args()
    print(f"{'seed':>4}  {'held-out valid %, points':<32}  {'held-out pass %, points':<32}  seconds")
    for seed in arguments.seeds:
        result, seconds = run_once(arguments.verifier, arguments.lr_policy, seed, extra)
        print(
            f"{seed:4d}  {points(result['valid']):<32}  {points(result['passed']):<32}  {seconds:7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
