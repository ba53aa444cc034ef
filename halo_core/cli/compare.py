"""`halo compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.output import name_of

if TYPE_CHECKING:
    from halo_core.ledger.ledger import Ledger
    from halo_core.ledger.summary import Summary

_HEIGHT = 14
"""Lines of the plot."""


def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")],
    plot: Annotated[bool, typer.Option("--plot/--no-plot", help="Draw the held-out rates as text.")] = True,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write a .csv, .json, .svg or .png."),
    ] = None,
) -> None:
    """Compare runs: held-out pass rates with 95% intervals, rates by cycle, and what they cost.

    The other runs are compared with the first, prompt by prompt, where they were measured on the same prompts.
    """
    from halo_core.ledger.ledger import open_run
    from halo_core.ledger.summary import summarise
    from halo_core.tables import table

    write = _writer(output) if output else None
    ledgers = [open_run(directory) for directory in directories]
    found = [summarise(ledger) for ledger in ledgers]
    letters = "abcdefghijklmnopqrstuvwxyz"
    marks = [letters[place % len(letters)] for place in range(len(found))]
    typer.echo(table([_HEAD, *((mark, *_row(run)) for mark, run in zip(marks, found, strict=True))], left=3))
    against = [
        f"{mark} against {marks[0]}: {_against(ledgers[0], found[0], ledger, run)}"
        for mark, ledger, run in list(zip(marks, ledgers, found, strict=True))[1:]
    ]
    typer.echo("\n".join(["", *against] if against else []), nl=bool(against))
    if any(rate is not None for run in found for rate in _rates(run)):
        typer.echo("\nheld-out pass rate by cycle\n")
        typer.echo(table(_by_cycle(marks, found), left=1))
        if plot:
            typer.echo("\n" + chart(marks, [_rates(run) for run in found]))
    if output and write:
        _write(output, write, found)
        typer.echo(f"wrote {output}")


_HEAD = (
    *("", "run", "lr policy", "seed", "cycles", "before", "after", "95% interval", "points", "95% interval"),
    *("best cycle", "samples", "tokens trained", "minutes"),
)


def _against(one: Ledger, first: Summary, other: Ledger, second: Summary) -> str:
    """Say how the last held-out rate of `second` differs from that of `first`, or why that means nothing."""
    from halo_core.metrics import paired_difference as paired

    if one.prompts("heldout") != other.prompts("heldout"):
        return "other held-out prompts; the rates cannot be compared"
    if not (first.reports and second.reports):
        return "nothing was measured yet"
    last = [
        ledger.passes("heldout", run.reports[-1].cycle, run.reports[-1].cycle)
        for ledger, run in ((one, first), (other, second))
    ]
    if not all(last):
        return "nothing was measured"
    change = paired(*last, seed=first.seed)
    said = f"{100 * change.difference:+.1f} points after the last cycle"
    said += f" (95% interval {_interval(change.interval, '+')}"
    said += ")" if change.significant else "; not significant)"
    return said if one.fingerprints() == other.fingerprints() else f"{said}, judged by another verifier"


def chart(marks: Sequence[str], series: Sequence[Sequence[float | None]]) -> str:
    """Draw shares against cycles as text; a star is where several meet."""
    known = [value for values in series for value in values if value is not None]
    low, high = min(known), max(known)
    if low == high:
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    span = high - low
    cells: dict[tuple[int, int], str] = {}
    for mark, values in zip(marks, series, strict=True):
        for cycle, value in enumerate(values):
            if value is not None:
                place = round(_HEIGHT * (value - low) / span), cycle
                cells[place] = "*" if place in cells else mark
    cycles = range(max(map(len, series)))
    lines = [
        f"{low + span * level / _HEIGHT:>7.1%} |"
        + "".join(cells.get((level, cycle), "").rjust(4) for cycle in cycles)
        for level in range(_HEIGHT, -1, -1)
    ]
    return "\n".join(
        [*(line.rstrip() for line in lines), f"{'cycle':>7} |" + "".join(f"{c:>4}" for c in cycles)]
    )


def _rates(run: Summary) -> list[float | None]:
    return [report.heldout.passed if report.heldout else None for report in run.reports]


def _row(run: Summary) -> tuple[str, ...]:
    from halo_core.metrics import best_cycle

    measured = [report.heldout for report in run.reports if report.heldout]
    before, after, where = ("", "", "")
    if measured:
        before = f"{measured[0].passed:.1%}"
    if len(measured) > 1:
        after = f"{measured[-1].passed:.1%}"
        where = _interval(measured[-1].passed_interval, "")
    change = run.change
    points = (f"{100 * change.difference:+.1f}", _interval(change.interval, "+")) if change else ("", "")
    best = best_cycle(run.reports)
    return (
        *(
            name_of(run.directory),
            run.lr_policy,
            str(run.seed),
            f"{run.done}/{run.cycles}",
            before,
            after,
            where,
        ),
        *(
            *points,
            "" if best is None else str(best),
            str(run.samples),
            str(run.tokens),
            f"{run.seconds / 60:.1f}",
        ),
    )


def _interval(bounds: tuple[float, float], sign: str) -> str:
    return " to ".join(format(100 * bound, f"{sign}.1f") for bound in bounds)


def _by_cycle(marks: Sequence[str], found: Sequence[Summary]) -> list[tuple[str, ...]]:
    cycles = range(max(len(run.reports) for run in found))
    rows = [("", *map(str, cycles))]
    for mark, run in zip(marks, found, strict=True):
        rates = ["" if rate is None else f"{rate:.1%}" for rate in _rates(run)]
        rows.append((mark, *rates, *[""] * (len(cycles) - len(rates))))
    return rows


_Writer = Callable[[Path, Sequence["Summary"]], None]


def _writer(output: Path) -> _Writer:
    """Return what writes such a file. Raises a `ConfigError` for one that nothing writes."""
    from halo_core.cli.output import check_output
    from halo_core.errors import ConfigError, did_you_mean

    writers = {".csv": _csv, ".json": _json, ".svg": _picture, ".png": _picture}
    write = writers.get(output.suffix.lower())
    if write is None:
        raise ConfigError(
            f"{output}: what kind of file to write is told by its suffix",
            hint=did_you_mean(output.suffix, writers),
        )
    check_output(output)
    return write


def _write(output: Path, write: _Writer, found: Sequence[Summary]) -> None:
    from halo_core.cli.output import replacing

    with replacing(output) as path:
        write(path, found)


_COLUMNS = (
    *("run", "lr_policy", "seed", "cycle", "lr", "heldout_passed", "heldout_low", "heldout_high"),
    *("train_passed", "selected", "tokens", "seconds"),
)


def _plain(found: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return a row for each run and cycle."""
    return [
        {
            "run": str(run.directory),
            "lr_policy": run.lr_policy,
            "seed": run.seed,
            "cycle": report.cycle,
            "lr": report.lr,
            "heldout_passed": report.heldout.passed if report.heldout else None,
            "heldout_low": report.heldout.passed_interval[0] if report.heldout else None,
            "heldout_high": report.heldout.passed_interval[1] if report.heldout else None,
            "train_passed": report.sampled.passed if report.sampled else None,
            "selected": report.selected,
            "tokens": report.train.tokens if report.train else 0,
            "seconds": sum(report.seconds.values()),
        }
        for run in found
        for report in run.reports
    ]


def _csv(output: Path, found: Sequence[Summary]) -> None:
    import csv

    rows = _plain(found)
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _json(output: Path, found: Sequence[Summary]) -> None:
    import json

    output.write_text(json.dumps(_plain(found), indent=2) + "\n", encoding="utf-8")


def _picture(output: Path, found: Sequence[Summary]) -> None:
    from halo_core.report.charts import comparison

    output.write_bytes(comparison(found, output.suffix[1:].lower()))
