from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core.config.options import build
from halo_core.drivers import LRPolicy, driver
from halo_core.errors import DivergedError
from halo_core.loop import run_cycles
from halo_core.testing import FakeTrainer, LRPolicyContract, fake_run
from halo_core.types import CycleReport, Rates, Sample, TrainStats
from halo_lr_policies.adaptive import AdaptiveSeed, Budget, KLTarget, Plateau, SuccessScaled, measurements
from halo_lr_policies.policies import Exponential

ADAPTIVE = (
    AdaptiveSeed(),
    Plateau(),
    KLTarget(),
    KLTarget(kappa=0.02, band=1.5, factor=2),
    SuccessScaled(),
    Budget(),
    Budget(total=4e-3, decay=0.7),
)


class TestAdaptiveSeedContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return AdaptiveSeed()


class TestPlateauContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Plateau()


class TestKLTargetContract(LRPolicyContract):
    @pytest.fixture(params=[None, 0.01], ids=["calibrated", "given"])
    def policy(self, request: pytest.FixtureRequest) -> LRPolicy:
        return KLTarget(kappa=request.param)


class TestSuccessScaledContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return SuccessScaled()


class TestBudgetContract(LRPolicyContract):
    @pytest.fixture(params=[None, 4e-3], ids=["relative", "absolute"])
    def policy(self, request: pytest.FixtureRequest) -> LRPolicy:
        return Budget(total=request.param)


def shares(passed: float, *, samples: int = 10_000, half: float = 0.01) -> Rates:
    interval = (passed - half, passed + half)
    return Rates(samples, passed, passed, interval, interval, {}, 0, 0, 0.0, 1.0)


def after(*passed: float, half: float = 0.01, samples: int = 10_000) -> list[CycleReport]:
    """Cycles 0, 1, ... with these held-out pass rates."""
    return [
        CycleReport(cycle, heldout=shares(rate, half=half, samples=samples))
        for cycle, rate in enumerate(passed)
    ]


def next_lr(policy: LRPolicy, history: Sequence[CycleReport], cycles: int = 12) -> float:
    return policy.lr(cycle=max(1, len(history)), cycles=cycles, history=history)


def trained(
    cycle: int, lr: float, steps: float, *, passed: float = 0.5, kl: float | None = None
) -> CycleReport:
    """A cycle whose rate stayed at its peak for `steps` steps, or as good as."""
    stats = TrainStats(round(steps), 512, 9999, 0.5, 0.4, lr, lr * steps, 0.1, 0.0, 0.01, kl=kl)
    return CycleReport(cycle, heldout=shares(passed), lr=lr, train=stats)


def run(policy: LRPolicy, steps: Sequence[float], *, again: bool = False) -> list[CycleReport]:
    """Go through cycles of so many steps; `again`: rebuild the policy from its options before each."""
    history = [CycleReport(0, heldout=shares(0.3))]
    for cycle, count in enumerate(steps, 1):
        if again:
            policy = build(type(policy), asdict(policy), where="it")  # type: ignore[call-overload]
        lr = policy.lr(cycle=cycle, cycles=len(steps), history=tuple(history))
        kl = 0.01 * abs(math.sin(2 * cycle)) * lr / 5e-5
        history.append(trained(cycle, lr, count, passed=0.3 + 0.3 * math.sin(cycle), kl=kl))
    return history


def spent(history: Sequence[CycleReport]) -> float:
    return sum(report.train.lr_sum for report in history if report.train)


# What they go by


def test_heldout_rates_come_before_training_rates() -> None:
    both = [CycleReport(0, heldout=shares(0.2)), CycleReport(1, heldout=shares(0.4), rates=shares(0.9))]
    assert [m.value for m in measurements(both)] == [0.2, 0.4]
    training = [CycleReport(0), CycleReport(1, rates=shares(0.3)), CycleReport(2, rates=shares(0.5))]
    assert [m.value for m in measurements(training)] == [0.3, 0.5]


