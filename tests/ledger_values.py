"""Values and helpers of the tests of ledgers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger
from halo_core.types import Completion, EvalMetrics, Prompt, Sample, Stage, Status, TrainStats, Verdict

PROMPTS = [
    Prompt(
        "a", "Add.", verifier="gcc", reference={"tests": [{"stdin": "1", "stdout": "é"}]}, meta={"level": 3}
    ),
    Prompt("0", messages=({"role": "system", "content": "x"}, {"role": "user", "content": "\u2028 y"})),
    Prompt("c d/e", "Sub.\n\n  ```"),
]
STATS = TrainStats(
    lr=5e-05,
    steps=3,
    samples=10,
    tokens=500,
    loss_first=1.25,
    loss_last=0.5,
    lr_peak=5e-5,
    lr_sum=1.5e-4,
    grad_norm_median=0.125,
    clipped_fraction=0.25,
    update_norm=1e-3,
)
METRICS = EvalMetrics(
    samples=8,
    valid=0.5,
    passed=0.25,
    valid_interval=(0.1, 0.9),
    passed_interval=(0.0, 0.5),
    stages={"invalid": 4, "correct": 2},
    errors=1,
    inconclusive=0,
    truncated=0.125,
    distinct=0.75,
)


def sample(prompt: Prompt, index: int, text: str = "x", **verdict: Any) -> Sample:
    completion = Completion(prompt.id, index, text, (1, 2), (3, 4, 5), "length", (-0.5, -0.25, -0.75))
    return Sample(prompt, completion, Verdict(Status.FAIL, Stage.WRONG, **verdict))


RIGHT, WRONG = Verdict(Status.PASS, Stage.CORRECT, 1.0), Verdict(Status.FAIL, Stage.WRONG, cpu_seconds=0.5)
ERROR = Verdict(Status.ERROR, Stage.INVALID, detail="no compiler")


def started(ledger: Ledger, **fingerprints: str) -> Ledger:
    config = {"verifier": [{"name": "gcc"}], "cycles": 2}
    ledger.create(config, [PLUGIN], PROMPTS[:2], PROMPTS[2:], {}, fingerprints or {"gcc": "gcc 12"})
    return ledger


PLUGIN = {"kind": "verifier", "name": "gcc", "distribution": "halo-verifier-gcc", "version": "1"}


def writing(name: str, text: str) -> Callable[[Path], None]:
    """Return a function that writes a file `name` with `text` into a directory."""

    def write(directory: Path) -> None:
        (directory / name).write_text(text)

    return write


def append_three(ledger: Ledger) -> None:
    for index in range(3):
        ledger.append(1, "train", [sample(PROMPTS[0], index, f"text {index}")])


def indices(ledger: Ledger) -> list[int]:
    return [batch[0].completion.index for batch in ledger.batches(1, "train", PROMPTS)]


@contextmanager
def read_only_disk() -> Iterator[None]:
    """Make SQLite behave as on a read-only disk, where it opens databases in WAL mode only as immutable."""
    opened = sqlite3.connect

    def connect(name: str, **options: Any) -> sqlite3.Connection:
        if "immutable" not in name and name != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        connection: sqlite3.Connection = opened(name, **options)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        yield
