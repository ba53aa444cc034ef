"""`halo run` and `halo resume`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from halo_core.cli.flags import takes_config
from halo_core.errors import command

if TYPE_CHECKING:
    from halo_core.run.plan import Plan
    from halo_core.run.state import Run

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
AsJSON = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of the table.")]


@takes_config
def run(
    raw: dict[str, Any],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run directory; default runs/VERIFIER-POLICY-N.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJSON = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Audit the verifiers first; do not train on one that errs.")
    ] = False,
) -> None:
    """Sample, verify, select, train; repeat.

    With no model and no prompts, the verifier's own demo is used. A directory that holds an unfinished run
    of the same configuration is gone on with.
    """
    from halo_core.run.plan import Plan, next_directory

    plan = Plan.from_raw(raw)
    if audit:
        _audit(plan, quiet=quiet or as_json)
    place = output or next_directory(Path("runs"), plan.config)
    try:
        _run(plan, place, quiet=quiet, as_json=as_json)
    finally:
        if output is None:
            with suppress(OSError):  # only where nothing came of it
                place.rmdir()


def resume(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    changed: Annotated[
        bool, typer.Option("--changed", help="Go on although plugins or tools are not as they were.")
    ] = False,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", "-n", min=1, help="Go on up to so many cycles, more than it had."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJSON = False,
) -> None:
    """Go on with a run that was stopped or killed, or that is to have more cycles."""
    from halo_core.ledger.ledger import open_run
    from halo_core.run.plan import Plan

    raw = open_run(directory).config()
    plan = Plan.from_raw(raw | {"cycles": cycles or raw["cycles"]})
    _run(plan, directory, quiet=quiet, as_json=as_json, changed=changed, extended=cycles is not None)


def _run(plan: Plan, directory: Path, *, quiet: bool, as_json: bool, **accepted: bool) -> None:
    from halo_core import sandbox
    from halo_core.builtin.console import ConsoleReport, JSONReport
    from halo_core.builtin.report import ReportFile
    from halo_core.loop import run_cycles

    verifiers = plan.drivers.verifiers
    first = verifiers.by_name[verifiers.first]
    report = JSONReport() if as_json else ConsoleReport(valid_label=first.valid_label, quiet=quiet)
    _introduce(plan, report.note)
    with plan.open(directory, report, **accepted) as (run, hooks):
        held = sandbox.running()
        if held:
            report.note(held.describe().replace(": ", "  ", 1))
        hooks.register(report, name="console")
        hooks.register(ReportFile(), name="report")
        with _interruptible(run):
            run_cycles(run, hooks)


def _audit(plan: Plan, *, quiet: bool) -> None:
    """Raise a `VerifierError`, having shown why, unless the plan's verifiers pass the audit of `halo audit`."""
    from halo_core.builtin.console import ConsoleReport
    from halo_core.cli.audit import conduct, table
    from halo_core.verification.audit import Bounds

    prompts, heldout = plan.data()
    verifiers = plan.drivers.verifiers
    verifiers.check_prompts([*prompts, *heldout])
    verifiers.preflight(plan.config.sandbox)
    report = ConsoleReport(quiet=quiet)
    found = conduct(verifiers, [*prompts, *heldout], report, workers=plan.config.workers)
    failed = found.failures(Bounds())
    if failed or not quiet:
        typer.echo(table(found, show=3), err=quiet)
    found.require(Bounds())


def _introduce(plan: Plan, note: Any) -> None:
    if plan.demo is None:
        return
    name = plan.drivers.verifiers.first
    what = "neither model nor prompts given" if plan.demo_model else "no prompts given"
    used = f"{len(plan.demo.prompts)} prompts, {len(plan.demo.heldout)} held out"
    used += ", and a tiny model trained from scratch" if plan.demo_model else ""
    note(f"demo     {what}: using the demo of verifier {name!r} ({used})")


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """First Ctrl-C: stop at the next safe point. Second: stop at once; what is on disk stays good."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if run.interrupted:
            _leave(run)
        run.interrupt()
        print("\nstopping at the next safe point; Ctrl-C again to stop now", file=sys.stderr)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leave(run: Run) -> NoReturn:
    """End the process whatever its threads are at: a verdict may take long, and nothing waits to be written."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h")  # a progress bar hides the cursor
    again = command("halo", "resume", run.directory)
    os.write(sys.stderr.fileno(), f"halo: error: stopped; resume with: {again}\n".encode(errors="replace"))
    os._exit(130)