def test_what_was_not_measured_is_not_a_rate_of_zero() -> None:
    history = [*after(0.4), CycleReport(1, heldout=shares(0.0, samples=0)), CycleReport(2)]
    assert [m.value for m in measurements(history)] == [0.4]
    assert next_lr(AdaptiveSeed(), history) == 5e-5


def test_the_error_is_that_of_the_interval_but_never_none() -> None:
    assert measurements(after(0.5, half=0.098))[0].error == pytest.approx(0.05, rel=1e-3)
    for passed in (0.0, 0.5, 1.0):
        assert measurements(after(passed, half=0.0, samples=16))[0].error > 0.03


# Adaptive seed: strategy C of the notes


def notes_adaptive_lr(base_lr: float, cycle: int, before: float, now: float) -> float:
    """The rule in the notes' own terms."""
    if cycle == 1:
        return base_lr
    return base_lr * 0.7 if (now - before) / before < 0.02 else base_lr


@given(st.floats(1e-6, 1e-2), st.integers(1, 10), st.floats(0.001, 1), st.floats(0, 1))
def test_it_is_the_rule_of_the_notes(base_lr: float, cycle: int, before: float, now: float) -> None:
    policy = AdaptiveSeed(base_lr=base_lr)
    got = policy.lr(cycle=cycle, cycles=10, history=after(before, now))
    assert got == notes_adaptive_lr(base_lr, cycle, before, now)


def test_it_neither_compounds_nor_remembers() -> None:
    assert next_lr(AdaptiveSeed(), after(0.5, 0.5, 0.5, 0.5)) == pytest.approx(3.5e-5), (
        "three bad cycles, one cut"
    )
    assert next_lr(AdaptiveSeed(), after(0.5, 0.5, 0.5, 0.6)) == 5e-5, "and back"
    assert next_lr(AdaptiveSeed(), after(0.9, 0.1, 0.2)) == 5e-5, "far below the best, yet content"


def test_nothing_before_is_not_a_division_by_zero() -> None:
    assert next_lr(AdaptiveSeed(), after(0.0, 0.0)) == pytest.approx(3.5e-5)
    assert next_lr(AdaptiveSeed(), after(0.0, 0.001)) == 5e-5


# Plateau


@pytest.mark.parametrize(
    ("passed", "cuts"),
    [
        ([0.3], 0),
        ([0.3, 0.5, 0.6, 0.7], 0),
        ([0.3, 0.3], 0),
        ([0.3, 0.3, 0.3], 1),
        ([0.3, 0.5, 0.5, 0.5], 1),
        ([0.3, 0.302, 0.304], 1),  # gains within the noise are none
        ([0.3, 0.3, 0.5, 0.5], 0),  # the gain forgives the miss
        ([0.3, 0.3, 0.3, 0.3], 1),  # cooling down
        ([0.3, 0.3, 0.3, 0.3, 0.3], 1),
        ([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], 2),  # and it compounds
        ([0.5, 0.4], 1),  # a significant loss at once
        ([0.5, 0.4, 0.4], 1),
        ([0.5, 0.4, 0.4, 0.4], 2),  # still below the best
        ([0.3, 0.308, 0.316, 0.324, 0.332], 0),  # each gain too small to tell, two together not
    ],
)
def test_cuts(passed: list[float], cuts: int) -> None:
    assert next_lr(Plateau(), after(*passed)) == pytest.approx(5e-5 * 0.5**cuts)


def test_patience_and_cooldown_are_as_long_as_they_say() -> None:
    def cuts(policy: LRPolicy) -> list[int]:
        flat = after(*[0.5] * 12)
        return [round(math.log2(5e-5 / next_lr(policy, flat[: n + 1]))) for n in range(12)]

    assert cuts(Plateau(patience=1, cooldown=0, floor=1e-12)) == list(range(12))
    assert cuts(Plateau(patience=3, cooldown=2, floor=1e-12)) == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2]


