"""Measure whether training on one task changes another: trained models, each on the held-out prompts of several tasks.

    make real && make real SEED=1 && make real SEED=2
    python benchmarks/across_tasks.py runs/real-* --csv across_tasks.csv

The tasks are those of configs/real. Each run's last model is evaluated on the held-out prompts of every task, with that
task's own verifier and sampling options, and compared with the model before training on the same prompts and with the
same random numbers. Evaluations are kept in `--output`; a second call evaluates only what is missing.

Printed are the pass rates before training and, for each pair of tasks, the change in points with its 95% interval over
seeds and prompts, as `halo study` computes it. It needs two seeds or more of each task.
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
import yaml

from halo_study.results import RunResult
from halo_study.statistics import difference

TASKS = ("python", "word_problems", "tool_calls")
ROOT = Path(__file__).parents[1]
BASE = "before training"
Row = dict[str, Any]


def evaluate(model: str, task: str, seed: int, place: Path) -> Path:
    """Evaluate a model or an adapter on a task, unless it is done; return the file of the result."""
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


def measure(runs: list[Path], output: Path) -> list[Row]:
    """Evaluate the model before training and the model of each run on every task."""
    output.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    done: set[tuple[str, str, int]] = set()
    for run in runs:
        config = yaml.safe_load((run / "run.yaml").read_text())
        trained = Path(config["data"]["prompts"]).stem.removesuffix("_train")
        seed, adapter = int(config["seed"]), max(run.glob("cycles/*/adapter"))
        for task in TASKS:
            for label, model in ((BASE, config["model"]["name"]), (trained, str(adapter))):
                if (label, task, seed) not in done:
                    done.add((label, task, seed))
                    place = output / f"{task}-{label.replace(' ', '-')}-{seed}"
                    found += rows(label, task, seed, evaluate(model, task, seed, place))
    return found


def by_seed(found: list[Row], trained: str, task: str) -> dict[int, RunResult]:
    """Return the counts of one model on one task, by seed."""
    results = {}
    for seed in sorted({row["seed"] for row in found if row["trained"] == trained}):
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
    for trained in sorted({row["trained"] for row in found} - {BASE}):
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
    parser.add_argument("runs", type=Path, nargs="*", help="run directories")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/across"), help="directory of the evaluations"
    )
    parser.add_argument("--csv", type=Path, help="write the counts of each prompt to this file")
    parser.add_argument("--from-csv", type=Path, help="print the table of such a file; evaluate nothing")
    options = parser.parse_args()
    if options.from_csv:
        with options.from_csv.open(newline="") as file:
            found: list[Row] = [dict(row) | {"seed": int(row["seed"])} for row in csv.DictReader(file)]
    else:
        found = measure(options.runs, options.output)
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    print(table(found))


if __name__ == "__main__":
    main()
