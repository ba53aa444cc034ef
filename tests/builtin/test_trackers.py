from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.builtin.trackers import JSONLines, TensorBoard, Trackio, WandB, metrics
from halo_core.errors import PluginError
from halo_core.loop import run_cycles
from halo_core.testing import fake_run
from halo_core.types import CycleReport, EvalMetrics


def test_every_figure_has_a_flat_name() -> None:
    rates = EvalMetrics(
        samples=8,
        valid=0.5,
        passed=0.25,
        valid_interval=(0.1, 0.9),
        passed_interval=(0.0, 0.5),
        stages={"correct": 2},
        errors=0,
        inconclusive=0,
        truncated=0.0,
        distinct=1.0,
    )
    found = metrics(CycleReport(cycle=3, heldout=rates, lr=0.5, seconds={"train": 2.0}))
    assert (found["cycle"], found["lr"], found["heldout/passed"], found["seconds/train"]) == (
        3,
        0.5,
        0.25,
        2.0,
    )
    assert (found["heldout/valid_interval/low"], found["heldout/valid_interval/high"]) == (0.1, 0.9)
    assert found["heldout/stages/correct"] == 2
    assert not [name for name in found if name.startswith(("train", "rates"))]
    assert all(type(value) is float for value in found.values())


def test_json_lines_have_each_cycle_once_however_often_the_run_is_gone_on_with(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path, cycles=3, plugins=[JSONLines(), Stopping(1)])
    run_cycles(run, hooks)
    run_cycles(*fake_run(tmp_path, cycles=3, plugins=[JSONLines()]))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["cycle"] for line in lines] == [0, 1, 2, 3]
    assert lines == [metrics(report) for report in run.ledger.reports()]


class Stopping:
    """Ends a run after a cycle."""

    def __init__(self, cycle: int) -> None:
        from halo_core.hookspecs import hookimpl

        @hookimpl
        def on_cycle_end(run: Any, report: CycleReport) -> None:
            if report.cycle == cycle:
                run.stop("enough")

        self.on_cycle_end = on_cycle_end


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, hooks = fake_run(tmp_path, plugins=[TensorBoard()])
    history = run_cycles(run, hooks)
    found: dict[int, float] = {}
    for file in (tmp_path / "tensorboard").iterdir():
        events = EventAccumulator(str(file)).Reload()
        found |= {event.step: event.value for event in events.Scalars("heldout/passed")}
    assert found == pytest.approx(
        {report.cycle: report.heldout.passed for report in history if report.heldout}
    )


def test_a_cycle_that_was_closed_untold_is_told_when_the_run_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged: list[int] = []
    fake = SimpleNamespace(run=None, init=lambda **given: None, log=lambda figures, step: logged.append(step))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    history = run_cycles(*fake_run(tmp_path))  # as if killed each time before its plugins were told
    for _ in range(2):
        run_cycles(*fake_run(tmp_path, plugins=[JSONLines(), TensorBoard(), WandB()]))
    last = history[-1].cycle
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["cycle"] for line in lines] == list(range(last + 1))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("heldout/passed")] == [last], "once, though told twice"
    assert logged == [last, last]


def test_wandb_is_told_of_each_cycle_and_of_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []
    fake = SimpleNamespace(
        run=True,
        init=lambda **given: calls.append(("init", given)),
        log=lambda figures, step: calls.append(("log", (step, figures["heldout/passed"]))),
        finish=lambda exit_code: calls.append(("finish", exit_code)),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    history = run_cycles(*fake_run(tmp_path, seed=3, plugins=[WandB(project="mine")]))
    (name, given), *logged, end = calls
    assert (name, given["project"], given["mode"], given["resume"]) == ("init", "mine", "offline", "allow")
    assert given["config"]["seed"] == 3
    assert logged == [("log", (r.cycle, r.heldout.passed)) for r in history if r.heldout]
    assert end == ("finish", 0)


@pytest.mark.slow
def test_wandb_itself_takes_it_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_cycles(*fake_run(tmp_path / "run", plugins=[WandB()]))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))


def test_trackio_is_told_of_each_cycle_and_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, Any]] = []

    def init(**given: Any) -> None:
        print("* Trackio project initialized")
        calls.append(("init", given))

    fake = SimpleNamespace(
        run=SimpleNamespace(),
        init=init,
        log=lambda figures, step: calls.append(("log", (step, figures["heldout/passed"]))),
        finish=lambda: calls.append(("finish", None)),
    )
    monkeypatch.setitem(sys.modules, "trackio", fake)
    history = run_cycles(*fake_run(tmp_path / "one", plugins=[Trackio(project="mine")]))
    run_cycles(*fake_run(tmp_path / "one", plugins=[Trackio()]))
    run_cycles(*fake_run(tmp_path / "two" / "one", cycles=1, plugins=[Trackio()]))
    (_, first), *logged, end = calls[:5]
    assert (first["project"], first["resume"], first["config"]["cycles"]) == ("mine", "allow", 2)
    assert logged == [("log", (r.cycle, r.heldout.passed)) for r in history if r.heldout]
    assert end == ("finish", None)
    names = [given["name"] for call, given in calls if call == "init"]
    assert names[0] == names[1] != names[2], "a run is known by its place, not by its name alone"
    assert capsys.readouterr().out == "", "the table is halo's"


@pytest.mark.slow
def test_trackio_itself_takes_it(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    code = (
        "import sys; from pathlib import Path\n"
        "from halo_core.builtin.trackers import Trackio; from halo_core.loop import run_cycles\n"
        "from halo_core.testing import fake_run\n"
        "run_cycles(*fake_run(Path(sys.argv[1]), plugins=[Trackio()]))"
    )
    place = tmp_path / "trackio"
    command = [sys.executable, "-c", code, tmp_path / "run"]
    subprocess.run(command, env=os.environ | {"TRACKIO_DIR": str(place)}, check=True)
    with closing(sqlite3.connect(place / "halo.db")) as db:
        assert db.execute("SELECT step FROM metrics ORDER BY step").fetchall() == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("plugin", "package"), [(TensorBoard(), "tensorboard"), (WandB(), "wandb"), (Trackio(), "trackio")]
)
def test_what_has_to_be_installed_is_said_before_anything_is_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    run, hooks = fake_run(tmp_path, plugins=[plugin])
    with pytest.raises(PluginError, match=f"needs {package}") as caught:
        run_cycles(run, hooks)
    assert caught.value.hint == f"pip install {package}"
    assert run.ledger.reports() == []
