"""The gate: which cycles are regressions, how it reacts, and that a resumed run is gated alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from halo_core.builtin.gate import CHAMPION, Gate, setback, setbacks
from halo_core.diagnosis import Thresholds
from halo_core.diagnosis.history import History
from halo_core.errors import RunError
from halo_core.hookspecs import hookimpl
from halo_core.loop import run_cycles
from halo_core.progress import Progress
from halo_core.run.state import Run
from halo_core.seeds import derive_seed
from halo_core.testing import FakeActor, fake_run, make_stats
from halo_core.testing.histories import simulate
from halo_core.types import CycleReport, Sample, SamplingRequest, Split, TrainStats


class Course:
    """Sets the skill to a given value in each cycle, whatever weights the cycle starts from."""

    def __init__(self, skills: Sequence[float]) -> None:
        self.skills = skills

    @hookimpl
    def train(self, run: Run, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        cast(FakeActor, run.actor).skill = self.skills[cycle - 1]
        return make_stats(lr, steps=10, samples=len(samples), lr_sum=lr)


class Recorder(Progress):
    """Records the printed lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def gated(
    tmp_path: Path,
    skills: Sequence[float],
    recorder: Recorder | None = None,
    cycles: int | None = None,
    heldout: int = 40,
    seed: int = 0,
    **options: Any,
) -> tuple[Run, list[CycleReport]]:
    run, hooks = fake_run(
        tmp_path / "run",
        plugins=[Course(skills), Gate(**options)],
        prompts=8,
        heldout=heldout,
        seed=seed,
        progress=recorder,
        cycles=cycles or len(skills),
        samples_per_prompt=8,
    )
    return run, run_cycles(run, hooks)


def test_regression_restarts_from_the_champion_at_a_lower_learning_rate(tmp_path: Path) -> None:
    recorder = Recorder()
    _, history = gated(tmp_path, [0.6, 0.2, 0.7], recorder, cut=0.25)
    assert setbacks(history) == [2]
    assert [report.started_from for report in history[1:]] == [0, 1, 1]
    assert [report.lr for report in history[1:]] == pytest.approx([history[1].lr] * 2 + [history[1].lr / 4])
    (line,) = recorder.lines
    assert "cycle 2 is worse than cycle 1" in line
    assert "going back to the weights of cycle 1" in line


def test_champion_is_the_best_cycle(tmp_path: Path) -> None:
    run, _ = gated(tmp_path, [0.5, 0.8, 0.75, 0.4])
    link = run.directory / CHAMPION
    assert link.is_symlink()
    assert not Path(link.readlink()).is_absolute(), "the directory can be moved"
    assert link.resolve() == run.ledger.adapter(2).resolve()


def test_no_champion_while_the_untrained_model_is_best(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.05, 0.05])
    assert not (run.directory / CHAMPION).is_symlink()
    assert history[2].started_from == 0


def test_reduce_continues_from_the_current_weights(tmp_path: Path) -> None:
    _, history = gated(tmp_path, [0.6, 0.2, 0.25], on_regression="reduce")
    assert [report.started_from for report in history[1:]] == [0, 1, 2]
    assert history[3].lr == pytest.approx(history[1].lr / 2)


def test_every_regression_cuts_the_learning_rate_down_to_the_minimum(tmp_path: Path) -> None:
    _, history = gated(tmp_path, [0.8, 0.2, 0.2, 0.2, 0.2], on_regression="reduce", cut=0.1, min_lr=1e-3)
    assert [report.lr for report in history[1:]] == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-3])


def test_stop_ends_the_run(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.6, 0.2, 0.7], on_regression="stop")
    assert len(history) == 3
    assert "cycle 2 is worse than cycle 1" in run.stop_reason


def test_none_only_updates_the_champion(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.6, 0.2, 0.7], on_regression="none")
    assert [report.started_from for report in history[1:]] == [0, 1, 2]
    assert len({report.lr for report in history[1:]}) == 1
    assert (run.directory / CHAMPION).resolve() == run.ledger.adapter(3).resolve()


