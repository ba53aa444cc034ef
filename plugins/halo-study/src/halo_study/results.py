"""The results of finished runs, in one CSV file: a row for each cycle.

The file has everything that the report needs, so run directories can be deleted. Passes are stored for each held-out
prompt, because prompts are resampled. The order of the rows does not depend on the order in which runs finished.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halo_core import RunError
from halo_core.files import reading, write
from halo_core.ledger.browse import Filter, find
from halo_core.ledger.ledger import open_run

LABELS = {
    "lr": "learning rate",
    "lr_sum": "summed learning rate",
    "steps": "optimizer steps",
    "selected": "selected training samples",
    "sampled_pass": "pass rate of the training samples, percent",
    "valid": "held-out completions that reach the first stage, percent",
    "diversity": "distinct among the passing training samples, percent",
    "entropy": "entropy of the held-out tokens, nats",
    "kl": "KL divergence of the cycle's training, nats a token",
    "tokens": "tokens sampled",
    "seconds": "seconds",
}
"""The meaning of each number of a cycle; NaN if the cycle has none, as cycle 0 has no learning rate."""
COLUMNS = tuple(LABELS)
SHARES = ("sampled_pass", "valid", "diversity")
"""The columns that are shares."""
_KEYS = ("arm", "seed", "value", "settings")
_FIELDS = (*_KEYS, "cycle", *COLUMNS, "passes", "verdicts", "error", "source")
DIGITS = 10
"""Digits of a tuned value, here and in the names of directories."""
RESULTS = "results.csv"
"""Name of the file."""
NOT_REPEATABLE = ("seconds", "source")
"""Columns that differ between two runs of the same configuration."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """The measurements of one finished run."""

    arm: str
    seed: int
    value: float | None
    """The value of the tuned setting; None if the arm has none."""
    settings: str
    """The hash of the run's configuration, its seed included: `halo_study.study.config_hash`."""
    passes: np.ndarray
    """(cycles + 1, prompts): held-out completions that passed, cycle 0 first."""
    verdicts: np.ndarray
    """The same shape: held-out completions with a verdict of pass or fail."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """By name in `COLUMNS`: a number for each cycle, cycle 0 first."""
    error: str = ""
    """Why training failed before the last cycle; later cycles repeat the last measurement."""
    source: str = ""
    """Name of the study whose run this is; empty for this study's own."""

    @property
    def key(self) -> tuple[str, int, float]:
        """Arm, seed and value: what the run is identified by."""
        return self.arm, self.seed, self.value or 0.0


def measure(
    directory: Path, *, arm: str, seed: int, value: float | None, settings: str, error: str = ""
) -> RunResult:
    """Read the results of a run; `error` states why it ended before its last cycle. Raises a `RunError`."""
    ledger = open_run(directory)
    try:
        reports, cycles = ledger.reports(), int(ledger.config()["cycles"])
        if not reports:
            raise RunError(f"{directory} has measured nothing", hint="see its log")
        prompts = [prompt.id for prompt in ledger.prompts("heldout")]
        rows = [ledger.passes("heldout", report.cycle, report.cycle) for report in reports]
        tokens = [
            sum(found.sample.completion.written for found in find(ledger, Filter(cycle=report.cycle)))
            for report in reports
        ]
    finally:
        ledger.close()
    table = np.array([[row.get(prompt, (0, 0)) for prompt in prompts] for row in rows], dtype=float)
    columns = {name: [] for name in COLUMNS}  # type: dict[str, list[float]]
    for report, count in zip(reports, tokens, strict=True):
        numbers = _numbers(report) | {"tokens": count}
        for name in COLUMNS:
            columns[name].append(numbers[name])
    missing = cycles + 1 - len(reports)
    table = np.concatenate([table, np.repeat(table[-1:], missing, axis=0)])
    filled = {name: np.array([*values, *[np.nan] * missing]) for name, values in columns.items()}
    if missing:
        filled["diversity"][-missing:] = filled["diversity"][-missing - 1]
    return RunResult(arm, seed, value, settings, table[..., 0], table[..., 1], filled, error)


