"""The statistics behind the rules: intervals of differences, trends, outliers. Every rule relies on them.

Reports do not contain single verdicts, but their intervals come from resampling prompts. The intervals show how much
less information a completion carries than an independent one would: the design effect (Kish 1965). It is applied to
the shares that have no interval of their own.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from halo_core.metrics import Z95, independent_error
from halo_core.types import CycleReport, EvalMetrics, PairedDifference

PROOF = 4
"""A sampler is off by about as much as the training's shift if it has the weights from before; less than the shift
divided by this proves that it has the trained ones."""
_BLOCKS = 60


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its standard error."""

    value: float
    error: float
    lowest: float = 0.0
    """The lowest possible value: 0 for a share, -1 for a difference of shares."""
    highest: float = 1.0

    def interval(self, z: float) -> tuple[float, float]:
        """Return the interval of `z` standard errors on either side, cut where no value is possible."""
        low, high = self.value - z * self.error, self.value + z * self.error
        return (max(self.lowest, low), min(self.highest, high))

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference, treating the two as independent."""
        return Estimate(
            self.value - other.value,
            math.hypot(self.error, other.error),
            self.lowest - other.highest,
            self.highest - other.lowest,
        )


def z_score(confidence: float, comparisons: int = 1, prompts: int = 0) -> float:
    """Return the half-width, in standard errors, of two-sided intervals for `comparisons` at once (Bonferroni).

    If `prompts` is known, the quantile is Student's t with `prompts` - 1 degrees of freedom, to the first order of its
    expansion (Abramowitz and Stegun 26.7.5): a standard error from few prompts is itself uncertain. One prompt is
    treated as two; 0: not known.
    """
    z = statistics.NormalDist().inv_cdf(1 - (1 - confidence) / (2 * max(1, comparisons)))
    return z + (z**3 + z) / (4 * (max(2, prompts) - 1)) if prompts else z


def share(value: float, count: float) -> Estimate:
    """Return a share of `count` completions with the error of independent draws.

    Between two cycles that error is right or too large: both have the same prompts, so differences between prompts
    cancel. A share on its own needs `clustered`.
    """
    return Estimate(value, independent_error(value * count, count))


def clustered(estimate: Estimate, metrics: EvalMetrics) -> Estimate:
    """Return `estimate`, a share of the completions of `metrics`, with its error scaled by the design effect."""
    return Estimate(estimate.value, estimate.error * math.sqrt(design_effect(metrics)))


def design_effect(metrics: EvalMetrics) -> float:
    """Return the ratio of a share's variance to that of independent completions, at least 1."""
    ratios = [1.0]
    for value, (low, high) in (
        (metrics.passed, metrics.passed_interval),
        (metrics.valid, metrics.valid_interval),
    ):
        independent = value * (1 - value) / metrics.samples if metrics.samples else 0.0
        if independent > 0:
            ratios.append(((high - low) / (2 * Z95)) ** 2 / independent)
    return max(ratios)


def passed(metrics: EvalMetrics) -> Estimate:
    """Return the pass rate."""
    return share(metrics.passed, metrics.samples)


def passes(metrics: EvalMetrics) -> int:
    """Return the number of completions that passed."""
    return round(metrics.passed * metrics.samples)


def valid(metrics: EvalMetrics) -> Estimate:
    """Return the valid rate."""
    return share(metrics.valid, metrics.samples)


def truncated(metrics: EvalMetrics) -> Estimate:
    """Return the share that the token limit cut short."""
    return share(metrics.truncated, metrics.samples)


def passed_of_valid(metrics: EvalMetrics) -> Estimate:
    """Return the share of the valid completions that pass."""
    count = metrics.valid * metrics.samples
    return share(metrics.passed / metrics.valid if metrics.valid else 0.0, count)


def without_verdict(splits: Sequence[EvalMetrics]) -> Estimate:
    """Return the share of all completions of `splits` with a verdict of neither pass nor fail."""
    lost = sum(metrics.errors + metrics.inconclusive for metrics in splits)
    count = lost + sum(metrics.samples for metrics in splits)
    return clustered(share(lost / count, count), splits[0]) if count else Estimate(0.0, 1.0)


def prompt_count(metrics: EvalMetrics) -> int:
    """Return the number of prompts of the completions; if it was not recorded, a lower bound, or 0 without one."""
    largest_k = max((int(k) for k in metrics.pass_at), default=0)
    return metrics.prompts or (metrics.samples // (2 * largest_k - 1) if largest_k else 0)


def of_prompts(metrics: EvalMetrics, value: float) -> Estimate:
    """Return `value`, a share of the prompts or a mean over them of a quantity from 0 to 1, with its error."""
    return share(value, prompt_count(metrics))


def paired(change: PairedDifference) -> Estimate:
    """Return the difference of a paired comparison."""
    low, high = change.interval
    return Estimate(change.difference, (high - low) / (2 * Z95), lowest=-1.0)


def sampler_is_proved(report: CycleReport) -> bool:
    """Return whether the sampler check excludes that the weights from before the training were used."""
    shift = report.train.logprob_shift if report.train else None
    return report.sampler_error is not None and shift is not None and report.sampler_error <= shift / PROOF


def trend(values: Sequence[float]) -> tuple[float, float]:
    """Return the slope per step (Theil and Sen) and the z of the test for a trend (Mann and Kendall).

    Both are robust to outliers and make no assumption about the distribution of the noise. More than 60 values are
    first averaged in blocks of neighbours. (0, 0) for fewer than four values.
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

    Steps that overshoot alternate, which makes it negative; for independent values it is -1/n, plus or minus
    1/sqrt(n). (0, 0) for fewer than eight values or no spread.
    """
    n = len(values)
    if n < 8:
        return 0.0, 0.0
    line = statistics.linear_regression(range(n), values)
    residuals = [value - line.slope * index - line.intercept for index, value in enumerate(values)]
    total = sum(value * value for value in residuals)
    if total <= 0:
        return 0.0, 0.0
    r = sum(a * b for a, b in itertools.pairwise(residuals)) / total
    return r, (r + 1 / n) * math.sqrt(n)


def variation(values: Sequence[float]) -> float:
    """Return the scaled median absolute deviation relative to the median."""
    middle = statistics.median(values)
    return mad(values) / abs(middle) if middle else math.inf


def mad(values: Sequence[float]) -> float:
    """Return the median absolute deviation, scaled to estimate a standard deviation."""
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values)


def largest_jump(values: Sequence[float], window: int = 4) -> tuple[int, float, float]:
    """Return the largest jump above the median of the `window` values before: its index, deviations and ratio.

    Computed on logarithms, because losses vary in proportion to their size. A deviation is the scaled median absolute
    deviation of all such differences, so the steady fall of the loss at the start of training does not count as a
    jump. (0, 0, 1) for fewer than two windows of values, or if any value is not positive.
    """
    if len(values) < 2 * window or min(values) <= 0:
        return 0, 0.0, 1.0
    logs = [math.log(value) for value in values]
    above = [log - statistics.median(logs[max(0, i - window) : i]) for i, log in enumerate(logs) if i]
    largest = max(range(len(above)), key=above.__getitem__)
    spread = mad(above)
    deviations = (above[largest] - statistics.median(above)) / spread if spread > 0 else 0.0
    return largest + 1, deviations, math.exp(above[largest])
