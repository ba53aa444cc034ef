"""The plugin logs new findings, stores current ones, and does both alike for a resumed run."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.builtin.doctor import FILE, Doctor
from halo_core.config.options import build
from halo_core.drivers import Trainer, driver
from halo_core.drivers.raft import RAFT
from halo_core.errors import ConfigError
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.progress import Progress
from halo_core.testing.fakes import FakeTrainer, fake_run

TOO_HIGH = "learning-rate-too-high"


class Recorder(Progress):
    """Records the printed lines."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@driver
class Rising(FakeTrainer):
    """Learns, but with a loss that rises within the cycle."""

    def train(self, samples: Sequence[Any], context: Any) -> Any:
        stats = super().train(samples, context)
        losses = tuple(1 + 0.1 * step for step in range(20))
        return replace(stats, steps=20, losses=losses, grad_norms=(0.1,) * 20)


def doctor_lines(directory: Path, *, trainer: Trainer | None = None, cycles: int = 3) -> list[str]:
    recorder = Recorder()
    run, hooks = fake_run(
        directory,
        prompts=24,
        heldout=24,
        plugins=[Doctor()],
        progress=recorder,
        trainer=trainer,
        selector=RAFT(threshold=1.0),
        cycles=cycles,
    )
    run_cycles(run, hooks)
    return [note for note in recorder.notes if note.startswith("doctor")]


def stored(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / FILE).read_text())
    return content


def test_healthy_run_has_no_findings(tmp_path: Path) -> None:
    assert not doctor_lines(tmp_path)
    assert stored(tmp_path) == {"cycle": 3, "findings": []}


def test_finding_is_logged_once_and_stored_while_it_holds(tmp_path: Path) -> None:
    notes = doctor_lines(tmp_path, trainer=Rising())
    assert len(notes) == 1
    assert notes[0].startswith(f"doctor   warning: {TOO_HIGH} (cycle 1): the training loss rose by ")
    assert stored(tmp_path)["cycle"] == 3
    (finding,) = stored(tmp_path)["findings"]
    assert finding["cause"] == TOO_HIGH
    assert finding["cycle"] == 3
    assert finding["evidence"][0]["signal"] == "divergence"


def test_resumed_run_logs_only_new_findings_and_stores_the_same(tmp_path: Path) -> None:
    doctor_lines(tmp_path / "whole", trainer=Rising())
    assert doctor_lines(tmp_path / "halves", trainer=Rising(), cycles=1)
    (tmp_path / "halves" / FILE).unlink()
    assert not doctor_lines(tmp_path / "halves", trainer=Rising())
    assert stored(tmp_path / "halves") == stored(tmp_path / "whole")


def test_lost_file_is_written_again_when_the_run_is_resumed(tmp_path: Path) -> None:
    doctor_lines(tmp_path, trainer=Rising())
    before = stored(tmp_path)
    (tmp_path / FILE).unlink()
    assert not doctor_lines(tmp_path, trainer=Rising())
    assert stored(tmp_path) == before


def test_file_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor_lines(tmp_path)
    before = stored(tmp_path)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target.name == FILE:
            raise OSError("killed")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(Exception, match="killed"):
        doctor_lines(tmp_path, cycles=4)
    assert stored(tmp_path) == before


def test_thresholds_are_plugin_options() -> None:
    assert build(Doctor, {"patience": "2", "kl_low": "1e-5", "legacy_grad_band": "true"}, where="") == Doctor(
        patience=2, kl_low=1e-5, legacy_grad_band=True
    )
    with pytest.raises(ConfigError, match="confidence"):
        build(Doctor, {"confidence": "1.5"}, where="plugin 'doctor'")


def test_halo_diagnose_reports_the_same_findings(tmp_path: Path, halo: Callable[..., Any]) -> None:
    doctor_lines(tmp_path / "run", trainer=Rising())
    answer = halo("diagnose", tmp_path / "run", "--json")
    assert json.loads(answer.out) == stored(tmp_path / "run")
    text = halo("diagnose", tmp_path / "run").out
    assert text.startswith(f"warning: {TOO_HIGH} (cycle 3)\n  - the training loss rose by ")
    assert "cycle 1)" in halo("diagnose", tmp_path / "run", "--cycle", "1").out
    healthy = halo("diagnose", tmp_path / "run", "--opt", "loss_rise=9").out
    assert healthy == "nothing significant in 3 cycles\n"


def test_halo_diagnose_reports_errors_in_one_line(tmp_path: Path, halo: Callable[..., Any]) -> None:
    assert "no run with a finished cycle" in halo("diagnose", tmp_path / "none").complaint()
    doctor_lines(tmp_path / "run")
    assert "no cycle 7 yet" in halo("diagnose", tmp_path / "run", "--cycle", "7").complaint()
    assert "patience" in halo("diagnose", tmp_path / "run", "--opt", "patince=2").remedy()


def test_the_ledger_has_the_diagnosed_reports(tmp_path: Path) -> None:
    doctor_lines(tmp_path, trainer=Rising())
    assert [report.cycle for report in Ledger(tmp_path).reports()] == [0, 1, 2, 3]
