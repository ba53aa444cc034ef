"""The table of cycles that a run prints. Its columns depend on the width of the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from halo_core.tables import GAP, fitting
from halo_core.types import CycleReport, EvalMetrics, TrainStats

_MANY_WARNINGS = 0.05
"""Share of completions with warnings from which on the user is told."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table."""

    header: str
    width: int
    rank: int
    """The lower, the longer the column stays on a narrow terminal."""
    cell: Callable[[CycleReport], str]
    """Returns the text for a cycle; empty if the cycle was not sampled, trained or measured."""
    trained: bool = False
    """True if the cycle before training has no such value."""


def _sampled(text: Callable[[EvalMetrics], str]) -> Callable[[CycleReport], str]:
    return lambda report: text(report.sampled) if report.sampled else ""


def _trained(text: Callable[[TrainStats], str]) -> Callable[[CycleReport], str]:
    return lambda report: text(report.train) if report.train else ""


def _heldout(name: str) -> Callable[[CycleReport], str]:
    return lambda report: _share(report.heldout, name) if report.heldout else ""


def _share(metrics: EvalMetrics, name: str) -> str:
    low, high = getattr(metrics, f"{name}_interval")
    return f"{getattr(metrics, name):6.1%} [{100 * low:4.1f}, {100 * high:4.1f}]"


def _seconds(report: CycleReport) -> str:
    stages = (key for key in ("sample", "train", "heldout") if key in report.seconds)
    return "+".join(f"{report.seconds[key]:.0f}" for key in stages)


_COLUMNS = (
    _Column("cycle", 5, 0, lambda report: str(report.cycle)),
    _Column("lr", 8, 4, lambda report: f"{report.lr:.2e}", trained=True),
    _Column("samples", 7, 7, _sampled(lambda metrics: str(metrics.samples)), trained=True),
    _Column("{valid}", 8, 6, _sampled(lambda metrics: f"{metrics.valid:.1%}"), trained=True),
    _Column("pass", 6, 2, _sampled(lambda metrics: f"{metrics.passed:.1%}"), trained=True),
    _Column("selected", 8, 3, lambda report: str(report.selected), trained=True),
    _Column("distinct", 8, 8, _sampled(lambda metrics: f"{metrics.distinct:.2f}"), trained=True),
    _Column(
        "loss",
        13,
        5,
        _trained(lambda train: f"{train.loss_first:5.3f} > {train.loss_last:5.3f}"),
        trained=True,
    ),
    _Column("seconds", 11, 9, _seconds),
    _Column(" held-out {valid}", 19, 10, _heldout("valid")),
    _Column(" held-out pass", 19, 1, _heldout("passed")),
)


def header(valid: str, room: int | None = None) -> str:
    """Return the header for at most `room` characters; `valid` is the verifier's word for valid completions."""
    named = ((column, column.header.format(valid=valid)) for column in _fitting(room))
    cells = [
        name.ljust(column.width) if name.startswith(" ") else name.rjust(column.width)
        for column, name in named
    ]
    return _join(cells).rstrip()


def row(report: CycleReport, room: int | None = None) -> str:
    """Return a cycle as a row for at most `room` characters; None: with all columns."""
    columns = _fitting(room)
    if report.sampled is None or report.train is None:
        cells = _before_training(report, columns)
    else:
        cells = [column.cell(report).rjust(column.width) for column in columns]
    line = _join(cells).rstrip()
    return f"{line}  {left_out}" if room is None and (left_out := _conclusive(report.heldout)) else line


def remark(report: CycleReport) -> str:
    """Return a line about what the table does not show: the trainer's statistics, many warnings; else ""."""
    found = []
    if report.train and report.train.metrics:
        found.append(", ".join(f"{name} {value:.3g}" for name, value in report.train.metrics.items()))
    if report.sampled and report.sampled.warned >= _MANY_WARNINGS:
        share = f"{report.sampled.warned:.0%}"
        found.append(f"{share} of the completions have warnings, which may lower their rewards")
    if report.waits:
        waits = ", ".join(f"{role} {seconds:.0f} s" for role, seconds in report.waits.items())
        found.append(f"waited for the others: {waits}")
    return f"cycle {report.cycle}  {'; '.join(found)}" if found else ""


def _fitting(room: int | None) -> list[_Column]:
    shown = fitting([each.width for each in _COLUMNS], [each.rank for each in _COLUMNS], room)
    return [_COLUMNS[number] for number in shown]


def _before_training(report: CycleReport, columns: list[_Column]) -> list[str]:
    """Return the cells of a cycle without training, with a remark across the columns that it has no values for."""
    empty = [column.width for column in columns if column.trained]
    span = sum(empty) + GAP * (len(empty) - 1)
    remark = "before training" if span >= len("before training") else "before"
    cells = [column.cell(report).rjust(column.width) for column in columns if not column.trained]
    return [cells[0], remark.rjust(span), *cells[1:]] if span >= len(remark) else cells


def _conclusive(metrics: EvalMetrics | None) -> str:
    """Return the number of completions that the metrics cover; empty if they cover all."""
    left_out = metrics.errors + metrics.inconclusive if metrics else 0
    return f"{metrics.samples} of {metrics.samples + left_out} conclusive" if metrics and left_out else ""


def _join(cells: list[str]) -> str:
    return (" " * GAP).join(cells)
