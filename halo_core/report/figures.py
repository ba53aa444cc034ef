"""The charts and tables of a report as data, computed from the reports of the cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan, nan
from typing import Any, Literal

from halo_core.types import CycleReport, PairedDifference, Stage

_LINES = 4
"""Maximum lines in one chart: the number of markers that are distinguishable without colour."""
_STAGES = ("sample", "train", "heldout")
"""Stages of a cycle in order; stages that plugins add follow."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values by cycle under one label."""

    label: str
    colour: str
    """Name of the page's CSS variable."""
    points: tuple[tuple[float, float], ...]
    """(cycle, value), in order; NaN breaks the line."""
    bounds: tuple[tuple[float, float], ...] = ()
    """(low, high) of each point, or empty."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart with its labels."""

    title: str
    unit: str
    """Unit and meaning of the vertical axis."""
    series: tuple[Series, ...]
    form: Literal["lines", "steps", "bars"] = "lines"
    """`steps`: a value for each optimizer step, spread over its cycle. `bars`: stacked."""
    share: bool = False
    """True if the values are shares, 0 to 1."""

    @property
    def text(self) -> str:
        """Description of the chart for screen readers."""
        parts = [f"{series.label}: {self._ends(series)}" for series in self.series]
        return f"{self.title} ({self.unit}). {'; '.join(parts)}."

    def _ends(self, series: Series) -> str:
        values = [(cycle, self.value(value)) for cycle, value in series.points if not isnan(value)]
        if not values:
            return "not a number"
        if self.form == "steps":
            return f"{values[0][1]} at the first step, {values[-1][1]} at the last"
        ends = dict.fromkeys((values[0], values[-1]))
        return ", ".join(f"{value} in cycle {cycle:g}" for cycle, value in ends)

    def value(self, value: float) -> str:
        """Format a value in the unit of the chart's axis."""
        return percent(value) if self.share else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers by cycle as text, the cycle first."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def plots(reports: Sequence[CycleReport]) -> list[Plot]:
    """Return the charts for which the reports have data."""
    charts = [
        _heldout(reports), _pass_at(reports), _ladder(reports), _diversity(reports), _lr(reports),
        _kl(reports), _loss(reports), _gradient(reports), _seconds(reports),
    ]  # fmt: skip
    return [plot for plot in charts if plot.series]


def tables(reports: Sequence[CycleReport]) -> list[Table]:
    """Return the numbers of all cycles; empty columns are left out."""
    result = [
        _table("Held-out prompts", _HELDOUT, ((r, r.heldout) for r in reports if r.heldout)),
        _table("Training samples", _SAMPLES, ((r, r.sampled) for r in reports if r.sampled)),
        _table("Training", _training(reports), ((r, r.train) for r in reports if r.train)),
        _table("Seconds", _times(reports), ((r, r.seconds) for r in reports if r.seconds)),
        _table("Seconds that workers waited", _waits(reports), ((r, r.waits) for r in reports if r.waits)),
    ]
    return [table for table in result if table.rows]


def percent(share: float) -> str:
    """Format a share in percent."""
    return f"{100 * share:.1f}%"


def points(share: float) -> str:
    """Format a difference of shares in points."""
    return f"{100 * share:+.1f}"


def _with_points(*series: Series) -> tuple[Series, ...]:
    return tuple(line for line in series if line.points)


def _heldout(reports: Sequence[CycleReport]) -> Plot:
    measured = [(r.cycle, r.heldout) for r in reports if r.heldout]
    passed = tuple((cycle, metrics.passed) for cycle, metrics in measured)
    valid = tuple((cycle, metrics.valid) for cycle, metrics in measured)
    return Plot(
        "Held-out pass and valid rates",
        "share of completions, with 95% intervals",
        _with_points(
            Series("pass", "series-1", passed, tuple(metrics.passed_interval for _, metrics in measured)),
            Series("valid", "series-2", valid, tuple(metrics.valid_interval for _, metrics in measured)),
        ),
        share=True,
    )


def _pass_at(reports: Sequence[CycleReport]) -> Plot:
    measured = [(r.cycle, r.heldout.pass_at) for r in reports if r.heldout]
    known = sorted(set(chain.from_iterable(pass_at for _, pass_at in measured)), key=int)
    last = len(known) - 1
    shown = [
        known[index] for index in sorted({round(n * last / (_LINES - 1)) for n in range(_LINES)}) if known
    ]
    series = (
        Series(
            f"k = {k}",
            f"series-{number}",
            tuple((cycle, pass_at[k]) for cycle, pass_at in measured if k in pass_at),
        )
        for number, k in enumerate(shown, 1)
    )
    return Plot("Held-out pass@k", "share of prompts solved in k tries", _with_points(*series), share=True)


