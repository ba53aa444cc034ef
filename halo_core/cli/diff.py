"""`halo diff`: compare two runs for identity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halo_core.cli.output import print_json
from halo_core.cli.signatures import AsJSON
from halo_core.errors import HaloError


class _UnreadableRun(HaloError):
    """A run cannot be read. Its exit code differs from that of a difference."""

    exit_code = 2


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Run directory.")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Run directory.")],
    as_json: AsJSON = False,
) -> None:
    """Check that two runs are identical, or show where they differ.

    Measured times are not compared. Exit codes: 0 identical, 1 different, 2 a run cannot be read.
    """
    from halo_core.ledger.compare import compare as compare_ledgers
    from halo_core.ledger.ledger import open_run

    try:
        parts = compare_ledgers(open_run(first), open_run(second))
    except HaloError as error:
        raise _UnreadableRun(str(error), hint=error.hint) from error
    if as_json:
        print_json(parts)
        raise typer.Exit(int(not all(part.same for part in parts)))
    for part in parts:
        state = "same" if part.same else f"{part.differing} differ"
        typer.echo(f"{part.name:<14}{part.rows:>9}  {state:<16}{part.first}".rstrip())
    if all(part.same for part in parts):
        typer.echo("identical")
        return
    typer.echo(
        f"not identical: the first difference is in {next(part.name for part in parts if not part.same)}"
    )
    raise typer.Exit(1)
