"""`halo compare`: show runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.output import atomic_output, check_output, name_of, print_json
from halo_core.cli.signatures import AsJSON

if TYPE_CHECKING:
    from halo_core.ledger.ledger import Ledger
    from halo_core.ledger.summary import Summary
    from halo_core.types import PairedDifference

_HEIGHT = 14
"""Height of the text chart in lines."""


def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories.")],
    plot: Annotated[
        bool, typer.Option("--plot/--no-plot", help="Draw the held-out pass rates as text.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Also write this .csv, .json, .svg or .png file."
        ),
    ] = None,
    as_json: AsJSON = False,
) -> None:
    """Compare runs: held-out pass rates with 95% intervals, and costs.

    Shows the pass rates by cycle too. Each run is compared with the first, prompt by prompt, if both were measured on
    the same prompts.
    """
    from halo_core.ledger.ledger import open_run
    from halo_core.ledger.summary import summarise

    write = _writer(output) if output else None
    ledgers = [open_run(directory) for directory in directories]
    summaries = [summarise(ledger) for ledger in ledgers]
    if as_json:
        print_json(
            {
                "cycles": _records(summaries),
                "differences": [
                    _difference(ledgers[0], summaries[0], ledger, run)
                    for ledger, run in list(zip(ledgers, summaries, strict=True))[1:]
                ],
            }
        )
    else:
        _print(ledgers, summaries, plot=plot)
    if output and write:
        with atomic_output(output) as path:
            write(path, summaries)
        typer.echo(f"wrote {output}", err=as_json)


def _print(ledgers: Sequence[Ledger], summaries: Sequence[Summary], *, plot: bool) -> None:
    """Print the runs, their differences from the first, and their pass rates by cycle."""
    from halo_core.tables import table

    marks = [ascii_lowercase[number % len(ascii_lowercase)] for number in range(len(summaries))]
    rows = [(mark, *_row(run)) for mark, run in zip(marks, summaries, strict=True)]
    typer.echo(table([_HEADER, *rows], left=3, ranks=_RANKS))
    differences = [
        f"{mark} against {marks[0]}: {_described(_difference(ledgers[0], summaries[0], ledger, run))}"
        for mark, ledger, run in list(zip(marks, ledgers, summaries, strict=True))[1:]
    ]
    typer.echo("\n".join(["", *differences] if differences else []), nl=bool(differences))
    if any(share is not None for run in summaries for share in _pass_rates(run)):
        typer.echo("\nheld-out pass rate by cycle\n")
        by_cycle = _by_cycle(marks, summaries)
        latest_first = range(len(by_cycle[0]) - 1, 0, -1)
        typer.echo(table(by_cycle, left=1, ranks=(0, *latest_first)))
        if plot:
            typer.echo("\n" + chart(marks, [_pass_rates(run) for run in summaries]))


_HEADER = (
    *("", "run", "lr policy", "seed", "cycles", "before", "after", "95% interval", "points", "95% interval"),
    *("best cycle", "samples", "tokens trained", "minutes"),
)
_RANKS = (0, 1, 8, 9, 7, 4, 3, 6, 2, 5, 10, 11, 13, 12)
"""The order in which the columns are kept on a narrow terminal."""


@dataclass(frozen=True)
class _Difference:
    """How the last held-out pass rate of a run differs from that of the first run."""

    run: str
    passed: PairedDifference | None = None
    unknown: str = ""
    """Why there is no difference."""
    same_verifiers: bool = True


def _difference(first_ledger: Ledger, first: Summary, other_ledger: Ledger, other: Summary) -> _Difference:
    from halo_core.metrics import paired_difference

    run = str(other.directory)
    if first_ledger.prompts("heldout") != other_ledger.prompts("heldout"):
        return _Difference(run, unknown="different held-out prompts; the pass rates cannot be compared")
    if not (first.reports and other.reports):
        return _Difference(run, unknown="not measured yet")
    passes = [
        ledger.passes("heldout", run.reports[-1].cycle, run.reports[-1].cycle)
        for ledger, run in ((first_ledger, first), (other_ledger, other))
    ]
    if not all(passes):
        return _Difference(run, unknown="not measured")
    change = paired_difference(*passes, seed=first.seed)
    same_verifiers = first_ledger.fingerprints() == other_ledger.fingerprints()
    return _Difference(run, change, same_verifiers=same_verifiers)


def _described(difference: _Difference) -> str:
    change = difference.passed
    if change is None:
        return difference.unknown
    text = f"{100 * change.difference:+.1f} points after the last cycle"
    text += f" (95% interval {_interval(change.interval, '+')}"
    text += ")" if change.significant else "; not significant)"
    return text if difference.same_verifiers else f"{text}, with different verifiers"


def chart(marks: Sequence[str], series: Sequence[Sequence[float | None]]) -> str:
    """Draw shares against cycles as text; a star marks a cell that several runs share."""
    measured = [value for values in series for value in values if value is not None]
    low, high = min(measured), max(measured)
    if low == high:
        low, high = max(0.0, low - 0.05), min(1.0, high + 0.05)
    span = high - low
    cells: dict[tuple[int, int], str] = {}
    for mark, values in zip(marks, series, strict=True):
        for cycle, value in enumerate(values):
            if value is not None:
                cell = round(_HEIGHT * (value - low) / span), cycle
                cells[cell] = "*" if cell in cells else mark
    cycles = range(max(map(len, series)))
    lines = [
        f"{low + span * level / _HEIGHT:>7.1%} |"
        + "".join(cells.get((level, cycle), "").rjust(4) for cycle in cycles)
        for level in range(_HEIGHT, -1, -1)
    ]
    return "\n".join(
        [*(line.rstrip() for line in lines), f"{'cycle':>7} |" + "".join(f"{c:>4}" for c in cycles)]
    )


def _pass_rates(run: Summary) -> list[float | None]:
    return [report.heldout.passed if report.heldout else None for report in run.reports]


def _row(run: Summary) -> tuple[str, ...]:
    from halo_core.metrics import best_cycle

    measured = [report.heldout for report in run.reports if report.heldout]
    before = after = after_interval = ""
    if measured:
        before = f"{measured[0].passed:.1%}"
    if len(measured) > 1:
        after = f"{measured[-1].passed:.1%}"
        after_interval = _interval(measured[-1].passed_interval, "")
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
            after_interval,
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


def _by_cycle(marks: Sequence[str], summaries: Sequence[Summary]) -> list[tuple[str, ...]]:
    cycles = range(max(len(run.reports) for run in summaries))
    rows = [("", *map(str, cycles))]
    for mark, run in zip(marks, summaries, strict=True):
        pass_rates = ["" if share is None else f"{share:.1%}" for share in _pass_rates(run)]
        rows.append((mark, *pass_rates, *[""] * (len(cycles) - len(pass_rates))))
    return rows


_Writer = Callable[[Path, Sequence["Summary"]], None]


def _writer(output: Path) -> _Writer:
    """Return the writer for the suffix of `output`. Raises a `ConfigError` if there is none."""
    from halo_core.errors import ConfigError, did_you_mean

    writers = {".csv": _write_csv, ".json": _write_json, ".svg": _write_chart, ".png": _write_chart}
    write = writers.get(output.suffix.lower())
    if write is None:
        raise ConfigError(
            f"{output}: the suffix does not name a format",
            hint=did_you_mean(output.suffix, writers),
        )
    check_output(output)
    return write


_COLUMNS = (
    *("run", "lr_policy", "seed", "cycle", "lr", "heldout_passed", "heldout_low", "heldout_high"),
    *("train_passed", "selected", "tokens", "seconds"),
)


def _records(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return a record for each run and cycle."""
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
        for run in summaries
        for report in run.reports
    ]


def _write_csv(output: Path, summaries: Sequence[Summary]) -> None:
    import csv

    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_records(summaries))


def _write_json(output: Path, summaries: Sequence[Summary]) -> None:
    import json

    output.write_text(json.dumps(_records(summaries), indent=2) + "\n", encoding="utf-8")


def _write_chart(output: Path, summaries: Sequence[Summary]) -> None:
    from halo_core.report.charts import comparison

    output.write_bytes(comparison(summaries, output.suffix[1:].lower()))
