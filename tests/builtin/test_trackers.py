from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.builtin.trackers import JSONLines, TensorBoard, Trackio, WandB, metrics
from halo_core.errors import PluginError
from halo_core.loop import run_cycles
from halo_core.testing import fake_run, make_metrics
from halo_core.types import CycleReport


def test_every_number_has_a_flat_name() -> None:
    heldout = make_metrics(0.25, samples=8, valid_interval=(0.1, 0.9), stages={"correct": 2})
    found = metrics(CycleReport(cycle=3, heldout=heldout, lr=0.5, seconds={"train": 2.0}))
    assert (found["cycle"], found["lr"]) == (3, 0.5)
    assert (found["heldout/passed"], found["seconds/train"]) == (0.25, 2.0)
    assert (found["heldout/valid_interval/low"], found["heldout/valid_interval/high"]) == (0.1, 0.9)
    assert found["heldout/stages/correct"] == 2
    assert not [name for name in found if name.startswith(("train", "rates"))]
    assert all(type(value) is float for value in found.values())


def test_json_lines_have_each_cycle_once_after_a_resume(tmp_path: Path) -> None:
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


def test_tensorboard_reads_the_written_events(tmp_path: Path) -> None:
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


def test_cycle_closed_before_a_kill_is_reported_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged: list[int] = []
    fake = SimpleNamespace(
        run=None, init=lambda **options: None, log=lambda figures, step: logged.append(step)
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    history = run_cycles(*fake_run(tmp_path))  # without plugins, as if killed before they were notified
    for _ in range(2):
        run_cycles(*fake_run(tmp_path, plugins=[JSONLines(), TensorBoard(), WandB()]))
    last = history[-1].cycle
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["cycle"] for line in lines] == list(range(last + 1))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("heldout/passed")] == [last], "once, though written twice"
    assert logged == [last, last]


def test_wandb_is_notified_of_each_cycle_and_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []
    fake = SimpleNamespace(
        run=True,
        init=lambda **options: calls.append(("init", options)),
        log=lambda figures, step: calls.append(("log", (step, figures["heldout/passed"]))),
        finish=lambda exit_code: calls.append(("finish", exit_code)),
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    history = run_cycles(*fake_run(tmp_path, seed=3, plugins=[WandB(project="mine")]))
    (name, options), *logged, end = calls
    assert (name, options["project"], options["mode"], options["resume"]) == (
        "init",
        "mine",
        "offline",
        "allow",
    )
    assert options["config"]["seed"] == 3
    assert logged == [("log", (r.cycle, r.heldout.passed)) for r in history if r.heldout]
    assert end == ("finish", 0)


@pytest.mark.slow
def test_the_wandb_package_logs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run_cycles(*fake_run(tmp_path / "run", plugins=[WandB()]))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))


def test_trackio_is_notified_of_each_cycle_and_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[str, Any]] = []

    def init(**options: Any) -> None:
        print("* Trackio project initialized")
        calls.append(("init", options))

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
    names = [options["name"] for call, options in calls if call == "init"]
    assert names[0] == names[1] != names[2], "a run is identified by its path, not only by its name"
    assert capsys.readouterr().out == "", "the terminal belongs to halo's table"


@pytest.mark.parametrize(
    ("plugin", "package"), [(TensorBoard(), "tensorboard"), (WandB(), "wandb"), (Trackio(), "trackio")]
)
def test_a_missing_package_fails_the_preflight(
    monkeypatch: pytest.MonkeyPatch, plugin: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PluginError, match=f"package '{package}' is not installed") as caught:
        plugin.preflight()
    assert caught.value.hint == f"pip install {package}"
