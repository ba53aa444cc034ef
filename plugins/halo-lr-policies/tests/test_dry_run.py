from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import ConfigError, HaloError, PluginError, RunError
from halo_core.loop import run_cycles
from halo_core.plugin.discovery import load
from halo_core.tables import spell
from halo_core.testing import fake_run
from halo_lr_policies.lr_command.dry_run import (
    PASSED,
    as_trained,
    assumed,
    constant,
    dry_run,
    read_policy,
    recorded,
    takes,
)

SPY = """
from halo_core import LRPolicy, driver

@driver
class Spy(LRPolicy):
    seen = []

    def lr(self, *, cycle, cycles, history):
        Spy.seen.append((cycle, cycles, history))
        return cycle * 1e-5
"""
BAD = """
from halo_core import LRPolicy, driver

@driver
class Bad(LRPolicy):
    answer: str = "0.0"

    def lr(self, *, cycle, cycles, history):
        return 1e-5 if cycle < 3 else eval(self.answer)
"""


@pytest.fixture
def spy(tmp_path: Path) -> str:
    (tmp_path / "spy.py").write_text(SPY)
    return f"{tmp_path}/spy.py:Spy"


def policy_sums(decays: list[float], cycles: int) -> list[float]:
    course = assumed(cycles, steps=[16])
    flat = constant(5e-5, course)
    return [dry_run("exponential", {"decay": d}, course).relative(flat) * cycles for d in decays]


def test_what_decay_costs() -> None:
    """Summed over 8 cycles of equal length, in units of the first one's: the figures known beforehand."""
    assert policy_sums([1, 0.95, 0.85, 0.7], 8) == pytest.approx([8.00, 6.73, 4.85, 3.14], abs=0.005)


def test_a_policy_sees_what_it_would_in_a_run(spy: str) -> None:
    schedule = dry_run(spy, {}, assumed(3, steps=[10, 20, 30]))
    assert schedule.rates == pytest.approx((1e-5, 2e-5, 3e-5))
    assert schedule.steps == pytest.approx((10, 20, 30))
    assert schedule.lr_sum == pytest.approx(1.4e-3)
    seen = load("lr_policy", spy).value.seen
    assert [(cycle, cycles, len(history)) for cycle, cycles, history in seen] == [
        (1, 3, 1),
        (2, 3, 2),
        (3, 3, 3),
    ]
    last = seen[-1][2]
    assert [report.cycle for report in last] == [0, 1, 2]
    assert [report.lr for report in last] == pytest.approx([0.0, 1e-5, 2e-5]), (
        "its own rates, not those of the course"
    )
    assert [report.train.lr_sum for report in last[1:]] == pytest.approx([1e-4, 4e-4])
    assert [report.heldout.passed for report in last] == list(PASSED[:3])


def test_steps_follow_what_passes_unless_they_are_given() -> None:
    assert [r.train.steps for r in assumed(3).reports[1:] if r.train] == [16, 20, 23]
    assert [r.train.steps for r in assumed(3, passed=[0.5, 0.25]).reports[1:] if r.train] == [16, 8, 8]
    assert [r.train.steps for r in assumed(3, passed=[0.0]).reports[1:] if r.train] == [16, 16, 16]
    assert [r.train.steps for r in assumed(4, steps=[5, 9]).reports[1:] if r.train] == [5, 9, 9, 9]


def test_what_passed_is_measured_before_and_after() -> None:
    course = assumed(3, passed=[0.2, 0.4, 0.6], heldout=100)
    assert [r.heldout.passed for r in course.reports if r.heldout] == [0.2, 0.4, 0.6, 0.6]
    assert [r.sampled.passed for r in course.reports if r.sampled] == [0.2, 0.4, 0.6], (
        "the model that sampled"
    )
    heldout = course.reports[1].heldout
    assert heldout is not None
    assert heldout.passed_interval == pytest.approx((0.4 - 0.096, 0.4 + 0.096), abs=1e-3)


def test_more_heldout_completions_make_plateaus_visible() -> None:
    def cuts(heldout: int) -> int:
        flat = assumed(6, passed=[0.5], heldout=heldout)
        return round(math.log2(5e-5 / dry_run("plateau", {}, flat).rates[-1]))

    assert (cuts(16), cuts(2000)) == (0, 2)