def _numbers(report: Any) -> dict[str, float]:
    train, sampled, heldout = report.train, report.sampled, report.heldout
    nan = float("nan")
    return {
        "lr": report.lr if train else nan,
        "lr_sum": train.lr_sum if train else nan,
        "steps": train.steps if train else nan,
        "selected": report.selected if train else nan,
        "sampled_pass": sampled.passed if sampled else nan,
        "valid": heldout.valid,
        "diversity": sampled.distinct_correct if sampled else nan,
        "entropy": nan if heldout.entropy is None else heldout.entropy,
        "kl": nan if not train or train.kl is None else train.kl,
        "seconds": sum(report.seconds.values()),
    }


def write_results(path: Path, results: Iterable[RunResult]) -> None:
    """Replace the file by these results, atomically. Raises a `RunError` if the disk fails."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS, lineterminator="\n")
    writer.writeheader()
    for run in sorted(results, key=lambda run: run.key):
        writer.writerows(_rows(run))
    write(path, text.getvalue())


def read_results(path: Path) -> list[RunResult]:
    """Return the results in a file; none if it does not exist. Raises a `RunError` if it is damaged."""
    if not path.exists():
        return []
    csv.field_size_limit(1 << 24)
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, restval="")
        if missing := [name for name in _FIELDS if name not in (rows.fieldnames or ())]:
            raise ValueError(f"it has no column {missing[0]!r}")
        groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for row in rows:
            groups.setdefault(tuple(row[key] for key in _KEYS), []).append(row)
        results = [_result(key, rows) for key, rows in groups.items()]
        _check_cycles(results)
        return results


def as_stored(values: np.ndarray) -> np.ndarray:
    """Return numbers of a column as the file has them."""
    return np.array([float(_number(value) or "nan") for value in values])


def comparable(results: Iterable[RunResult]) -> list[tuple[Any, ...]]:
    """Return everything in `results` that is the same whenever the same runs are repeated."""
    rows = [row for run in sorted(results, key=lambda run: run.key) for row in _rows(run)]
    return [tuple(value for key, value in row.items() if key not in NOT_REPEATABLE) for row in rows]


def _rows(run: RunResult) -> list[dict[str, Any]]:
    value = "" if run.value is None else f"{run.value:.{DIGITS}g}"
    head = {"arm": run.arm, "seed": run.seed, "value": value, "settings": run.settings}
    return [
        {
            **head,
            "cycle": cycle,
            **{name: _number(run.columns[name][cycle]) for name in COLUMNS},
            "passes": _listed(run.passes[cycle]),
            "verdicts": _packed(run.verdicts[cycle]),
            "error": run.error,
            "source": run.source,
        }
        for cycle in range(len(run.passes))
    ]


def _result(key: Sequence[str], rows: Sequence[Mapping[str, str]]) -> RunResult:
    arm, seed, value, settings = key
    if [row["cycle"] for row in rows] != [str(cycle) for cycle in range(len(rows))]:
        raise ValueError(f"the cycles of arm {arm!r}, seed {seed}, are not complete")
    passes = [_unpacked(row["passes"]) for row in rows]
    prompts = len(passes[0])
    verdicts = [_unpacked(row["verdicts"], prompts) for row in rows]
    if not prompts or {len(counts) for counts in (*passes, *verdicts)} != {prompts}:
        raise ValueError(f"the cycles of arm {arm!r}, seed {seed}, have different numbers of prompts")
    columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
    number = float(value) if value else None
    error, source = rows[0]["error"], rows[0]["source"]
    return RunResult(
        arm, int(seed), number, settings, np.array(passes), np.array(verdicts), columns, error, source
    )


def _check_cycles(results: Iterable[RunResult]) -> None:
    """Raise a `ValueError` if the runs of an arm have different numbers of cycles: rows are missing."""
    longest: dict[str, int] = {}
    for run in results:
        longest[run.arm] = max(longest.get(run.arm, 0), len(run.passes))
    for run in results:
        if len(run.passes) < longest[run.arm]:
            raise ValueError(f"the cycles of arm {run.arm!r}, seed {run.seed}, are not complete")


def _listed(counts: np.ndarray) -> str:
    return " ".join(f"{count:g}" for count in counts)


def _packed(counts: np.ndarray) -> str:
    """Write counts, one number if all are equal."""
    return f"{counts[0]:g}" if len(set(counts)) == 1 else _listed(counts)


def _unpacked(text: str, length: int | None = None) -> list[float]:
    numbers = [float(part) for part in text.split()]
    return numbers * length if length and len(numbers) == 1 else numbers


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6g}"
