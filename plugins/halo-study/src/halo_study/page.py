"""The report of a study: one HTML page and one Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from halo_core.files import write
from halo_core.tables import count as counted
from halo_study.analysis import Analysis, Compared, interval_text, shown, unit
from halo_study.charts import curve_charts, difference_chart
from halo_study.outcomes import OUTCOMES
from halo_study.results import LABELS
from halo_study.study import dump

FEW_SEEDS = 5
"""Seeds from which intervals cover as stated, in simulated studies."""


def write_pages(analysis: Analysis, output: Path, *, file: Path) -> list[Path]:
    """Write report.html and report.md into `output`; return their paths. `file`: the study file, for the commands."""
    paths = []
    for name, template in (("report.html", "report.html.jinja"), ("report.md", "report.md.jinja")):
        write(output / name, render(analysis, template, file=file))
        paths.append(output / name)
    return paths


def render(analysis: Analysis, template: str, *, file: Path) -> str:
    """Return a page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("halo_study", "."),
        autoescape=template.endswith("html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals.update(
        shown=shown,
        interval_text=interval_text,
        unit=unit,
        outcomes=OUTCOMES,
        rate=_rate,
        p=_p,
        cell=_cell,
        spread=_spread,
    )
    html = template.endswith("html.jinja")
    return environment.get_template(template).render(
        a=analysis,
        study=analysis.study,
        title=analysis.study.title or file.stem,
        answer=analysis.answer,
        labels=LABELS,
        cycles=max((len(arm.curve) for arm in analysis.arms), default=0),
        charts=list(zip(analysis.arms, curve_charts(analysis.arms), strict=True))
        if html and analysis.arms
        else [],
        differences=_difference_charts(analysis.compared) if html else [],
        file=file,
        base=dump(analysis.study.base),
        fixed=_fixed(analysis),
        open_points=_open(analysis),
    )


def _difference_charts(compared: Sequence[Compared]) -> list[tuple[str, float, str]]:
    """Return (outcome, smallest effect, drawing) for each outcome that is compared."""
    groups: dict[tuple[str, float], list[Compared]] = {}
    for row in compared:
        groups.setdefault((row.comparison.outcome, row.verdict.smallest_effect), []).append(row)
    return [
        (outcome, smallest, difference_chart(rows, outcome, smallest, number))
        for number, ((outcome, smallest), rows) in enumerate(groups.items())
    ]


def _fixed(analysis: Analysis) -> list[str]:
    """List what was fixed before the first run."""
    study = analysis.fixed
    comparisons = counted(len(study.comparisons), "comparison")
    arms, seeds = counted(len(study.arms), "arm"), counted(len(study.seeds), "seed")
    found = [
        f"The question, {arms}, {seeds} and {comparisons}, corrected together (Holm).",
        f"The smallest effect of interest: {100 * study.smallest_effect:g} points for shares.",
    ]
    if study.tune:
        tune = study.tune
        values = ", ".join(f"{value:g}" for value in tune.values)
        found.append(
            f"Each arm's {tune.key}: the best of {values} by {OUTCOMES[tune.outcome].label}, on seeds "
            f"{', '.join(map(str, tune.seeds))}, which are not reported."
        )
    return found


def _open(analysis: Analysis) -> list[str]:
    """List what was not fixed in advance, and what limits the answer."""
    found = list(analysis.changes)
    found += [
        f"The best value of {each.arm}, {each.value:g}, is the lowest or the highest that was tried: a better one "
        "may be beyond it."
        for each in analysis.choices
        if each.value is not None and each.at_edge
    ]
    if analysis.failed:
        runs = counted(len(analysis.failed), "run")
        found.append(
            f"{runs} ended before the last cycle, because training failed. From there on, the pass rate of the last "
            "closed cycle counts."
        )
    found += [
        f"Taken from the study {source}, and known before this study's first run: {counted(number, 'run')} with "
        "the same configuration and seed."
        for source, number in analysis.reused.items()
    ]
    fewest = min((len(arm.runs) for arm in analysis.arms), default=FEW_SEEDS)
    if fewest < FEW_SEEDS:
        found.append(
            f"There is an arm with {counted(fewest, 'seed')}. With fewer than {FEW_SEEDS} seeds, intervals can be too "
            "narrow: in simulated studies with two seeds, those of 95% covered in 88% to 98%."
        )
    if analysis.done < analysis.total:
        found.append(
            f"{analysis.total - analysis.done} of {analysis.total} runs are missing. This is an early look: only the "
            "conclusions of the whole study have the stated chance of error."
        )
    return found


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _spread(value: float, outcome: str) -> str:
    return f"{100 * value:.1f}" if OUTCOMES[outcome].share else f"{value:.2g}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _cell(text: Any) -> str:
    """Escape a text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
