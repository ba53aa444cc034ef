"""Charts drawn by matplotlib as SVG. Their colours are CSS variables, so one drawing serves light, dark and print.

Titles, units and legends are part of the page, where they wrap and are readable at any width. Figures are as wide as a
phone, so that their text is as large there as the text around them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from halo_core.report.figures import Plot, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from halo_core.ledger.summary import Summary

_SIZE = (4.6, 2.75)
"""Inches at 72 points: 331 by 198 pixels, scaled to the available width."""
_AXES = (0.135, 0.2, 0.85, 0.76)
"""Axes within the figure: left, bottom, width, height. Computing the layout for each figure would double the time."""
_PLACEHOLDERS: Mapping[str, str] = {
    "ink": "#010101",
    "line": "#020202",
    "card": "#030303",
    **{f"series-{number}": f"#10000{number}" for number in range(1, 5)},
    **{
        f"stage-{stage}": f"#20000{number}"
        for number, stage in enumerate(("invalid", "flawed", "untested", "crashed", "wrong", "correct"))
    },
}
"""The placeholder colour for each of the page's CSS variables while matplotlib draws."""
_MARKS = (("o", "-"), ("s", (0, (4, 2))), ("^", (0, (1, 1.5))), ("D", (0, (6, 2, 1, 2))))
"""Marker and dashes of each line, so that lines are distinguishable without colour."""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "halo",
    "text.parse_math": False,
    "font.size": 11,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": _PLACEHOLDERS["ink"],
    "axes.labelcolor": _PLACEHOLDERS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _PLACEHOLDERS["line"],
    "grid.linewidth": 0.8,
    "xtick.color": _PLACEHOLDERS["ink"],
    "ytick.color": _PLACEHOLDERS["ink"],
    "ytick.major.size": 0,
    "text.color": _PLACEHOLDERS["ink"],
}
_STANDALONE = {
    "figure.facecolor": "#ffffff",
    **dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color"), "#1d2126"
    ),
    "grid.color": "#dde1e4",
    "legend.frameon": False,
}
"""Style overrides for a drawing that is not part of a page."""
_DIGITS = re.compile(r"(\.\d\d)\d+")
"""Coordinates are cut to hundredths of a pixel, which halves the size of a drawing of thousands of optimizer steps."""
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def draw(plots: Sequence[Plot]) -> list[str]:
    """Return an SVG element for each plot, for use in the same page."""
    from matplotlib import rc_context

    ElementTree.register_namespace("", _SVG.strip("{}"))
    with rc_context(_STYLE):
        return [_svg(plot, prefix=f"c{number}-") for number, plot in enumerate(plots)]


