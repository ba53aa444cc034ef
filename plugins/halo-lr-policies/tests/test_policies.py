from __future__ import annotations

import math
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.config.kinds import PACKAGES
from halo_core.config.options import build, options_of
from halo_core.drivers import LRPolicy
from halo_core.errors import ConfigError
from halo_core.plugin.discovery import load
from halo_core.testing import LRPolicyContract, make_stats
from halo_core.types import CycleReport
from halo_lr_policies.adaptive import AdaptiveSeed, Budget, KLTarget, Plateau, SuccessScaled
from halo_lr_policies.policies import WSD, Exponential, GlobalCosine, Manual, Phased, Step

README = Path(__file__).parents[1] / "README.md"
NAMES = {
    "manual": Manual,
    "phased": Phased,
    "exponential": Exponential,
    "step": Step,
    "wsd": WSD,
    "global_cosine": GlobalCosine,
    "adaptive_seed": AdaptiveSeed,
    "plateau": Plateau,
    "kl_target": KLTarget,
    "success_scaled": SuccessScaled,
    "budget": Budget,
}
RATE = st.floats(1e-6, 1e-2)
SHARE = st.floats(0.01, 1.0)


def rates(policy: LRPolicy, cycles: int) -> list[float]:
    return [policy.lr(cycle=cycle, cycles=cycles, history=()) for cycle in range(1, cycles + 1)]


class TestManualContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Manual()


class TestExponentialContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Exponential()


class TestPhasedContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Phased()


class TestStepContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Step()


class TestWSDContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return WSD()


class TestGlobalCosineContract(LRPolicyContract):
    @pytest.fixture(params=[None, 160], ids=["by cycle", "by step"])
    def policy(self, request: pytest.FixtureRequest) -> LRPolicy:
        return GlobalCosine(steps=request.param)


@pytest.mark.parametrize(("name", "cls"), NAMES.items())
def test_each_policy_loads_by_its_name(name: str, cls: type) -> None:
    loaded = load("lr_policy", name)
    assert loaded.value is cls
    assert loaded.source.distribution == "halo-lr-policies"


def test_the_package_provides_only_these_policies() -> None:
    own = [e for e in entry_points(group="halo.lr_policies") if e.dist and e.dist.name == "halo-lr-policies"]
    assert {entry.name for entry in own} == set(NAMES)
    ours = {
        name
        for (kind, name), package in PACKAGES.items()
        if (kind, package) == ("lr_policy", "halo-lr-policies")
    }
    assert ours == set(NAMES), "names for which the core suggests this package"


def test_the_readme_lists_each_policy_with_its_options() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", README.read_text(), re.MULTILINE))
    assert list(rows) == list(NAMES)
    for name, cls in NAMES.items():
        own = [option.name for option in options_of(cls) if option.name not in {"floor", "ceiling"}]
        assert re.findall(r"`(\w+)` ", rows[name]) == own, name


@pytest.mark.parametrize(("name", "cls"), NAMES.items())
def test_each_docstring_gives_units_source_and_confidence(name: str, cls: type) -> None:
    text = " ".join((cls.__doc__ or "").split())
    for part in ("Units: ", "Source: ", "Confidence: "):
        assert part in text, name
    assert all(option.help for option in options_of(cls)), name


# Exponential: strategy B of the notes


def test_exponential_gives_the_table_of_the_notes() -> None:
    table = [f"{rate * 1e5:.2f}" for rate in rates(Exponential(), 6)]
    assert table == ["5.00", "4.25", "3.61", "3.07", "2.61", "2.22"]


@pytest.mark.parametrize(
    ("decay", "table"),
    [
        (0.95, ["5.00", "4.75", "4.51", "4.29", "4.07"]),
        (
            0.7,
            ["5.00", "3.50", "2.45", "1.71", "1.20"],
        ),  # 1.715: the comment in the notes rounds up, C's printf down
    ],
)
def test_exponential_with_the_factors_of_the_sweep(decay: float, table: list[str]) -> None:
    assert [f"{rate * 1e5:.2f}" for rate in rates(Exponential(decay=decay), 5)] == table


@given(st.floats(1e-7, 1e-2), st.floats(0.1, 1.0), st.integers(1, 30))
def test_each_cycle_multiplies_by_the_decay(base_lr: float, decay: float, cycle: int) -> None:
    policy = Exponential(base_lr=base_lr, decay=decay, floor=1e-40)
    assert policy.lr(cycle=1, cycles=30, history=()) == base_lr
    now, then = (policy.lr(cycle=c, cycles=30, history=()) for c in (cycle, cycle + 1))
    assert then == pytest.approx(now * decay, rel=1e-9)


