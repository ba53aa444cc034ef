"""Findings about the held-out pass rate itself, for runs in which no other cause was found."""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points
from halo_core.metrics import Z95

_DO_NOT_EXPLAIN_A_FALL = frozenset({Cause.CEILING, Cause.PROMPTS_EXHAUSTED, Cause.WARMUP})


def ceiling(h: History, found: frozenset[Cause]) -> Finding | None:
    """The held-out pass rate is close to its maximum and no longer rises."""
    if found - {Cause.NARROWING} or not h.heldout or h.gaining:
        return None
    cycle, metrics = h.heldout[-1]
    if metrics.passed < h.options.ceiling:
        return None
    text = f"{metrics.passed:.1%} of the held-out completions pass after cycle {cycle}"
    seen = Evidence("ceiling", text, (cycle,), (metrics.passed,), metrics.passed_interval, h.options.ceiling)
    advice = "Stop, or continue with harder prompts."
    return Finding(Cause.CEILING, Severity.NOTICE, cycle, (seen,), advice)


def regression(h: History, found: frozenset[Cause]) -> Finding | None:
    """The held-out pass rate fell from its best, and no other rule explains it."""
    if h.fall is None or found - _DO_NOT_EXPLAIN_A_FALL:
        return None
    best = h.fall.cycles[0]
    advice = (
        f"Go back to cycle {best}; then try a lower learning rate, fresh prompts and earlier data in the mix, one at a "
        "time, because the reports do not show which of them helps."
    )
    return Finding(Cause.REGRESSION, Severity.WARNING, h.last.cycle, (h.fall,), advice)


def plateau(h: History, found: frozenset[Cause]) -> Finding | None:
    """In each of the last two cycles, the interval of the change of the pass rate is within `plateau_points`."""
    if found or len(h.heldout) < 3:
        return None
    band = h.options.plateau_points
    recent = h.reports[-2:]
    changes = [measures.paired(report.improvement) for report in recent if report.improvement is not None]
    intervals = [change.interval(Z95) for change in changes]
    if len(intervals) < 2 or any(low < -band or high > band for low, high in intervals):
        return None
    cycles = tuple(report.cycle for report in recent)
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    text = f"the last two cycles changed the held-out pass rate by {points(low)} to {points(high)} points at most"
    values = tuple(change.value for change in changes)
    seen = Evidence("plateau", text, cycles, values, (low, high), band)
    advice = (
        "Stop, or change something other than the learning rate: harder or fresh prompts, more samples, another "
        "starting model."
    )
    return Finding(Cause.PLATEAU, Severity.NOTICE, h.last.cycle, (seen,), advice)
