"""The run on the terminal: a bar for each stage, a row for each cycle, the result at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from halo_core.errors import command
from halo_core.hookspecs import RunView, hookimpl
from halo_core.metrics import best_cycle, caution, is_pass, is_valid, samples_difference
from halo_core.progress import Advance, Progress
from halo_core.types import CycleReport, EvalMetrics, PairedDifference

_HEADER = (
    "cycle        lr  samples  {valid:>8}    pass  selected  distinct           loss      seconds"
    "   {heldout:<18}   held-out pass"
)


class ConsoleReport(Progress):
    """A hook plugin and a `Progress`: bars and rows on a terminal, plain lines elsewhere."""

    def __init__(self, *, valid_label: str = "valid", quiet: bool = False) -> None:
        self._console = Console(stderr=False, highlight=False, soft_wrap=True)
        self._valid = valid_label
        self._quiet = quiet

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar with speed and remaining time while the stage runs."""
        if self._quiet or not self._console.is_terminal:
            yield _silent
            return
        columns = (
            TextColumn("{task.description:<20}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Bars(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(name, total=total or None, speed="", note="")
            start, done = time.monotonic(), 0

            def advance(count: int = 1, *, total: int | None = None, note: str = "") -> None:
                nonlocal done
                done += count
                speed = f"{done / max(time.monotonic() - start, 1e-6):.0f} {unit}/s"
                bars.update(task, advance=count, speed=speed, note=note, total=total or bars.tasks[0].total)

            yield advance

    def note(self, message: str) -> None:
        """Print one line."""
        if not self._quiet:
            self._console.print(message, markup=False)

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Print the header of the table and the rows of the cycles that a resumed run already has."""
        self.note(f"run      {run.directory}")
        if warning := caution(len(run.heldout)):
            self.note(f"heldout  {warning}")
        self.note("")
        if not self._quiet:
            self._console.print(
                _HEADER.format(valid=self._valid, heldout=f"held-out {self._valid}"),
                style="bold",
                markup=False,
            )
        for report in history:
            self.note(row(report))

    @hookimpl
    def on_cycle_end(self, report: CycleReport) -> None:
        """Print the cycle's row."""
        self.note(row(report))

    @hookimpl
    def on_run_end(self, run: RunView, history: Sequence[CycleReport], error: BaseException | None) -> None:
        """Print the changes of the held-out valid rate and pass rate, the adapter's path, and how to try it."""
        if error is not None or len(history) < 2:
            return
        last = history[-1].cycle
        if run.stop_reason:
            self.note(f"\nstopped after cycle {last}: {run.stop_reason}")
        before, after = heldout_changes(run, last)
        self.note("")
        self._console.print(describe_change(f"held-out {self._valid}", before), markup=False)
        self._console.print(describe_change("held-out pass", after), markup=False)
        self._console.print(f"adapter  {run.ledger.adapter(last)}", markup=False)
        best = best_cycle(history)
        if best and best != last:
            self._console.print(f"best     {run.ledger.adapter(best)}", markup=False)
        example = command("halo", "generate", run.directory, _first_task(run))
        self._console.print(f"try it   {example}", markup=False)


class JSONReport(Progress):
    """One JSON object per line on standard output: run_start, cycle, run_end."""

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Emit the run directory and the number of closed cycles."""
        _emit(
            {"event": "run_start", "directory": str(run.directory), "cycles_done": max(0, len(history) - 1)}
        )

    @hookimpl
    def on_cycle_end(self, report: CycleReport) -> None:
        """Emit the cycle's report."""
        _emit({"event": "cycle", **asdict(report)})

    @hookimpl
    def on_run_end(self, run: RunView, history: Sequence[CycleReport], error: BaseException | None) -> None:
        """Emit the held-out changes and the path of the adapter."""
        event: dict[str, object] = {"event": "run_end", "error": str(error) if error else None}
        if len(history) > 1:
            valid, passed = heldout_changes(run, history[-1].cycle)
            event |= {"valid": asdict(valid), "passed": asdict(passed), "stop_reason": run.stop_reason}
            event["adapter"] = str(run.ledger.adapter(history[-1].cycle))
        _emit(event)


def heldout_changes(run: RunView, cycle: int) -> tuple[PairedDifference, PairedDifference]:
    """Return the changes of the held-out valid rate and pass rate from cycle 0 to `cycle`."""
    before, after = (
        [sample for batch in run.ledger.batches(number, "heldout", run.heldout) for sample in batch]
        for number in (0, cycle)
    )
    valid = samples_difference(before, after, is_valid, seed=run.seed)
    return valid, samples_difference(before, after, is_pass, seed=run.seed)


def row(report: CycleReport) -> str:
    """Format a cycle as a row of the table."""
    sampled, train = report.sampled, report.train
    heldout = (
        f"  {_share(report.heldout, 'valid')}  {_share(report.heldout, 'passed')}{_conclusive(report.heldout)}"
        if report.heldout
        else ""
    )
    seconds = "+".join(
        f"{report.seconds[key]:.0f}" for key in ("sample", "train", "heldout") if key in report.seconds
    )
    if sampled is None or train is None:
        return f"{report.cycle:5d}{'before training':>72}  {seconds:>11}{heldout}"
    return (
        f"{report.cycle:5d}  {report.lr:8.2e}  {sampled.samples:7d}  {sampled.valid:8.1%}  {sampled.passed:6.1%}"
        f"  {report.selected:8d}  {sampled.distinct:8.2f}  {train.loss_first:5.3f} > {train.loss_last:5.3f}"
        f"  {seconds:>11}{heldout}"
    )


def describe_change(name: str, value: PairedDifference) -> str:
    """Format a change in points with its interval."""
    low, high = (100 * bound for bound in value.interval)
    remark = "" if value.significant else "; not significant"
    return (
        f"{name:<18} {value.before:6.1%} > {value.after:6.1%}   {100 * value.difference:+.1f} points "
        f"(95% interval {low:+.1f} to {high:+.1f}{remark})"
    )


def _share(metrics: EvalMetrics, name: str) -> str:
    low, high = getattr(metrics, f"{name}_interval")
    return f"{getattr(metrics, name):6.1%} [{100 * low:4.1f}, {100 * high:4.1f}]"


def _conclusive(metrics: EvalMetrics) -> str:
    """Return the number of completions that the metrics cover; empty if they cover all."""
    left_out = metrics.errors + metrics.inconclusive
    return f"  {metrics.samples} of {metrics.samples + left_out} conclusive" if left_out else ""


def _first_task(run: RunView) -> str:
    prompt = run.heldout[0] if run.heldout else run.prompts[0]
    return prompt.text or str(prompt.messages[-1]["content"])


def _emit(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _silent(count: int = 1, *, total: int | None = None, note: str = "") -> None:
    return None
