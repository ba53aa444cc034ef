"""Plugin `doctor`: looks at the reports after each cycle and says what is wrong, and why.

    halo run --verifier gcc --plugin doctor --plugin-opt doctor.patience=2

The rules are in `halo_core.diagnosis`; docs/doctor.md explains them. `halo diagnose RUN` says the same of a run that
was made without it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core import files
from halo_core.config.options import driver
from halo_core.diagnosis import Finding, Thresholds, diagnose
from halo_core.hookspecs import hookimpl
from halo_core.types import CycleReport

if TYPE_CHECKING:
    from halo_core.run.state import Run

FILE = "doctor.json"
"""Where in the run directory the findings are."""


@driver
class Doctor(Thresholds):
    """Say after each cycle what is wrong with the run: learning rate, verifier, data or machinery.

    A finding is said when it is new or has become more severe, and all that hold are kept in the run directory,
    in doctor.json. Nothing is changed and nothing remembered: the findings follow from the reports.
    """

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Keep what holds of the cycles that are there, should the run have been killed before that was done."""
        if history:
            write(run.directory / FILE, history, diagnose(history, self))

    @hookimpl
    def on_cycle_end(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Say what is new, and keep what holds."""
        found = diagnose(history, self)
        known = {each.cause: each.severity.rank for each in diagnose(history[:-1], self)}
        for finding in found:
            if finding.severity.rank > known.get(finding.cause, -1):
                run.log("doctor", str(finding))
        write(run.directory / FILE, history, found)


def write(path: Path, history: Sequence[CycleReport], found: Sequence[Finding]) -> None:
    """Put the findings on disk whole or not at all."""
    files.write(path, json.dumps(plain(history, found), indent=2) + "\n")


def plain(history: Sequence[CycleReport], found: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as JSON would have them."""
    return {"cycle": history[-1].cycle, "findings": [asdict(finding) for finding in found]}