@pytest.fixture
def independent_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every held-out request its own seed, so that cycles share no noise."""
    request = Run.request

    def reseeded(self: Run, cycle: int, split: Split) -> SamplingRequest:
        return replace(request(self, cycle, split), seed=derive_seed(self.seed, split, cycle))

    monkeypatch.setattr(Run, "request", reseeded)


@pytest.mark.usefixtures("independent_noise")
@pytest.mark.parametrize("heldout", [2, 24])
def test_noise_is_not_a_regression(tmp_path: Path, heldout: int) -> None:
    regressions, below = 0, 0
    for seed in range(20):
        _, history = gated(tmp_path / str(seed), [0.6] * 6, on_regression="none", heldout=heldout, seed=seed)
        noisy = [report.heldout.passed for report in history[1:] if report.heldout]
        assert len(set(noisy)) > 2, "there is noise"
        regressions += len(setbacks(history))
        changes = [report.versus_best for report in history[2:] if report.versus_best]
        below += sum(change.interval[1] < 0 for change in changes)
    assert regressions <= 1, "of 100 cycles that changed nothing"
    assert below > 2, "a plain 95% interval from the luckiest cycle finds more"


@pytest.mark.usefixtures("independent_noise")
def test_real_fall_is_found_despite_noise(tmp_path: Path) -> None:
    falls = [
        setbacks(gated(tmp_path / str(seed), [0.6] * 5 + [0.4], on_regression="none", seed=seed)[1])
        for seed in range(6)
    ]
    assert falls.count([6]) >= 5


def test_patience_ends_a_run_without_improvement(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.5, 0.7, 0.7, 0.7, 0.7, 0.9], patience=3)
    assert "no significant improvement in 3 cycles" in run.stop_reason
    assert len(history) - 1 == 5
    assert run.directory.exists()


def test_slow_but_steady_improvement_continues(tmp_path: Path) -> None:
    run, _ = gated(tmp_path, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9], patience=2)
    assert run.stop_reason == ""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_resumed_run_is_gated_like_an_uninterrupted_one(tmp_path: Path, after: int) -> None:
    skills = [0.6, 0.2, 0.7, 0.1, 0.8]
    _, whole = gated(tmp_path / "whole", skills)
    gated(tmp_path / "parts", skills, cycles=after)
    recorder = Recorder()
    _, parts = gated(tmp_path / "parts", skills, recorder)
    for one, other in zip(whole, parts, strict=True):
        for field in ("lr", "started_from", "heldout", "versus_best"):
            assert getattr(one, field) == getattr(other, field), field
    assert not any(f"cycle {after} is worse" in line for line in recorder.lines), "that was logged before"


def test_gate_requires_held_out_prompts(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", plugins=[Gate()], heldout=0)
    with pytest.raises(RunError, match="no held-out prompts"):
        run_cycles(run, hooks)


@pytest.mark.parametrize("seed", range(5))
def test_regression_agrees_with_the_doctors_fall(seed: int) -> None:
    for kind in ("too-high-late", "decline", "wrong-paid", "healthy"):
        reports = simulate(kind, seed=seed)
        for end in range(2, len(reports) + 1):
            fall = History(reports[:end], Thresholds()).fall
            assert ("is worse than" in setback(reports[:end])) is (fall is not None)


def test_spike_in_a_cycle_without_gain_is_a_setback() -> None:
    spiked = simulate("spike", seed=0)[:7]
    last = spiked[-1]
    assert last.versus_best is not None
    without_gain = replace(last, versus_best=replace(last.versus_best, difference=-0.01))
    assert "cycle 6 is lost" in setback([*spiked[:-1], without_gain])
    assert setbacks([*spiked[:-1], without_gain]) == [6]
    assert setbacks(simulate("healthy", seed=0)) == []
