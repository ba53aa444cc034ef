from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halo_core.config.options import build
from halo_core.drivers import LRPolicy, driver
from halo_core.errors import DivergedError
from halo_core.loop import run_cycles
from halo_core.model.contexts import TrainingContext
from halo_core.testing import FakeTrainer, LRPolicyContract, fake_run, make_metrics, make_stats
from halo_core.types import CycleReport, EvalMetrics, Sample, TrainStats
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


def shares(passed: float, *, samples: int = 10_000, half: float = 0.01) -> EvalMetrics:
    return make_metrics(passed, half=half, samples=samples)


def after(*passed: float, half: float = 0.01, samples: int = 10_000) -> list[CycleReport]:
    """Return reports of cycles 0, 1, ... with these held-out pass rates."""
    return [
        CycleReport(cycle=cycle, heldout=shares(rate, half=half, samples=samples))
        for cycle, rate in enumerate(passed)
    ]


def next_lr(policy: LRPolicy, history: Sequence[CycleReport], cycles: int = 12) -> float:
    return policy.lr(cycle=max(1, len(history)), cycles=cycles, history=history)


def trained(
    cycle: int, lr: float, steps: float, *, passed: float = 0.5, kl: float | None = None
) -> CycleReport:
    """Return the report of a cycle with `steps` steps, or their equivalent, at the peak rate."""
    stats = make_stats(lr, steps=round(steps), lr_sum=lr * steps, kl=kl)
    return CycleReport(cycle=cycle, heldout=shares(passed), lr=lr, train=stats)


def simulate(policy: LRPolicy, steps: Sequence[float], *, rebuild: bool = False) -> list[CycleReport]:
    """Simulate one cycle per element of `steps`; `rebuild`: rebuild the policy from its options before each."""
    history = [CycleReport(cycle=0, heldout=shares(0.3))]
    for cycle, count in enumerate(steps, 1):
        if rebuild:
            policy = build(type(policy), asdict(policy), where="it")  # type: ignore[call-overload]
        lr = policy.lr(cycle=cycle, cycles=len(steps), history=tuple(history))
        kl = 0.01 * abs(math.sin(2 * cycle)) * lr / 5e-5
        history.append(trained(cycle, lr, count, passed=0.3 + 0.3 * math.sin(cycle), kl=kl))
    return history


def spent(history: Sequence[CycleReport]) -> float:
    return sum(report.train.lr_sum for report in history if report.train)


# Measurements


def test_heldout_rates_take_precedence_over_training_rates() -> None:
    both = [
        CycleReport(cycle=0, heldout=shares(0.2)),
        CycleReport(cycle=1, heldout=shares(0.4), sampled=shares(0.9)),
    ]
    assert [m.value for m in measurements(both)] == [0.2, 0.4]
    training = [
        CycleReport(cycle=0),
        CycleReport(cycle=1, sampled=shares(0.3)),
        CycleReport(cycle=2, sampled=shares(0.5)),
    ]
    assert [m.value for m in measurements(training)] == [0.3, 0.5]


def test_missing_measurements_are_not_rates_of_zero() -> None:
    history = [*after(0.4), CycleReport(cycle=1, heldout=shares(0.0, samples=0)), CycleReport(cycle=2)]
    assert [m.value for m in measurements(history)] == [0.4]
    assert next_lr(AdaptiveSeed(), history) == 5e-5


def test_the_error_follows_from_the_interval_but_is_never_zero() -> None:
    assert measurements(after(0.5, half=0.098))[0].error == pytest.approx(0.05, rel=1e-3)
    for passed in (0.0, 0.5, 1.0):
        assert measurements(after(passed, half=0.0, samples=16))[0].error > 0.03


# Adaptive seed: strategy C of the notes


def notes_adaptive_lr(base_lr: float, cycle: int, before: float, now: float) -> float:
    """Return the rate by the rule as the notes write it."""
    if cycle == 1:
        return base_lr
    return base_lr * 0.7 if (now - before) / before < 0.02 else base_lr


@given(st.floats(1e-6, 1e-2), st.integers(1, 10), st.floats(0.001, 1), st.floats(0, 1))
def test_adaptive_seed_follows_the_rule_of_the_notes(
    base_lr: float, cycle: int, before: float, now: float
) -> None:
    policy = AdaptiveSeed(base_lr=base_lr)
    got = policy.lr(cycle=cycle, cycles=10, history=after(before, now))
    assert got == notes_adaptive_lr(base_lr, cycle, before, now)