def _ladder(reports: Sequence[CycleReport]) -> Plot:
    measured = [(r.cycle, r.sampled) for r in reports if r.sampled and r.sampled.samples]
    series = (
        Series(
            str(stage),
            f"stage-{stage}",
            tuple(
                (cycle, metrics.stages.get(stage.value, 0) / metrics.samples) for cycle, metrics in measured
            ),
        )
        for stage in Stage
        if any(metrics.stages.get(stage.value) for _, metrics in measured)
    )
    unit = "share by the furthest stage reached"
    return Plot("Stages of training samples", unit, _with_points(*series), "bars", share=True)


def _diversity(reports: Sequence[CycleReport]) -> Plot:
    measured = [(r.cycle, r.sampled) for r in reports if r.sampled]
    return Plot(
        "Diversity of training samples",
        "distinct share",
        _with_points(
            Series("all", "series-1", tuple((cycle, metrics.distinct) for cycle, metrics in measured)),
            Series(
                "correct", "series-2", tuple((cycle, metrics.distinct_correct) for cycle, metrics in measured)
            ),
        ),
        share=True,
    )


def _lr(reports: Sequence[CycleReport]) -> Plot:
    values = tuple((r.cycle, r.lr) for r in reports if r.train)
    return Plot(
        "Learning rate", "peak of the cycle", _with_points(Series("learning rate", "series-1", values))
    )


def _kl(reports: Sequence[CycleReport]) -> Plot:
    values = tuple((r.cycle, r.train.kl) for r in reports if r.train and r.train.kl is not None)
    unit = "KL(before || after), nats per token"
    return Plot("Change of the model by training", unit, _with_points(Series("KL", "series-3", values)))


def _loss(reports: Sequence[CycleReport]) -> Plot:
    steps: list[tuple[float, float]] = []
    for cycle, stats in ((r.cycle, r.train) for r in reports if r.train):
        losses = stats.losses if len(stats.losses) > 1 else (stats.loss_first, stats.loss_last)
        steps += [(cycle, nan)] if steps else []
        steps += [(cycle - 0.5 + (n + 0.5) / len(losses), loss) for n, loss in enumerate(losses)]
    unit = "nats per token, each optimizer step"
    return Plot("Training loss", unit, _with_points(Series("loss", "series-1", tuple(steps))), "steps")


def _gradient(reports: Sequence[CycleReport]) -> Plot:
    values = tuple((r.cycle, r.train.grad_norm_median) for r in reports if r.train)
    unit = "median of the cycle, before clipping"
    return Plot("Gradient norm", unit, _with_points(Series("gradient norm", "series-4", values)))


def _seconds(reports: Sequence[CycleReport]) -> Plot:
    series = (
        Series(
            stage,
            f"series-{number % _LINES + 1}",
            tuple((r.cycle, r.seconds.get(stage, 0.0)) for r in reports if r.seconds),
        )
        for number, stage in enumerate(_stages(reports))
    )
    return Plot("Seconds by stage", "wall clock", _with_points(*series), "bars")


def _stages(reports: Iterable[CycleReport]) -> list[str]:
    names = dict.fromkeys(stage for r in reports for stage in r.seconds)
    return [stage for stage in _STAGES if stage in names] + [stage for stage in names if stage not in _STAGES]


Column = Callable[[CycleReport, Any], str]


def _table(title: str, columns: Mapping[str, Column], rows: Iterable[tuple[CycleReport, Any]]) -> Table:
    rows = list(rows)
    cells = {name: [write(report, part) for report, part in rows] for name, write in columns.items()}
    filled = {name: column for name, column in cells.items() if any(column)}
    cycles = [str(report.cycle) for report, _ in rows]
    return Table(title, ("cycle", *filled), tuple(zip(cycles, *filled.values(), strict=True)))


def _times(reports: Sequence[CycleReport]) -> dict[str, Column]:
    def of(stage: str) -> Column:
        return lambda _, seconds: f"{seconds[stage]:,.1f}" if stage in seconds else ""

    total: Column = lambda _, seconds: f"{sum(seconds.values()):,.1f}"  # noqa: E731 - one of many columns
    return {**{stage: of(stage) for stage in _stages(reports)}, "total": total, "tokens/s": _speed}


