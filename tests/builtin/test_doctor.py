"""The plugin says what is new, keeps what holds, and says the same of a run that was gone on with."""

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
from halo_core.errors import ConfigError
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.progress import Progress
from halo_core.testing.fakes import FakeTrainer, fake_run

TOO_HIGH = "learning-rate-too-high"


class Heard(Progress):
    """Keeps what it is told."""

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


def examined(directory: Path, *, trainer: Trainer | None = None, cycles: int = 3) -> list[str]:
    heard = Heard()
    run, hooks = fake_run(
        directory,
        prompts=24,
        heldout=24,
        plugins=[Doctor()],
        progress=heard,
        trainer=trainer,
        cycles=cycles,
    )
    run_cycles(run, hooks)
    return [note for note in heard.notes if note.startswith("doctor")]


def kept(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / FILE).read_text())
    return found


def test_of_a_healthy_run_nothing_is_said(tmp_path: Path) -> None:
    assert not examined(tmp_path)
    assert kept(tmp_path) == {"cycle": 3, "findings": []}


def test_a_finding_is_said_once_and_kept_while_it_holds(tmp_path: Path) -> None:
    notes = examined(tmp_path, trainer=Rising())
    assert len(notes) == 1
    assert notes[0].startswith(f"doctor   warning: {TOO_HIGH} (cycle 1): the training loss rose by ")
    assert kept(tmp_path)["cycle"] == 3
    (finding,) = kept(tmp_path)["findings"]
    assert finding["cause"] == TOO_HIGH
    assert finding["cycle"] == 3
    assert finding["evidence"][0]["signal"] == "divergence"


def test_a_run_that_is_gone_on_with_says_what_is_new_and_keeps_the_same(tmp_path: Path) -> None:
    examined(tmp_path / "whole", trainer=Rising())
    assert examined(tmp_path / "halves", trainer=Rising(), cycles=1)
    (tmp_path / "halves" / FILE).unlink()
    assert not examined(tmp_path / "halves", trainer=Rising())
    assert kept(tmp_path / "halves") == kept(tmp_path / "whole")


def test_what_was_lost_is_written_again_when_the_run_is_opened(tmp_path: Path) -> None:
    examined(tmp_path, trainer=Rising())
    before = kept(tmp_path)
    (tmp_path / FILE).unlink()
    assert not examined(tmp_path, trainer=Rising())
    assert kept(tmp_path) == before


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examined(tmp_path)
    before = kept(tmp_path)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if target.name == FILE:
            raise OSError("killed")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(Exception, match="killed"):
        examined(tmp_path, cycles=4)
    assert kept(tmp_path) == before


def test_thresholds_are_options_like_any_driver_s() -> None:
    assert build(Doctor, {"patience": "2", "kl_low": "1e-5", "legacy_grad_band": "true"}, where="") == Doctor(
        patience=2, kl_low=1e-5, legacy_grad_band=True
    )
    with pytest.raises(ConfigError, match="confidence"):
        build(Doctor, {"confidence": "1.5"}, where="plugin 'doctor'")


def test_halo_diagnose_says_the_same_of_the_run(tmp_path: Path, halo: Callable[..., Any]) -> None:
    examined(tmp_path / "run", trainer=Rising())
    answer = halo("diagnose", tmp_path / "run", "--json")
    assert json.loads(answer.out) == kept(tmp_path / "run")
    text = halo("diagnose", tmp_path / "run").out
    assert text.startswith(f"warning: {TOO_HIGH} (cycle 3)\n  - the training loss rose by ")
    assert "cycle 1)" in halo("diagnose", tmp_path / "run", "--cycle", "1").out
    calm = halo("diagnose", tmp_path / "run", "--opt", "loss_rise=9").out
    assert calm == "nothing significant in 3 cycles\n"


def test_halo_diagnose_complains_in_one_line(tmp_path: Path, halo: Callable[..., Any]) -> None:
    assert "no run with a finished cycle" in halo("diagnose", tmp_path / "none").complaint()
    examined(tmp_path / "run")
    assert "no cycle 7 yet" in halo("diagnose", tmp_path / "run", "--cycle", "7").complaint()
    assert "patience" in halo("diagnose", tmp_path / "run", "--opt", "patince=2").remedy()


def test_the_reports_of_a_run_are_what_it_reads(tmp_path: Path) -> None:
    examined(tmp_path, trainer=Rising())
    assert [report.cycle for report in Ledger(tmp_path).reports()] == [0, 1, 2, 3]
