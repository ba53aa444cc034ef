from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.discovery import load
from halo_core.drivers import LRPolicy
from halo_core.errors import ConfigError
from halo_core.options import build
from halo_core.testing import LRPolicyContract
from halo_lr_policies.policies import Constant, Exponential, Manual


def rates(policy: LRPolicy, cycles: int) -> list[float]:
    return [policy.lr(cycle=cycle, cycles=cycles, history=()) for cycle in range(1, cycles + 1)]


class TestConstantContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Constant()


class TestManualContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Manual()


class TestExponentialContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Exponential()


@pytest.mark.parametrize(
    ("name", "cls"), [("constant", Constant), ("manual", Manual), ("exponential", Exponential)]
)
def test_each_is_found_by_its_name(name: str, cls: type) -> None:
    loaded = load("lr_policy", name)
    assert loaded.value is cls
    assert loaded.source.distribution == "halo-lr-policies"


# Exponential: strategy B of the notes


def test_the_published_table() -> None:
    table = [f"{rate * 1e5:.2f}" for rate in rates(Exponential(), 6)]
    assert table == ["5.00", "4.25", "3.61", "3.07", "2.61", "2.22"]


@given(st.floats(1e-7, 1e-2), st.floats(0.1, 1.0), st.integers(1, 30))
def test_each_cycle_multiplies_by_the_decay(base_lr: float, decay: float, cycle: int) -> None:
    policy = Exponential(base_lr=base_lr, decay=decay, floor=0)
    assert policy.lr(cycle=1, cycles=30, history=()) == base_lr
    now, then = (policy.lr(cycle=c, cycles=30, history=()) for c in (cycle, cycle + 1))
    assert then == pytest.approx(now * decay, rel=1e-9)


def test_the_rate_never_falls_below_the_floor() -> None:
    got = rates(Exponential(decay=0.5, floor=1e-5), 8)
    assert got[:3] == pytest.approx([5e-5, 2.5e-5, 1.25e-5])
    assert got[3:] == [1e-5] * 5
    assert rates(Exponential(), 100)[-1] == 1e-6, "the default floor"


def test_the_length_of_the_run_does_not_matter() -> None:
    assert rates(Exponential(), 3) == rates(Exponential(), 10)[:3]


# Manual: strategy A


def test_a_list_is_followed_and_its_last_rate_held() -> None:
    assert rates(Manual(rates=[3e-5, 1e-5]), 4) == [3e-5, 1e-5, 1e-5, 1e-5]
    assert rates(Manual(), 6) == [5e-5, 4e-5, 3e-5, 2.5e-5, 2e-5, 2e-5], "the table of the notes"


def test_a_map_is_read_by_its_numbers_not_its_order() -> None:
    keys = [f"cycle_{n}" for n in range(1, 12)]
    table = {key: n * 1e-5 for n, key in reversed(list(enumerate(keys, 1)))}
    assert rates(Manual(rates=table), 11) == pytest.approx([n * 1e-5 for n in range(1, 12)])


@pytest.mark.parametrize(
    "written",
    [
        ["5e-5", "4e-5"],
        [5e-5, 4e-5],
        "[5e-5, 4e-5]",
        {"cycle_1": "5e-5", "cycle_2": "4e-5"},
        '{"cycle_2": 4e-5, "cycle_1": 5e-5}',
    ],
)
def test_rates_as_yaml_and_the_command_line_give_them(written: Any) -> None:
    assert rates(build(Manual, {"rates": written}, where="it"), 2) == [5e-5, 4e-5]


def test_a_single_rate_as_text() -> None:
    assert rates(build(Manual, {"rates": "5e-5"}, where="it"), 2) == [5e-5, 5e-5]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"cycle_1": 5e-5, "cycle_3": 3e-5}, "cycle_2 has no rate"),
        ({"cycle_2": 5e-5}, "cycle_1 has no rate"),
        ({"cycle_0": 5e-5}, "keys are cycle_1, cycle_2, ..., not 'cycle_0'"),
        ({"1": 5e-5}, "keys are cycle_1"),
        ({"cycle_01": 5e-5}, "keys are cycle_1"),
        ({}, "at least one rate"),
        ([], "at least one rate"),
        ([5e-5, 0], "rates.1: .*greater than 0"),
        (["fast"], "rates.0: .*number"),
    ],
)
def test_rates_that_are_none(written: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build(Manual, {"rates": written}, where="it")


# All


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Constant, {"base_lr": 0}),
        (Constant, {"base_lr": -1e-5}),
        (Constant, {"base_lr": "nan"}),
        (Constant, {"base_lr": "inf"}),
        (Constant, {"base_lr": 5}),
        (Exponential, {"base_lr": 0}),
        (Exponential, {"decay": 0}),
        (Exponential, {"decay": 1.1}),
        (Exponential, {"decay": "nan"}),
        (Exponential, {"floor": -1e-9}),
        (Exponential, {"floor": "nan"}),
        (Exponential, {"base_lr": "1e-5", "floor": "1e-4"}),
    ],
)
def test_options_out_of_range_are_refused(cls: type, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^it: "):
        build(cls, options, where="it")


def test_constant_is_constant() -> None:
    assert rates(Constant(base_lr=3e-5), 5) == [3e-5] * 5
    assert Constant().base_lr == 5e-5


@pytest.mark.parametrize("cls", [Constant, Manual, Exponential])
def test_rates_are_floats_whatever_they_were_written_as(cls: type) -> None:
    for rate in rates(cls(), 3):
        assert type(rate) is float
        assert math.isfinite(rate)
