"""Plugin `doctor`: diagnoses the run after each cycle and reports problems with their causes.

    halo run --verifier gcc --plugin doctor --plugin-opt doctor.patience=2

The rules are in `halo_core.diagnosis`; docs/doctor.md explains them. `halo diagnose RUN` reports the same findings for
a run without the plugin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halo_core import files
from halo_core.config.options import driver
from halo_core.diagnosis import Finding, Thresholds, diagnose
from halo_core.hookspecs import RunView, hookimpl
from halo_core.types import CycleReport

FILE = "doctor.json"
"""Name of the file with the findings in the run directory."""


@driver
class Doctor(Thresholds):
    """Diagnose the run after each cycle: learning rate, verifier, data or machinery.

    A finding is logged when it is new or has become more severe. All current findings are stored in the run directory,
    in doctor.json. The plugin changes nothing and has no state: the findings follow from the reports.
    """

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Store the findings of a resumed run, which may have been killed before it stored them."""
        if history:
            write(run.directory / FILE, history, diagnose(history, self))

    @hookimpl
    def on_cycle_end(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Log new findings and store all current ones."""
        findings = diagnose(history, self)
        known = {finding.cause: finding.severity.rank for finding in diagnose(history[:-1], self)}
        for finding in findings:
            if finding.severity.rank > known.get(finding.cause, -1):
                run.log("doctor", str(finding))
        write(run.directory / FILE, history, findings)


def write(path: Path, history: Sequence[CycleReport], findings: Sequence[Finding]) -> None:
    """Write the findings to `path` atomically."""
    files.write(path, json.dumps(plain(history, findings), indent=2) + "\n")


def plain(history: Sequence[CycleReport], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain values for JSON."""
    return {"cycle": history[-1].cycle, "findings": [asdict(finding) for finding in findings]}
