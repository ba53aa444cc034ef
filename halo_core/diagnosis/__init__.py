"""What a run's reports say about its causes: learning rate, verifier, data or machinery.

    for finding in diagnose(reports):
        print(finding)

findings.py   what is said: a cause with evidence, advice and what to do at once
options.py    every threshold
measures.py   the statistics          history.py   a run's reports as series and comparisons
rules/        one function a cause, in order of precedence

Pure functions of the reports: nothing is read, written or remembered, so a run that was resumed is diagnosed as
one that was not. The doctor (`halo_core.builtin.doctor`) and `halo diagnose` call them.
"""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.diagnosis.findings import Action, Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History
from halo_core.diagnosis.options import Thresholds
from halo_core.diagnosis.rules import RULES
from halo_core.types import CycleReport

__all__ = ["Action", "Cause", "Evidence", "Finding", "Severity", "Thresholds", "diagnose"]


def diagnose(history: Sequence[CycleReport], options: Thresholds | None = None) -> list[Finding]:
    """Return what is wrong with a run, the most severe first, and of equal severity the more basic.

    `history` holds the reports of cycles 0, 1, ...; empty when nothing is significant. A measurement that the
    reports do not have silences the rules that need it.
    """
    if len(history) < 2:
        return []
    view = History(history, options or Thresholds())
    found: list[Finding] = []
    for rule in RULES:
        finding = rule(view, frozenset(each.cause for each in found))
        if finding is not None:
            found.append(finding)
    return sorted(found, key=lambda finding: -finding.severity.rank)
