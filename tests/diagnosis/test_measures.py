"""The statistics, compared with known results."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from halo_core.diagnosis import measures
from halo_core.diagnosis.measures import Estimate
from halo_core.testing import make_metrics
from halo_core.types import EvalMetrics, PairedDifference

MakeMetrics = Callable[..., EvalMetrics]


@pytest.fixture
def metrics() -> MakeMetrics:
    def make(passed: float = 0.5, half: float = 0.05, samples: int = 400, **other: object) -> EvalMetrics:
        return make_metrics(passed, half=half, samples=samples, **other)

    return make


def test_two_sided_intervals_have_their_textbook_widths() -> None:
    assert measures.z_score(0.95) == pytest.approx(1.960, abs=1e-3)
    assert measures.z_score(0.95, comparisons=5) == pytest.approx(2.576, abs=1e-3)
    assert measures.z_score(0.95, prompts=31) == pytest.approx(2.042, abs=5e-3)  # Student's t with 30


def test_differences_of_independent_estimates_add_their_variances() -> None:
    difference = Estimate(0.5, 0.03) - Estimate(0.4, 0.04)
    assert (difference.value, difference.error) == pytest.approx((0.1, 0.05))


def test_share_of_zero_has_an_error() -> None:
    assert measures.share(0.0, 100).error > 0
    assert measures.share(0.5, 100).error == pytest.approx(0.05, rel=0.02)
    assert measures.share(0.3, 0) == Estimate(0.3, 1.0)


def test_design_effect_follows_from_the_interval(metrics: MakeMetrics) -> None:
    independent = 1.96 * math.sqrt(0.25 / 400)
    assert measures.design_effect(metrics(half=independent)) == pytest.approx(1, abs=1e-3)
    assert measures.design_effect(metrics(half=2 * independent)) == pytest.approx(4, abs=1e-2)
    assert measures.design_effect(metrics(half=0.0)) == 1


def test_prompt_count_is_never_overestimated(metrics: MakeMetrics) -> None:
    for samples in range(1, 20):
        powers = {str(1 << n): 0.5 for n in range(5) if 1 << n <= samples}
        assert measures.prompt_count(metrics(samples=96 * samples, pass_at=powers)) <= 96
    assert measures.prompt_count(metrics()) == 0
    assert measures.prompt_count(metrics(samples=40, pass_at={"8": 0.5}, prompts=5)) == 5, (
        "the recorded number has precedence"
    )


def test_one_prompt_counts_as_two() -> None:
    assert (
        measures.z_score(0.99, prompts=1)
        == measures.z_score(0.99, prompts=2)
        > measures.z_score(0.99, prompts=3)
    )


def test_trend_is_found_and_noise_has_none() -> None:
    slope, z = measures.trend([1 + 0.5 * n for n in range(12)])
    assert slope == pytest.approx(0.5)
    assert z > 4
    assert measures.trend([1, 2, 3]) == (0, 0)
    assert measures.trend([1.0] * 20) == (0, 0)
    source = np.random.default_rng(0)
    scores = [measures.trend(source.standard_normal(30).tolist())[1] for _ in range(400)]
    assert np.mean(np.abs(scores) > 1.96) == pytest.approx(0.05, abs=0.03)


def test_long_series_keeps_its_trend() -> None:
    slope, z = measures.trend([0.01 * n for n in range(5000)])
    assert slope == pytest.approx(0.01, rel=1e-3)
    assert z > 10


def test_noise_does_not_alternate_but_its_changes_do() -> None:
    source = np.random.default_rng(1)
    series = [source.standard_normal(40).tolist() for _ in range(400)]
    assert np.mean([measures.alternation(values)[1] < -1.96 for values in series]) < 0.06
    changes = [np.corrcoef(np.diff(values)[:-1], np.diff(values)[1:])[0, 1] for values in series]
    assert np.mean(np.array(changes) < -0.5) > 0.4  # the usual rule fires on nearly every second series
    r, z = measures.alternation([1 + 0.3 * (-1) ** n + 0.1 * n for n in range(20)])
    assert r < -0.8
    assert z < -3


@pytest.mark.parametrize("values", [[], [1.0] * 5, [1.0] * 20])
def test_too_few_or_equal_values_do_not_alternate(values: list[float]) -> None:
    assert measures.alternation(values) == (0, 0)


def test_jump_differs_from_a_steep_start_and_from_heavy_noise() -> None:
    settling = [3 * math.exp(-n / 5) + 0.3 for n in range(40)]
    assert measures.largest_jump(settling)[2] < 1.2
    source = np.random.default_rng(2)
    noisy = [np.exp(0.4 * source.standard_normal(40)).tolist() for _ in range(200)]
    assert np.mean([measures.largest_jump(values)[1] > 6 for values in noisy]) < 0.02
    steady = (0.4 * np.exp(0.1 * source.standard_normal(40))).tolist()
    steady[17] *= 5
    place, deviations, ratio = measures.largest_jump(steady)
    assert place == 17
    assert deviations > 6
    assert 4 < ratio < 6
    assert measures.largest_jump([0.1, -0.1] * 10) == (0, 0, 1)


def test_no_interval_leaves_the_range_of_possible_values() -> None:
    few = measures.share(0.5, 1)
    assert few.interval(10) == (0.0, 1.0)
    assert (few - measures.share(0.4, 1)).interval(10) == (-1.0, 1.0)
    assert measures.paired(PairedDifference(0.2, 0.9, 0.7, (-0.8, 1.0))).interval(5) == (-1.0, 1.0)
