"""`halo diagnose`: find the problems of a run in its reports."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from halo_core.cli.signatures import RunDirectory

if TYPE_CHECKING:
    from halo_core.diagnosis import Finding


def diagnose(
    directory: RunDirectory,
    opt: Annotated[
        list[str] | None,
        typer.Option(
            "--opt", "-o", metavar="KEY=VALUE", help="Threshold, an option of the plugin doctor; repeatable."
        ),
    ] = None,
    cycle: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ignore later cycles; default: the last finished cycle."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find the problems of a run and their causes.

    The causes are the learning rate, the verifier, the data or the machinery. Reads only the reports of the run, which
    may still be in progress. Prints only what is significant; halo plugins show doctor lists the thresholds.
    """
    from halo_core import diagnosis
    from halo_core.builtin.doctor import Doctor, plain
    from halo_core.config.options import build, parse_assignments
    from halo_core.errors import RunError
    from halo_core.ledger.ledger import Ledger
    from halo_core.tables import count

    options = build(Doctor, parse_assignments(opt or [], flag="--opt"), where="halo diagnose")
    ledger = Ledger(directory)
    history = ledger.reports() if ledger.exists else []
    if len(history) < 2:
        raise RunError(f"{directory} contains no run with a finished cycle", hint="name a run directory")
    if cycle is not None and cycle > history[-1].cycle:
        raise RunError(
            f"{directory} has no cycle {cycle} yet: the last finished cycle is {history[-1].cycle}"
        )
    history = history[: cycle + 1 if cycle is not None else None]
    found = diagnosis.diagnose(history, options)
    if as_json:
        typer.echo(json.dumps(plain(history, found), indent=2))
        return
    for finding in found:
        typer.echo(f"{_layout(finding)}\n")
    if not found:
        typer.echo(f"nothing significant in {count(len(history) - 1, 'cycle')}")


def _layout(finding: Finding) -> str:
    """Return a finding as indented lines."""
    action = "; roll back to before this cycle" if finding.action == "rollback" else ""
    lines = [f"{finding.severity}: {finding.cause} (cycle {finding.cycle}{action})"]
    lines += [_wrapped("  - ", each.text) for each in finding.evidence]
    return "\n".join([*lines, _wrapped("  ", finding.advice)])


def _wrapped(indent: str, text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=indent, subsequent_indent=" " * len(indent))
