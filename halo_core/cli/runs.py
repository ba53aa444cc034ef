"""`halo runs`: list the runs of a directory with their results."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halo_core.cli.output import name_of, print_json
from halo_core.cli.signatures import AsJSON

if TYPE_CHECKING:
    from halo_core.ledger.summary import Summary

_HEADER = ("run", "started", "status", "cycles", "verifier", "lr policy", "model", "held-out pass", "points")
_RANKS = (0, 7, 2, 4, 5, 6, 8, 1, 3)
"""On a narrow terminal, the columns with the lowest numbers stay."""


def runs(
    root: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Directory that holds run directories.")
    ] = Path("runs"),
    as_json: AsJSON = False,
) -> None:
    """List runs with status and held-out pass rate, the newest last.

    The pass rates are those before and after training. The difference in points is marked n.s. (not significant) if
    its 95% interval includes 0.
    """
    from halo_core.errors import RunError
    from halo_core.ledger.summary import summaries
    from halo_core.tables import table

    found = summaries(root)
    if not found:
        message = f"no runs in {root}" if root.is_dir() else f"{root} is not a directory"
        raise RunError(message, hint="start a run with halo run, or name another directory")
    if as_json:
        print_json([_record(summary) for summary in found])
    else:
        typer.echo(table([_HEADER, *map(_row, found)], left=7, ranks=_RANKS))
    for summary in found:
        if summary.error:
            typer.echo(f"halo: {name_of(summary.directory)}: {summary.error}", err=True)


def _record(summary: Summary) -> dict[str, Any]:
    """Return a run as values of JSON, with the report of each cycle."""
    totals = {name: getattr(summary, name) for name in ("done", "samples", "tokens", "seconds")}
    return {field.name: getattr(summary, field.name) for field in fields(summary)} | totals


def _row(summary: Summary) -> tuple[str, ...]:
    started = datetime.fromtimestamp(summary.started).strftime("%Y-%m-%d %H:%M") if summary.started else ""
    measured = [report.heldout for report in summary.reports if report.heldout]
    ends = [measured[0], measured[-1]] if len(measured) > 1 else measured
    change = summary.change
    points = (
        "" if change is None else f"{100 * change.difference:+.1f}{'' if change.significant else ' n.s.'}"
    )
    return (
        name_of(summary.directory),
        started,
        summary.status,
        f"{summary.done}/{summary.cycles}" if summary.cycles else "",
        summary.verifier,
        summary.lr_policy,
        summary.model,
        " > ".join(f"{metrics.passed:.1%}" for metrics in ends),
        points,
    )
