"""Intervals, corrections and conclusions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from halo_core import RunError
from halo_study import planning
from halo_study.results import RunResult
from halo_study.simulation import World, check, simulate, smallest_shown, truth
from halo_study.statistics import Estimate, contrast, difference, estimate, holm, verdicts

RNG = np.random.default_rng(0)


def test_holm() -> None:
    # the example of R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_without_prompts_the_interval_is_students() -> None:
    values = np.array([0.1, 0.3, 0.2, 0.6])
    found = estimate(values, None, 1, RNG)
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert found.interval() == pytest.approx(expected)
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_the_error_is_that_of_crossed_random_effects() -> None:
    """Compare with the analysis of variance of a table of seeds and prompts."""
    seeds, prompts = 8, 6
    table = (
        RNG.normal(0, 0.3, (seeds, 1))
        + RNG.normal(0, 0.5, (1, prompts))
        + RNG.normal(0, 0.2, (seeds, prompts))
    )
    weights = RNG.multinomial(prompts, np.full(prompts, 1 / prompts), size=20_000) / prompts
    found = estimate(table.mean(axis=1), weights @ table.T, prompts, RNG)
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - columns + table.mean()
    noise = (rest**2).sum() / ((seeds - 1) * (prompts - 1) * seeds * prompts)
    expected = rows.var(ddof=1) / seeds + columns.var(ddof=1) / prompts - noise
    assert found.error**2 == pytest.approx(expected, rel=0.05)


def test_seeds_that_agree_exactly_are_a_sign_test() -> None:
    """Two seeds with the same difference show nothing; eight do."""
    for seeds, expected in ((2, 0.5), (8, 2**-7)):
        assert estimate(np.full(seeds, 3.0), None, 1, RNG).p == expected
    assert estimate(np.zeros(8), None, 1, RNG).p == 1.0


def test_a_study_can_be_too_small_to_show_anything() -> None:
    world = World(seeds=2, prompts=4, completions=1, by_run=3.0)
    assert smallest_shown(world, comparisons=10, studies=10) is None


def test_one_seed_has_no_interval() -> None:
    runs = simulate(World(seeds=1), 2, RNG)
    found = difference(runs[1], runs[0], "final")
    assert found.seeds == 1
    assert found.interval() == (float("-inf"), float("inf"))
    assert found.p == 1.0


def test_equal_runs_have_no_difference() -> None:
    runs = simulate(World(seeds=4), 1, RNG)[0]
    found = difference(runs, runs, "peak")
    assert (found.value, found.p, found.interval()) == (0.0, 1.0, (0.0, 0.0))


def test_only_shared_seeds_are_compared() -> None:
    one, other = simulate(World(seeds=5), 2, RNG)
    del one[0], other[4]
    assert difference(one, other, "final").seeds == 3


def test_other_prompts_cannot_be_paired() -> None:
    one, other = simulate(World(seeds=3), 1, RNG)[0], simulate(World(seeds=3, prompts=9), 1, RNG)[0]
    with pytest.raises(RunError, match="different numbers of held-out prompts"):
        difference(one, other, "final")


def test_pairing_removes_what_seeds_and_prompts_share() -> None:
    one, other = simulate(
        World(seeds=6, by_run=0.0, by_seed=1.0, by_cell=0.0, prompts=60, completions=8), 2, RNG
    )
    moved = {(seed + 1) % 6: run for seed, run in other.items()}
    paired, mixed = difference(other, one, "final").error, difference(moved, one, "final").error
    assert paired < 0.7 * mixed


def test_an_interaction_is_a_difference_of_differences() -> None:
    a, b, c, d = simulate(World(seeds=4), 4, RNG)
    found = contrast([(1.0, a), (-1.0, b), (-1.0, c), (1.0, d)], "final")
    parts = [difference(a, b, "final").value, difference(c, d, "final").value]
    assert found.value == pytest.approx(parts[0] - parts[1])


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.2, 0.02, "higher"),
        (-0.2, 0.02, "lower"),
        (0.0, 0.01, "equivalent"),
        (0.03, 0.005, "higher, but by less than matters"),
        (0.03, 0.03, "not shown"),
    ],
)
def test_conclusions(value: float, error: float, text: str) -> None:
    (found,) = verdicts([Estimate(value, error, 9.0, 10)], [0.05])
    assert found.text == text


def test_conclusions_are_corrected_together() -> None:
    borderline = Estimate(0.1, 0.1 / float(stats.t.isf(0.02, 9)), 9.0, 10)  # p = 0.04
    assert verdicts([borderline], [0.05])[0].different
    assert not any(each.different for each in verdicts([borderline] * 2, [0.05] * 2))
    assert not verdicts([borderline], [0.05], missing=1)[0].different


@pytest.mark.parametrize("seeds", [5, 10])
def test_false_positives_and_coverage(seeds: int) -> None:
    """A small check; benchmarks/bench_study.py makes the large one."""
    null = check(World(seeds=seeds), studies=40, arms=3)
    assert null.any_false <= 0.15
    assert null.each_false <= 0.1
    assert null.coverage >= 0.9
    other = check(World(seeds=seeds, effect=0.5), studies=30, arms=3)
    assert other.coverage >= 0.88
    assert other.each_false > 2 * null.each_false, "a true effect is found more often than none"


def test_more_seeds_show_smaller_differences() -> None:
    few, many = (smallest_shown(World(seeds=seeds), comparisons=3, studies=20) for seeds in (4, 16))
    assert few is not None
    assert many is not None
    assert 0 < many < 0.8 * few


@pytest.mark.parametrize("by_run", [0.0, 0.4])
def test_a_plan_takes_the_spread_between_runs_from_finished_ones(by_run: float) -> None:
    world = World(seeds=60, completions=8, by_run=by_run, by_prompt=0.0)
    runs = [run for arm in simulate(world, 4, np.random.default_rng(2)) for run in arm.values()]
    variance = planning._paired_variance(runs)
    assert variance is not None
    found = planning._calibrated(planning._world(runs, world.cycles), variance)
    assert found.by_run == pytest.approx(by_run, abs=0.1)
    assert planning._paired_variance(runs[:60]) is None, "one arm"


def test_the_true_difference_of_a_simulation() -> None:
    world = World(seeds=40, prompts=400, completions=4, effect=0.6)
    one, other = simulate(world, 2, np.random.default_rng(1))
    assert difference(other, one, "final").value == pytest.approx(truth(world), abs=0.03)
    assert truth(World()) == pytest.approx(0.0, abs=0.01)
    assert isinstance(next(iter(one.values())), RunResult)
