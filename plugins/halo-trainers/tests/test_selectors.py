"""The choices of the selectors, and their weights."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from halo_core import Sample, SelectionContext, Stage
from halo_core.testing import make_samples
from halo_trainers.by_prompt import ByPrompt
from halo_trainers.comparison import Groups, Pairs
from halo_trainers.imitation import RSO, All, BestOfN, STaR

REWARDS = [1.0, 0.5, 0.7, 0.0]


def chosen(
    selector: ByPrompt, samples: Sequence[Sample], seed: int = 0
) -> list[tuple[str, float | None, float]]:
    found = selector.select(samples, SelectionContext(seed=seed))
    return [(s.prompt.id, s.reward, s.weight) for s in found]


def cut(sample: Sample) -> Sample:
    return replace(sample, completion=replace(sample.completion, finish_reason="length"))


def test_all() -> None:
    samples = make_samples({"b": REWARDS, "a": [0.0]})
    assert chosen(All(), samples) == [("a", 0.0, 1.0)] + [("b", reward, 1.0) for reward in REWARDS]


def test_best_of_n() -> None:
    samples = make_samples({"p": REWARDS, "q": [0.4, 0.3], "r": [0.6]})
    assert chosen(BestOfN(n=2), samples) == [("p", 1.0, 1.0), ("p", 0.7, 1.0), ("r", 0.6, 1.0)]
    assert chosen(BestOfN(n=9, threshold=0.35), samples)[-2:] == [("q", 0.4, 1.0), ("r", 0.6, 1.0)]


def test_star_chooses_what_passes() -> None:
    samples = make_samples({"p": [1.0, 0.0, 1.0, 0.9]})
    assert chosen(STaR(), samples) == [("p", 1.0, 1.0)] * 2
    assert chosen(STaR(most=1), samples) == [("p", 1.0, 1.0)]


@pytest.mark.parametrize("selector", [All(), BestOfN(), STaR(), RSO()], ids=repr)
def test_truncated_completions_are_imitated_only_on_request(selector: Any) -> None:
    samples = [cut(sample) for sample in make_samples({"p": [1.0, 1.0]})]
    assert chosen(selector, samples) == []
    assert chosen(replace(selector, truncated=True), samples)


@pytest.mark.parametrize("rewards", [[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]], ids=["best first", "best last"])
def test_rso_draws_from_its_target(rewards: list[float]) -> None:
    """One of three, with probabilities proportional to exp(reward / beta), whatever the order."""
    samples = make_samples({f"p{n}": rewards for n in range(3000)})
    drawn = Counter(reward for _, reward, _ in chosen(RSO(n=1, beta=0.5), samples))
    total = sum(math.exp(reward / 0.5) for reward in rewards)
    for reward in rewards:
        assert drawn[reward] / 3000 == pytest.approx(math.exp(reward / 0.5) / total, abs=0.03)


def test_ties_belong_to_completions() -> None:
    """Another threshold, or another number of completions, keeps the order of those that remain."""
    samples = make_samples({"p": [1.0] * 6 + [0.6] * 6})

    def order(n: int, threshold: float, among: Sequence[Sample]) -> list[int]:
        found = BestOfN(n=n, threshold=threshold).select(among, SelectionContext(seed=3))
        return [s.completion.index for s in found]

    assert order(8, 0.9, samples) == order(12, 0.5, samples)[:6]
    assert order(4, 0.5, samples) == order(12, 0.5, samples)[:4]
    assert order(12, 0.5, samples[1:]) == [index for index in order(12, 0.5, samples) if index]


@pytest.mark.parametrize("rewards", [REWARDS, [1.0, 0.0, 0.0]], ids=str)
def test_groups_give_advantages(rewards: list[float]) -> None:
    samples = make_samples({"p": rewards, "equal": [0.5, 0.5], "single": [1.0]})
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
    cases: list[tuple[dict[str, Any], list[float]]] = [
        ({}, [(r - mean) / (deviation + 1e-4) for r in rewards]),
        ({"scale": "none"}, [r - mean for r in rewards]),
        (
            {"scale": "none", "baseline": "leave_one_out"},
            [r - (sum(rewards) - r) / (len(rewards) - 1) for r in rewards],
        ),
    ]
    for options, advantages in cases:
        rows = chosen(Groups(**options), samples)
        assert [row[:2] for row in rows] == [("p", reward) for reward in rewards]
        assert [row[2] for row in rows] == pytest.approx(list(advantages))


def test_truncated_completions_are_part_of_a_group() -> None:
    samples = make_samples({"p": [1.0, 0.0]})
    assert len(chosen(Groups(), [samples[0], cut(samples[1])])) == 2


def test_pairs() -> None:
    samples = make_samples({"p": REWARDS, "equal": [0.5, 0.5]})
    best = [("p", 1.0, 1.0), ("p", 0.0, -1.0)]
    assert chosen(Pairs(), samples) == best
    assert chosen(Pairs(most=9), samples) == [*best, ("p", 0.7, 1.0), ("p", 0.5, -1.0)]
    assert chosen(Pairs(most=9, margin=0.3), samples) == best
    assert chosen(Pairs(margin=1.0), samples) == []


def test_pairs_by_stage() -> None:
    samples = make_samples({"p": [0.3, 0.9]})
    stages = (Stage.CRASHED, Stage.INVALID)
    samples = [
        replace(s, verdict=replace(s.verdict, stage=stage)) for s, stage in zip(samples, stages, strict=True)
    ]
    assert chosen(Pairs(by="stage"), samples) == [("p", 0.3, 1.0), ("p", 0.9, -1.0)]
    assert chosen(Pairs(by="stage", margin=3), samples) == []


def test_pairs_of_similar_length() -> None:
    """The best pair is too uneven, so the next one is selected."""
    samples = make_samples({"p": [1.0, 0.5, 0.0]})
    samples = [
        replace(s, completion=replace(s.completion, token_ids=(1,) * length, logprobs=None))
        for s, length in zip(samples, (10, 15, 40), strict=True)
    ]
    assert chosen(Pairs(max_length_ratio=1.5), samples) == [("p", 1.0, 1.0), ("p", 0.5, -1.0)]
    assert chosen(Pairs(max_length_ratio=1.4), samples) == []


@pytest.mark.parametrize("selector", [All(), BestOfN(n=4), STaR(), Groups(), Pairs()], ids=repr)
def test_solved_prompts_may_weigh_less(selector: Any) -> None:
    samples = make_samples({"hard": [1.0, 0.0, 0.0, 0.0], "solved": [1.0, 1.0, 1.0, 0.0]})
    plain = chosen(selector, samples)
    assert {row[0] for row in plain} == {"hard", "solved"}
    without = chosen(replace(selector, solved_at=0.75), samples)
    assert without == [row for row in plain if row[0] == "hard"]
    lighter = chosen(replace(selector, solved_at=0.75, solved_weight=0.5), samples)
    assert lighter == [(p, r, w * (0.5 if p == "solved" else 1.0)) for p, r, w in plain]
    assert chosen(replace(selector, solved_at=0.76), samples) == plain
