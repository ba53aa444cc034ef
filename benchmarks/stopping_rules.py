"""Compare rules that end a run, or choose one of its cycles, on the results of finished runs.

    python benchmarks/stopping_rules.py docs/studies/baseline/results.csv

A run goes the same way until a rule ends it, so runs of all cycles show what each rule would have ended with:

- `held-out falls`: the mean held-out pass rate of two cycles is below that of the two before (the plugin `stop_rule`);
- `training falls`: the same for the training samples, which needs no held-out prompts;
- `best cycle`: train to the end and take the cycle with the highest held-out pass rate, as the champion of the plugin
  `gate` does. The cycle is chosen with one half of the held-out prompts and measured with the other, and the other way
  round, because the rate that made it the best is too high.

For each arm of the study: the held-out pass rate after the last cycle, and for each rule the difference from that in
points, with its 95% interval over seeds and prompts, as `halo study` computes it, and the mean cycle.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from halo_study.plugins import falls
from halo_study.results import RunResult, read_results
from halo_study.statistics import difference

WINDOW = 2
Chosen = tuple[RunResult, float]
"""The result of a run that a rule ends, and the cycle."""


def held_out_falls(run: RunResult) -> Chosen:
    """End when the held-out pass rate of `WINDOW` cycles is below that of the `WINDOW` before."""
    return _until(run, _fall(run.passes.sum(axis=1) / run.verdicts.sum(axis=1)))


def training_falls(run: RunResult) -> Chosen:
    """The same for the pass rate of the training samples, which cycle 0 does not have."""
    return _until(run, 1 + _fall(np.asarray(run.columns["sampled_pass"], dtype=float)[1:]))


def best_cycle(run: RunResult) -> Chosen:
    """Take the best cycle, chosen with half of the prompts and measured with the others."""
    prompts = np.arange(run.passes.shape[1])
    passes, verdicts, cycles = run.passes[-1:].copy(), run.verdicts[-1:].copy(), []
    for half in (0, 1):
        choosing, measured = prompts % 2 == half, prompts % 2 != half
        rates = run.passes[:, choosing].sum(axis=1) / run.verdicts[:, choosing].sum(axis=1)
        cycle = int(rates.argmax())
        cycles.append(cycle)
        passes[0, measured], verdicts[0, measured] = (
            run.passes[cycle, measured],
            run.verdicts[cycle, measured],
        )
    return replace(run, passes=passes, verdicts=verdicts), float(np.mean(cycles))


RULES: dict[str, Callable[[RunResult], Chosen]] = {
    "held-out falls": held_out_falls,
    "training falls": training_falls,
    "best cycle": best_cycle,
}


def _fall(rates: np.ndarray) -> int:
    """Return the first index at which the rates fall, as the plugin `stop_rule` sees it; otherwise the last one."""
    known = rates.tolist()
    return next((end - 1 for end in range(1, len(known)) if falls(known[:end], WINDOW)), len(known) - 1)


def _until(run: RunResult, cycle: int) -> Chosen:
    return replace(run, passes=run.passes[: cycle + 1], verdicts=run.verdicts[: cycle + 1]), float(cycle)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="results.csv of a study")
    arms: dict[str, dict[int, RunResult]] = defaultdict(dict)
    for run in read_results(parser.parse_args().results):
        arms[run.arm][run.seed] = run
    print("| arm | last cycle | " + " | ".join(RULES) + " |\n" + "|---" * (len(RULES) + 2) + "|")
    for arm, runs in arms.items():
        cells = [f"{100 * difference(runs, None, 'final').value:.1f}%"]
        for rule in RULES.values():
            chosen = {seed: rule(run) for seed, run in runs.items()}
            change = difference({seed: found for seed, (found, _) in chosen.items()}, runs, "final")
            low, high = change.interval()
            cycle = np.mean([cycle for _, cycle in chosen.values()])
            cells.append(
                f"{100 * change.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}], cycle {cycle:.1f}"
            )
        print("| " + " | ".join([arm, *cells]) + " |")


if __name__ == "__main__":
    main()
