from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core import hookimpl
from halo_core.config.options import build, options_of
from halo_core.drivers import LRPolicy, driver
from halo_core.errors import ConfigError, HaloError
from halo_core.loop import run_cycles
from halo_core.plugin.discovery import available, load
from halo_core.run.state import Run
from halo_core.testing import fake_run, make_metrics, make_stats
from halo_core.types import CycleReport
from halo_lr_policies.bounds import Based, Bounded

POLICIES = sorted(s.name for s in available("lr_policy") if s.distribution == "halo-lr-policies")
LISTED = ("manual", "phased")
"""Policies whose option is a list of rates."""


@driver
class AnyRate(Based):
    """A policy whose formula returns the option `want`."""

    want: Any = math.inf

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        return float(self.want)


def policy(name: str, **options: Any) -> LRPolicy:
    built: LRPolicy = build(load("lr_policy", name).value, options, where="it")
    return built


def reports(shares: Sequence[float], kls: Sequence[float]) -> list[CycleReport]:
    found = [CycleReport(cycle=0)]
    for cycle, (share, kl) in enumerate(zip(shares, kls, strict=False), 1):
        rates = make_metrics(share, samples=500)
        train = make_stats(5e-5, steps=16, update_norm=0.01, kl=kl)
        found.append(CycleReport(cycle=cycle, heldout=rates, lr=5e-5, sampled=rates, train=train))
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_inherits_both_bounds(name: str) -> None:
    cls = load("lr_policy", name).value
    assert issubclass(cls, Bounded)
    assert cls.lr is Bounded.lr, "no policy overrides the clamping"
    defaults = {option.name: option.default for option in options_of(cls)}
    assert (defaults["floor"], defaults["ceiling"]) == (1e-7, None)


@pytest.mark.parametrize("name", POLICIES)
@given(
    shares=st.lists(st.floats(0, 1), max_size=10),
    kls=st.lists(st.floats(0, 1), min_size=10, max_size=10),
    below=st.floats(0.01, 1),
    above=st.floats(1, 8),
    cycles=st.integers(1, 30),
)
@settings(max_examples=40)
def test_rates_stay_within_the_bounds(
    name: str, shares: list[float], kls: list[float], below: float, above: float, cycles: int
) -> None:
    rates = {"rates": [3e-5] * 3} if name in LISTED else {"base_lr": 3e-5}
    floor, ceiling = 3e-5 * below, 3e-5 * above
    chosen = policy(name, **rates, floor=floor, ceiling=ceiling)
    history = reports(shares, kls)
    for cycle in range(1, cycles + 1):
        assert floor <= chosen.lr(cycle=cycle, cycles=cycles, history=history[:cycle]) <= ceiling


@pytest.mark.parametrize(
    ("want", "expected"),
    [
        (math.inf, 2e-4),
        (1.0, 2e-4),
        (1e-4, 1e-4),
        (0.0, 1e-7),
        (-1.0, 1e-7),
        (-math.inf, 1e-7),
        (math.nan, 1e-7),
    ],
)
def test_any_result_of_a_formula_is_clamped(want: float, expected: float) -> None:
    assert AnyRate(want=want).lr(cycle=1, cycles=1, history=()) == expected


def test_the_default_ceiling_depends_on_the_highest_rate() -> None:
    assert AnyRate(base_lr=1e-4).highest == 4e-4
    assert AnyRate(ceiling=6e-5).highest == 6e-5
    manual = load("lr_policy", "manual").value
    assert manual(rates=[1e-5, 3e-5]).highest == pytest.approx(1.2e-4)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"floor": 4e-5}, "floor 4e-05 is above the rate 3e-05; lower it"),
        ({"ceiling": 2e-5}, "ceiling 2e-05 is below the rate 3e-05; raise it"),
        ({"floor": 0}, "floor: .*greater than 0"),
        ({"floor": "nan"}, "floor"),
        ({"ceiling": 2}, "ceiling"),
    ],
)
def test_a_rate_outside_the_bounds_is_rejected_not_clamped(
    name: str, bounds: dict[str, Any], message: str
) -> None:
    rates = {"rates": [3e-5] * 3} if name in LISTED else {"base_lr": 3e-5}
    with pytest.raises(ConfigError, match=message):
        policy(name, **rates, **bounds)


@pytest.mark.parametrize("rate", [1e-7, 5e-7, 2e-4, 2e-3])
def test_commonly_recommended_rates_fit_the_default_bounds(rate: float) -> None:
    for name in POLICIES:
        policy(name, **({"rates": [rate] * 3} if name in LISTED else {"base_lr": rate}))


# Resuming


class StopAfter:
    """Plugin that interrupts a run after a cycle, as Ctrl-C does."""

    def __init__(self, cycle: int) -> None:
        self.cycle = cycle

    @hookimpl
    def on_cycle_end(self, run: Run, report: CycleReport) -> None:
        if report.cycle == self.cycle:
            run.interrupt()


@pytest.mark.parametrize("name", POLICIES)
def test_a_stopped_and_resumed_run_uses_the_same_rates(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"rates": [0.05, 0.03, 0.02]} if name in LISTED else {"base_lr": 0.05}
    if name == "global_cosine":
        options["steps"] = 5

    def lrs(directory: Path, *plugins: object) -> list[float]:
        run, hooks = fake_run(directory, cycles=5, lr_policy=policy(name, **options), plugins=plugins)
        with suppress(HaloError, KeyboardInterrupt):
            run_cycles(run, hooks)
        return [report.lr for report in run.ledger.reports()]

    whole = lrs(tmp_path / "whole")
    assert len(whole) == 6
    assert lrs(tmp_path / "stopped", StopAfter(2)) == whole[:3]
    assert lrs(tmp_path / "stopped") == whole
