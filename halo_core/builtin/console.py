"""The run on the terminal: a bar for each stage, a row for each cycle, the result at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from halo_core.builtin.cycle_table import header, remark, row
from halo_core.errors import command
from halo_core.hookspecs import RunView, hookimpl
from halo_core.metrics import best_cycle, caution, is_pass, is_valid, samples_difference, weights_cycle
from halo_core.progress import Advance, Progress
from halo_core.types import CycleReport, PairedDifference


class ConsoleReport(Progress):
    """A hook plugin and a `Progress`: bars and rows on a terminal, plain lines elsewhere."""

    def __init__(self, *, valid_label: str = "valid", quiet: bool = False) -> None:
        self._console = Console(stderr=False, highlight=False, soft_wrap=True)
        self._valid = valid_label
        self._quiet = quiet

    @property
    def _room(self) -> int | None:
        """Columns of the terminal; None: the output is not a terminal, and lines may have any length."""
        return self._console.width if self._console.is_terminal else None

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar with speed and remaining time while the stage runs."""
        if self._quiet or not self._console.is_terminal:
            yield _silent
            return
        with Bars(*_bar_columns(self._console.width), console=self._console, transient=True) as bars:
            task = bars.add_task(name, total=total or None, speed="", note="")
            start, done = time.monotonic(), 0.0

            def advance(count: float = 1, *, total: int | None = None, note: str = "") -> None:
                nonlocal done
                done = round(done + count, 6)  # the sum of parts must not fall short of a whole number
                bars.update(
                    task,
                    completed=done,
                    speed=_speed(done, time.monotonic() - start, unit),
                    note=note,
                    total=total or bars.tasks[0].total,
                )

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
            self._console.print(header(self._valid, self._room), style="bold", markup=False)
        for report in history:
            self.note(row(report, self._room))

    @hookimpl
    def on_cycle_end(self, report: CycleReport) -> None:
        """Print the cycle's row."""
        self.note(row(report, self._room))
        if text := remark(report):
            self.note(text)

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
        self._console.print(describe_change(f"held-out {self._valid}", before, self._room), markup=False)
        self._console.print(describe_change("held-out pass", after, self._room), markup=False)
        if trained := weights_cycle(history, last):
            self._console.print(f"adapter  {run.ledger.adapter(trained)}", markup=False)
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
            trained = weights_cycle(history, history[-1].cycle)
            event["adapter"] = str(run.ledger.adapter(trained)) if trained else None
        _emit(event)


def heldout_changes(run: RunView, cycle: int) -> tuple[PairedDifference, PairedDifference]:
    """Return the changes of the held-out valid rate and pass rate from cycle 0 to `cycle`."""
    before, after = (
        [sample for batch in run.ledger.batches(number, "heldout", run.heldout) for sample in batch]
        for number in (0, cycle)
    )
    valid = samples_difference(before, after, is_valid, seed=run.seed)
    return valid, samples_difference(before, after, is_pass, seed=run.seed)


def describe_change(name: str, value: PairedDifference, room: int | None = None) -> str:
    """Format a change in points with its interval; in two lines if one does not fit into `room` characters."""
    low, high = (100 * bound for bound in value.interval)
    remark = "" if value.significant else "; not significant"
    rates = f"{name:<18} {value.before:6.1%} > {value.after:6.1%}"
    points = f"{100 * value.difference:+.1f} points (95% interval {low:+.1f} to {high:+.1f}{remark})"
    line = f"{rates}   {points}"
    return line if room is None or len(line) <= room else f"{rates}\n  {points}"


def _first_task(run: RunView) -> str:
    prompt = run.heldout[0] if run.heldout else run.prompts[0]
    return prompt.text or str(prompt.messages[-1]["content"])


def _emit(event: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _bar_columns(width: int) -> list[ProgressColumn]:
    """Return the parts of a progress bar that fit into `width` characters."""
    columns: list[ProgressColumn] = [TextColumn("{task.description:<17}"), MofNCompleteColumn()]
    if width >= 60:
        columns.insert(1, BarColumn(bar_width=20 if width < 110 else 40))
        columns.append(TextColumn("{task.fields[note]}"))
    if width >= 100:
        columns += [TextColumn("{task.fields[speed]}"), TimeRemainingColumn()]
    return columns


def _speed(done: float, seconds: float, unit: str) -> str:
    rate = done / max(seconds, 1e-6)
    return f"{rate:.0f} {unit}/s" if rate >= 1 else f"{60 * rate:.1f} {unit}/min"


def _silent(count: float = 1, *, total: int | None = None, note: str = "") -> None:
    return None
