"""Outputs that cannot be written: every command that writes reports it in one line, with a remedy that fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]

DIRECTORIES: dict[str, Callable[..., list[object]]] = {
    "run": lambda target, fakes: ["run", *fakes, "-n", 1, "-o", target],
    "eval": lambda target, fakes: ["eval", "run", "--samples", 1, "-o", target],
    "init": lambda target, fakes: ["init", "gcc", target],
    "new": lambda target, fakes: ["new", "verifier", "mine", "-o", target],
    "study": lambda target, fakes: ["study", "run", "study.yaml", "-o", target],
}
FILES: dict[str, Callable[[object], list[object]]] = {
    "report": lambda target: ["report", "run", "-o", f"{target}.html"],
    "jsonl": lambda target: ["export", "run", "-o", f"{target}.jsonl"],
    "parquet": lambda target: ["export", "run", "--to", "parquet", "-o", f"{target}.parquet"],
    "csv": lambda target: ["compare", "run", "-o", f"{target}.csv"],
    "json": lambda target: ["compare", "run", "-o", f"{target}.json"],
    "svg": lambda target: ["compare", "run", "-o", f"{target}.svg"],
    "lr": lambda target: ["lr", "schedule", "-o", f"{target}.csv"],
    "plot": lambda target: ["lr", "schedule", "--plot", f"{target}.png"],
    "verdicts": lambda target: ["verify", "-v", "gcc", "--completions", "run.jsonl", "-o", target],
}
PLACES = {"no room": "/proc/new", "below a file": "note/new", "a long name": "x" * 300}
STUDY = {"question": "?", "seeds": 1, "arms": {"a": {"set": {}}}, "base": {"verifier": "gcc", "cycles": 1}}


@pytest.fixture
def place(run: Callable[..., Any], tmp_path: Path) -> None:
    """A run, a file `note`, completions and a study in the working directory."""
    run()
    Path("note").touch()
    Path("run.jsonl").write_text("")
    Path("study.yaml").write_text(json.dumps(STUDY))


def check(answer: Any) -> None:
    answer.complaint()
    remedy = answer.remedy()
    assert "restore" not in remedy
    assert "free some space" not in remedy
    assert "permission" not in remedy


def names() -> list[Path]:
    return sorted(path for path in Path.cwd().rglob("*") if not path.name.startswith("ledger.db"))


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("target", PLACES.values(), ids=PLACES)
def test_an_output_that_cannot_be_created(halo: Halo, fakes: list[str], target: str) -> None:
    before = names()
    for directory in DIRECTORIES.values():
        check(halo(*directory(target, fakes)))
    for file in FILES.values():
        check(halo(*file(target)))
    assert names() == before, "nothing is left behind"
