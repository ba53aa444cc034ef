"""The HTML report, updated during the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from halo_core.errors import RunError
from halo_core.hookspecs import hookimpl
from halo_core.types import Completion, CycleReport, Prompt

if TYPE_CHECKING:
    from halo_core.run.state import Run as ConcreteRun


class ReportFile:
    """Writes report.html after every cycle. An error while writing is printed and does not stop the run.

    It needs more than a `RunView`: the report reads the whole ledger.
    """

    def __init__(self, extract: Callable[[Prompt, Completion], str] | None = None) -> None:
        self._extract = extract

    @hookimpl(trylast=True)
    def on_cycle_end(self, run: ConcreteRun) -> None:
        """Write the report, after the other plugins have logged their lines about the cycle."""
        self._write(run)

    @hookimpl(trylast=True)
    def on_run_end(
        self, run: ConcreteRun, history: Sequence[CycleReport], error: BaseException | None
    ) -> None:
        """Store the reason if the run ended early, and write a report with it."""
        reason = str(error) or type(error).__name__ if error else run.stop_reason
        if reason and history:
            with suppress(RunError):  # for example a full disk, which was reported already
                run.ledger.note("ended", reason)
            self._write(run)

    def _write(self, run: ConcreteRun) -> None:
        from halo_core.report import write_report
        from halo_core.run.reasons import Reasons

        try:
            write_report(run.ledger, extract=self._extract, reasons=Reasons(run.ledger))
        except Exception as error:  # a failed report must not cost hours of training
            run.progress.note(f"report   not written: {type(error).__name__}: {error}")