def test_adaptive_seed_has_no_memory_and_does_not_compound() -> None:
    assert next_lr(AdaptiveSeed(), after(0.5, 0.5, 0.5, 0.5)) == pytest.approx(3.5e-5), (
        "three bad cycles, one cut"
    )
    assert next_lr(AdaptiveSeed(), after(0.5, 0.5, 0.5, 0.6)) == 5e-5, "and back"
    assert next_lr(AdaptiveSeed(), after(0.9, 0.1, 0.2)) == 5e-5, "compared with the last cycle, not the best"


def test_a_previous_rate_of_zero_does_not_divide_by_zero() -> None:
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
        ([0.3, 0.302, 0.304], 1),  # gains within the noise do not count
        ([0.3, 0.3, 0.5, 0.5], 0),  # the gain resets the count
        ([0.3, 0.3, 0.3, 0.3], 1),  # cooldown
        ([0.3, 0.3, 0.3, 0.3, 0.3], 1),
        ([0.3, 0.3, 0.3, 0.3, 0.3, 0.3], 2),  # cuts compound
        ([0.5, 0.4], 1),  # a significant loss cuts at once
        ([0.5, 0.4, 0.4], 1),
        ([0.5, 0.4, 0.4, 0.4], 2),  # still below the best
        ([0.3, 0.308, 0.316, 0.324, 0.332], 0),  # a gain is significant only over two cycles
    ],
)
def test_cuts(passed: list[float], cuts: int) -> None:
    assert next_lr(Plateau(), after(*passed)) == pytest.approx(5e-5 * 0.5**cuts)


def test_patience_and_cooldown_have_the_given_lengths() -> None:
    def cuts(policy: LRPolicy) -> list[int]:
        flat = after(*[0.5] * 12)
        return [round(math.log2(5e-5 / next_lr(policy, flat[: n + 1]))) for n in range(12)]

    assert cuts(Plateau(patience=1, cooldown=0, floor=1e-12)) == list(range(12))
    assert cuts(Plateau(patience=3, cooldown=2, floor=1e-12)) == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2]


def test_plateau_ignores_noise() -> None:
    """Four held-out prompts cannot show a plateau of any length."""
    assert next_lr(Plateau(), after(*[0.4, 0.5, 0.35, 0.45, 0.4, 0.5], half=0.17)) == 5e-5
    assert next_lr(Plateau(resolution=0.5), after(*[0.4, 0.5, 0.35, 0.45], half=0.17)) == 2.5e-5
    one_prompt = after(*[0.4] * 6, half=0.0, samples=8)
    assert next_lr(Plateau(), one_prompt) == 5e-5, "an interval of zero width is not certainty"


def test_plateau_stops_at_the_floor() -> None:
    assert next_lr(Plateau(floor=2e-5), after(*[0.5] * 20)) == 2e-5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15), st.floats(0, 0.1))
def test_plateau_never_raises_the_rate(passed: list[float], half: float) -> None:
    history = after(*passed, half=half)
    got = [next_lr(Plateau(), history[: n + 1]) for n in range(len(history))]
    assert got == sorted(got, reverse=True)


# KL target


def moved(*kls: float | None) -> list[CycleReport]:
    """Return reports of cycle 0 and of cycles with these KL divergences."""
    return [CycleReport(cycle=0), *(trained(cycle, 5e-5, 16, kl=kl) for cycle, kl in enumerate(kls, 1))]


@pytest.mark.parametrize(
    ("kls", "power"),
    [
        ([], 0),
        ([0.01], 0),
        ([0.021], -1),
        ([0.02], 0),  # exactly twice kappa is in the band
        ([0.0049], 1),
        ([0.005], 0),  # exactly half of kappa is in the band
        ([0.03, 0.03, 0.03], -3),  # cuts compound
        ([0.03, 0.001], 0),  # a low KL reverses a cut
        ([0.0, -0.001], 0),  # a KL that is not positive changes nothing
        ([None, None], 0),
        ([math.nan], 0),
        ([math.inf], -1),
        ([0.03, None, 0.03], -2),
    ],
)
def test_kl_target_adjusts_to_each_kl(kls: list[float | None], power: int) -> None:
    assert next_lr(KLTarget(kappa=0.01), moved(*kls)) == pytest.approx(5e-5 * 1.5**power)


def test_without_kappa_the_first_cycle_sets_it() -> None:
    assert next_lr(KLTarget(), moved(0.4)) == 5e-5, "for any value"
    assert next_lr(KLTarget(), moved(0.4, 0.9)) == pytest.approx(5e-5 / 1.5)
    assert next_lr(KLTarget(), moved(None, 0.0, math.inf, 0.4, 0.1)) == pytest.approx(5e-5), (
        "one up, one down"
    )
    assert next_lr(KLTarget(), moved(None, 0.0)) == 5e-5, "no usable KL"


