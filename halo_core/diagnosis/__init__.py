"""Diagnose a run from its reports: learning rate, verifier, data or machinery.

    for finding in diagnose(reports):
        print(finding)

findings.py   a finding: a cause with evidence, advice and an immediate action
options.py    every threshold
measures.py   the statistics          history.py   a run's reports as series and comparisons
rules/        one function for each cause, in order of precedence

Pure functions of the reports: nothing else is read, written or remembered, so a resumed run gets the same findings as
an uninterrupted one. The plugin `doctor` (`halo_core.builtin.doctor`) and `halo diagnose` call them.
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
    """Return the findings about a run, the most severe first; equally severe ones in the order of `RULES`.

    `history` holds the reports of cycles 0, 1, ... The result is empty if nothing is significant. A rule is silent if
    the reports lack a measurement that it needs.
    """
    if len(history) < 2:
        return []
    view = History(history, options or Thresholds())
    findings: list[Finding] = []
    for rule in RULES:
        finding = rule(view, frozenset(earlier.cause for earlier in findings))
        if finding is not None:
            findings.append(finding)
    return sorted(findings, key=lambda finding: -finding.severity.rank)
