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
    from halo_core.verification.verifiers import VerifierSet

    if output is not None:
        check_output(output)
    ledger = open_run(directory)
    extract = VerifierSet.of_run(ledger.config(), ledger.plugins()).extracted
    typer.echo(f"wrote {write_report(ledger, output, extract=extract, reasons=Reasons(ledger))}")