def _speed(report: CycleReport, seconds: Mapping[str, float]) -> str:
    """Return the tokens of the training samples for each second in which they were sampled and verified."""
    metrics = report.sampled
    if metrics is None or not metrics.length or not seconds.get("sample"):
        return ""
    completions = metrics.samples + metrics.errors + metrics.inconclusive
    return f"{completions * metrics.length / seconds['sample']:,.0f}"


def _waits(reports: Sequence[CycleReport]) -> dict[str, Column]:
    def of(role: str) -> Column:
        return lambda _, waits: f"{waits[role]:,.1f}" if role in waits else ""

    return {role: of(role) for role in dict.fromkeys(role for r in reports for role in r.waits)}


def _training(reports: Sequence[CycleReport]) -> dict[str, Column]:
    """Return the columns of every training, and one for each statistic of the run's trainers."""

    def of(name: str) -> Column:
        return lambda _, stats: f"{stats.metrics[name]:.4g}" if name in stats.metrics else ""

    own = dict.fromkeys(name for r in reports if r.train for name in r.train.metrics)
    return {**_TRAINING, **{f"{name} (trainer)" if name in _TRAINING else name: of(name) for name in own}}


def _range(bounds: tuple[float, float]) -> str:
    return f"{percent(bounds[0])} to {percent(bounds[1])}"


def _change(change: PairedDifference | None) -> str:
    if change is None:
        return ""
    low, high = change.interval
    return f"{points(change.difference)} ({points(low)} to {points(high)})"


def _count(stage: Stage) -> Column:
    return lambda _, metrics: f"{metrics.stages[stage.value]:,}" if metrics.stages.get(stage.value) else ""


def _nonzero(number: int) -> str:
    return f"{number:,}" if number else ""


_LAST_COLUMNS: Mapping[str, Column] = {
    "truncated": lambda _, metrics: percent(metrics.truncated),
    "errors": lambda _, metrics: _nonzero(metrics.errors),
    "inconclusive": lambda _, metrics: _nonzero(metrics.inconclusive),
}
_HELDOUT: Mapping[str, Column] = {
    "conclusive": lambda _, metrics: f"{metrics.samples:,}",
    "pass": lambda _, metrics: percent(metrics.passed),
    "pass 95% interval": lambda _, metrics: _range(metrics.passed_interval),
    "vs cycle before": lambda report, _: _change(report.improvement),
    "vs best before": lambda report, _: _change(report.versus_best),
    "valid": lambda _, metrics: percent(metrics.valid),
    "valid 95% interval": lambda _, metrics: _range(metrics.valid_interval),
    **_LAST_COLUMNS,
}
_SAMPLES: Mapping[str, Column] = {
    "conclusive": lambda _, metrics: f"{metrics.samples:,}",
    **{str(stage): _count(stage) for stage in Stage},
    "pass": lambda _, metrics: percent(metrics.passed),
    "with warnings": lambda _, metrics: percent(metrics.warned) if metrics.warned else "",
    "reward": lambda report, _: f"{report.reward_mean:.3f}",
    "distinct": lambda _, metrics: percent(metrics.distinct),
    "distinct correct": lambda _, metrics: percent(metrics.distinct_correct),
    "entropy": lambda _, metrics: "" if metrics.entropy is None else f"{metrics.entropy:.3f}",
    **_LAST_COLUMNS,
}
_TRAINING: Mapping[str, Column] = {
    "learning rate": lambda report, _: f"{report.lr:.2e}",
    "started from": lambda report, _: str(report.started_from),
    "selected": lambda report, _: f"{report.selected:,}",
    "Gini": lambda report, _: f"{report.kept_gini:.2f}",
    "steps": lambda _, stats: f"{stats.steps:,}",
    "tokens": lambda _, stats: f"{stats.tokens:,}",
    "loss": lambda _, stats: f"{stats.loss_first:.3f} → {stats.loss_last:.3f}",
    "gradient norm": lambda _, stats: f"{stats.grad_norm_median:.3g}",
    "clipped": lambda _, stats: percent(stats.clipped_fraction),
    "KL": lambda _, stats: "" if stats.kl is None else f"{stats.kl:.4f}",
}
