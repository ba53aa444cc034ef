"""What a report plots and tabulates, taken from the cycles' reports. Nothing is drawn here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan, nan
from typing import Any, Literal

from halo_core.types import CycleReport, PairedDifference, Stage

_LINES = 4
"""Lines in one chart at most: as many as there are markers that are told apart without colour."""
_STAGES = ("sample", "train", "heldout")
"""Stages of a cycle in the order in which they come; a plugin's own are put behind."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values by cycle under one label."""

    label: str
    colour: str
    """Name of the page's CSS variable."""
    points: tuple[tuple[float, float], ...]
    """(cycle, value), in order; a value of NaN breaks the line."""
    bounds: tuple[tuple[float, float], ...] = ()
    """(low, high) of each point, or empty."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One chart: what is in it and how it is said."""

    title: str
    unit: str
    """What the height means."""
    series: tuple[Series, ...]
    form: Literal["lines", "steps", "bars"] = "lines"
    """`steps`: a value for each optimizer step, spread over its cycle. `bars`: stacked."""
    share: bool = False
    """Whether values are shares, 0 to 1."""

    @property
    def text(self) -> str:
        """The chart in a sentence, for those who cannot see it."""
        said = [f"{series.label}: {self._ends(series)}" for series in self.series]
        return f"{self.title} ({self.unit}). {'; '.join(said)}."

    def _ends(self, series: Series) -> str:
        values = [(cycle, self.value(value)) for cycle, value in series.points if not isnan(value)]
        if not values:
            return "not a number"
        if self.form == "steps":
            return f"{values[0][1]} at the first step, {values[-1][1]} at the last"
        ends = dict.fromkeys((values[0], values[-1]))
        return ", ".join(f"{value} in cycle {cycle:g}" for cycle, value in ends)

    def value(self, value: float) -> str:
        """Write a value as the chart's axis has it."""
        return percent(value) if self.share else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