def test_noise_does_not_lower_the_rate() -> None:
    """Four held-out prompts cannot show a plateau, however long it lasts."""
    assert next_lr(Plateau(), after(*[0.4, 0.5, 0.35, 0.45, 0.4, 0.5], half=0.17)) == 5e-5
    assert next_lr(Plateau(resolution=0.5), after(*[0.4, 0.5, 0.35, 0.45], half=0.17)) == 2.5e-5
    one_prompt = after(*[0.4] * 6, half=0.0, samples=8)
    assert next_lr(Plateau(), one_prompt) == 5e-5, "an interval without width is not certainty"


def test_the_floor_is_the_end() -> None:
    assert next_lr(Plateau(floor=2e-5), after(*[0.5] * 20)) == 2e-5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15), st.floats(0, 0.1))
def test_plateau_never_raises_the_rate(passed: list[float], half: float) -> None:
    history = after(*passed, half=half)
    got = [next_lr(Plateau(), history[: n + 1]) for n in range(len(history))]
    assert got == sorted(got, reverse=True)


# KL target


def moved(*kls: float | None) -> list[CycleReport]:
    """Cycle 0, and cycles that moved the model so far."""
    return [CycleReport(0), *(trained(cycle, 5e-5, 16, kl=kl) for cycle, kl in enumerate(kls, 1))]


@pytest.mark.parametrize(
    ("kls", "power"),
    [
        ([], 0),
        ([0.01], 0),
        ([0.021], -1),
        ([0.02], 0),  # twice kappa is still in the band
        ([0.0049], 1),
        ([0.005], 0),  # and so is half of it
        ([0.03, 0.03, 0.03], -3),  # it compounds
        ([0.03, 0.001], 0),  # and comes back
        ([0.0, -0.001], 0),  # an estimate that is no distance says nothing
        ([None, None], 0),
        ([math.nan], 0),
        ([math.inf], -1),
        ([0.03, None, 0.03], -2),
    ],
)
def test_the_answer_to_each_kl(kls: list[float | None], power: int) -> None:
    assert next_lr(KLTarget(kappa=0.01), moved(*kls)) == pytest.approx(5e-5 * 1.5**power)


def test_without_kappa_the_first_cycle_sets_it() -> None:
    assert next_lr(KLTarget(), moved(0.4)) == 5e-5, "whatever it was"
    assert next_lr(KLTarget(), moved(0.4, 0.9)) == pytest.approx(5e-5 / 1.5)
    assert next_lr(KLTarget(), moved(None, 0.0, math.inf, 0.4, 0.1)) == pytest.approx(5e-5), (
        "one up, one down"
    )
    assert next_lr(KLTarget(), moved(None, 0.0)) == 5e-5, "nothing to go by"


def test_at_a_bound_it_turns_round_at_once() -> None:
    policy = KLTarget(kappa=0.01, floor=1e-5, ceiling=1e-4)
    assert next_lr(policy, moved(*[1.0] * 50)) == 1e-5
    assert next_lr(policy, moved(*[1.0] * 50, 0.001)) == pytest.approx(1.5e-5)
    assert next_lr(policy, moved(*[0.001] * 50)) == 1e-4
    assert next_lr(policy, moved(*[0.001] * 50, 1.0)) == pytest.approx(1e-4 / 1.5)


