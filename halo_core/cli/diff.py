"""`halo diff`: whether two runs are identical, and where they part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halo_core.errors import HaloError


class _Trouble(HaloError):
    """They cannot be compared: not the same as being different."""

    exit_code = 2


def diff(
    one: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run directory.")],
    other: Annotated[Path, typer.Argument(metavar="RUN_B", help="Another.")],
) -> None:
    """Say whether two runs are identical, and where they part. Measured times are left out.

    Exits with 0 when they are identical, with 1 when they are not, with 2 when one cannot be read.
    """
    from halo_core.ledger.compare import compare
    from halo_core.ledger.ledger import open_run

    try:
        parts = compare(open_run(one), open_run(other))
    except HaloError as error:
        raise _Trouble(str(error), hint=error.hint) from error
    for part in parts:
        state = "same" if part.same else f"{part.differing} differ"
        typer.echo(f"{part.name:<14}{part.rows:>9}  {state:<16}{part.first}".rstrip())
    if all(part.same for part in parts):
        typer.echo("identical")
        return
    typer.echo(f"not identical: they part in {next(part.name for part in parts if not part.same)}")
    raise typer.Exit(1)
