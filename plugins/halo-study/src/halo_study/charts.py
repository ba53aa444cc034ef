"""The figures of a study, as SVG with the colours of the page: curves by cycle, and differences with intervals."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from halo_study.analysis import ArmSummary, Compared, unit
from halo_study.outcomes import OUTCOMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_COLOURS = {
    "ink": "#010101",
    "line": "#020202",
    "arm": "#030303",
    "other": "#040404",
    "zone": "#050505",
    "card": "#060606",
}
"""The placeholder for each of the page's CSS variables while matplotlib draws."""
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "halo",
    "text.parse_math": False,
    "font.size": 11,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": _COLOURS["ink"],
    "axes.labelcolor": _COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _COLOURS["line"],
    "grid.linewidth": 0.8,
    "xtick.color": _COLOURS["ink"],
    "ytick.color": _COLOURS["ink"],
    "ytick.major.size": 0,
    "text.color": _COLOURS["ink"],
}


def curve_charts(arms: Sequence[ArmSummary]) -> list[str]:
    """Return a drawing for each arm: its pass rate by cycle with a band, and the first arm's as a dashed line.

    All have the same axes, so that they can be compared.
    """
    lows = [arm.curve[:, 0].min() for arm in arms] + [arm.curve[:, 1].min() for arm in arms]
    highs = [arm.curve[:, 2].max() for arm in arms]
    bottom = max(0.0, np.floor(10 * min(lows)) / 10)
    top = min(1.0, np.ceil(10 * max(highs)) / 10)
    return [
        _drawn(
            lambda figure, arm=arm: _curve(figure, arm, arms[0], bottom, max(top, bottom + 0.1)),
            (4.6, 2.6),
            f"Held-out pass rate by cycle of {arm.name}",
            f"curve{number}-",
        )
        for number, arm in enumerate(arms)
    ]


def difference_chart(compared: Sequence[Compared], outcome: str, smallest: float, number: int = 0) -> str:
    """Return a drawing of differences in one outcome with 95% intervals; the zone between the smallest effects is grey.

    The labels are above the intervals, so that they fit on a phone.
    """
    height = 0.62 + 0.5 * len(compared)
    label = f"Differences in {OUTCOMES[outcome].label} with 95% intervals"
    return _drawn(
        lambda figure: _differences(figure, compared, outcome, smallest, height),
        (4.6, height),
        label,
        f"difference{number}-",
    )


def _curve(figure: Figure, arm: ArmSummary, first: ArmSummary, bottom: float, top: float) -> None:
    axes = figure.add_axes((0.13, 0.2, 0.85, 0.76))
    cycles = np.arange(len(arm.curve))
    if arm is not first:
        axes.plot(
            np.arange(len(first.curve)),
            first.curve[:, 0],
            color=_COLOURS["other"],
            linestyle=(0, (4, 2)),
            linewidth=1.3,
        )
    axes.fill_between(
        cycles, arm.curve[:, 1], arm.curve[:, 2], color=_COLOURS["arm"], alpha=0.18, linewidth=0
    )
    axes.plot(cycles, arm.curve[:, 0], color=_COLOURS["arm"], marker="o", markersize=3.5, linewidth=1.6)
    axes.set_ylim(bottom, top)
    axes.set_xlabel("cycle")
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    _whole_cycles(axes)


def _whole_cycles(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))


def _differences(
    figure: Figure, compared: Sequence[Compared], outcome: str, smallest: float, height: float
) -> None:
    axes = figure.add_axes((0.04, 0.5 / height, 0.92, 1 - 0.56 / height))
    scale = 100 if OUTCOMES[outcome].share else 1
    axes.axvspan(-scale * smallest, scale * smallest, color=_COLOURS["zone"], alpha=0.5, linewidth=0)
    axes.axvline(0, color=_COLOURS["ink"], linewidth=1)
    ends = [scale * smallest]
    for place, row in enumerate(compared):
        y = -place
        low, high = (scale * end for end in row.estimate.interval())
        axes.plot([low, high], [y, y], color=_COLOURS["arm"], linewidth=2, solid_capstyle="butt")
        axes.plot(
            [scale * row.estimate.value], [y], marker="D" if row.verdict.different else "o",
            color=_COLOURS["arm"], markersize=6,
        )  # fmt: skip
        background = {"facecolor": _COLOURS["card"], "edgecolor": "none", "pad": 1.2}
        place_of_text: Any = {"xycoords": ("axes fraction", "data"), "va": "bottom", "bbox": background}
        axes.annotate(row.label, (0.01, y + 0.22), fontsize=11, **place_of_text)
        ends += [abs(low), abs(high)]
    limit = 1.08 * max(ends)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-len(compared) + 0.55, 0.75)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"difference{', ' + unit(outcome) if unit(outcome) else ''}")


def _drawn(draw: object, size: tuple[float, float], label: str, prefix: str) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    assert callable(draw)
    ElementTree.register_namespace("", _SVG.strip("{}"))
    with rc_context(_STYLE):
        figure = Figure(figsize=size)
        draw(figure)
        image = io.StringIO()
        FigureCanvasSVG(figure).print_svg(image, metadata={"Date": None, "Creator": None})
    return _inlined(image.getvalue(), label, prefix)


def _inlined(drawing: str, label: str, prefix: str) -> str:
    """Adapt a drawing to the page: an accessible name, unique ids, and the page's colours."""
    root = ElementTree.fromstring(drawing)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    for parent in list(root.iter()):
        for child in [node for node in parent if node.tag in (f"{_SVG}metadata", f"{_SVG}style")]:
            parent.remove(child)
    for node in root.iter():
        if name := node.attrib.pop("id", None):
            node.set("id", prefix + name)
        if link := node.attrib.pop(_LINK, None):
            node.set("href", f"#{prefix}{link[1:]}")
        if path := node.get("d"):
            node.set("d", re.sub(r"(\.\d\d)\d+", r"\1", path))
    text = ElementTree.tostring(root, encoding="unicode").replace("url(#", f"url(#{prefix}")
    for name, colour in _COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r"\s*\n\s*", "\n", text).strip()
