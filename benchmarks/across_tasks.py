"""Measure whether training on one task changes another: the models of `make real`, each on the prompts of all tasks.

    make real && make real SEED=1 && make real SEED=2
    python benchmarks/across_tasks.py --seeds 0 1 2 --csv across_tasks.csv

For each task and each seed, the run `runs/real-TASK-SEED` is evaluated on the held-out prompts of every task, with that
task's own verifier and sampling options, and compared with the model before training on the same prompts and with the
same random numbers. Evaluations are kept in `runs/across`; a second call evaluates only what is missing.

Printed are the pass rates before training and, for each pair of tasks, the change in points with its 95% interval over
seeds and prompts, as `halo study` computes it. It needs two seeds or more.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from halo_study.results import RunResult
from halo_study.statistics import difference

TASKS = ("python", "word_problems", "tool_calls")
ROOT = Path(__file__).parents[1]
BASE = "before training"
Row = dict[str, Any]


def evaluate(model: str, task: str, seed: int, place: Path) -> Path:
    """Evaluate a model or a run on a task, unless it is done; return the file of the result."""
    found = place.with_suffix(".json")
    if not found.exists():
        print(f"{model} on {task}, seed {seed}", file=sys.stderr)
        halo = str(Path(sys.executable).with_name("halo"))
        config = ROOT / f"configs/real/{task}.yaml"
        heldout = ROOT / f"configs/real/{task}_heldout.jsonl"
        command = [halo, "eval", model, "-c", str(config), "-d", str(heldout), "-k", "6", "--seed", str(seed)]
        done = subprocess.run([*command, "-o", str(place), "--json"], stdout=subprocess.PIPE, check=True)
        found.write_bytes(done.stdout)
    return found


def rows(trained: str, task: str, seed: int, result: Path) -> list[Row]:
    """Return a row for each prompt of an evaluation."""
    prompts = json.loads(result.read_text())["prompts"]
    keys = ("prompt", "passes", "samples")
    return [
        {"trained": trained, "task": task, "seed": seed} | {key: each[key] for key in keys}
        for each in prompts
    ]


def measure(seeds: list[int], runs: Path, model: str) -> list[Row]:
    """Evaluate every model on every task."""
    found: list[Row] = []
    for seed in seeds:
        for task in TASKS:
            place = runs / "across"
            place.mkdir(parents=True, exist_ok=True)
            found += rows(BASE, task, seed, evaluate(model, task, seed, place / f"{task}-base-{seed}"))
            for trained in TASKS:
                adapter = str(runs / f"real-{trained}-{seed}/cycles/003/adapter")
                result = evaluate(adapter, task, seed, place / f"{task}-{trained}-{seed}")
                found += rows(trained, task, seed, result)
    return found


def by_seed(found: list[Row], trained: str, task: str) -> dict[int, RunResult]:
    """Return the counts of one model on one task, by seed."""
    results = {}
    for seed in sorted({row["seed"] for row in found}):
        own = [row for row in found if (row["trained"], row["task"], row["seed"]) == (trained, task, seed)]
        own.sort(key=lambda row: str(row["prompt"]))
        counts = np.array([[int(row["passes"]), int(row["samples"])] for row in own], dtype=float)
        results[seed] = RunResult(trained, seed, None, "", counts[None, :, 0], counts[None, :, 1])
    return results


def table(found: list[Row]) -> str:
    """Return the changes as a Markdown table: a row for each task trained on, a column for each task measured."""
    lines = ["| trained on | " + " | ".join(TASKS) + " |", "|---" * (len(TASKS) + 1) + "|"]
    rates = [difference(by_seed(found, BASE, task), None, "final").value for task in TASKS]
    lines.append("| " + " | ".join([BASE, *(f"{100 * rate:.1f}%" for rate in rates)]) + " |")
    for trained in TASKS:
        cells = []
        for task in TASKS:
            change = difference(by_seed(found, trained, task), by_seed(found, BASE, task), "final")
            low, high = change.interval()
            cells.append(f"{100 * change.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        lines.append("| " + " | ".join([trained, *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--runs", type=Path, default=Path("runs"), help="directory of the runs of `make real`"
    )
    parser.add_argument("--model", default="models/smollm2", help="the model before training")
    parser.add_argument("--csv", type=Path, help="write the counts of each prompt to this file")
    parser.add_argument("--from-csv", type=Path, help="print the table of such a file; evaluate nothing")
    options = parser.parse_args()
    if options.from_csv:
        with options.from_csv.open(newline="") as file:
            found: list[Row] = [dict(row) | {"seed": int(row["seed"])} for row in csv.DictReader(file)]
    else:
        found = measure(options.seeds, options.runs, options.model)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    print(table(found))


if __name__ == "__main__":
    main()