@given(st.floats(1e-7, 1e-2), st.floats(1e-3, 0.1))
def test_it_settles_where_the_kl_is_in_the_band(base_lr: float, kappa: float) -> None:
    """KL grows with the square of small steps; a model of 40 nats per (rate / 1e-3)^2 stands in for training."""
    policy = KLTarget(base_lr=base_lr, kappa=kappa, floor=1e-9, ceiling=0.9)
    history = [CycleReport(0)]
    for cycle in range(1, 60):
        lr = next_lr(policy, history)
        history.append(trained(cycle, lr, 16, kl=40 * (lr / 1e-3) ** 2))
    kl = 40 * (next_lr(policy, history) / 1e-3) ** 2
    assert kappa / 2 * (1 - 1e-9) <= kl <= 2 * kappa * (1 + 1e-9)


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0, 1), st.floats(0, 1))
def test_the_further_a_cycle_moved_the_lower_the_next_rate(
    before: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    policy = KLTarget(kappa=0.05)
    if low > 0:  # 0 is no estimate, and changes nothing
        assert next_lr(policy, moved(*before, low)) >= next_lr(policy, moved(*before, high))


# Success scaled


def test_the_square_root_of_what_still_fails() -> None:
    assert next_lr(SuccessScaled(), after(0.1, 0.75)) == pytest.approx(2.5e-5)
    assert next_lr(SuccessScaled(power=1), after(0.1, 0.75)) == pytest.approx(1.25e-5)
    assert next_lr(SuccessScaled(power=0), after(0.1, 1.0)) == 5e-5
    assert next_lr(SuccessScaled(), after(0.5, 1.0)) == 1e-7, "all right: the floor"
    assert next_lr(SuccessScaled(), [CycleReport(0)]) == 5e-5


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 4))
def test_the_more_pass_the_lower_the_rate(one: float, other: float, power: float) -> None:
    low, high = (next_lr(SuccessScaled(power=power), after(share)) for share in sorted((one, other)))
    assert low >= high


# Budget


def test_equal_steps_and_no_total_are_constant_and_exponential() -> None:
    assert [r.lr for r in run(Budget(), [16] * 8)][1:] == pytest.approx([5e-5] * 8)
    falling = [Exponential().lr(cycle=c, cycles=8, history=()) for c in range(1, 9)]
    assert [r.lr for r in run(Budget(decay=0.85), [16] * 8)][1:] == pytest.approx(falling)


def test_growing_steps_do_not_grow_the_sum() -> None:
    """At a constant rate they do: that is what the policy is for."""
    steps = [10, 12, 14, 16, 18, 20]
    assert 5e-5 * sum(steps) == pytest.approx(4.5e-3), "half as much again as six times the first cycle"
    assert spent(run(Budget(), steps)) == pytest.approx(3e-3, rel=0.03)


@given(st.floats(5e-4, 5e-3), st.floats(0.3, 1.0), st.integers(2, 12), st.integers(4, 40))
def test_a_given_sum_is_met_whatever_the_steps(total: float, decay: float, cycles: int, steps: int) -> None:
    policy = Budget(base_lr=1e-5, total=total, decay=decay, floor=1e-12, ceiling=0.9)
    if steps * 1e-5 < total:  # cycle 1 leaves something to spend
        assert spent(run(policy, [steps] * cycles)) == pytest.approx(total)


def test_the_last_cycle_tells_how_many_steps_to_expect() -> None:
    history = [trained(1, 5e-5, 10), trained(2, 5e-5, 20)]  # planned: 5e-4 in each of 4 cycles
    assert next_lr(Budget(), [CycleReport(0), *history], cycles=4) == pytest.approx((2e-3 - 1.5e-3) / 2 / 20)


def test_a_schedule_within_the_cycle_is_allowed_for() -> None:
    """16 steps of a linear decay are worth 8.5 at the peak."""
    assert next_lr(Budget(total=1e-3), [CycleReport(0), trained(1, 5e-5, 8.5)], cycles=2) == pytest.approx(
        (1e-3 - 4.25e-4) / 8.5
    )


def test_floor_and_ceiling_hold() -> None:
    assert next_lr(Budget(total=1e-4), [trained(1, 5e-5, 100)]) == 1e-7, "all spent in cycle 1"
    assert next_lr(Budget(total=10), [trained(1, 5e-5, 100)]) == 2e-4, "four times base_lr"
    assert next_lr(Budget(total=10, ceiling=6e-5), [trained(1, 5e-5, 100)]) == 6e-5


