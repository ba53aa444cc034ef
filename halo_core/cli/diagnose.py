"""`halo diagnose`: what is wrong with a run, from its reports."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from halo_core.diagnosis import Finding


def diagnose(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    opt: Annotated[
        list[str] | None,
        typer.Option("--opt", "-o", metavar="KEY=VALUE", help="Threshold, as for the plugin doctor."),
    ] = None,
    cycle: Annotated[
        int | None, typer.Option(min=1, help="Look at the run as it was after this cycle; default: the last.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is wrong with a run and why: learning rate, verifier, data or machinery.

    Needs nothing but the run's reports, finished or not. Silent rules have found nothing that is significant;
    halo plugins show doctor lists their thresholds.
    """
    from halo_core.builtin.doctor import Doctor, plain
    from halo_core.config.options import build, parse_assignments
    from halo_core.diagnosis import diagnose as findings
    from halo_core.errors import RunError
    from halo_core.ledger.ledger import Ledger

    options = build(Doctor, parse_assignments(opt or [], flag="--opt"), where="halo diagnose")
    ledger = Ledger(directory)
    history = ledger.reports() if ledger.exists else []
    if len(history) < 2:
        raise RunError(f"{directory} holds no run with a finished cycle", hint="name a run's directory")
    if cycle is not None and cycle > history[-1].cycle:
        raise RunError(f"{directory} has no cycle {cycle} yet: the last is {history[-1].cycle}")
    history = history[: cycle + 1 if cycle is not None else None]
    found = findings(history, options)
    if as_json:
        typer.echo(json.dumps(plain(history, found), indent=2))
        return
    for finding in found:
        typer.echo(f"{_page(finding)}\n")
    if not found:
        typer.echo(f"nothing significant in {len(history) - 1} cycles")


def _page(finding: Finding) -> str:
    """Lay a finding out in lines."""
    action = "; go back before this cycle" if finding.action == "rollback" else ""
    lines = [f"{finding.severity}: {finding.cause} (cycle {finding.cycle}{action})"]
    lines += [_hanging("  - ", each.text) for each in finding.evidence]
    return "\n".join([*lines, _hanging("  ", finding.advice)])


def _hanging(mark: str, text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=mark, subsequent_indent=" " * len(mark))