def test_kl_target_reverses_at_a_bound_immediately() -> None:
    policy = KLTarget(kappa=0.01, floor=1e-5, ceiling=1e-4)
    assert next_lr(policy, moved(*[1.0] * 50)) == 1e-5
    assert next_lr(policy, moved(*[1.0] * 50, 0.001)) == pytest.approx(1.5e-5)
    assert next_lr(policy, moved(*[0.001] * 50)) == 1e-4
    assert next_lr(policy, moved(*[0.001] * 50, 1.0)) == pytest.approx(1e-4 / 1.5)


@given(st.floats(1e-7, 1e-2), st.floats(1e-3, 0.1))
def test_kl_target_settles_within_the_band(base_lr: float, kappa: float) -> None:
    """Training is simulated: KL grows with the square of small steps, here 40 nats per (rate / 1e-3)^2."""
    policy = KLTarget(base_lr=base_lr, kappa=kappa, floor=1e-9, ceiling=0.9)
    history = [CycleReport(cycle=0)]
    for cycle in range(1, 60):
        lr = next_lr(policy, history)
        history.append(trained(cycle, lr, 16, kl=40 * (lr / 1e-3) ** 2))
    kl = 40 * (next_lr(policy, history) / 1e-3) ** 2
    assert kappa / 2 * (1 - 1e-9) <= kl <= 2 * kappa * (1 + 1e-9)


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_kl_never_gives_a_higher_rate(before: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    policy = KLTarget(kappa=0.05)
    if low > 0:  # a KL of 0 changes nothing
        assert next_lr(policy, moved(*before, low)) >= next_lr(policy, moved(*before, high))


# Success scaled


def test_success_scaled_is_the_square_root_of_the_failure_rate() -> None:
    assert next_lr(SuccessScaled(), after(0.1, 0.75)) == pytest.approx(2.5e-5)
    assert next_lr(SuccessScaled(power=1), after(0.1, 0.75)) == pytest.approx(1.25e-5)
    assert next_lr(SuccessScaled(power=0), after(0.1, 1.0)) == 5e-5
    assert next_lr(SuccessScaled(), after(0.5, 1.0)) == 1e-7, "everything passes: the floor"
    assert next_lr(SuccessScaled(), [CycleReport(cycle=0)]) == 5e-5


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 4))
def test_a_higher_pass_rate_never_gives_a_higher_rate(one: float, other: float, power: float) -> None:
    low, high = (next_lr(SuccessScaled(power=power), after(share)) for share in sorted((one, other)))
    assert low >= high


# Budget


def test_budget_with_equal_steps_is_constant_or_exponential() -> None:
    assert [r.lr for r in simulate(Budget(), [16] * 8)][1:] == pytest.approx([5e-5] * 8)
    falling = [Exponential().lr(cycle=c, cycles=8, history=()) for c in range(1, 9)]
    assert [r.lr for r in simulate(Budget(decay=0.85), [16] * 8)][1:] == pytest.approx(falling)


def test_budget_sum_does_not_grow_with_the_steps() -> None:
    """At a constant rate the sum grows, which the policy prevents."""
    steps = [10, 12, 14, 16, 18, 20]
    assert 5e-5 * sum(steps) == pytest.approx(4.5e-3), "1.5 times the sum of six cycles like the first"
    assert spent(simulate(Budget(), steps)) == pytest.approx(3e-3, rel=0.03)


@given(st.floats(5e-4, 5e-3), st.floats(0.3, 1.0), st.integers(2, 12), st.integers(4, 40))
def test_a_given_total_is_met_for_any_number_of_steps(
    total: float, decay: float, cycles: int, steps: int
) -> None:
    policy = Budget(base_lr=1e-5, total=total, decay=decay, floor=1e-12, ceiling=0.9)
    if steps * 1e-5 < total:  # cycle 1 does not spend the whole budget
        assert spent(simulate(policy, [steps] * cycles)) == pytest.approx(total)


def test_budget_expects_as_many_steps_as_in_the_last_cycle() -> None:
    history = [trained(1, 5e-5, 10), trained(2, 5e-5, 20)]  # budget: 5e-4 in each of 4 cycles
    assert next_lr(Budget(), [CycleReport(cycle=0), *history], cycles=4) == pytest.approx(
        (2e-3 - 1.5e-3) / 2 / 20
    )


