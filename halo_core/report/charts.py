"""Plots drawn by matplotlib as SVG whose colours are CSS variables, so that one drawing is light, dark and printed.

Titles, units and legends are the page's: there they wrap, and are read at any width. Figures are as wide as a
phone, so that their text is as large there as the rest.
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
"""Inches at 72 points: 331 by 198 pixels, scaled to the width that there is."""
_PLACE = (0.135, 0.2, 0.85, 0.76)
"""Of the axes within the figure: left, bottom, width, height. Laying that out anew for each would double the time."""
_STAND_INS: Mapping[str, str] = {
    "ink": "#010101",
    "line": "#020202",
    "card": "#030303",
    **{f"series-{number}": f"#10000{number}" for number in range(1, 5)},
    **{
        f"stage-{stage}": f"#20000{number}"
        for number, stage in enumerate(("invalid", "flawed", "untested", "crashed", "wrong", "correct"))
    },
}
"""The colour that stands for each of the page's CSS variables while matplotlib draws."""
_MARKS = (("o", "-"), ("s", (0, (4, 2))), ("^", (0, (1, 1.5))), ("D", (0, (6, 2, 1, 2))))
"""Marker and dashes of each line: two are told apart without colour."""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "halo",
    "text.parse_math": False,
    "font.size": 11,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": _STAND_INS["ink"],
    "axes.labelcolor": _STAND_INS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _STAND_INS["line"],
    "grid.linewidth": 0.8,
    "xtick.color": _STAND_INS["ink"],
    "ytick.color": _STAND_INS["ink"],
    "ytick.major.size": 0,
    "text.color": _STAND_INS["ink"],
}
_ON_ITS_OWN = {
    "figure.facecolor": "#ffffff",
    **dict.fromkeys(
        ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color"), "#1d2126"
    ),
    "grid.color": "#dde1e4",
    "legend.frameon": False,
}
"""What differs in a drawing that is on no page."""
_DIGITS = re.compile(r"(\.\d\d)\d+")
"""A hundredth of a pixel is enough; thousands of optimizer steps would weigh twice as much."""
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


def draw(plots: Sequence[Plot]) -> list[str]:
    """Return an SVG element for each plot, to be put into one page."""
    from matplotlib import rc_context

    ElementTree.register_namespace("", _SVG.strip("{}"))
    with rc_context(_STYLE):
        return [_svg(plot, prefix=f"c{number}-") for number, plot in enumerate(plots)]


def comparison(runs: Sequence[Summary], kind: str) -> bytes:
    """Draw the held-out pass rates of several runs by cycle, with their intervals, as a file of `kind`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE | _ON_ITS_OWN):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        for place, run in enumerate(runs):
            found = [(report.cycle, report.heldout) for report in run.reports if report.heldout]
            series = Series(
                str(run.directory),
                f"C{place}",
                tuple((cycle, rates.passed) for cycle, rates in found),
                tuple(rates.passed_interval for _, rates in found),
            )
            _line(axes, series, series.colour, place)
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
    axes = figure.add_axes(_PLACE)
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
            axes.plot(*_columns(series), color=_STAND_INS[series.colour], linewidth=1, gid=f"s{number}")
        else:
            _line(axes, series, _STAND_INS[series.colour], number)
    top = max(high for series in plot.series for high in _highs(series))
    _heights(axes, plot, 1.08 * top)
    _cycles(axes, plot)


def _line(axes: Axes, series: Series, colour: str, number: int) -> None:
    """Draw values with a marker each, and their intervals as a band and as bars: a lone cycle has no band."""
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
            cycles, heights, bottom=bottom, width=0.8, color=_STAND_INS[series.colour],
            edgecolor=_STAND_INS["card"], linewidth=0.7,
        )  # fmt: skip
        for place, bar in enumerate(bars):
            bar.set_gid(f"s{number}-{place}")
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
        beside = 0.3 if plot.form == "lines" else 0.6
        axes.set_xlim(round(min(cycles)) - beside, round(max(cycles)) + beside)


def _short(value: float, top: float) -> str:
    """Write a number in the few letters that there is room for; all of an axis alike."""
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
    """Make a drawing part of a page: a name, ids of its own, the page's colours and font, values to point at."""
    root = ElementTree.fromstring(drawing)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": plot.text}
    for parent in list(root.iter()):
        for child in [each for each in parent if each.tag in (f"{_SVG}metadata", f"{_SVG}style")]:
            parent.remove(child)
    _point_out(root, plot)
    for each in root.iter():
        if name := each.attrib.pop("id", None):
            each.set("id", prefix + name)
        if link := each.attrib.pop(_LINK, None):
            each.set("href", f"#{prefix}{link[1:]}")
        if path := each.get("d"):
            each.set("d", _DIGITS.sub(r"\1", path))
        if each.tag == f"{_SVG}text":
            each.set("style", "; ".join(re.findall(r"text-anchor: \w+", each.get("style", ""))))
    text = ElementTree.tostring(root, encoding="unicode").replace("url(#", f"url(#{prefix}")
    for name, colour in _STAND_INS.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r"\s*\n\s*", "\n", text).strip()


def _point_out(root: ElementTree.Element, plot: Plot) -> None:
    """Give each marker and bar its value as a title, which browsers show beside the pointer."""
    named = {each.get("id"): each for each in root.iter(f"{_SVG}g")}
    for number, series in enumerate(plot.series):
        said = [f"cycle {cycle:g}, {series.label}: {plot.value(value)}" for cycle, value in series.points]
        line = named.get(f"s{number}")
        marks = list(line.iter(f"{_SVG}use")) if line is not None else []
        marks = marks or [
            bar for place in range(len(said)) if (bar := named.get(f"s{number}-{place}")) is not None
        ]
        if len(marks) == len(said):  # not where steps are drawn
            for mark, text in zip(marks, said, strict=True):
                ElementTree.SubElement(mark, f"{_SVG}title").text = text