def test_exponential_stays_above_the_floor() -> None:
    got = rates(Exponential(decay=0.5, floor=1e-5), 8)
    assert got[:3] == pytest.approx([5e-5, 2.5e-5, 1.25e-5])
    assert got[3:] == [1e-5] * 5
    assert rates(Exponential(), 100)[-1] == 1e-7, "the default floor"


def test_exponential_is_independent_of_the_number_of_cycles() -> None:
    assert rates(Exponential(), 3) == rates(Exponential(), 10)[:3]


# Manual: strategy A


def test_manual_follows_the_list_and_keeps_the_last_rate() -> None:
    assert rates(Manual(rates=(3e-5, 1e-5)), 4) == [3e-5, 1e-5, 1e-5, 1e-5]
    assert rates(Manual(), 6) == [5e-5, 4e-5, 3e-5, 2.5e-5, 2e-5, 2e-5], "the table of the notes"


def test_a_map_is_ordered_by_its_numbers() -> None:
    keys = [f"cycle_{n}" for n in range(1, 12)]
    table = {key: n * 1e-5 for n, key in reversed(list(enumerate(keys, 1)))}
    assert rates(build(Manual, {"rates": table}, where="it"), 11) == pytest.approx(
        [n * 1e-5 for n in range(1, 12)]
    )


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
def test_rates_from_yaml_and_the_command_line(written: Any) -> None:
    assert rates(build(Manual, {"rates": written}, where="it"), 2) == [5e-5, 4e-5]


def test_a_single_rate_as_text() -> None:
    assert rates(build(Manual, {"rates": "5e-5"}, where="it"), 2) == [5e-5, 5e-5]


