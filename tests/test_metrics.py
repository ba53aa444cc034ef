from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from halo_core.metrics import (
    caution,
    entropy,
    eval_metrics,
    gini,
    interval,
    is_pass,
    is_valid,
    paired_difference,
    pass_at,
    prompt_interval,
    samples_difference,
    solved,
)
from halo_core.seeds import derive_seed
from halo_core.types import Sample, Stage, Status

Make = Callable[..., Sample]


def passes(make_sample: Make, prompt: str, hits: int, total: int) -> list[Sample]:
    """Return `total` samples of one prompt: `hits` pass, the others do not parse."""
    right = [make_sample(prompt, n) for n in range(hits)]
    return right + [
        make_sample(prompt, n, status=Status.FAIL, stage=Stage.INVALID, score=0.0) for n in range(hits, total)
    ]


def test_metrics_of_samples_with_every_status(make_sample: Make) -> None:
    samples = [
        make_sample("a", 0, text="x"),
        make_sample("a", 1, text="x"),
        make_sample("a", 2, status=Status.FAIL, stage=Stage.WRONG, finish="length"),
        make_sample("b", 0, text="x", status=Status.FAIL, stage=Stage.INVALID),
        make_sample("b", 1, status=Status.ERROR, stage=Stage.INVALID),
        make_sample("b", 2, status=Status.INCONCLUSIVE, stage=Stage.CRASHED),
    ]
    got = eval_metrics(samples, seed=0)
    assert got.samples == 4, "errors and inconclusive verdicts do not count"
    assert got.valid == 3 / 4
    assert got.passed == 2 / 4
    assert got.stages == {"invalid": 1, "wrong": 1, "correct": 2}
    assert (got.errors, got.inconclusive, got.prompts) == (1, 1, 2)
    assert got.truncated == 1 / 6
    assert got.distinct == 5 / 6, "equal texts of different prompts are distinct"
    for low, high in (got.valid_interval, got.passed_interval):
        assert 0 <= low <= high <= 1


@pytest.mark.parametrize("status", [Status.ERROR, Status.INCONCLUSIVE])
def test_metrics_without_conclusive_samples(make_sample: Make, status: Status) -> None:
    got = eval_metrics([make_sample("a", 0, status=status, stage=Stage.INVALID)], seed=0)
    assert (got.samples, got.valid, got.passed) == (0, 0.0, 0.0)
    assert got.passed_interval == (0.0, 0.0)
    assert eval_metrics([], seed=0).distinct == 0.0


def test_the_interval_of_one_sample_per_prompt_is_binomial() -> None:
    # Resampling n Bernoulli prompts is sampling from Binomial(n, p) / n.
    counts = {f"p{n}": (int(n < 400), 1) for n in range(1000)}
    low, high = interval(counts, seed=0)
    spread = 1.96 * math.sqrt(0.4 * 0.6 / 1000)
    assert low == pytest.approx(0.4 - spread, abs=0.0025), "a 90% interval would be 0.005 narrower"
    assert high == pytest.approx(0.4 + spread, abs=0.0025)


def test_samples_of_one_prompt_are_not_treated_as_independent() -> None:
    # All samples of a prompt pass or fail: 800 samples carry no more information than the 100 prompts.
    clustered = interval({f"p{n}": (8 * (n < 40), 8) for n in range(100)}, seed=0)
    alone = interval({f"p{n}": (int(n < 40), 1) for n in range(100)}, seed=0)
    assert clustered == pytest.approx(alone, abs=0.01)


