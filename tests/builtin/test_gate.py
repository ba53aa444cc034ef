"""The gate: what is a regression, what follows from it, and that a run gone on with is gated alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from halo_core.testing import fake_run
from halo_core.testing.histories import simulate
from halo_core.types import CycleReport, Sample, SamplingRequest, Split, TrainStats


class Course:
    """Brings the skill to a value of its own in each cycle, wherever it starts."""

    def __init__(self, skills: Sequence[float]) -> None:
        self.skills = skills

    @hookimpl
    def train(self, run: Run, cycle: int, samples: Sequence[Sample], lr: float) -> TrainStats:
        run.actor.skill = self.skills[cycle - 1]
        return TrainStats(
            lr=lr,
            steps=10,
            samples=len(samples),
            tokens=10,
            loss_first=1.0,
            loss_last=0.5,
            lr_peak=lr,
            lr_sum=lr,
            grad_norm_median=0.1,
            clipped_fraction=0.0,
            update_norm=1.0,
        )


class Told(Progress):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def gated(
    tmp_path: Path,
    skills: Sequence[float],
    told: Told | None = None,
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
        progress=told,
        cycles=cycles or len(skills),
        samples_per_prompt=8,
    )
    return run, run_cycles(run, hooks)


def test_a_regression_goes_back_to_the_champion_at_a_lower_rate(tmp_path: Path) -> None:
    told = Told()
    _, history = gated(tmp_path, [0.6, 0.2, 0.7], told, cut=0.25)
    assert setbacks(history) == [2]
    assert [report.started_from for report in history[1:]] == [0, 1, 1]
    assert [report.lr for report in history[1:]] == pytest.approx([history[1].lr] * 2 + [history[1].lr / 4])
    (line,) = told.lines
    assert "cycle 2 is worse than cycle 1" in line
    assert "going back to the weights of cycle 1" in line


def test_the_champion_is_the_best_cycle_whatever_comes_after(tmp_path: Path) -> None:
    run, _ = gated(tmp_path, [0.5, 0.8, 0.75, 0.4])
    link = run.directory / CHAMPION
    assert link.is_symlink()
    assert not Path(link.readlink()).is_absolute(), "so that the directory can be moved"
    assert link.resolve() == run.ledger.adapter(2).resolve()


def test_there_is_no_champion_while_the_untrained_model_is_best(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.05, 0.05])
    assert not (run.directory / CHAMPION).is_symlink()
    assert history[2].started_from == 0


def test_reducing_goes_on_from_where_it_is(tmp_path: Path) -> None:
    _, history = gated(tmp_path, [0.6, 0.2, 0.25], on_regression="reduce")
    assert [report.started_from for report in history[1:]] == [0, 1, 2]
    assert history[3].lr == pytest.approx(history[1].lr / 2)


def test_every_regression_cuts_again_but_not_below_the_floor(tmp_path: Path) -> None:
    _, history = gated(tmp_path, [0.8, 0.2, 0.2, 0.2, 0.2], on_regression="reduce", cut=0.1, min_lr=1e-3)
    assert [report.lr for report in history[1:]] == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-3])


def test_stopping(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.6, 0.2, 0.7], on_regression="stop")
    assert len(history) == 3
    assert "cycle 2 is worse than cycle 1" in run.stop_reason


def test_nothing_follows_when_nothing_is_to(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.6, 0.2, 0.7], on_regression="none")
    assert [report.started_from for report in history[1:]] == [0, 1, 2]
    assert len({report.lr for report in history[1:]}) == 1
    assert (run.directory / CHAMPION).resolve() == run.ledger.adapter(3).resolve()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every held-out round dice of its own, as if no two cycles had any noise in common."""
    shared = Run.request

    def own(self: Run, cycle: int, split: Split) -> SamplingRequest:
        return replace(shared(self, cycle, split), seed=derive_seed(self.seed, split, cycle))

    monkeypatch.setattr(Run, "request", own)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("heldout", [2, 24])
def test_noise_is_no_regression(tmp_path: Path, heldout: int) -> None:
    called, below = 0, 0
    for seed in range(20):
        _, history = gated(tmp_path / str(seed), [0.6] * 6, on_regression="none", heldout=heldout, seed=seed)
        noisy = [report.heldout.passed for report in history[1:] if report.heldout]
        assert len(set(noisy)) > 2, "there is noise"
        called += len(setbacks(history))
        changes = [report.versus_best for report in history[2:] if report.versus_best]
        below += sum(change.interval[1] < 0 for change in changes)
    assert called <= 1, "of 100 cycles that changed nothing"
    assert below > 2, "as many as a plain 95% interval from the luckiest cycle calls worse"


@pytest.mark.usefixtures("fresh")
def test_a_fall_is_seen_through_the_noise(tmp_path: Path) -> None:
    falls = [
        setbacks(gated(tmp_path / str(seed), [0.6] * 5 + [0.4], on_regression="none", seed=seed)[1])
        for seed in range(6)
    ]
    assert falls.count([6]) >= 5


def test_the_run_ends_when_cycles_stop_paying(tmp_path: Path) -> None:
    run, history = gated(tmp_path, [0.5, 0.7, 0.7, 0.7, 0.7, 0.9], patience=3)
    assert "no significant improvement in 3 cycles" in run.stop_reason
    assert len(history) - 1 == 5
    assert run.directory.exists()


def test_slow_but_steady_improvement_is_not_stopped(tmp_path: Path) -> None:
    run, _ = gated(tmp_path, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9], patience=2)
    assert run.stop_reason == ""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_gone_on_with_is_gated_as_it_would_have_been(tmp_path: Path, after: int) -> None:
    skills = [0.6, 0.2, 0.7, 0.1, 0.8]
    _, whole = gated(tmp_path / "whole", skills)
    gated(tmp_path / "parts", skills, cycles=after)
    told = Told()
    _, parts = gated(tmp_path / "parts", skills, told)
    for one, other in zip(whole, parts, strict=True):
        assert (one.lr, one.started_from, one.heldout, one.versus_best) == (
            other.lr,
            other.started_from,
            other.heldout,
            other.versus_best,
        )
    assert not any(f"cycle {after} is worse" in line for line in told.lines), "that was said before"


def test_without_held_out_prompts_there_is_nothing_to_go_by(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", plugins=[Gate()], heldout=0)
    with pytest.raises(RunError, match="no held-out prompts"):
        run_cycles(run, hooks)


@pytest.mark.parametrize("seed", range(5))
def test_a_regression_is_what_the_doctor_calls_a_fall(seed: int) -> None:
    for kind in ("too-high-late", "decline", "wrong-paid", "healthy"):
        reports = simulate(kind, seed=seed)
        for end in range(2, len(reports) + 1):
            fall = History(reports[:end], Thresholds()).fall
            assert ("is worse than" in setback(reports[:end])) is (fall is not None)


def test_a_spike_in_a_cycle_that_gained_nothing_is_a_setback() -> None:
    spiked = simulate("spike", seed=0)[:7]
    last = spiked[-1]
    assert last.versus_best is not None
    even = replace(last, versus_best=replace(last.versus_best, difference=-0.01))
    assert "cycle 6 is lost" in setback([*spiked[:-1], even])
    assert setbacks([*spiked[:-1], even]) == [6]
    assert setbacks(simulate("healthy", seed=0)) == []