def test_budget_accounts_for_a_schedule_within_the_cycle() -> None:
    """16 steps of a linear decay sum to 8.5 steps at the peak."""
    assert next_lr(
        Budget(total=1e-3), [CycleReport(cycle=0), trained(1, 5e-5, 8.5)], cycles=2
    ) == pytest.approx((1e-3 - 4.25e-4) / 8.5)


def test_budget_respects_floor_and_ceiling() -> None:
    assert next_lr(Budget(total=1e-4), [trained(1, 5e-5, 100)]) == 1e-7, "cycle 1 spent the whole budget"
    assert next_lr(Budget(total=10), [trained(1, 5e-5, 100)]) == 2e-4, "four times base_lr"
    assert next_lr(Budget(total=10, ceiling=6e-5), [trained(1, 5e-5, 100)]) == 6e-5


def test_a_dry_run_assumes_equal_cycles() -> None:
    got = [Budget(decay=0.5, floor=1e-9).lr(cycle=c, cycles=3, history=()) for c in (1, 2, 3)]
    assert got == pytest.approx([5e-5, 2.5e-5, 1.25e-5])


def test_extreme_shares_do_not_divide_by_zero() -> None:
    late = [trained(90, 5e-5, 16)]
    for cycle in (91, 100):
        assert math.isfinite(Budget(decay=1e-9).lr(cycle=cycle, cycles=100, history=late))


# All

UNUSUAL_RATES = st.builds(
    lambda passed, samples, half: shares(passed, samples=samples, half=half),
    st.sampled_from([0.0, 1e-9, 0.5, 1.0]) | st.floats(0, 1),
    st.sampled_from([0, 1, 10_000]),
    st.sampled_from([0.0, 0.02, 0.5]),
)
UNUSUAL_REPORTS = st.lists(
    st.builds(
        lambda heldout, rates, lr, steps, kl: (
            replace(trained(0, lr, steps, kl=kl), heldout=heldout, sampled=rates)
            if steps is not None
            else CycleReport(cycle=0, heldout=heldout, sampled=rates, lr=lr)
        ),
        st.none() | UNUSUAL_RATES,
        st.none() | UNUSUAL_RATES,
        st.sampled_from([0.0, 1e-12, 5e-5, 0.9]),
        st.none() | st.sampled_from([0, 1, 16, 1e6]),
        st.sampled_from([None, -1e-3, 0.0, 1e-300, 0.01, 30.0, math.inf, math.nan]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("policy", ADAPTIVE, ids=repr)
@given(reports=UNUSUAL_REPORTS, cycle=st.integers(1, 12), cycles=st.integers(1, 12))
@settings(max_examples=60)
def test_unusual_histories_give_rates_within_bounds(
    policy: LRPolicy, reports: list[CycleReport], cycle: int, cycles: int
) -> None:
    history = [replace(report, cycle=number) for number, report in enumerate(reports)]
    rate = policy.lr(cycle=cycle, cycles=cycles, history=history)
    assert type(rate) is float
    assert 1e-7 <= rate <= 2e-4


@pytest.mark.parametrize("policy", ADAPTIVE, ids=repr)
def test_rebuilding_the_policy_before_each_cycle_changes_nothing(policy: LRPolicy) -> None:
    steps = [16, 20, 13, 22, 22, 9, 30]
    assert simulate(policy, steps, rebuild=True) == simulate(policy, steps)


@pytest.mark.parametrize("policy", ADAPTIVE, ids=repr)
def test_the_history_is_not_modified(policy: LRPolicy) -> None:
    history = simulate(policy, [16, 20, 13])
    before = list(history)
    next_lr(policy, history)
    assert history == before


@driver
class DivergesOnce(FakeTrainer):
    """Trainer that diverges at the second call."""

    calls: ClassVar[list[float]] = []

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        self.calls.append(context.lr)
        if len(self.calls) == 2:
            raise DivergedError("too far")
        return super().train(samples, context)


def test_budget_corrects_for_a_cycle_retried_at_a_tenth_of_the_rate(tmp_path: Path) -> None:
    made, hooks = fake_run(
        tmp_path,
        cycles=5,
        trainer=DivergesOnce(steps=10),
        lr_policy=Budget(base_lr=1e-3),
        divergence_retries=1,
    )
    history = run_cycles(made, hooks)
    assert history[2].lr == pytest.approx(1e-4)
    assert spent(history) == pytest.approx(5 * 1e-2), (
        "the remaining budget of cycle 2 is spread over the later cycles"
    )
    assert [report.lr for report in history[3:]] == pytest.approx([1.3e-3] * 3)