@pytest.mark.parametrize("prompts", [1, 20])
def test_equal_prompts_have_the_interval_of_independent_samples(prompts: int) -> None:
    low, high = interval({f"p{n}": (3 * 80 // prompts, 4 * 80 // prompts) for n in range(prompts)}, seed=0)
    spread = 1.96 * math.sqrt(0.75 * 0.25 / 320)
    assert (low, high) == pytest.approx((0.75 - spread, 0.75 + spread), abs=0.003)
    assert interval({}, seed=0) == (0.0, 0.0)


@pytest.mark.parametrize("samples", [1, 8, 400])
def test_a_share_of_0_or_1_has_an_interval(samples: int) -> None:
    low, high = interval({"a": (samples, samples)}, seed=0)
    assert high == 1.0
    assert low < 0.025 ** (1 / samples) + 0.15, "about the exact binomial bound"
    assert interval({"a": (0, samples)}, seed=0) == pytest.approx((0.0, 1 - low))


def test_the_bootstrap_interval_is_not_widened_if_it_is_wide_enough() -> None:
    import numpy as np

    source = np.random.default_rng(0)
    rows = [(int(source.binomial(8, p)), 8) for p in source.beta(0.5, 0.5, 96)]
    got = interval({f"p{n:02}": row for n, row in enumerate(rows)}, seed=0)
    table = np.array(rows, dtype=float)
    draws = np.random.default_rng(derive_seed(0, "bootstrap")).integers(0, 96, (2000, 96))
    shares = table[draws].sum(axis=1)
    assert got == tuple(np.quantile(shares[:, 0] / shares[:, 1], [0.025, 0.975])), "untouched"


@pytest.mark.parametrize("prompts", [1, 2, 5, 30])
def test_false_positives_are_rare_for_any_number_of_prompts(prompts: int) -> None:
    import numpy as np

    source, significant = np.random.default_rng(1), 0
    for trial in range(300):
        chances = source.beta(0.5, 0.5, prompts)
        first, second = (
            {str(n): (int(k), 8) for n, k in enumerate(source.binomial(8, chances))} for _ in range(2)
        )
        significant += paired_difference(first, second, seed=trial).significant
    assert significant / 300 < 0.08


def test_the_common_part_of_two_cycles_cancels_with_enough_prompts() -> None:
    import numpy as np

    source = np.random.default_rng(2)
    first = source.binomial(8, source.beta(0.5, 0.5, 96))
    second = np.clip(first + source.integers(-1, 2, 96), 0, 8)
    before, after = ({f"p{n:02}": (int(k), 8) for n, k in enumerate(hits)} for hits in (first, second))
    low, high = paired_difference(before, after, seed=0).interval
    differences = (second - first) / 8
    assert (high - low) / 2 == pytest.approx(1.96 * differences.std() / math.sqrt(96), rel=0.1)


def test_the_difference_for_one_prompt_is_that_of_two_binomials() -> None:
    assert not paired_difference({"a": (8, 8)}, {"a": (7, 8)}, seed=0).significant
    got = paired_difference({"a": (800, 1000)}, {"a": (700, 1000)}, seed=0)
    half = 1.96 * math.sqrt((0.8 * 0.2 + 0.7 * 0.3) / 1000)
    assert got.interval == pytest.approx((-0.1 - half, -0.1 + half), abs=1e-3)


@pytest.mark.parametrize(
    ("prompts", "expected"), [(0, ""), (1, "1 held-out prompt is too few"), (7, "7 held"), (8, "")]
)
def test_a_warning_of_too_few_prompts(prompts: int, expected: str) -> None:
    assert caution(prompts).startswith(expected)
    assert bool(caution(prompts)) == bool(expected)


def test_prompts_with_more_samples_weigh_more() -> None:
    low, high = interval({"a": (9, 9), "b": (0, 1)}, seed=0)
    assert (low, high) == (0.0, 1.0)
    counts = {f"p{n}": (8, 8) if n % 2 else (0, 2) for n in range(200)}
    low, high = interval(counts, seed=0)
    assert low < 0.8 < high, "the pooled share, not the mean of shares, which is 0.5"


def test_intervals_are_repeatable_and_independent_of_order() -> None:
    counts = {f"p{n}": (n % 5, 4 + n % 3) for n in range(50)}
    backward = dict(reversed(counts.items()))
    assert interval(counts, seed=1) == interval(backward, seed=1)
    assert interval(counts, seed=1) != interval(counts, seed=2)


def test_the_interval_covers_the_truth_in_about_95_percent() -> None:
    import random

    source, covered = random.Random(0), 0
    for trial in range(200):
        shares = [min(1.0, max(0.0, source.gauss(0.6, 0.2))) for _ in range(60)]
        counts = {f"p{n}": (sum(source.random() < p for _ in range(8)), 8) for n, p in enumerate(shares)}
        low, high = interval(counts, seed=trial)
        covered += low <= 0.597 <= high  # 0.597: the mean of the clipped normal
    assert 0.88 <= covered / 200 <= 0.99


def test_a_difference_is_paired_by_prompt(make_sample: Make) -> None:
    # Every prompt gains exactly 1 of 4, from very different levels: unpaired, the interval would be wide.
    before = [s for n in range(30) for s in passes(make_sample, f"p{n}", n % 4, 4)]
    after = [s for n in range(30) for s in passes(make_sample, f"p{n}", n % 4 + 1, 4)]
    got = samples_difference(before, after, is_pass, seed=0)
    assert got.difference == pytest.approx(0.25)
    assert got.after - got.before == pytest.approx(got.difference)
    # 0.156 is the mean of p (1 - p). The bootstrap variance is 0, with weight 29; that of independent samples weighs 8.
    half = 1.96 * math.sqrt(2 * 0.156 / 120 * 8 / (29 + 8))
    assert got.interval == pytest.approx((0.25 - half, 0.25 + half), abs=0.005)
    assert got.significant


def test_no_difference_is_not_significant(make_sample: Make) -> None:
    samples = [s for n in range(30) for s in passes(make_sample, f"p{n}", n % 5, 4)]
    assert not samples_difference(samples, samples, is_pass, seed=0).significant
    mixed = [s for n in range(30) for s in passes(make_sample, f"p{n}", (n + 1) % 5, 4)]
    got = samples_difference(samples, mixed, is_pass, seed=0)
    assert got.interval[0] < 0 < got.interval[1]
    assert not got.significant


def test_a_decline_is_significant_too(make_sample: Make) -> None:
    before = [s for n in range(30) for s in passes(make_sample, f"p{n}", 3 + n % 2, 4)]
    after = [s for n in range(30) for s in passes(make_sample, f"p{n}", n % 2, 4)]
    got = samples_difference(before, after, is_valid, seed=0)
    assert got.difference == pytest.approx(-0.75)
    assert got.interval[1] < 0
    assert got.significant


def test_a_difference_covers_the_prompts_conclusive_in_both(make_sample: Make) -> None:
    before = passes(make_sample, "a", 1, 2) + passes(make_sample, "b", 2, 2)
    broken = [make_sample("b", 0, status=Status.ERROR, stage=Stage.INVALID)]
    after = passes(make_sample, "a", 2, 2) + broken + passes(make_sample, "c", 0, 2)
    got = samples_difference(before, after, is_pass, seed=0)
    assert (got.before, got.after) == (0.5, 1.0)


def test_no_common_prompts_give_no_difference(make_sample: Make) -> None:
    got = samples_difference(passes(make_sample, "a", 1, 2), passes(make_sample, "b", 1, 2), is_pass, seed=0)
    assert got.interval == (0.0, 0.0)
    assert not got.significant
    assert not samples_difference([], [], is_pass, seed=0).significant


def test_a_difference_is_repeatable(make_sample: Make) -> None:
    before = [s for n in range(20) for s in passes(make_sample, f"p{n}", n % 5, 4)]
    after = [s for n in range(20) for s in passes(make_sample, f"p{n}", (n * 3) % 5, 4)]
    assert samples_difference(before, after, is_pass, seed=0) == samples_difference(
        before[::-1], after[::-1], is_pass, seed=0
    )


def test_the_draws_for_many_prompts_are_made_in_chunks() -> None:
    import tracemalloc

    counts = {f"p{n}": (n % 2, 1) for n in range(20_000)}
    tracemalloc.start()
    interval(counts, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20, "all draws at once would take 2000 x 20000 x 8 bytes = 320 MB"


def test_pass_at_k_is_the_probability_of_a_pass_among_k_without_replacement() -> None:
    counts = [(0, 4), (1, 4), (3, 4)]
    for k, value in pass_at(counts).items():
        chances = [
            sum(any(draw) for draw in combinations([n < hits for n in range(total)], k)) / math.comb(total, k)
            for hits, total in counts
        ]
        assert value == pytest.approx(sum(chances) / 3)
    assert list(pass_at(counts)) == [1, 2, 4]
    assert list(pass_at([(1, 3), (2, 8)])) == [1, 2], "k up to the fewest completions of a prompt"
    assert pass_at([]) == {}


def test_solved_tries_are_pass_at_k() -> None:
    counts = {"a": (0, 8), "b": (3, 8), "c": (8, 8)}
    for k in (1, 2, 4, 8):
        tries = solved(counts, k)
        assert {total for _, total in tries.values()} == {8 // k}
        share = sum(hits for hits, _ in tries.values()) / sum(total for _, total in tries.values())
        assert share == pytest.approx(pass_at(list(counts.values()))[k])
    assert interval(solved(counts, 1), seed=0) == interval(counts, seed=0)
    low, high = interval(solved(counts, 8), seed=0)
    assert low < 2 / 3 < high


@pytest.mark.parametrize("k", [1, 3])
def test_interval_of_a_prompt_covers_its_pass_at_k(k: int) -> None:
    """For each p, the exact probability of counts whose interval contains pass@k is about 95%."""
    n = 8
    for p in (0.1, 0.3, 0.5, 0.9):
        covered = 0.0
        for c in range(n + 1):
            low, high = prompt_interval((c, n), k)
            covered += math.comb(n, c) * p**c * (1 - p) ** (n - c) * (low <= 1 - (1 - p) ** k <= high)
        assert covered > 0.9
    low, high = prompt_interval((8, 8), 1)
    assert 0.6 < low < high == 1


def test_gini() -> None:
    assert gini([3, 3, 3]) == pytest.approx(0)
    assert gini([0, 0, 0, 8]) == pytest.approx(3 / 4)
    assert gini([1, 3]) == pytest.approx(1 / 4)
    assert gini([]) == gini([0, 0]) == 0.0


def test_prompts_that_all_pass_or_all_fail_are_counted(make_sample: Make) -> None:
    samples = passes(make_sample, "a", 2, 2) + passes(make_sample, "b", 0, 2) + passes(make_sample, "c", 1, 2)
    got = eval_metrics(samples, seed=0)
    assert (got.all_pass, got.all_fail) == (1 / 3, 1 / 3)
    assert got.pass_at == {"1": 0.5, "2": pytest.approx(2 / 3)}


def test_distinct_correct_completions(make_sample: Make) -> None:
    texts = ["x = 1", "x  =\n1", "y = 1", "z"]
    samples = [make_sample("a", n, text=text) for n, text in enumerate(texts)]
    samples.append(make_sample("a", 9, text="w", status=Status.FAIL, stage=Stage.WRONG))
    assert eval_metrics(samples, seed=0).distinct_correct == 3 / 4
    assert eval_metrics(samples[-1:], seed=0).distinct_correct == 0.0


def test_entropy_is_in_nats_per_token(make_sample: Make) -> None:
    samples = [make_sample("a", n, ids=tuple(range(n))) for n in (1, 3)]
    known = [
        replace(
            s,
            completion=replace(
                s.completion, logprobs=(-2.0 / len(s.completion.token_ids),) * len(s.completion.token_ids)
            ),
        )
        for s in samples
    ]
    assert entropy(known) == 1.0
    assert entropy(samples) is None
    assert entropy([*known, *samples]) == 1.0, "completions without log-probabilities do not count"
