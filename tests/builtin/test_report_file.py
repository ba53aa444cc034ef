"""The report that a run writes: after each cycle and at its end, but not when Ctrl-C ends it."""

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
    monkeypatch.setattr(ReportFile, "_write", lambda self, run: calls.append(run))
    return calls


@pytest.mark.parametrize(("error", "reports"), [(TrainingError("diverged"), 1), (Interrupted("stopped"), 0)])
def test_a_run_that_is_interrupted_does_not_wait_for_its_report(
    tmp_path: Path, written: list[object], error: Exception, reports: int
) -> None:
    run, _ = fake_run(tmp_path)
    report = run.report(0, heldout=())
    ReportFile().on_run_end(run, [report], error)
    assert len(written) == reports
    assert ("ended", str(error)) in [event[1:3] for event in run.ledger.events()]