@pytest.mark.parametrize(
    ("written", "message"),
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
def test_invalid_rates_raise(written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Manual, {"rates": written}, where="it")


# Phased: strategy D of the notes


def test_phased_defaults_are_those_of_the_notes() -> None:
    assert rates(Phased(), 7) == [5e-5, 5e-5, 3e-5, 3e-5, 1.5e-5, 1.5e-5, 1.5e-5]


def test_phases_have_the_given_lengths() -> None:
    assert rates(Phased(rates=(3e-5, 2e-5), lengths=(3,)), 5) == [3e-5, 3e-5, 3e-5, 2e-5, 2e-5]
    assert rates(build(Phased, {"rates": "[3e-5, 2e-5]", "lengths": "1"}, where="it"), 3) == [
        3e-5,
        2e-5,
        2e-5,
    ]
    assert rates(Phased(rates=(3e-5,), lengths=()), 2) == [3e-5, 3e-5]


# Step


def test_step_defaults_have_the_shape_of_spin() -> None:
    assert rates(Step(base_lr=5e-7), 4) == pytest.approx([5e-7, 5e-7, 1e-7, 1e-7])


def test_steps_have_the_given_length() -> None:
    assert rates(Step(factor=0.5, every=3), 7) == pytest.approx([5e-5] * 3 + [2.5e-5] * 3 + [1.25e-5])
    assert rates(Step(), 99)[-1] == 1e-7, "the default floor"


# WSD


@pytest.mark.parametrize(
    ("cycles", "shares"),
    [
        (1, [1]),
        (2, [1, 0.2]),
        (3, [0.5, 1, 0.2]),
        (4, [0.5, 1, 0.6, 0.2]),
        (5, [0.5, 1, 1, 0.6, 0.2]),
        (8, [0.5, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]),
    ],
)
def test_wsd_rises_holds_and_falls(cycles: int, shares: list[float]) -> None:
    assert rates(WSD(base_lr=1e-3), cycles) == pytest.approx([share * 1e-3 for share in shares])


def test_one_cycle_of_warmup_is_warmup() -> None:
    """The calculator of the notes started at the full rate with one cycle of warmup."""
    assert rates(WSD(warmup=1, decay_share=0), 3) == pytest.approx([2.5e-5, 5e-5, 5e-5])
    assert rates(WSD(warmup=2, start=0.2, decay_share=0), 3) == pytest.approx([1e-5, 3e-5, 5e-5])


def test_decay_share_is_not_affected_by_rounding_errors() -> None:
    falling = [rate for rate in rates(WSD(decay_share=0.29, warmup=0), 100) if rate < 5e-5]
    assert len(falling) == 29


@given(RATE, SHARE, SHARE, st.integers(0, 5), st.floats(0, 0.99), st.integers(1, 30))
def test_wsd_has_one_peak_and_ends_at_final(
    base_lr: float, start: float, final: float, warmup: int, decay_share: float, cycles: int
) -> None:
    policy = WSD(
        base_lr=base_lr, start=start, final=final, warmup=warmup, decay_share=decay_share, floor=1e-7
    )
    got = rates(policy, cycles)
    peak = got.index(max(got))
    assert max(got) == base_lr
    assert got[:peak] == sorted(got[:peak])
    assert got[peak:] == sorted(got[peak:], reverse=True)
    if got[-1] < base_lr:
        assert got[-1] == pytest.approx(max(1e-7, final * base_lr))


# Global cosine


def test_the_cosine_of_b_star() -> None:
    got = rates(GlobalCosine(base_lr=4.12e-6, final=2e-7 / 4.12e-6), 9)
    assert got[0] == 4.12e-6
    assert got[3] == pytest.approx(2e-7 + 3.92e-6 * 0.75), "cos(60 degrees) = 0.5"
    assert got[6] == pytest.approx(2e-7 + 3.92e-6 * 0.25)
    assert got[8] > 2e-7, "the curve ends with the last cycle, not before it"


@given(RATE, SHARE, st.integers(1, 30))
def test_the_cosine_falls_monotonically_between_its_ends(base_lr: float, final: float, cycles: int) -> None:
    got = rates(GlobalCosine(base_lr=base_lr, final=final, floor=1e-9), cycles)
    assert got[0] == base_lr
    assert got == sorted(got, reverse=True)
    assert min(got) >= final * base_lr * (1 - 1e-12)


def trained(cycle: int, steps: int, lr: float = 1e-5) -> CycleReport:
    stats = make_stats(lr, steps=steps)
    return CycleReport(cycle=cycle, lr=lr, train=stats)


def test_global_cosine_by_steps() -> None:
    policy = GlobalCosine(steps=100)
    even = [trained(cycle, 20) for cycle in range(1, 5)]
    assert policy.lr(cycle=3, cycles=5, history=even[:2]) == GlobalCosine().lr(cycle=3, cycles=5, history=())
    assert rates(policy, 5) == pytest.approx(rates(GlobalCosine(), 5)), "a dry run assumes equal cycles"
    many = [trained(1, 20), trained(2, 60)]
    assert policy.lr(cycle=3, cycles=5, history=many) == GlobalCosine().lr(cycle=5, cycles=5, history=())
    beyond = [trained(1, 200)]
    assert policy.lr(cycle=2, cycles=5, history=beyond) == pytest.approx(0.05 * 5e-5), (
        "stays at the end of the curve"
    )


# All


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Exponential, {"base_lr": 0}),
        (Exponential, {"base_lr": -1e-5}),
        (Exponential, {"base_lr": "nan"}),
        (Exponential, {"base_lr": "inf"}),
        (Exponential, {"base_lr": 5}),
        (Exponential, {"decay": 0}),
        (Exponential, {"decay": 1.1}),
        (Exponential, {"decay": "nan"}),
        (Phased, {"rates": [5e-5, 3e-5]}),
        (Phased, {"rates": []}),
        (Phased, {"lengths": [2, 0]}),
        (Step, {"every": 0}),
        (Step, {"factor": 0}),
        (Step, {"base_lr": "1e-8"}),
        (WSD, {"final": 0}),
        (WSD, {"decay_share": 1}),
        (WSD, {"warmup": -1}),
        (GlobalCosine, {"final": 0}),
        (GlobalCosine, {"steps": 0}),
        (AdaptiveSeed, {"decay_factor": 0}),
        (AdaptiveSeed, {"improvement_threshold": "nan"}),
        (Plateau, {"patience": 0}),
        (Plateau, {"confidence": 0.5}),
        (Plateau, {"confidence": 1}),
        (Plateau, {"resolution": 0}),
        (Plateau, {"base_lr": "1e-8"}),
        (SuccessScaled, {"power": -1}),
        (SuccessScaled, {"power": "inf"}),
        (KLTarget, {"kappa": 0}),
        (KLTarget, {"kappa": "inf"}),
        (KLTarget, {"band": 1}),
        (KLTarget, {"factor": 1}),
        (Budget, {"total": 0}),
        (Budget, {"total": "inf"}),
    ],
)
def test_options_out_of_range_are_rejected(cls: type, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^it: "):
        build(cls, options, where="it")


@pytest.mark.parametrize("cls", NAMES.values())
def test_rates_are_finite_floats(cls: type) -> None:
    for rate in rates(cls(), 3):
        assert type(rate) is float
        assert math.isfinite(rate)