def test_a_dry_run_takes_cycles_for_equal() -> None:
    got = [Budget(decay=0.5, floor=1e-9).lr(cycle=c, cycles=3, history=()) for c in (1, 2, 3)]
    assert got == pytest.approx([5e-5, 2.5e-5, 1.25e-5])


def test_extreme_shares_do_not_divide_by_zero() -> None:
    late = [trained(90, 5e-5, 16)]
    for cycle in (91, 100):
        assert math.isfinite(Budget(decay=1e-9).lr(cycle=cycle, cycles=100, history=late))


# All

ODD_RATES = st.builds(
    lambda passed, samples, half: shares(passed, samples=samples, half=half),
    st.sampled_from([0.0, 1e-9, 0.5, 1.0]) | st.floats(0, 1),
    st.sampled_from([0, 1, 10_000]),
    st.sampled_from([0.0, 0.02, 0.5]),
)
ODD_REPORTS = st.lists(
    st.builds(
        lambda heldout, rates, lr, steps, kl: (
            replace(trained(0, lr, steps, kl=kl), heldout=heldout, rates=rates)
            if steps is not None
            else CycleReport(0, heldout=heldout, rates=rates, lr=lr)
        ),
        st.none() | ODD_RATES,
        st.none() | ODD_RATES,
        st.sampled_from([0.0, 1e-12, 5e-5, 0.9]),
        st.none() | st.sampled_from([0, 1, 16, 1e6]),
        st.sampled_from([None, -1e-3, 0.0, 1e-300, 0.01, 30.0, math.inf, math.nan]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("policy", ADAPTIVE, ids=repr)
@given(reports=ODD_REPORTS, cycle=st.integers(1, 12), cycles=st.integers(1, 12))
@settings(max_examples=60)
def test_odd_histories_give_rates_within_bounds(
    policy: LRPolicy, reports: list[CycleReport], cycle: int, cycles: int
) -> None:
    history = [replace(report, cycle=number) for number, report in enumerate(reports)]
    rate = policy.lr(cycle=cycle, cycles=cycles, history=history)
    assert type(rate) is float
    assert 1e-7 <= rate <= 2e-4


@pytest.mark.parametrize("policy", ADAPTIVE, ids=repr)
def test_resumed_before_each_cycle_it_goes_on_as_if_never_stopped(policy: LRPolicy) -> None:
    steps = [16, 20, 13, 22, 22, 9, 30]
    assert run(policy, steps, again=True) == run(policy, steps)


@pytest.mark.parametrize("policy", ADAPTIVE, ids=repr)
def test_the_history_is_left_alone(policy: LRPolicy) -> None:
    history = run(policy, [16, 20, 13])
    before = list(history)
    next_lr(policy, history)
    assert history == before


@driver
class DivergesOnce(FakeTrainer):
    """Diverges at the second call."""

    calls: ClassVar[list[float]] = []

    def train(self, actor: Any, samples: Sequence[Sample], *, lr: float, seed: int) -> TrainStats:
        self.calls.append(lr)
        if len(self.calls) == 2:
            raise DivergedError("too far")
        return super().train(actor, samples, lr=lr, seed=seed)


def test_a_cycle_retried_at_a_tenth_of_the_rate_does_not_lead_a_budget_astray(tmp_path: Path) -> None:
    made, hooks = fake_run(
        tmp_path,
        cycles=5,
        trainer=DivergesOnce(steps=10),
        lr_policy=Budget(base_lr=1e-3),
        divergence_retries=1,
    )
    history = run_cycles(made, hooks)
    assert history[2].lr == pytest.approx(1e-4)
    assert spent(history) == pytest.approx(5 * 1e-2), "what cycle 2 did not spend is spread over the rest"
    assert [report.lr for report in history[3:]] == pytest.approx([1.3e-3] * 3)
