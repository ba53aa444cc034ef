"""The HTML report, updated during the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from halo_core.errors import Interrupted, RunError
from halo_core.hookspecs import hookimpl
from halo_core.types import Completion, CycleReport, Prompt

if TYPE_CHECKING:
    from halo_core.run.state import Run as ConcreteRun


_MAX_SHARE = 0.05
"""Share of the time between two reports that drawing the next one may take. It bounds the cost in runs of short
cycles."""
_FIRST_SECONDS = 10.0
"""Seconds from the start until the first report may be drawn."""


class ReportFile:
    """Writes report.html after a cycle and at the end. An error while writing is printed and does not stop the run.

    After short cycles no report is written if drawing it would take more than 5% of the time since the last one.
    It needs more than a `RunView`: the report reads the whole ledger.
    """

    def __init__(self, extract: Callable[[Prompt, Completion], str] | None = None) -> None:
        self._extract = extract
        self._due = monotonic() + _FIRST_SECONDS
        self._stale = True

    @hookimpl(trylast=True)
    def on_cycle_end(self, run: ConcreteRun) -> None:
        """Write the report, after the other plugins have logged their lines about the cycle."""
        self._stale = True
        if monotonic() >= self._due:
            self._write(run)

    @hookimpl(trylast=True)
    def on_run_end(
        self, run: ConcreteRun, history: Sequence[CycleReport], error: BaseException | None
    ) -> None:
        """Store the reason if the run ended early, and write a last report; not after Ctrl-C."""
        reason = str(error) or type(error).__name__ if error else run.stop_reason
        if reason and history:
            with suppress(RunError):  # for example a full disk, which was reported already
                run.ledger.note("ended", reason)
            self._stale = True
        if (
            history and self._stale and not isinstance(error, Interrupted)
        ):  # who presses Ctrl-C does not wait for a drawing
            self._write(run)

    def _write(self, run: ConcreteRun) -> None:
        from halo_core.report import write_report
        from halo_core.run.reasons import Reasons

        started = monotonic()
        try:
            write_report(run.ledger, extract=self._extract, reasons=Reasons(run.ledger))
        except Exception as error:  # a failed report must not cost hours of training
            run.progress.note(f"report   not written: {type(error).__name__}: {error}")
        self._due = monotonic() + (monotonic() - started) / _MAX_SHARE
        self._stale = False
