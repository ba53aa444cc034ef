"""`halo run` and `halo resume`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from halo_core.cli.flags import takes_config
from halo_core.cli.signatures import Events, Quiet, RunDirectory
from halo_core.errors import ConfigError, command
from halo_core.tables import count

if TYPE_CHECKING:
    from halo_core.run.plan import Plan
    from halo_core.run.state import Run


@takes_config
def run(
    raw: dict[str, Any],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RUN", help="Run directory.  [default: runs/VERIFIER-POLICY-N]"
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Events = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Audit the verifiers first; abort if a verifier fails its audit.")
    ] = False,
) -> None:
    """Run training cycles: sample, verify, select, train.

    Without a model and prompts, the verifier's demo is used. An unfinished run of the same configuration in the
    directory is resumed.
    """
    from halo_core.ledger.ledger import Ledger
    from halo_core.plugin.discovery import origins_of
    from halo_core.run.plan import Plan, next_directory

    refuse_launcher("--cluster", "ray", "--cluster-opt", "trainers={}")
    recorded = Ledger(output) if output else None
    origins = origins_of(recorded.plugins()) if recorded and recorded.exists else None
    plan = Plan.from_raw(raw, origins)
    if audit:
        _require_audit(plan, quiet=quiet or as_json)
    directory = output or next_directory(Path("runs"), plan.config)
    try:
        _run(plan, directory, quiet=quiet, as_json=as_json)
    finally:
        if output is None:
            with suppress(OSError):  # not empty: the run was created
                directory.rmdir()


def resume(
    directory: RunDirectory,
    changed: Annotated[
        bool, typer.Option("--changed", help="Resume even if plugins or tools have changed.")
    ] = False,
    cycles: Annotated[
        int | None,
        typer.Option("--cycles", "-n", min=1, metavar="N", help="Extend the run to N cycles in total."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Set a key that does not change the result: --set cluster.samplers=8; repeatable.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Events = False,
) -> None:
    """Resume a run that was stopped or killed, or add cycles to it."""
    from halo_core.config.options import parse_assignments
    from halo_core.ledger.ledger import open_run
    from halo_core.run.plan import Plan

    refuse_launcher("--set", "cluster.name=ray", "--set", "cluster.trainers={}")
    given = parse_assignments(settings or (), flag="--set")
    plan = Plan.from_ledger(open_run(directory), cycles=cycles, changed=changed, settings=given)
    _run(plan, directory, quiet=quiet, as_json=as_json, changed=changed, extended=cycles is not None)


def _run(plan: Plan, directory: Path, *, quiet: bool, as_json: bool, **accepted: bool) -> None:
    from halo_core import sandbox
    from halo_core.builtin.console import ConsoleReport, JSONReport
    from halo_core.builtin.logfile import LogFile
    from halo_core.builtin.preview import Preview
    from halo_core.builtin.report import ReportFile
    from halo_core.loop import run_cycles
    from halo_core.run.evaluation import expected_selection

    verifiers = plan.drivers.verifiers
    first = verifiers.by_name[verifiers.first]
    report = JSONReport() if as_json else ConsoleReport(valid_label=first.valid_label, quiet=quiet)
    log = LogFile(report)
    _note_demo(plan, log.note)
    with plan.open(directory, log, **accepted) as (run, hooks):
        running = sandbox.running()
        if running:
            log.note(running.describe().replace(": ", "  ", 1))
        if run.history() and not run.remaining_cycles() and run.prompts:
            more = command("halo", "resume", directory, "--cycles", plan.config.cycles + 1)
            cycles = plan.config.cycles
            done = "its only cycle was done" if cycles == 1 else f"all {cycles} cycles were done"
            log.note(f"finished {done} before; for more: {more}")
        hooks.register(log, name="log")
        hooks.register(report, name="console")
        expected = partial(expected_selection, plan.drivers, seed=plan.config.seed)
        hooks.register(Preview(verifiers.extracted, expected), name="preview")
        hooks.register(ReportFile(verifiers.extracted), name="report")
        with interruptible(run):
            run_cycles(run, hooks)


def refuse_launcher(*flags: str) -> None:
    """Raise a `ConfigError` if `accelerate launch` or `torchrun` has started several processes.

    It names the command that trains with as many; `flags` with the number in place of {} are added to this one.
    """
    number = os.environ.get("WORLD_SIZE", "")
    if not number.isdecimal() or int(number) < 2:
        return
    again = command("halo", *sys.argv[1:], *(text.format(number) for text in flags))
    raise ConfigError(
        f"a launcher has started halo {number} times, and a run has one process that starts the others",
        hint=f"start it once: {again}",
    )


def _require_audit(plan: Plan, *, quiet: bool) -> None:
    """Audit the plan's verifiers. Prints the findings and raises a `VerifierError` if a verifier fails."""
    from halo_core.builtin.console import ConsoleReport
    from halo_core.cli.audit import audit_table, run_audit
    from halo_core.verification.audit import Bounds

    prompts, heldout = plan.data()
    verifiers = plan.drivers.verifiers
    verifiers.check_prompts([*prompts, *heldout])
    verifiers.preflight(plan.config.sandbox)
    report = ConsoleReport(quiet=quiet)
    result = run_audit(verifiers, [*prompts, *heldout], report, workers=plan.config.workers)
    if result.failures(Bounds()) or not quiet:
        typer.echo(audit_table(result, show=3), err=quiet)
    result.require(Bounds())


def _note_demo(plan: Plan, note: Callable[[str], None]) -> None:
    if plan.demo is None:
        return
    name = plan.drivers.verifiers.first
    reason = "neither model nor prompts given" if plan.demo_model else "no prompts given"
    contents = f"{count(len(plan.demo.prompts), 'prompt')}, {len(plan.demo.heldout)} held out"
    contents += ", and a tiny model trained from scratch" if plan.demo_model else ""
    note(f"demo     {reason}: using the demo of verifier {name!r} ({contents})")


@contextmanager
def interruptible(run: Run) -> Iterator[None]:
    """Handle Ctrl-C: the first stops at the next safe point, the second at once. The run directory stays valid."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if run.interrupted:
            _exit_now(run)
        run.interrupt()
        _tell("\nstopping at the next safe point; Ctrl-C again to stop now\n")

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _exit_now(run: Run) -> NoReturn:
    """End the process without waiting for its threads: a verdict may take long, and no write is pending."""
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h")  # a progress bar hides the cursor
    hint = command("halo", "resume", run.directory)
    _tell(f"halo: error: stopped; resume with: {hint}\n")
    os._exit(130)


def _tell(text: str) -> None:
    """Write to the standard error output, which Ctrl-C may have closed: it ends every program of a pipe."""
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), text.encode(errors="replace"))
