"""Relate how far a cycle moved the model to what the held-out pass rate did: from the results of studies.

    python benchmarks/kl_and_change.py docs/studies/*/results.csv

For each cycle after the first, it takes the KL divergence of its training (KL(before || after), nats a token, on the
cycle's own samples) and the change of the held-out pass rate from the cycle before. Cycles are grouped by their KL.
Printed are the mean changes in points, with 95% intervals by a bootstrap over seeds, since the runs of a seed share
their random numbers.
A run that a study took from another one is counted once. The first cycle is left out: it gains at almost any KL.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from halo_study.results import read_results

EDGES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, float("inf"))
"""Ends of the groups, nats a token."""
DRAWS = 2000
FEWEST = 5
"""Seeds below which a group gets no interval."""
Point = tuple[str, float, float]
"""The task and the seed of a run, and the KL and the change of a cycle."""


def points(files: list[Path], first: int) -> list[Point]:
    """Return the KL and the change of every cycle from `first` on."""
    found = []
    for file in files:
        study = file.parent.name
        task = study if study.startswith("transfer_") else "gcc"
        for run in read_results(file):
            if run.source:
                continue
            rates = run.passes.sum(axis=1) / run.verdicts.sum(axis=1)
            changes = np.diff(rates)
            found += [
                (
                    f"{task}, seed {run.seed}",
                    float(run.columns["kl"][cycle]),
                    float(changes[cycle - 1]),
                )
                for cycle in range(first, len(rates))
                if np.isfinite(run.columns["kl"][cycle])
            ]
    return found


def interval(chosen: list[Point], rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95% interval of the mean change: seeds are resampled."""
    by_seed: dict[str, list[float]] = defaultdict(list)
    for seed, _, change in chosen:
        by_seed[seed].append(change)
    sums = np.array([sum(changes) for changes in by_seed.values()])
    counts = np.array([len(changes) for changes in by_seed.values()])
    picks = rng.integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--first", type=int, default=2, help="first cycle that counts")
    given = parser.parse_args()
    found = points(given.results, given.first)
    rng = np.random.default_rng(0)
    print(
        "| KL of a cycle, nats a token | cycles | change of the held-out pass rate, points |\n|---|---|---|"
    )
    for low, high in pairwise(EDGES):
        chosen = [point for point in found if low <= point[1] < high]
        if not chosen:
            continue
        mean = float(np.mean([change for _, _, change in chosen]))
        low_end, high_end = interval(chosen, rng)
        few = len({seed for seed, _, _ in chosen}) < FEWEST
        ends = "" if few else f" [{100 * low_end:+.1f}, {100 * high_end:+.1f}]"
        label = f"{low:g} and more" if high == float("inf") else f"{low:g} to {high:g}"
        print(f"| {label} | {len(chosen)} | {100 * mean:+.1f}{ends} |")


if __name__ == "__main__":
    main()
