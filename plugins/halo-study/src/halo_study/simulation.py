"""Simulated studies: they check the statistics, and tell what a study of a given size can show.

A simulated run has a held-out pass rate for each prompt that rises over the cycles. On the scale of log odds, it is the
sum of the curve, the prompt's difficulty, the luck of the seed, the luck of the arm with that seed, and a part of the
arm's effect that depends on the prompt. Completions are drawn from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from halo_study.results import RunResult
from halo_study.statistics import LEVEL, Estimate, difference, holm

_TRUTH_PROMPTS = 200_000
_DRAWS = 300
"""Bootstrap draws in a simulated study: fewer than in a report, for speed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The size of a simulated study, and how much its runs differ. Spreads are standard deviations of log odds."""

    seeds: int = 10
    prompts: int = 48
    completions: int = 2
    cycles: int = 12
    start: float = 0.3
    """Mean pass rate before training, of a prompt of mean difficulty."""
    end: float = 0.45
    """The same after training."""
    difficulty: float = 1.5
    """Spread between prompts."""
    by_seed: float = 0.15
    """Spread between seeds, common to all arms."""
    by_run: float = 0.15
    """Spread between the runs of a seed: the luck of an arm with a seed."""
    by_prompt: float = 0.4
    """Spread of an arm's effect between prompts."""
    by_cell: float = 0.5
    """Spread of a prompt between runs."""
    effect: float = 0.0
    """Mean effect of the second arm, in log odds, in full at the last cycle."""


def simulate(world: World, arms: int, rng: np.random.Generator) -> list[dict[int, RunResult]]:
    """Return the runs of each arm by seed. Every arm but the first has the effect."""
    difficulty = rng.normal(0, world.difficulty, world.prompts)
    luck = rng.normal(0, world.by_seed, world.seeds)
    found: list[dict[int, RunResult]] = []
    for arm in range(arms):
        own = rng.normal(0, world.by_prompt, world.prompts) if arm else np.zeros(world.prompts)
        runs = {}
        for seed in range(world.seeds):
            shift = luck[seed] + rng.normal(0, world.by_run) + rng.normal(0, world.by_cell, world.prompts)
            effect = (world.effect + own) if arm else own
            logits = _curve(world)[:, None] + difficulty + _share(world)[:, None] * (shift + effect)
            passes = rng.binomial(world.completions, _logistic(logits)).astype(float)
            verdicts = np.full_like(passes, world.completions)
            runs[seed] = RunResult(str(arm), seed, None, "", passes, verdicts)
        found.append(runs)
    return found


def truth(world: World, outcome: str = "final") -> float:
    """Return the difference that infinitely many seeds and prompts would show, for `final` and `area`."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, world.difficulty, _TRUTH_PROMPTS)
    spread = (world.by_seed**2 + world.by_run**2 + world.by_cell**2) ** 0.5
    shift = rng.normal(0, spread, _TRUTH_PROMPTS)
    own = rng.normal(0, world.by_prompt, _TRUTH_PROMPTS)
    cycles = [world.cycles] if outcome == "final" else range(1, world.cycles + 1)
    curve, share = _curve(world), _share(world)
    found = [
        np.mean(
            _logistic(curve[c] + difficulty + share[c] * (shift + world.effect + own))
            - _logistic(curve[c] + difficulty + share[c] * shift)
        )
        for c in cycles
    ]
    return float(np.mean(found))


@dataclass(frozen=True, slots=True)
class Check:
    """The behaviour of the method in simulated studies."""

    studies: int
    any_false: float
    """Share of the studies without any difference in which at least one comparison was called different."""
    each_false: float
    """Share of their comparisons with an uncorrected p-value below the level."""
    coverage: float
    """Share of the 95% intervals that contain the true difference."""


def check(world: World, *, studies: int, arms: int = 4, outcome: str = "final", seed: int = 0) -> Check:
    """Simulate studies and count errors. With no effect, the arms are equal but for their name.

    An arm equal to the first has no effect of its own on any prompt, so `by_prompt` only counts with an effect.
    """
    rng = np.random.default_rng(seed)
    null = world.effect == 0
    world = replace(world, by_prompt=0.0) if null else world
    expected = 0.0 if null else truth(world, outcome)
    families = false = covered = 0
    for _ in range(studies):
        first, *others = simulate(world, arms, rng)
        found = [difference(other, first, outcome, draws=_DRAWS) for other in others]
        families += min(holm([each.p for each in found])) < LEVEL
        false += sum(each.p < LEVEL for each in found)
        covered += sum(_contains(each, expected) for each in found)
    comparisons = studies * (arms - 1)
    return Check(studies, families / studies, false / comparisons, covered / comparisons)


def smallest_shown(
    world: World, *, comparisons: int, studies: int = 60, power: float = 0.8, seed: int = 0
) -> float | None:
    """Return the smallest difference of the final pass rate that `power` of such studies show, by simulation.

    None if they do not show the largest one that is tried, 3 in log odds.
    Shown: its p-value is below the level divided by the number of comparisons, the strictest step of Holm's correction.
    """

    def enough(effect: float) -> bool:
        rng = np.random.default_rng(seed)
        tried = replace(world, effect=effect)
        return sum(_shown(simulate(tried, 2, rng), comparisons) for _ in range(studies)) >= power * studies

    low, high = 0.0, 3.0
    if not enough(high):
        return None
    for _ in range(7):  # to 3 / 2^7 of log odds, about half a point
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return truth(replace(world, effect=high))


def _shown(arms: Sequence[dict[int, RunResult]], comparisons: int) -> bool:
    found = difference(arms[1], arms[0], "final", draws=_DRAWS)
    return found.p < LEVEL / comparisons and found.value > 0


def _contains(found: Estimate, value: float) -> bool:
    low, high = found.interval()
    return low <= value <= high


def _curve(world: World) -> np.ndarray:
    first, last = (np.log(rate / (1 - rate)) for rate in (world.start, world.end))
    curve: np.ndarray = first + _share(world) * (last - first)
    return curve


def _share(world: World) -> np.ndarray:
    """Return how much of training has taken effect after each cycle: most of it in the first."""
    cycles = np.arange(world.cycles + 1)
    share: np.ndarray = (1 - 0.7**cycles) / (1 - 0.7**world.cycles)
    return share


def _logistic(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-values))
    return result
