"""`halo report`: write a run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halo_core.cli.signatures import RunDirectory


def report(
    directory: RunDirectory,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here; default: report.html in the run."),
    ] = None,
) -> None:
    """Write a run's report: one HTML file that needs no network.

    `halo run` writes it after every cycle.
    """
    from halo_core.cli.output import check_output
    from halo_core.ledger.ledger import open_run
    from halo_core.report import write_report
    from halo_core.run.reasons import Reasons

    if output is not None:
        check_output(output)
    ledger = open_run(directory)
    typer.echo(f"wrote {write_report(ledger, output, Reasons(ledger))}")
