"""`halo runs`: what runs there are, and what came of each."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halo_core.cli.output import name_of

if TYPE_CHECKING:
    from halo_core.ledger.summary import Summary


def runs(
    root: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Directory that holds run directories.")
    ] = Path("runs"),
) -> None:
    """List runs, the newest last: status, what they are made of, and the held-out pass rate.

    Points are followed by n.s. where the 95% interval of the change includes 0.
    """
    from halo_core.errors import RunError
    from halo_core.ledger.summary import summaries
    from halo_core.tables import table

    found = summaries(root)
    if not found:
        where = f"no runs in {root}" if root.is_dir() else f"{root} is not a directory"
        raise RunError(where, hint="halo run begins one; or name another directory")
    head = ("run", "began", "status", "cycles", "verifier", "lr policy", "model", "held-out pass", "points")
    typer.echo(table([head, *map(_row, found)], left=7))
    for summary in found:
        if summary.error:
            typer.echo(f"halo: {name_of(summary.directory)}: {summary.error}", err=True)


def _row(summary: Summary) -> tuple[str, ...]:
    began = datetime.fromtimestamp(summary.started).strftime("%Y-%m-%d %H:%M") if summary.started else ""
    measured = [report.heldout for report in summary.reports if report.heldout]
    ends = [measured[0], measured[-1]] if len(measured) > 1 else measured
    rate = " > ".join(f"{rates.passed:.1%}" for rates in ends)
    change = summary.change
    points = (
        "" if change is None else f"{100 * change.difference:+.1f}{'' if change.significant else ' n.s.'}"
    )
    return (
        name_of(summary.directory),
        began,
        summary.status,
        f"{summary.done}/{summary.cycles}" if summary.cycles else "",
        summary.verifier,
        summary.lr_policy,
        summary.model,
        rate,
        points,
    )
