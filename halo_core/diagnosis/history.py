"""A run's reports in the form that the rules read: series by cycle, and comparisons at the required confidence.

An `Evidence` property returns None unless the statement in its docstring holds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import cached_property

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Evidence
from halo_core.diagnosis.measures import Estimate
from halo_core.diagnosis.options import Thresholds
from halo_core.metrics import Z95
from halo_core.types import CycleReport, EvalMetrics, TrainStats

Measure = Callable[[EvalMetrics], Estimate]


class History:
    """The reports of a run so far, cycle 0 first, with the thresholds that apply to them."""

    def __init__(self, reports: Sequence[CycleReport], options: Thresholds) -> None:
        self.reports = tuple(reports)
        self.options = options

    @property
    def last(self) -> CycleReport:
        """The report of the last cycle."""
        return self.reports[-1]

    @cached_property
    def training(self) -> list[tuple[int, TrainStats]]:
        """The training statistics of each cycle that trained."""
        return [(report.cycle, report.train) for report in self.reports if report.train is not None]

    @cached_property
    def heldout(self) -> list[tuple[int, EvalMetrics]]:
        """Held-out metrics by the cycle after which they were measured."""
        return [
            (report.cycle, report.heldout)
            for report in self.reports
            if report.heldout and report.heldout.samples
        ]

    @cached_property
    def sampled(self) -> list[tuple[int, EvalMetrics]]:
        """Metrics of the training samples by the cycle whose weights sampled them, comparable to `heldout`."""
        return [
            (report.cycle - 1 if report.sampled_from is None else report.sampled_from, report.sampled)
            for report in self.reports
            if report.sampled and report.sampled.samples
        ]

    @cached_property
    def measured(self) -> list[tuple[int, EvalMetrics]]:
        """The held-out metrics, or those of the training samples if there are no held-out prompts."""
        return self.heldout if len(self.heldout) > 1 else self.sampled

    @cached_property
    def kl(self) -> dict[int, float]:
        """KL(before || after) by cycle, nats per token, without cycles for which it is unknown."""
        return {cycle: train.kl for cycle, train in self.training if train.kl is not None}

    @cached_property
    def z(self) -> float:
        """Half-width, in standard errors, of intervals that hold at once for all cycles, against first and best."""
        return self.z_for(2 * (len(self.reports) - 1))

    def z_for(self, comparisons: int) -> float:
        """Return the half-width, in standard errors, of intervals that hold for `comparisons` comparisons at once."""
        prompts = measures.prompt_count(self.measured[-1][1]) if self.measured else 0
        return measures.z_score(self.options.confidence, comparisons, prompts)

    def compare(
        self, series: Sequence[tuple[int, EvalMetrics]], measure: Measure, *, since: int | None = None
    ) -> Estimate | None:
        """Return the change of `measure` from cycle `since` (default: the first) to the last; None without two cycles.

        The two are treated as independent except that they share their prompts.
        """
        known = dict(series)
        if len(known) < 2 or (since is not None and since not in known):
            return None
        first, last = series[0][0] if since is None else since, series[-1][0]
        return measure(known[last]) - measure(known[first]) if first < last else None

    @cached_property
    def from_best(self) -> tuple[int, Estimate] | None:
        """The cycle with the best pass rate and the last cycle's difference from it; None if the last cycle is best."""
        report, known = self.last, dict(self.measured)
        if report.best in known and report.versus_best is not None:
            best, change = report.best, measures.paired(report.versus_best)
        elif len(self.measured) > 1:
            best = max(self.measured[:-1], key=lambda pair: pair[1].passed)[0]
            unpaired = self.compare(self.measured, measures.passed, since=best)
            if unpaired is None:
                return None
            change = unpaired
        else:
            return None
        return (best, change) if change.value < 0 else None

    @cached_property
    def fall(self) -> Evidence | None:
        """The pass rate is below its best, beyond noise and `regression_points`."""
        if self.from_best is None:
            return None
        best, change = self.from_best
        high = change.interval(self.z)[1]
        if not (high < 0 and change.value <= -self.options.regression_points):
            return None
        return self.change("regression", "pass rate", change, dict(self.measured)[best].passed, best)

    @cached_property
    def gain(self) -> Evidence | None:
        """The pass rate is above its first value. A gain only excuses other signs, so 95% confidence suffices."""
        change = self.compare(self.measured, measures.passed)
        if change is None or change.interval(Z95)[0] <= 0:
            return None
        first, metrics = self.measured[0]
        return self.change("gain", "pass rate", change, metrics.passed, first)

    @cached_property
    def gaining(self) -> bool:
        """True if the last `patience` cycles together raised the pass rate; 95% confidence suffices."""
        cycles = [cycle for cycle, _ in self.measured]
        if len(cycles) <= self.options.patience:
            return self.gain is not None
        change = self.compare(self.measured, measures.passed, since=cycles[-1 - self.options.patience])
        return change is not None and change.interval(Z95)[0] > 0

    def change(self, signal: str, name: str, change: Estimate, before: float, since: int) -> Evidence:
        """Return evidence of a change of a share of the measured samples, from `before` in cycle `since` to now."""
        low, high = change.interval(self.z)
        where = "held-out " if self.measured is self.heldout else ""
        last = self.measured[-1][0]
        text = (
            f"{where}{name} {before:.1%} after cycle {since}, {before + change.value:.1%} after cycle {last}: "
            f"{points(change.value)} points (interval {points(low)} to {points(high)})"
        )
        return Evidence(signal, text, (since, last), (before, before + change.value), (low, high))

    @cached_property
    def cycles(self) -> tuple[int, ...]:
        """The cycles that trained."""
        return tuple(cycle for cycle, _ in self.training)

    @cached_property
    def valid_rose(self) -> bool:
        """True if the valid rate rose beyond noise since the cycle with the best pass rate."""
        change = self.compare(
            self.measured, measures.valid, since=self.from_best[0] if self.from_best else None
        )
        return change is not None and change.interval(self.z)[0] > 0

    @cached_property
    def truncation_rose(self) -> Evidence | None:
        """The truncated share rose since the first cycle, beyond noise and `truncated_rise`."""
        change = self.compare(self.measured, measures.truncated)
        if change is None or change.value < self.options.truncated_rise or change.interval(self.z)[0] <= 0:
            return None
        first, metrics = self.measured[0]
        return self.change("truncation-rising", "truncated share", change, metrics.truncated, first)

    @cached_property
    def update_ratios(self) -> dict[int, float]:
        """Change of the trained weights relative to their norm, by cycle, without cycles that lack the norm."""
        return {
            cycle: train.update_norm / train.weight_norm
            for cycle, train in self.training
            if train.weight_norm > 0
        }

    @cached_property
    def hardly_moved(self) -> Evidence | None:
        """No cycle moved the model by `kl_low`, or, if the KL is unknown, its weights by `update_low`."""
        if self.kl and len(self.kl) == len(self.training):
            limit, most = self.options.kl_low, max(self.kl.values())
            if most >= limit:
                return None
            text = f"no cycle moved the model by more than {most:.2g} nats per token (KL before and after)"
            return Evidence("kl-low", text, self.cycles, tuple(self.kl.values()), threshold=limit)
        limit, ratios = self.options.update_low, self.update_ratios
        if not ratios or len(ratios) < len(self.training) or max(ratios.values()) >= limit:
            return None
        text = f"no cycle changed the trained weights by more than {max(ratios.values()):.2g} of their norm"
        return Evidence("update-low", text, self.cycles, tuple(ratios.values()), threshold=limit)

    @cached_property
    def slow(self) -> Evidence | None:
        """The pass rate rose by less than `slow_points` a cycle, or fell."""
        change = self.compare(self.measured, measures.passed)
        if change is None or change.value / (len(self.measured) - 1) >= self.options.slow_points:
            return None
        first, metrics = self.measured[0]
        return self.change("slow", "pass rate", change, metrics.passed, first)

    def median(self, value: Callable[[TrainStats], float]) -> float:
        """Return the median of `value` over the cycles that trained."""
        return statistics.median(value(train) for _, train in self.training)


def points(share: float) -> str:
    """Format a difference of shares in points."""
    return f"{100 * share:+.1f}"
