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
    assumed_measurements,
    constant_baseline,
    dry_run,
    has_option,
    parse_policy,
    recorded_baseline,
    recorded_measurements,
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


def exponential_sums(decays: list[float], cycles: int) -> list[float]:
    measurements = assumed_measurements(cycles, steps=[16])
    flat = constant_baseline(5e-5, measurements)
    return [dry_run("exponential", {"decay": d}, measurements).relative(flat) * cycles for d in decays]


def test_sums_of_exponential_decay() -> None:
    """Over 8 cycles of equal length, in units of the first cycle's sum: the values of the geometric series."""
    assert exponential_sums([1, 0.95, 0.85, 0.7], 8) == pytest.approx([8.00, 6.73, 4.85, 3.14], abs=0.005)


def test_a_policy_is_called_as_in_a_run(spy: str) -> None:
    schedule = dry_run(spy, {}, assumed_measurements(3, steps=[10, 20, 30]))
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
        "the rates of the policy, not the assumed ones"
    )
    assert [report.train.lr_sum for report in last[1:]] == pytest.approx([1e-4, 4e-4])
    assert [report.heldout.passed for report in last] == list(PASSED[:3])


@pytest.mark.parametrize(
    ("cycles", "given", "steps"),
    [
        (3, {}, [16, 20, 23]),
        (3, {"passed": [0.5, 0.25]}, [16, 8, 8]),
        (3, {"passed": [0.0]}, [16, 16, 16]),
        (4, {"steps": [5, 9]}, [5, 9, 9, 9]),
    ],
)
def test_steps_are_proportional_to_the_pass_rate_unless_given(
    cycles: int, given: dict[str, Any], steps: list[int]
) -> None:
    reports = assumed_measurements(cycles, **given).reports
    assert [report.train.steps for report in reports if report.train] == steps


def test_pass_rates_are_assumed_before_and_after_each_cycle() -> None:
    measurements = assumed_measurements(3, passed=[0.2, 0.4, 0.6], heldout=100)
    assert [r.heldout.passed for r in measurements.reports if r.heldout] == [0.2, 0.4, 0.6, 0.6]
    assert [r.sampled.passed for r in measurements.reports if r.sampled] == [0.2, 0.4, 0.6], (
        "of the model before the cycle"
    )
    heldout = measurements.reports[1].heldout
    assert heldout is not None
    assert heldout.passed_interval == pytest.approx((0.4 - 0.096, 0.4 + 0.096), abs=1e-3)


def test_more_heldout_completions_make_plateaus_visible() -> None:
    def cuts(heldout: int) -> int:
        flat = assumed_measurements(6, passed=[0.5], heldout=heldout)
        return round(math.log2(5e-5 / dry_run("plateau", {}, flat).rates[-1]))

    assert (cuts(16), cuts(2000)) == (0, 2)


def test_fewer_cycles_than_measurements() -> None:
    assert len(dry_run("constant", {}, assumed_measurements(8), cycles=3).rates) == 3
    with pytest.raises(ConfigError, match="9 cycles requested, but there are measurements of 8"):
        dry_run("constant", {}, assumed_measurements(8), cycles=9)


@pytest.mark.parametrize("answer", ["0.0", "-1e-5", "float('nan')", "float('inf')", "None", "'fast'"])
def test_a_rate_that_a_run_would_reject_raises(tmp_path: Path, answer: str) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(PluginError, match=r"returned .* for cycle 3"):
        dry_run(f"{tmp_path}/bad.py:Bad", {"answer": answer}, assumed_measurements(4))


def test_an_exception_in_a_policy_raises_a_plugin_error(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(PluginError, match="failed at cycle 3: ZeroDivisionError"):
        dry_run(f"{tmp_path}/bad.py:Bad", {"answer": "1 / 0"}, assumed_measurements(4))


def test_options_are_checked_and_recorded_with_defaults() -> None:
    schedule = dry_run("exponential", {"decay": "0.7"}, assumed_measurements(2))
    assert schedule.options == {"base_lr": 5e-5, "floor": 1e-7, "ceiling": None, "decay": 0.7}
    with pytest.raises(ConfigError, match="lr_policy 'exponential' has no option 'decai'"):
        dry_run("exponential", {"decai": "0.7"}, assumed_measurements(2))
    assert has_option("exponential", "decay")
    assert not has_option("constant", "decay")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("exponential", ("exponential", {})),
        ("exponential decay=0.7  floor=0", ("exponential", {"decay": "0.7", "floor": "0"})),
        ("manual rates=[5e-5,4e-5]", ("manual", {"rates": "[5e-5,4e-5]"})),
        ("./a.py:B x='1 2'", ("./a.py:B", {"x": "1 2"})),
    ],
)
def test_parse_policy(text: str, parsed: Any) -> None:
    assert parse_policy(text) == parsed


@pytest.mark.parametrize("text", ["", " ", "x 'y", "exponential decay"])
def test_invalid_policy_text_raises(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_policy(text)


# Recorded measurements


@pytest.mark.parametrize("name", ["success_scaled", "budget", "plateau", "global_cosine"])
def test_a_run_replayed_with_its_own_policy_has_the_same_rates(tmp_path: Path, name: str) -> None:
    policy = load("lr_policy", name).value(base_lr=0.05)
    run, hooks = fake_run(tmp_path / "run", cycles=4, prompts=12, heldout=12, lr_policy=policy)
    reports = run_cycles(run, hooks)
    measurements = recorded_measurements(tmp_path / "run")
    assert measurements.cycles == 4
    assert dry_run(name, {"base_lr": 0.05}, measurements).rates == pytest.approx([r.lr for r in reports[1:]])


def test_a_run_replayed_with_another_policy_has_the_same_steps(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", cycles=3)
    run_cycles(run, hooks)
    schedule = dry_run(
        "exponential", {"base_lr": 0.01, "decay": 0.5}, recorded_measurements(tmp_path / "run")
    )
    assert schedule.rates == (0.01, 0.005, 0.0025)
    assert schedule.steps == pytest.approx((1, 1, 1))


def test_baselines_of_recorded_measurements(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run", cycles=3)
    reports = run_cycles(run, hooks)
    measurements = recorded_measurements(tmp_path / "run")
    trained = recorded_baseline(measurements)
    assert trained.rates == tuple(report.lr for report in reports[1:])
    assert trained.lr_sum == pytest.approx(sum(report.train.lr_sum for report in reports[1:] if report.train))
    assert trained.relative(constant_baseline(trained.rates[0] * 2, measurements)) == pytest.approx(0.5)
    assert recorded_baseline(measurements, cycles=2).rates == trained.rates[:2]


def test_a_run_without_a_finished_cycle_raises(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run with a finished cycle"):
        recorded_measurements(tmp_path / "nowhere")
    run, _ = fake_run(tmp_path / "started")
    with pytest.raises(HaloError, match="no run with a finished cycle"):
        recorded_measurements(run.directory)


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
def test_spelled_rates_have_three_digits(lr: float, text: str) -> None:
    """The predecessor's calculator printed 2.5e-5 as 3e-05."""
    assert spell(lr) == text
