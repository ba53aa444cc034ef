"""The report that a run writes: after cycles and at its end, but not when Ctrl-C ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.builtin.report import ReportFile
from halo_core.errors import Interrupted, TrainingError
from halo_core.testing import fake_run


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Record the reports that would be written."""
    calls: list[object] = []
    monkeypatch.setattr("halo_core.report.write_report", lambda ledger, **_: calls.append(ledger))
    return calls


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let the report's clock stand still at the one value of this list."""
    now = [0.0]
    monkeypatch.setattr("halo_core.builtin.report.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("error", "reports"), [(TrainingError("diverged"), 1), (Interrupted("stopped"), 0)])
def test_a_run_that_is_interrupted_does_not_wait_for_its_report(
    tmp_path: Path, written: list[object], error: Exception, reports: int
) -> None:
    run, _ = fake_run(tmp_path)
    report = run.report(0, heldout=())
    ReportFile().on_run_end(run, [report], error)
    assert len(written) == reports
    assert ("ended", str(error)) in [event[1:3] for event in run.ledger.events()]


def test_reports_take_at_most_a_twentieth_of_the_time_of_a_run(
    tmp_path: Path, written: list[object], clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = fake_run(tmp_path)
    plugin = ReportFile()

    def draw(ledger: object, **_: object) -> None:
        written.append(ledger)
        clock[0] += 1.0

    monkeypatch.setattr("halo_core.report.write_report", draw)
    for _ in range(300):
        clock[0] += 2.0  # a cycle
        plugin.on_cycle_end(run)
    drawing = len(written)
    assert 0.04 < drawing / clock[0] <= 0.05
    plugin.on_run_end(run, [run.report(0, heldout=())], None)
    assert len(written) == drawing + 1, "the last report has the last cycle"
    plugin.on_run_end(run, [run.report(0, heldout=())], None)
    assert len(written) == drawing + 1, "nothing changed since"


def test_a_run_of_long_cycles_writes_its_report_after_each(
    tmp_path: Path, written: list[object], clock: list[float]
) -> None:
    run, _ = fake_run(tmp_path)
    plugin = ReportFile()
    for _ in range(5):
        clock[0] += 60.0
        plugin.on_cycle_end(run)
    assert len(written) == 5


def test_a_run_that_is_resumed_at_its_end_writes_its_report_again(
    tmp_path: Path, written: list[object]
) -> None:
    run, _ = fake_run(tmp_path)
    ReportFile().on_run_end(run, [run.report(0, heldout=())], None)
    assert len(written) == 1
