"""Differences between arms, with intervals that hold for five seeds and more.

Two arms are compared on the same seeds and the same held-out prompts. Both are samples: another seed and other prompts
would give another difference. So seeds and prompts are resampled, independently of each other because every seed is
measured on the same prompts (the pigeonhole bootstrap, Owen 2007, arXiv 0712.1111).

With few seeds the percentiles of a bootstrap are too narrow: it resamples from 5 values as if they were the population,
and a normal quantile ignores that their spread is an estimate. So the bootstrap gives the variances, each is made
unbiased, and the interval uses Student's t with the degrees of freedom of Satterthwaite (1946). `halo_study.simulation`
checks the coverage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from halo_core import RunError, derive_seed
from halo_study.outcomes import OUTCOMES
from halo_study.results import RunResult

DRAWS = 1000
"""Bootstrap draws. The variances that are taken from them have a relative error of about 5%."""
LEVEL = 0.05
"""Probability of a false difference, over all comparisons that were named beforehand together."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds and prompts, in the outcome's unit."""

    value: float
    error: float
    """Standard error; NaN for fewer than two seeds."""
    freedom: float
    """Degrees of freedom."""
    seeds: int

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the interval with coverage 1 - `level`; infinite for fewer than two seeds."""
        if self.seeds < 2:
            return float("-inf"), float("inf")
        half = self.error * float(stats.t.ppf(1 - level / 2, self.freedom))
        return self.value - half, self.value + half

    @property
    def p(self) -> float:
        """Two-sided p-value of the mean being 0; 1 for fewer than two seeds."""
        if self.seeds < 2:
            return 1.0
        if self.error == 0:  # all seeds show the same: a sign test
            return 1.0 if self.value == 0 else float(2.0 ** (1 - self.seeds))
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion about a difference."""

    estimate: Estimate
    adjusted_p: float
    """The p-value after Holm's correction over all comparisons named beforehand."""
    smallest_effect: float

    @property
    def different(self) -> bool:
        """True if the difference is not 0, at the level of all comparisons together."""
        return self.adjusted_p < LEVEL

    @property
    def equivalent(self) -> bool:
        """True if the whole 95% interval is within the smallest effect of interest."""
        low, high = self.estimate.interval()
        return -self.smallest_effect < low and high < self.smallest_effect

    @property
    def text(self) -> str:
        """The conclusion in a few words: higher, lower, equivalent, not shown."""
        if self.different:
            word = "higher" if self.estimate.value > 0 else "lower"
            return f"{word}, but by less than matters" if self.equivalent else word
        return "equivalent" if self.equivalent else "not shown"


Part = tuple[float, Mapping[int, RunResult]]
"""A weight, and the runs of an arm by seed."""


def difference(
    ones: Mapping[int, RunResult],
    others: Mapping[int, RunResult] | None,
    outcome: str,
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Estimate:
    """Return the mean of `ones` minus that of `others`, both by seed, over the seeds that both have.

    None for `others`: the mean of `ones`. Raises a `RunError` if they were measured on different prompts.
    """
    parts: list[Part] = [(1.0, ones)] if others is None else [(1.0, ones), (-1.0, others)]
    return contrast(parts, outcome, seed=seed, draws=draws)


def contrast(parts: Sequence[Part], outcome: str, *, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Return the weighted sum of an outcome's means, over the seeds that all parts have.

    Raises a `RunError` if they were measured on different prompts.
    """
    seeds = sorted(set.intersection(*(set(runs) for _, runs in parts)))
    if not seeds:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rows = [[(weight, runs[seed]) for weight, runs in parts] for seed in seeds]
    prompts = {run.passes.shape[1] for row in rows for _, run in row}
    if len(prompts) > 1:
        raise RunError(
            f"the runs have different numbers of held-out prompts: {sorted(prompts)}",
            hint="compare arms with the same data.heldout and heldout.limit",
        )
    rng = np.random.default_rng(derive_seed(seed, "bootstrap", outcome))
    size = prompts.pop()
    whole = _values(rows, outcome, np.ones((1, size)))[0]
    if len(seeds) < 2:
        return Estimate(float(whole.mean()), float("nan"), float("nan"), 1)
    resampled = None
    if OUTCOMES[outcome].by_prompt and size > 1:
        weights = rng.multinomial(size, np.full(size, 1 / size), size=draws).astype(float)
        resampled = _values(rows, outcome, weights)
    return estimate(whole, resampled, size, rng)


def estimate(
    whole: np.ndarray, resampled: np.ndarray | None, prompts: int, rng: np.random.Generator
) -> Estimate:
    """Return the mean of values by seed.

    `whole`: shape (seeds,), on all prompts. `resampled`: shape (draws, seeds), on resampled prompts; None if the value
    does not depend on prompts.

    Three bootstrap variances of the mean: with resampled seeds, with resampled prompts, and with both. The last exceeds
    the sum of the others by the noise of single completions, which both of them contain. So the variance is seeds +
    prompts - noise, and at least the larger of the two. If runs differ by that noise alone, the interval is wider
    than necessary: it covers in about 98% of the cases. With two or three seeds it can be too narrow: in simulated
    studies of two seeds whose runs differ much, it covers in 88%.
    """
    count = len(whole)
    by_seed = float(whole.var(ddof=1)) / count
    if resampled is None:
        return Estimate(float(whole.mean()), by_seed**0.5, count - 1.0, count)
    by_prompt = float(resampled.mean(axis=1).var()) * prompts / (prompts - 1)
    picks = rng.integers(0, count, size=resampled.shape)
    both = float(np.take_along_axis(resampled, picks, axis=1).mean(axis=1).var())
    noise = max(0.0, both - by_seed * (count - 1) / count - by_prompt * (prompts - 1) / prompts)
    variance = max(by_seed, by_prompt, by_seed + by_prompt - noise)
    parts = by_seed**2 / (count - 1) + by_prompt**2 / (prompts - 1)
    freedom = max(count - 1.0, variance**2 / parts) if parts else count - 1.0
    return Estimate(float(whole.mean()), variance**0.5, freedom, count)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979): the chance of any false difference stays at the level."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    corrected, highest = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = highest
    return corrected


def verdicts(estimates: Sequence[Estimate], smallest: Sequence[float], *, missing: int = 0) -> list[Verdict]:
    """Return the conclusions of comparisons that were named beforehand, corrected together.

    `missing` comparisons have no estimate yet, or were dropped. They count, or a look at the results would reduce the
    correction.
    """
    corrected = holm([each.p for each in estimates] + [1.0] * missing)[: len(estimates)]
    return [Verdict(*row) for row in zip(estimates, corrected, smallest, strict=True)]


def _values(
    rows: Sequence[Sequence[tuple[float, RunResult]]], outcome: str, weights: np.ndarray
) -> np.ndarray:
    """Return the weighted sum of each row of runs for each row of prompt weights: shape (draws, rows)."""
    of = OUTCOMES[outcome].of
    return np.stack([sum(factor * of(run, weights) for factor, run in row) for row in rows], axis=1)
