"""The log of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.builtin.logfile import LogFile
from halo_core.errors import Interrupted
from halo_core.hookspecs import hookimpl
from halo_core.loop import run_cycles
from halo_core.progress import Progress
from halo_core.testing import fake_run

Halo = Callable[..., Any]


def logged(directory: Path, *plugins: object) -> str:
    log = LogFile(Progress())
    log.note("before the directory exists")
    run, hooks = fake_run(directory, progress=log, plugins=plugins)
    hooks.register(log, name="log")
    run_cycles(run, hooks)
    return (directory / "run.log").read_text()


def test_lines_stages_and_rows_have_times(tmp_path: Path) -> None:
    lines = logged(tmp_path / "run").splitlines()
    texts = [line.split("  ", 1)[1] for line in lines]
    assert texts[0].startswith("halo ")
    assert texts[0].endswith(": started")
    assert texts[1] == "before the directory exists"
    assert any(text.startswith("cycle 1 sample: 32 samples in ") for text in texts)
    assert any(text.startswith("2  1.00e-01") for text in texts), "the rows of the table"
    assert texts[-1] == "finished"
    assert all(line[:4].isdigit() and line[10] == " " for line in lines)


def test_resumed_run_continues_its_log(tmp_path: Path) -> None:
    class Stop:
        @hookimpl
        def on_cycle_end(self, run: Any, report: Any) -> None:
            if report.cycle == 1:
                run.interrupt()

    with pytest.raises(Interrupted):
        logged(tmp_path / "run", Stop())
    log = logged(tmp_path / "run")
    assert "ended: stopped; resume with: " in log
    assert ": resumed after cycle 1" in log
    assert log.splitlines()[-1].endswith("finished")


def test_unexpected_error_is_logged_with_its_traceback(tmp_path: Path) -> None:
    class Broken:
        @hookimpl(tryfirst=True)
        def reward(self) -> Any:
            raise KeyError("lost")

    with pytest.raises(KeyError):
        logged(tmp_path / "run", Broken())
    log = (tmp_path / "run" / "run.log").read_text()
    assert "Traceback (most recent call last):" in log
    assert "KeyError: 'lost'" in log


def test_log_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.log").mkdir()
    log = LogFile(Progress())
    run, hooks = fake_run(tmp_path / "run", progress=log)
    hooks.register(log, name="log")
    assert len(run_cycles(run, hooks)) == 3


def test_quiet_run_is_logged(halo: Halo, fakes: list[str]) -> None:
    assert halo("run", *fakes, "-q", "-o", "run").code == 0
    log = Path("run/run.log").read_text()
    assert "using the demo of verifier 'Words'" in log
    assert "outlook  " in log