@dataclass(frozen=True, slots=True)
class Table:
    """Figures by cycle as text, the cycle first."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def plots(reports: Sequence[CycleReport]) -> list[Plot]:
    """Return the charts that the reports have something for."""
    made = [
        _heldout(reports), _pass_at(reports), _ladder(reports), _diversity(reports), _lr(reports),
        _moved(reports), _loss(reports), _gradient(reports), _seconds(reports),
    ]  # fmt: skip
    return [plot for plot in made if plot.series]


def tables(reports: Sequence[CycleReport]) -> list[Table]:
    """Return the figures of all cycles; a column that has nothing in it is left out."""
    made = [
        _table("Held-out prompts", _HELDOUT, ((r, r.heldout) for r in reports if r.heldout)),
        _table("Training samples", _SAMPLES, ((r, r.sampled) for r in reports if r.sampled)),
        _table("Training", _TRAINING, ((r, r.train) for r in reports if r.train)),
        _table("Seconds", _times(reports), ((r, r.seconds) for r in reports if r.seconds)),
    ]
    return [table for table in made if table.rows]


def percent(share: float) -> str:
    """Write a share as per cent."""
    return f"{100 * share:.1f}%"


def points(share: float) -> str:
    """Write a difference of shares in points."""
    return f"{100 * share:+.1f}"


def _drawn(*series: Series) -> tuple[Series, ...]:
    return tuple(each for each in series if each.points)


def _heldout(reports: Sequence[CycleReport]) -> Plot:
    found = [(r.cycle, r.heldout) for r in reports if r.heldout]
    passed = tuple((cycle, rates.passed) for cycle, rates in found)
    valid = tuple((cycle, rates.valid) for cycle, rates in found)
    return Plot(
        "Held-out rates",
        "share of completions, with 95% intervals",
        _drawn(
            Series("pass", "series-1", passed, tuple(rates.passed_interval for _, rates in found)),
            Series("valid", "series-2", valid, tuple(rates.valid_interval for _, rates in found)),
        ),
        share=True,
    )


def _pass_at(reports: Sequence[CycleReport]) -> Plot:
    found = [(r.cycle, r.heldout.pass_at) for r in reports if r.heldout]
    known = sorted(set(chain.from_iterable(rates for _, rates in found)), key=int)
    last = len(known) - 1
    shown = [
        known[place] for place in sorted({round(n * last / (_LINES - 1)) for n in range(_LINES)}) if known
    ]
    series = (
        Series(
            f"k = {k}", f"series-{place}", tuple((cycle, rates[k]) for cycle, rates in found if k in rates)
        )
        for place, k in enumerate(shown, 1)
    )
    return Plot("Held-out pass@k", "share of prompts solved in k tries", _drawn(*series), share=True)


def _ladder(reports: Sequence[CycleReport]) -> Plot:
    found = [(r.cycle, r.sampled) for r in reports if r.sampled and r.sampled.samples]
    series = (
        Series(
            str(stage),
            f"stage-{stage}",
            tuple((cycle, rates.stages.get(stage.value, 0) / rates.samples) for cycle, rates in found),
        )
        for stage in Stage
        if any(rates.stages.get(stage.value) for _, rates in found)
    )
    unit = "share of them, by the furthest rung"
    return Plot("What training samples reached", unit, _drawn(*series), "bars", share=True)


def _diversity(reports: Sequence[CycleReport]) -> Plot:
    found = [(r.cycle, r.sampled) for r in reports if r.sampled]
    return Plot(
        "Diversity of training samples",
        "share that is distinct",
        _drawn(
            Series("of all", "series-1", tuple((cycle, rates.distinct) for cycle, rates in found)),
            Series(
                "of the right", "series-2", tuple((cycle, rates.distinct_correct) for cycle, rates in found)
            ),
        ),
        share=True,
    )


def _lr(reports: Sequence[CycleReport]) -> Plot:
    found = tuple((r.cycle, r.lr) for r in reports if r.train)
    return Plot("Learning rate", "peak of the cycle", _drawn(Series("learning rate", "series-1", found)))


def _moved(reports: Sequence[CycleReport]) -> Plot:
    found = tuple((r.cycle, r.train.kl) for r in reports if r.train and r.train.kl is not None)
    unit = "KL(before || after), nats per token"
    return Plot("How far training moved the model", unit, _drawn(Series("KL", "series-3", found)))


def _loss(reports: Sequence[CycleReport]) -> Plot:
    found: list[tuple[float, float]] = []
    for cycle, stats in ((r.cycle, r.train) for r in reports if r.train):
        losses = stats.losses if len(stats.losses) > 1 else (stats.loss_first, stats.loss_last)
        found += [(cycle, nan)] if found else []
        found += [(cycle - 0.5 + (n + 0.5) / len(losses), loss) for n, loss in enumerate(losses)]
    unit = "nats per token, each optimizer step"
    return Plot("Training loss", unit, _drawn(Series("loss", "series-1", tuple(found))), "steps")


def _gradient(reports: Sequence[CycleReport]) -> Plot:
    found = tuple((r.cycle, r.train.grad_norm_median) for r in reports if r.train)
    unit = "median of the cycle, before clipping"
    return Plot("Gradient norm", unit, _drawn(Series("gradient norm", "series-4", found)))


def _seconds(reports: Sequence[CycleReport]) -> Plot:
    series = (
        Series(
            stage,
            f"series-{place % _LINES + 1}",
            tuple((r.cycle, r.seconds.get(stage, 0.0)) for r in reports if r.seconds),
        )
        for place, stage in enumerate(_stages(reports))
    )
    return Plot("Seconds by stage", "wall clock", _drawn(*series), "bars")


def _stages(reports: Iterable[CycleReport]) -> list[str]:
    named = dict.fromkeys(stage for r in reports for stage in r.seconds)
    return [stage for stage in _STAGES if stage in named] + [stage for stage in named if stage not in _STAGES]


Column = Callable[[CycleReport, Any], str]


def _table(title: str, columns: Mapping[str, Column], rows: Iterable[tuple[CycleReport, Any]]) -> Table:
    rows = list(rows)
    cells = {name: [write(report, part) for report, part in rows] for name, write in columns.items()}
    kept = {name: column for name, column in cells.items() if any(column)}
    cycles = [str(report.cycle) for report, _ in rows]
    return Table(title, ("cycle", *kept), tuple(zip(cycles, *kept.values(), strict=True)))


def _times(reports: Sequence[CycleReport]) -> dict[str, Column]:
    def of(stage: str) -> Column:
        return lambda _, seconds: f"{seconds[stage]:,.1f}" if stage in seconds else ""

    total: Column = lambda _, seconds: f"{sum(seconds.values()):,.1f}"  # noqa: E731 - one of many columns
    return {stage: of(stage) for stage in _stages(reports)} | {"together": total}


def _range(bounds: tuple[float, float]) -> str:
    return f"{percent(bounds[0])} to {percent(bounds[1])}"


def _change(change: PairedDifference | None) -> str:
    if change is None:
        return ""
    low, high = change.interval
    return f"{points(change.difference)} ({points(low)} to {points(high)})"


def _count(stage: Stage) -> Column:
    return lambda _, rates: f"{rates.stages[stage.value]:,}" if rates.stages.get(stage.value) else ""


def _some(number: int) -> str:
    return f"{number:,}" if number else ""


_AT_THE_END: Mapping[str, Column] = {
    "cut short": lambda _, rates: percent(rates.truncated),
    "errors": lambda _, rates: _some(rates.errors),
    "inconclusive": lambda _, rates: _some(rates.inconclusive),
}
_HELDOUT: Mapping[str, Column] = {
    "judged": lambda _, rates: f"{rates.samples:,}",
    "pass": lambda _, rates: percent(rates.passed),
    "95% interval": lambda _, rates: _range(rates.passed_interval),
    "on the cycle before": lambda report, _: _change(report.improvement),
    "on the best before": lambda report, _: _change(report.versus_best),
    "valid": lambda _, rates: percent(rates.valid),
    "its interval": lambda _, rates: _range(rates.valid_interval),
    **_AT_THE_END,
}
_SAMPLES: Mapping[str, Column] = {
    "judged": lambda _, rates: f"{rates.samples:,}",
    **{str(stage): _count(stage) for stage in Stage},
    "pass": lambda _, rates: percent(rates.passed),
    "reward": lambda report, _: f"{report.reward_mean:.3f}",
    "distinct": lambda _, rates: percent(rates.distinct),
    "distinct right": lambda _, rates: percent(rates.distinct_correct),
    "entropy": lambda _, rates: "" if rates.entropy is None else f"{rates.entropy:.3f}",
    **_AT_THE_END,
}
_TRAINING: Mapping[str, Column] = {
    "learning rate": lambda report, _: f"{report.lr:.2e}",
    "from cycle": lambda report, _: str(report.started_from),
    "selected": lambda report, _: f"{report.selected:,}",
    "Gini": lambda report, _: f"{report.kept_gini:.2f}",
    "steps": lambda _, stats: f"{stats.steps:,}",
    "tokens": lambda _, stats: f"{stats.tokens:,}",
    "loss": lambda _, stats: f"{stats.loss_first:.3f} → {stats.loss_last:.3f}",
    "gradient norm": lambda _, stats: f"{stats.grad_norm_median:.3g}",
    "clipped": lambda _, stats: percent(stats.clipped_fraction),
    "KL": lambda _, stats: "" if stats.kl is None else f"{stats.kl:.4f}",
}
