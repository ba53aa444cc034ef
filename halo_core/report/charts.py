"""The report's charts, drawn by matplotlib as SVG whose colours are CSS variables, so that one file is light and dark.

Text stays text. Figures are narrow enough to be read on a phone without zooming.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halo_core.types import CycleReport, Rates, Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from halo_core.ledger.summary import Summary

_SIZE = (4.6, 2.9)
"""Inches at 72 points: 331 by 209 pixels, scaled to the width that there is."""
_INK, _FAINT = "#111111", "#dddddd"
_SERIES = ("#1f6fb4", "#c2571a", "#2e8b57", "#8a4fa3", "#b03a48", "#6b6b6b")
_STAGES: Mapping[Stage, str] = {
    Stage.INVALID: "#a63d41",
    Stage.FLAWED: "#dd8d43",
    Stage.UNTESTED: "#c7b356",
    Stage.CRASHED: "#8b8b9a",
    Stage.WRONG: "#69a0c6",
    Stage.CORRECT: "#2f7e5c",
}
VARIABLES: Mapping[str, str] = {
    _INK: "ink",
    _FAINT: "line",
    **{colour: f"series-{place}" for place, colour in enumerate(_SERIES, 1)},
    **{colour: f"stage-{stage}" for stage, colour in _STAGES.items()},
}
"""The CSS variable that stands for each colour in the drawings."""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "halo",
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.transparent": True,
}
Draw = Callable[["Axes", Sequence[CycleReport]], bool]


def charts(reports: Sequence[CycleReport]) -> list[tuple[str, str]]:
    """Return (title, SVG) for each chart that the reports have something for."""
    drawn = []
    for number, (title, draw) in enumerate(_CHARTS.items()):
        svg = _svg(draw, reports, title=title, prefix=f"c{number}-")
        if svg:
            drawn.append((title, svg))
    return drawn


def comparison(runs: Sequence[Summary], kind: str) -> bytes:
    """Draw the held-out pass rates of several runs by cycle, with their intervals, as a file of `kind`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE | {"savefig.transparent": False}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        for place, run in enumerate(runs):
            found = [(report.cycle, report.heldout) for report in run.reports if report.heldout]
            _rate(axes, found, "passed", str(run.directory), f"C{place}")
        _shares(axes, "held-out pass rate")
        axes.legend()
        image = io.BytesIO()
        figure.savefig(image, format=kind)
    return image.getvalue()


def _svg(draw: Draw, reports: Sequence[CycleReport], *, title: str, prefix: str) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.subplots()
        if not draw(axes, reports):
            return ""
        image = io.StringIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    return _inlined(image.getvalue(), title, prefix)


def _inlined(text: str, title: str, prefix: str) -> str:
    """Make a drawing part of a page: colours as variables, names of its own, the page's font."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{title}">', text
    )
    text = re.sub(r"(font: [0-9.]+px)[^;\"]*", r"\1 system-ui, sans-serif", text)
    text = re.sub(r"\b(id=\"|url\(#|xlink:href=\"#)", rf"\g<1>{prefix}", text).replace("xlink:href", "href")
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text.strip()


def _heldout(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    found = [(report.cycle, report.heldout) for report in reports if report.heldout]
    _rate(axes, found, "valid", "past the first rung", _SERIES[1])
    _rate(axes, found, "passed", "pass", _SERIES[0])
    _shares(axes, "share of completions")
    axes.legend(loc="best")
    return bool(found)


def _rate(axes: Axes, found: Sequence[tuple[int, Rates]], name: str, label: str, colour: str) -> None:
    cycles = [cycle for cycle, _ in found]
    values = [getattr(rates, name) for _, rates in found]
    bounds = [getattr(rates, f"{name}_interval") for _, rates in found]
    axes.fill_between(
        cycles,
        [low for low, _ in bounds],
        [high for _, high in bounds],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(cycles, values, marker="o", markersize=3.5, color=colour, label=label)


def _lr(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    found = [(report.cycle, report.lr) for report in reports if report.train]
    axes.plot(*_columns(found), marker="o", markersize=3.5, color=_SERIES[0])
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    _cycles(axes, "peak learning rate")
    return bool(found)


def _ladder(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    found = [(report.cycle, report.rates.stages) for report in reports if report.rates]
    shares = {
        stage: [stages.get(stage.value, 0) / max(1, sum(stages.values())) for _, stages in found]
        for stage in Stage
    }
    _stack(axes, [cycle for cycle, _ in found], {str(s): v for s, v in shares.items() if any(v)}, _STAGES)
    _shares(axes, "share of training samples")
    return bool(found)


def _diversity(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    found = [(report.cycle, report.rates) for report in reports if report.rates]
    for (name, label), colour in zip(
        (("distinct", "distinct"), ("distinct_correct", "distinct among the right")), _SERIES, strict=False
    ):
        axes.plot(*_columns([(c, getattr(r, name)) for c, r in found]), marker="o", markersize=3.5,
                  color=colour, label=label)  # fmt: skip
    _shares(axes, "share of completions")
    axes.legend(loc="best")
    return bool(found)


def _loss(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    trained = [(report.cycle, report.train) for report in reports if report.train]
    last = 0.0
    for cycle, stats in trained:
        losses = stats.losses if len(stats.losses) > 1 else (stats.loss_first, stats.loss_last)
        steps = [cycle - 1 + (place + 0.5) / len(losses) for place in range(len(losses))]
        axes.plot(steps, losses, color=_SERIES[0], linewidth=1)
        last = max(last, *losses)
    axes.set_ylim(0, 1.05 * last or 1)
    axes.set_ylabel("nats per token")
    _cycles(axes, "nats per token", label="cycle (each cycle's steps spread over it)")
    return bool(trained)


def _gradient(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    found = [(report.cycle, report.train.grad_norm_median) for report in reports if report.train]
    axes.plot(*_columns(found), marker="o", markersize=3.5, color=_SERIES[3])
    axes.set_ylim(bottom=0)
    _cycles(axes, "median before clipping")
    return bool(found)


def _seconds(axes: Axes, reports: Sequence[CycleReport]) -> bool:
    stages = list(dict.fromkeys(stage for report in reports for stage in report.seconds))
    colours = dict(zip(stages, _SERIES, strict=False))
    values = {stage: [report.seconds.get(stage, 0.0) for report in reports] for stage in stages}
    _stack(axes, [report.cycle for report in reports], values, colours)
    _cycles(axes, "seconds")
    return bool(stages)


def _stack(
    axes: Axes, cycles: Sequence[int], values: Mapping[str, Sequence[float]], colours: Mapping[Any, str]
) -> None:
    """Draw bars on bars, with a legend above."""
    bottom = [0.0] * len(cycles)
    for name, heights in values.items():
        axes.bar(cycles, heights, bottom=bottom, color=colours[name], width=0.75, label=name)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    if values:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.1, columnspacing=1)


def _shares(axes: Axes, label: str) -> None:
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    _cycles(axes, label)


def _cycles(axes: Axes, ylabel: str, *, label: str = "cycle") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(label)
    axes.set_ylabel(ylabel)


def _columns(rows: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [cycle for cycle, _ in rows], [value for _, value in rows]


_CHARTS: Mapping[str, Draw] = {
    "Held-out rates, with 95% intervals": _heldout,
    "What training samples reached": _ladder,
    "Learning rate": _lr,
    "Diversity of training samples": _diversity,
    "Training loss": _loss,
    "Gradient norm": _gradient,
    "Seconds by stage": _seconds,
}
