"""The statistics of the rules: intervals of differences, trends, outliers. No rule decides without them.

Reports hold no single verdicts, but the intervals in them were made by resampling prompts. From these follows
how much less a completion tells than an independent one would (the design effect, Kish 1965), and that is
applied to the shares that come without an interval.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from halo_core.metrics import Z95, independent_error
from halo_core.types import EvalMetrics, PairedDifference

_BLOCKS = 60


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its standard error."""

    value: float
    error: float

    def interval(self, z: float) -> tuple[float, float]:
        """Return the interval of `z` standard errors either side."""
        return (self.value - z * self.error, self.value + z * self.error)

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference, as if the two were independent."""
        return Estimate(self.value - other.value, math.hypot(self.error, other.error))


def z_of(confidence: float, comparisons: int = 1, prompts: int = 0) -> float:
    """Return the standard errors of a two-sided interval that holds for `comparisons` at once (Bonferroni).

    With `prompts` known, as of Student's t with one degree of freedom less, to the first order of its expansion
    (Abramowitz and Stegun 26.7.5): a standard error from few prompts is itself uncertain. One prompt tells as
    little of the others as two do; 0: not known.
    """
    z = statistics.NormalDist().inv_cdf(1 - (1 - confidence) / (2 * max(1, comparisons)))
    return z + (z**3 + z) / (4 * (max(2, prompts) - 1)) if prompts else z


def share(value: float, count: float) -> Estimate:
    """Return a share of `count` completions with the error of independent draws.

    Between two cycles that is right or too much, for they have the same prompts, whose differences cancel; a
    share on its own is `clustered`.
    """
    return Estimate(value, independent_error(value * count, count))


def clustered(estimate: Estimate, rates: EvalMetrics) -> Estimate:
    """Return `estimate`, a share of the completions of `rates`, with the error that the design effect gives it."""
    return Estimate(estimate.value, estimate.error * math.sqrt(design_effect(rates)))


def design_effect(rates: EvalMetrics) -> float:
    """Return by how much the variance of a share exceeds that of independent completions, at least 1."""
    found = [1.0]
    for value, (low, high) in ((rates.passed, rates.passed_interval), (rates.valid, rates.valid_interval)):
        alone = value * (1 - value) / rates.samples if rates.samples else 0.0
        if alone > 0:
            found.append(((high - low) / (2 * Z95)) ** 2 / alone)
    return max(found)


def passed(rates: EvalMetrics) -> Estimate:
    """Return the pass rate."""
    return share(rates.passed, rates.samples)


def valid(rates: EvalMetrics) -> Estimate:
    """Return the valid rate."""
    return share(rates.valid, rates.samples)


def truncated(rates: EvalMetrics) -> Estimate:
    """Return the share that the token limit cut short."""
    return share(rates.truncated, rates.samples)


def passed_of_valid(rates: EvalMetrics) -> Estimate:
    """Return which share of the valid completions pass."""
    count = rates.valid * rates.samples
    return share(rates.passed / rates.valid if rates.valid else 0.0, count)


def unjudged(known: Sequence[EvalMetrics]) -> Estimate:
    """Return the share of all completions of `known` that the verifier could not judge."""
    lost = sum(rates.errors + rates.inconclusive for rates in known)
    count = lost + sum(rates.samples for rates in known)
    return clustered(share(lost / count, count), known[0]) if count else Estimate(0.0, 1.0)


def prompts_in(rates: EvalMetrics) -> int:
    """Return how many prompts the completions belong to; where that was not counted rather too few, or 0."""
    most = max((int(k) for k in rates.pass_at), default=0)
    return rates.prompts or (rates.samples // (2 * most - 1) if most else 0)


def of_prompts(rates: EvalMetrics, value: float) -> Estimate:
    """Return a share of the prompts, or a mean over them of something between 0 and 1, with its error."""
    return share(value, prompts_in(rates))


def paired(change: PairedDifference) -> Estimate:
    """Return the difference of a paired comparison."""
    low, high = change.interval
    return Estimate(change.difference, (high - low) / (2 * Z95))


def trend(values: Sequence[float]) -> tuple[float, float]:
    """Return Theil and Sen's slope per step and the z of Mann and Kendall's test that there is one.

    Neither minds outliers nor how the noise is distributed. Of more than 60 values, means of neighbours are
    looked at. (0, 0) for fewer than four values.
    """
    width = math.ceil(len(values) / _BLOCKS)
    values = [statistics.fmean(values[i : i + width]) for i in range(0, len(values), width or 1)]
    n = len(values)
    if n < 4:
        return 0.0, 0.0
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    slopes = [(values[j] - values[i]) / (j - i) for i, j in pairs]
    score = sum((values[j] > values[i]) - (values[j] < values[i]) for i, j in pairs)
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return statistics.median(slopes) / width, (score - math.copysign(1, score)) / spread if score else 0.0


def alternation(values: Sequence[float]) -> tuple[float, float]:
    """Return the lag-1 autocorrelation of `values` about their trend, and its z against independent values.

    Steps that overshoot alternate, so it is negative; for independent values it is -1/n, give or take
    1/sqrt(n). (0, 0) for fewer than eight values or no spread.
    """
    n = len(values)
    if n < 8:
        return 0.0, 0.0
    line = statistics.linear_regression(range(n), values)
    rest = [value - line.slope * place - line.intercept for place, value in enumerate(values)]
    total = sum(value * value for value in rest)
    if total <= 0:
        return 0.0, 0.0
    r = sum(a * b for a, b in itertools.pairwise(rest)) / total
    return r, (r + 1 / n) * math.sqrt(n)


def variation(values: Sequence[float]) -> float:
    """Return the spread about the median relative to it: the scaled median absolute deviation."""
    middle = statistics.median(values)
    return mad(values) / abs(middle) if middle else math.inf


def mad(values: Sequence[float]) -> float:
    """Return the median absolute deviation, scaled to estimate a standard deviation."""
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values)


def leap(values: Sequence[float], window: int = 4) -> tuple[int, float, float]:
    """Return the place of the largest leap over the median of the values before, in deviations, and its ratio.

    Looked at in logarithms, as losses vary in proportion to their size. The deviation is the scaled median
    absolute one of all such differences, so that the fall of a loss at the start of training is none. (0, 0, 1)
    for fewer than eight values or any that is not positive.
    """
    if len(values) < 2 * window or min(values) <= 0:
        return 0, 0.0, 1.0
    logs = [math.log(value) for value in values]
    above = [log - statistics.median(logs[max(0, i - window) : i]) for i, log in enumerate(logs) if i]
    place = max(range(len(above)), key=above.__getitem__)
    spread = mad(above)
    deviations = (above[place] - statistics.median(above)) / spread if spread > 0 else 0.0
    return place + 1, deviations, math.exp(above[place])
