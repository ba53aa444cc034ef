"""Measure whether each method learns: held-out pass rate before and after a short run of a demo, by method and rate.

    python benchmarks/methods.py                        the missing runs; then the table
    python benchmarks/methods.py --verifiers sympy --methods raft grpo --seeds 0
    python benchmarks/methods.py --only-table

For each demo and method, seed 0 tries three learning rates; the other seeds use the best of them. A run is a line of
`methods.csv`, written when it ends, so the script can be stopped and started again. Runs are short: 32 training
prompts, 8 completions each, 4 cycles; 64 held-out prompts, 8 completions each. The table has the mean over seeds. Its
interval combines the paired intervals of the runs as independent, which they are given the held-out prompts; the choice
of the rate favours seed 0 a little.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halo_core import Plan

RESULTS = Path(__file__).with_name("methods.csv")
IMITATE: dict[str, Any] = {"trainer": {"name": "sft"}}
METHODS: dict[str, dict[str, Any]] = {
    "raft": {"selector": "raft", **IMITATE},
    "grpo": {"selector": "groups", "trainer": {"name": "grpo", "epochs": 2}},
    "dpo": {"selector": {"name": "pairs", "most": 4}, "trainer": {"name": "dpo", "epochs": 2}},
    "ppo": {"selector": {"name": "all", "truncated": True}, "trainer": {"name": "ppo", "epochs": 2}},
    "star": {"selector": "star", "start_from": "base", **IMITATE},
    "best_of_n": {"selector": {"name": "best_of_n", "n": 2}, **IMITATE},
    "rso": {"selector": {"name": "rso", "n": 4, "beta": 0.2}, **IMITATE},
}
IMITATION_RATES = (1e-3, 2e-3, 4e-3)
RATES = dict.fromkeys(("grpo", "dpo", "ppo"), (5e-4, 2e-4, 1e-3))
"""About forty times the rates for models of billions of parameters: the demos' models have a million."""
FIELDS = ("verifier", "method", "lr", "seed", "before", "after", "low", "high", "tokens", "seconds")
CYCLES = 4

Row = dict[str, Any]


def run_once(verifier: str, method: str, lr: float, seed: int, runs: Path) -> Row:
    """Run a method on a demo; return a line of the results.

    What it has in common with the first run of the same seed, which is kept in `runs`, is copied from there: the
    measurement before training, and the samples of cycle 1.
    """
    from halo_core import Plan
    from halo_core.ledger.ledger import open_run
    from halo_core.run.sharing import share

    raw = {
        "verifier": verifier,
        "lr_policy": {"name": "constant", "base_lr": lr},
        "data": {"limit": 32},
        "heldout": {"limit": 64, "samples_per_prompt": 8},
        "cycles": CYCLES,
        "seed": seed,
        **METHODS[method],
    }
    plan, first = Plan.from_raw(raw), runs / f"{verifier}-{seed}"
    with tempfile.TemporaryDirectory(dir=runs) as folder:
        place = first
        if first.exists():
            place = Path(folder) / "run"
            with closing(open_run(first)) as source:
                share(plan, source, place)
        return _measured(plan, place, (verifier, method, lr, seed))


def _measured(plan: Plan, place: Path, key: tuple[Any, ...]) -> Row:
    from halo_core import run_cycles

    with plan.open(place) as (run, hooks):
        history = run_cycles(run, hooks)
        change = run.compare(0, CYCLES)
        tokens = sum(
            sample.completion.written
            for cycle in range(1, CYCLES + 1)
            for batch in run.ledger.batches(cycle, "train", run.prompts)
            for sample in batch
        )
        seconds = sum(sum(report.seconds.values()) for report in history)
    values = (
        *key,
        change.before,
        change.after,
        *change.interval,
        tokens,
        round(seconds),
    )
    return dict(zip(FIELDS, values, strict=True))


def read() -> list[Row]:
    """Return the lines of the results."""
    if not RESULTS.exists():
        return []
    with RESULTS.open() as file:
        return [
            {key: value if key in FIELDS[:2] else float(value) for key, value in row.items()}
            for row in csv.DictReader(file)
        ]


def append(row: Row) -> None:
    """Add a line to the results."""
    new = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow({key: round(value, 4) if key in FIELDS[4:8] else value for key, value in row.items()})


def of(rows: Sequence[Row], **wanted: Any) -> list[Row]:
    """Return the rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def next_run(verifier: str, method: str, seeds: Sequence[int]) -> tuple[float, int] | None:
    """Return the rate and the seed of the next run of a method; None if all are done."""
    rows = of(read(), verifier=verifier, method=method)
    for lr in RATES.get(method, IMITATION_RATES):
        if not of(rows, lr=lr, seed=0):
            return lr, 0
    best = best_rate(rows)
    return next(((best, seed) for seed in seeds if not of(rows, lr=best, seed=seed)), None)


def best_rate(rows: Sequence[Row]) -> float:
    """Return the rate with which seed 0 ended at the highest pass rate."""
    found: float = max(of(rows, seed=0), key=lambda row: (row["after"], -row["lr"]))["lr"]
    return found


def table() -> str:
    """Return the table of the results in Markdown."""
    rows = read()
    lines = [
        "| demo | method | learning rate | seeds | held-out pass rate | gain, points | tokens sampled | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for verifier, method in dict.fromkeys((row["verifier"], row["method"]) for row in rows):
        own = of(rows, verifier=verifier, method=method)
        if not of(own, seed=0):
            continue
        lr = best_rate(own)
        seeds = of(own, lr=lr)
        mean = {key: sum(row[key] for row in seeds) / len(seeds) for key in FIELDS[3:]}
        gain = mean["after"] - mean["before"]
        half = sum(((row["high"] - row["low"]) / 2) ** 2 for row in seeds) ** 0.5 / len(seeds)
        interval = f"{100 * gain:+.1f} [{100 * (gain - half):+.1f}, {100 * (gain + half):+.1f}]"
        rates = f"{mean['before']:.1%} to {mean['after']:.1%}"
        lines.append(
            f"| {verifier} | {method} | {lr:g} | {len(seeds)} | {rates} | {interval} | {mean['tokens']:.0f} | "
            f"{mean['seconds']:.0f} |"
        )
    return "\n".join(lines)


def complete(arguments: argparse.Namespace, runs: Path) -> None:
    """Do the missing runs, one of each demo and method in turn, so that the table fills evenly."""
    left = list(product(arguments.verifiers, arguments.methods))
    while left:
        for verifier, method in list(left):
            if missing := next_run(verifier, method, arguments.seeds):
                append(row := run_once(verifier, method, *missing, runs))
                print(row, flush=True)
            else:
                left.remove((verifier, method))


def main() -> None:
    """Do the missing runs, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verifiers", nargs="+", default=["gcc", "sympy"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only-table", action="store_true")
    arguments = parser.parse_args()
    if not arguments.only_table:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with tempfile.TemporaryDirectory() as folder:
            complete(arguments, Path(folder))
    print(table())


if __name__ == "__main__":
    main()