def test_fewer_cycles_than_the_course() -> None:
    assert len(dry_run("constant", {}, assumed(8), cycles=3).rates) == 3
    with pytest.raises(ConfigError, match="9 cycles asked for, but there are measurements of 8"):
        dry_run("constant", {}, assumed(8), cycles=9)


@pytest.mark.parametrize("answer", ["0.0", "-1e-5", "float('nan')", "float('inf')", "None", "'fast'"])
def test_a_rate_that_a_run_would_refuse(tmp_path: Path, answer: str) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(PluginError, match=r"gave .* for cycle 3"):
        dry_run(f"{tmp_path}/bad.py:Bad", {"answer": answer}, assumed(4))


def test_a_policy_that_raises(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(PluginError, match="failed at cycle 3: ZeroDivisionError"):
        dry_run(f"{tmp_path}/bad.py:Bad", {"answer": "1 / 0"}, assumed(4))


def test_options_are_checked_and_written_out() -> None:
    schedule = dry_run("exponential", {"decay": "0.7"}, assumed(2))
    assert schedule.options == {"base_lr": 5e-5, "floor": 1e-7, "ceiling": None, "decay": 0.7}
    with pytest.raises(ConfigError, match="lr_policy 'exponential' has no option 'decai'"):
        dry_run("exponential", {"decai": "0.7"}, assumed(2))
    assert takes("exponential", "decay")
    assert not takes("constant", "decay")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("exponential", ("exponential", {})),
        ("exponential decay=0.7  floor=0", ("exponential", {"decay": "0.7", "floor": "0"})),
        ("manual rates=[5e-5,4e-5]", ("manual", {"rates": "[5e-5,4e-5]"})),
        ("./a.py:B x='1 2'", ("./a.py:B", {"x": "1 2"})),
    ],
)
def test_a_policy_as_text(text: str, read: Any) -> None:
    assert read_policy(text) == read


@pytest.mark.parametrize("text", ["", " ", "x 'y", "exponential decay"])
def test_text_that_is_no_policy(text: str) -> None:
    with pytest.raises(ConfigError):
        read_policy(text)


# Recorded


@pytest.mark.parametrize("name", ["success_scaled", "budget", "plateau", "global_cosine"])
def test_a_run_replayed_under_its_own_policy_has_its_own_rates(tmp_path: Path, name: str) -> None:
    policy = load("lr_policy", name).value(base_lr=0.05)
    run, hooks = fake_run(tmp_path / "run", cycles=4, prompts=12, heldout=12, lr_policy=policy)
    reports = run_cycles(run, hooks)
    course = recorded(tmp_path / "run")
    assert course.cycles == 4
    assert dry_run(name, {"base_lr": 0.05}, course).rates == pytest.approx([r.lr for r in reports[1:]])


def test_a_run_replayed_under_another_policy_keeps_its_steps(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", cycles=3)
    run_cycles(run, hooks)
    schedule = dry_run("exponential", {"base_lr": 0.01, "decay": 0.5}, recorded(tmp_path / "run"))
    assert schedule.rates == (0.01, 0.005, 0.0025)
    assert schedule.steps == pytest.approx((1, 1, 1))


def test_the_yardsticks_of_a_recorded_course(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", cycles=3)
    reports = run_cycles(run, hooks)
    course = recorded(tmp_path / "run")
    trained = as_trained(course)
    assert trained.rates == tuple(report.lr for report in reports[1:])
    assert trained.lr_sum == pytest.approx(sum(report.train.lr_sum for report in reports[1:] if report.train))
    assert trained.relative(constant(trained.rates[0] * 2, course)) == pytest.approx(0.5)
    assert as_trained(course, cycles=2).rates == trained.rates[:2]


def test_nothing_recorded(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run with a finished cycle"):
        recorded(tmp_path / "nowhere")
    run, _ = fake_run(tmp_path / "begun")
    with pytest.raises(HaloError, match="no run with a finished cycle"):
        recorded(run.directory)


@pytest.mark.parametrize(
    ("lr", "text"),
    [
        (2.5e-5, "2.5e-5"),
        (5e-5, "5e-5"),
        (1.715e-5, "1.72e-5"),
        (9.999e-5, "1e-4"),
        (1e-3, "1e-3"),
        (0.9, "9e-1"),
    ],
)
def test_rates_are_not_rounded_away(lr: float, text: str) -> None:
    """The predecessor's calculator printed 2.5e-5 as 3e-05."""
    assert spell(lr) == text
