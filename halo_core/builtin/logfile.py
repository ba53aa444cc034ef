"""The log of a run: a text file of everything that the run printed, with times."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version

from halo_core.builtin.cycle_table import row
from halo_core.errors import HaloError
from halo_core.hookspecs import RunView, hookimpl
from halo_core.progress import Advance, Progress
from halo_core.types import CycleReport

NAME = "run.log"
"""Name of the file in the run directory."""


class LogFile(Progress):
    """A hook plugin and a `Progress` that appends to run.log whatever it passes on to `shown`.

    The file also has the duration of each stage, and the traceback of an error that is not one of halo's own. A failure
    to write it does not stop the run.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._run: RunView | None = None
        self._waiting: list[str] = []

    def note(self, message: str) -> None:
        """Show the line and log it."""
        self._shown.note(message)
        self._write(message)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Show the stage; log its units and seconds when it ends."""
        start, done = time.monotonic(), 0.0
        with self._shown.stage(name, total, unit) as shown:

            def advance(count: float = 1, *, total: int | None = None, note: str = "") -> None:
                nonlocal done
                done = round(done + count, 6)  # the sum of parts must not fall short of a whole number
                shown(count, total=total, note=note)

            try:
                yield advance
            finally:
                noun = unit.removesuffix("s") if done == 1 else unit
                self._write(f"{name}: {done:g} {noun} in {time.monotonic() - start:.1f} s")

    @hookimpl(tryfirst=True)
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Start the log, or a section of it if the run is resumed."""
        waiting, self._run, self._waiting = self._waiting, run, []
        action = f"resumed after cycle {history[-1].cycle}" if history else "started"
        self._write(f"halo {version('halo-core')}, Python {platform.python_version()}: {action}")
        for message in waiting:
            self._write(message)

    @hookimpl(tryfirst=True)
    def on_cycle_end(self, report: CycleReport) -> None:
        """Log the cycle's row of the table."""
        self._write(row(report).strip())

    @hookimpl
    def on_run_end(self, run: RunView, error: BaseException | None) -> None:
        """Log how the run ended."""
        if error is None:
            self._write(f"stopped: {run.stop_reason}" if run.stop_reason else "finished")
        elif isinstance(error, HaloError):
            self._write(f"ended: {error}{f'; {error.hint}' if error.hint else ''}")
        else:
            self._write("ended:\n" + "".join(traceback.format_exception(error)))

    def _write(self, message: str) -> None:
        """Append a message; keep it until the run directory exists."""
        if self._run is None:
            self._waiting.append(message)
            return
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        lines = "".join(f"{now}  {line}\n" for line in message.strip("\n").splitlines())
        with (
            suppress(OSError),
            (self._run.directory / NAME).open("a", encoding="utf-8", errors="replace") as file,
        ):
            file.write(lines)