def comparison(runs: Sequence[Summary], kind: str) -> bytes:
    """Return an image in format `kind`: the held-out pass rates of several runs by cycle, with intervals."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE | _STANDALONE):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        for number, run in enumerate(runs):
            measured = [(report.cycle, report.heldout) for report in run.reports if report.heldout]
            series = Series(
                str(run.directory),
                f"C{number}",
                tuple((cycle, metrics.passed) for cycle, metrics in measured),
                tuple(metrics.passed_interval for _, metrics in measured),
            )
            _line(axes, series, series.colour, number)
        _percents(axes)
        _cycles(axes)
        axes.set_ylabel("held-out pass rate")
        axes.legend()
        image = io.BytesIO()
        figure.savefig(image, format=kind)
    return image.getvalue()


def _svg(plot: Plot, *, prefix: str) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE)
    axes = figure.add_axes(_AXES)
    if plot.form == "bars":
        _bars(axes, plot)
    else:
        _lines(axes, plot)
    image = io.StringIO()
    FigureCanvasSVG(figure).print_svg(image, metadata={"Date": None, "Creator": None})  # savefig draws twice
    return _inlined(image.getvalue(), plot, prefix)


def _lines(axes: Axes, plot: Plot) -> None:
    for number, series in enumerate(plot.series):
        if plot.form == "steps":
            axes.plot(*_columns(series), color=_PLACEHOLDERS[series.colour], linewidth=1, gid=f"s{number}")
        else:
            _line(axes, series, _PLACEHOLDERS[series.colour], number)
    top = max(high for series in plot.series for high in _highs(series))
    _heights(axes, plot, 1.08 * top)
    _cycles(axes, plot)


def _line(axes: Axes, series: Series, colour: str, number: int) -> None:
    """Draw values with markers, and their intervals as a band and as bars, because a single cycle has no band."""
    cycles, values = _columns(series)
    marker, dashes = _MARKS[number % len(_MARKS)]
    size = 4.5 if len(cycles) < 30 else 2
    axes.plot(
        cycles, values, color=colour, marker=marker, markersize=size, linestyle=dashes, linewidth=1.5,
        label=series.label, gid=f"s{number}",
    )  # fmt: skip
    if series.bounds:
        low, high = zip(*series.bounds, strict=True)
        axes.fill_between(cycles, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.vlines(cycles, low, high, color=colour, linewidth=1)


def _bars(axes: Axes, plot: Plot) -> None:
    bottom = [0.0] * len(plot.series[0].points)
    for number, series in enumerate(plot.series):
        cycles, heights = _columns(series)
        bars = axes.bar(
            cycles, heights, bottom=bottom, width=0.8, color=_PLACEHOLDERS[series.colour],
            edgecolor=_PLACEHOLDERS["card"], linewidth=0.7,
        )  # fmt: skip
        for index, bar in enumerate(bars):
            bar.set_gid(f"s{number}-{index}")
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    _heights(axes, plot, 1.04 * max(bottom))
    _cycles(axes, plot)


def _heights(axes: Axes, plot: Plot, top: float) -> None:
    from matplotlib.ticker import MaxNLocator

    if plot.share:
        _percents(axes)
        return
    axes.set_ylim(0, top or 1)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: _short(value, top))


def _percents(axes: Axes) -> None:
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")


def _cycles(axes: Axes, plot: Plot | None = None) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("cycle")
    if plot:
        cycles = [cycle for series in plot.series for cycle, _ in series.points]
        margin = 0.3 if plot.form == "lines" else 0.6
        axes.set_xlim(round(min(cycles)) - margin, round(max(cycles)) + margin)


def _short(value: float, top: float) -> str:
    """Format an axis label in few characters, in the same notation for the whole axis."""
    if value == 0 or 0.01 <= top < 100_000:
        return f"{value:.6g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def _columns(series: Series) -> tuple[list[float], list[float]]:
    return [cycle for cycle, _ in series.points], [value for _, value in series.points]


def _highs(series: Series) -> list[float]:
    values = [high for _, high in series.bounds] or [value for _, value in series.points]
    return [value for value in values if abs(value) < float("inf")] or [0.0]


def _inlined(drawing: str, plot: Plot, prefix: str) -> str:
    """Adapt a drawing to the page: an accessible name, unique ids, the page's colours and font, values as tooltips."""
    root = ElementTree.fromstring(drawing)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": plot.text}
    for parent in list(root.iter()):
        for child in [node for node in parent if node.tag in (f"{_SVG}metadata", f"{_SVG}style")]:
            parent.remove(child)
    _add_tooltips(root, plot)
    for node in root.iter():
        if name := node.attrib.pop("id", None):
            node.set("id", prefix + name)
        if link := node.attrib.pop(_LINK, None):
            node.set("href", f"#{prefix}{link[1:]}")
        if path := node.get("d"):
            node.set("d", _DIGITS.sub(r"\1", path))
        if node.tag == f"{_SVG}text":
            node.set("style", "; ".join(re.findall(r"text-anchor: \w+", node.get("style", ""))))
    text = ElementTree.tostring(root, encoding="unicode").replace("url(#", f"url(#{prefix}")
    for name, colour in _PLACEHOLDERS.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def _add_tooltips(root: ElementTree.Element, plot: Plot) -> None:
    """Add each marker's and bar's value as a title, which browsers show as a tooltip."""
    named = {group.get("id"): group for group in root.iter(f"{_SVG}g")}
    for number, series in enumerate(plot.series):
        texts = [f"cycle {cycle:g}, {series.label}: {plot.value(value)}" for cycle, value in series.points]
        line = named.get(f"s{number}")
        marks = list(line.iter(f"{_SVG}use")) if line is not None else []
        marks = marks or [
            bar for index in range(len(texts)) if (bar := named.get(f"s{number}-{index}")) is not None
        ]
        if len(marks) == len(texts):  # steps are drawn without marks
            for mark, text in zip(marks, texts, strict=True):
                ElementTree.SubElement(mark, f"{_SVG}title").text = text
