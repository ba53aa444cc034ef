"""A run's reports as the rules look at them: series by cycle, and comparisons that hold at the asked confidence."""

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
    """The reports of a run so far, cycle 0 first, with the thresholds to judge them by."""

    def __init__(self, reports: Sequence[CycleReport], options: Thresholds) -> None:
        self.reports = tuple(reports)
        self.options = options

    @property
    def last(self) -> CycleReport:
        """The report of the last cycle."""
        return self.reports[-1]

    @cached_property
    def training(self) -> list[tuple[int, TrainStats]]:
        """What training did in each cycle that had any."""
        return [(each.cycle, each.train) for each in self.reports if each.train is not None]

    @cached_property
    def heldout(self) -> list[tuple[int, EvalMetrics]]:
        """Held-out rates by the cycle after which they were measured."""
        return [(each.cycle, each.heldout) for each in self.reports if each.heldout and each.heldout.samples]

    @cached_property
    def sampled(self) -> list[tuple[int, EvalMetrics]]:
        """EvalMetrics of the training samples by the cycle whose weights made them, as for `heldout`."""
        return [
            (each.cycle - 1, each.sampled) for each in self.reports if each.sampled and each.sampled.samples
        ]

    @cached_property
    def measured(self) -> list[tuple[int, EvalMetrics]]:
        """The held-out rates, or those of the training samples where nothing is held out."""
        return self.heldout if len(self.heldout) > 1 else self.sampled

    @cached_property
    def kl(self) -> dict[int, float]:
        """KL(before || after) by cycle, nats per token, where it is known."""
        return {cycle: train.kl for cycle, train in self.training if train.kl is not None}

    @cached_property
    def z(self) -> float:
        """Standard errors of an interval that holds for all cycles at once, compared with first and best."""
        return self.z_for(2 * (len(self.reports) - 1))

    def z_for(self, comparisons: int) -> float:
        """Return the standard errors of an interval that holds for so many comparisons of rates."""
        prompts = measures.prompts_in(self.measured[-1][1]) if self.measured else 0
        return measures.z_of(self.options.confidence, comparisons, prompts)

    def compare(
        self, series: Sequence[tuple[int, EvalMetrics]], measure: Measure, *, since: int | None = None
    ) -> Estimate | None:
        """Return how `measure` has changed from cycle `since` (the first) to the last; None without two cycles.

        As if the two were independent, but for the prompts, which they share.
        """
        rates = dict(series)
        if len(rates) < 2 or (since is not None and since not in rates):
            return None
        first, last = series[0][0] if since is None else since, series[-1][0]
        return measure(rates[last]) - measure(rates[first]) if first < last else None

    @cached_property
    def from_best(self) -> tuple[int, Estimate] | None:
        """The cycle with the best pass rate so far, and how the last differs from it; None for the best itself."""
        report, known = self.last, dict(self.measured)
        if report.best in known and report.versus_best is not None:
            best, change = report.best, measures.paired(report.versus_best)
        elif len(self.measured) > 1:
            best = max(self.measured[:-1], key=lambda pair: pair[1].passed)[0]
            found = self.compare(self.measured, measures.passed, since=best)
            if found is None:
                return None
            change = found
        else:
            return None
        return (best, change) if change.value < 0 else None

    @cached_property
    def fall(self) -> Evidence | None:
        """That the pass rate is below its best, beyond noise and `regression_points`."""
        if self.from_best is None:
            return None
        best, change = self.from_best
        high = change.interval(self.z)[1]
        if not (high < 0 and change.value <= -self.options.regression_points):
            return None
        rates = dict(self.measured)
        return self.change("regression", "pass rate", change, rates[best].passed, best)

    @cached_property
    def gain(self) -> Evidence | None:
        """That the pass rate is above its first. It is an alibi, so 95% are enough."""
        change = self.compare(self.measured, measures.passed)
        if change is None or change.interval(Z95)[0] <= 0:
            return None
        first, rates = self.measured[0]
        return self.change("gain", "pass rate", change, rates.passed, first)

    @cached_property
    def gaining(self) -> bool:
        """Whether the last `patience` cycles together raised the pass rate; 95% are enough."""
        cycles = [cycle for cycle, _ in self.measured]
        if len(cycles) <= self.options.patience:
            return self.gain is not None
        change = self.compare(self.measured, measures.passed, since=cycles[-1 - self.options.patience])
        return change is not None and change.interval(Z95)[0] > 0

    def change(self, signal: str, name: str, change: Estimate, before: float, since: int) -> Evidence:
        """Put a change of a share of the measured samples into words."""
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
        """Whether the valid rate is higher than it was at the best pass rate, beyond noise."""
        change = self.compare(
            self.measured, measures.valid, since=self.from_best[0] if self.from_best else None
        )
        return change is not None and change.interval(self.z)[0] > 0

    @cached_property
    def truncation_rose(self) -> Evidence | None:
        """That the truncated share rose since the first cycle, beyond noise and `truncated_rise`."""
        change = self.compare(self.measured, measures.truncated)
        if change is None or change.value < self.options.truncated_rise or change.interval(self.z)[0] <= 0:
            return None
        first, rates = self.measured[0]
        return self.change("truncation-rising", "truncated share", change, rates.truncated, first)

    @cached_property
    def update_ratios(self) -> dict[int, float]:
        """Change of the trained weights relative to their norm, by cycle, where it is known."""
        return {
            c: train.update_norm / train.weight_norm for c, train in self.training if train.weight_norm > 0
        }

    def still(self, kl: float, update: float) -> Evidence | None:
        """That no cycle moved the model by more than `kl`, or its weights by `update` where that is not known."""
        if self.kl and len(self.kl) == len(self.training):
            most = max(self.kl.values())
            text = f"no cycle moved the model by more than {most:.2g} nats per token (KL before and after)"
            return (
                Evidence("kl-low", text, self.cycles, tuple(self.kl.values()), threshold=kl)
                if most < kl
                else None
            )
        ratios = self.update_ratios
        if not ratios or len(ratios) < len(self.training) or max(ratios.values()) >= update:
            return None
        text = f"no cycle changed the trained weights by more than {max(ratios.values()):.2g} of their norm"
        return Evidence("update-low", text, self.cycles, tuple(ratios.values()), threshold=update)

    @cached_property
    def slow(self) -> Evidence | None:
        """That the pass rate rose by less than `slow_points` a cycle, if it rose at all."""
        change = self.compare(self.measured, measures.passed)
        if change is None or change.value / (len(self.measured) - 1) >= self.options.slow_points:
            return None
        first, rates = self.measured[0]
        return self.change("slow", "pass rate", change, rates.passed, first)

    def median(self, what: Callable[[TrainStats], float]) -> float:
        """Return the median over the cycles of something that training reports."""
        return statistics.median(what(train) for _, train in self.training)


def points(share: float) -> str:
    """Write a difference of shares in points."""
    return f"{100 * share:+.1f}"
