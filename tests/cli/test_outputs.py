"""Outputs that cannot be written: every command that writes reports it in one line, with a remedy that fits."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Limit the size of the files that this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


LIMITED: dict[str, Callable[..., list[object]]] = {
    "run.yaml": lambda target, fakes: ["run", *fakes, "-n", 1, "-o", target],
    "halo.yaml": DIRECTORIES["init"],
    "x": DIRECTORIES["new"],
    "x.html": lambda target, fakes: FILES["report"](target),
    "x.jsonl": lambda target, fakes: FILES["jsonl"](target),
    "x.parquet": lambda target, fakes: FILES["parquet"](target),
    "x.svg": lambda target, fakes: FILES["svg"](target),
    "x.png": lambda target, fakes: FILES["plot"](target),
}
"""The commands, by the file that does not fit."""


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", LIMITED)
def test_a_limit_on_the_size_of_files_is_named_with_the_file(halo: Halo, fakes: list[str], name: str) -> None:
    halo("samples", "run")  # the index of the run's log has its size from now on
    before = names()
    limit = 1024 if name in ("run.yaml", "x") else 2048
    with file_limit(limit):
        answer = halo(*LIMITED[name]("x", fakes))
    complaint = answer.complaint()
    assert "the shell's limit on the size of a file" in complaint
    assert answer.remedy().startswith("raise the limit: ulimit -f unlimited")
    assert names() == before, "nothing is left behind"


def test_a_new_run_names_the_log_of_its_database(halo: Halo, fakes: list[str]) -> None:
    with file_limit(40_000):  # more than the description of the run, less than the tables
        answer = halo("run", *fakes, "-n", 1, "-o", "run")
    assert "run/ledger.db-wal: the shell's limit on the size of a file, 39 KiB" in answer.complaint()


def test_a_database_names_its_file_that_reaches_the_limit(run: Callable[..., Any], halo: Halo) -> None:
    run()
    with file_limit(4096):
        answer = halo("samples", "run")
    assert "ledger.db-shm: the shell's limit on the size of a file, 4 KiB, is reached" in answer.complaint()
    assert "ulimit -f" in answer.remedy()


@pytest.mark.parametrize("command", [["plugins"], ["config", "show", "-v", "gcc"], ["--version"]])
@pytest.mark.parametrize(("limit", "reason"), [(5, "limit on the size of a file"), (None, "No space left")])
def test_a_standard_output_that_cannot_be_written_is_named(
    command: list[str], limit: int | None, reason: str, tmp_path: Path
) -> None:
    code = (
        "import resource, sys\nfrom halo_core.cli import main\n"
        f"if {bool(limit)}: resource.setrlimit(resource.RLIMIT_FSIZE, (5, -1))\n"
        f"sys.argv = ['halo', *{command}]; main()"
    )
    with (tmp_path / "out" if limit else Path("/dev/full")).open("w") as out:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, stdout=out, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error.startswith("halo: error: standard output: ")
    assert reason in error
    assert hint.startswith("halo: hint: ")


def test_a_reader_that_ends_early_is_no_error(run: Callable[..., Any]) -> None:
    run()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = f"{sys.executable} -m halo_core export run | true"
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
    assert "BrokenPipe" not in done.stderr
    assert "error" not in done.stderr
