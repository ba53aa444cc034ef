"""The report, kept up to date while a run goes on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from halo_core.errors import RunError
from halo_core.hookspecs import hookimpl
from halo_core.types import CycleReport

if TYPE_CHECKING:
    from halo_core.run.state import Run


class ReportFile:
    """Writes report.html after every cycle. What goes wrong with it is said and does not stop the run."""

    @hookimpl(trylast=True)
    def on_cycle_end(self, run: Run) -> None:
        """Write it, after whatever the other plugins have to say of the cycle."""
        self._write(run)

    @hookimpl(trylast=True)
    def on_run_end(self, run: Run, history: Sequence[CycleReport], error: BaseException | None) -> None:
        """Keep how a run ended that did not get to its end, and write that too."""
        ended = str(error) or type(error).__name__ if error else run.stop_reason
        if ended and history:
            with suppress(RunError):  # of a full disk, say, which was told already
                run.ledger.note("ended", ended)
            self._write(run)

    def _write(self, run: Run) -> None:
        from halo_core.report import write_report

        try:
            write_report(run.ledger)
        except Exception as error:  # hours of training are not to be lost to a picture
            run.progress.note(f"report   not written: {type(error).__name__}: {error}")
