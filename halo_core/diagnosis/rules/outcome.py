"""What the held-out rate itself says, where no cause was found for it."""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points
from halo_core.metrics import Z95

_NO_CAUSE = frozenset({Cause.CEILING, Cause.PROMPTS_EXHAUSTED, Cause.WARMUP})
"""Causes that do not explain a fall."""


def ceiling(h: History, found: frozenset[Cause]) -> Finding | None:
    """The held-out rate is as high as it gets, and no longer rises."""
    if found - {Cause.NARROWING} or not h.heldout or h.gaining:
        return None
    cycle, rates = h.heldout[-1]
    if rates.passed < h.options.ceiling:
        return None
    text = f"{rates.passed:.1%} of the held-out completions pass after cycle {cycle}"
    seen = Evidence("ceiling", text, (cycle,), (rates.passed,), rates.passed_interval, h.options.ceiling)
    advice = "Stop, or go on with harder prompts."
    return Finding(Cause.CEILING, Severity.NOTICE, cycle, (seen,), advice)


def regression(h: History, found: frozenset[Cause]) -> Finding | None:
    """The held-out rate fell from its best, and no other rule says why."""
    if h.fall is None or found - _NO_CAUSE:
        return None
    best = h.fall.cycles[0]
    advice = (
        f"Go back to cycle {best}; then try a lower rate, fresh prompts and earlier data in the mix, one at a time, "
        "for the reports do not tell which it is."
    )
    return Finding(Cause.REGRESSION, Severity.WARNING, h.last.cycle, (h.fall,), advice)


def plateau(h: History, found: frozenset[Cause]) -> Finding | None:
    """In each of the last two cycles the change of the held-out rate was within `plateau_points`, interval and all."""
    if found or len(h.heldout) < 3:
        return None
    band = h.options.plateau_points
    recent = [each.improvement for each in h.reports[-2:]]
    changes = [measures.paired(each) for each in recent if each is not None]
    intervals = [each.interval(Z95) for each in changes]
    if len(intervals) < 2 or any(low < -band or high > band for low, high in intervals):
        return None
    cycles = tuple(each.cycle for each in h.reports[-2:])
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    text = f"the last two cycles changed the held-out pass rate by {points(low)} to {points(high)} points at most"
    values = tuple(each.value for each in changes)
    seen = Evidence("plateau", text, cycles, values, (low, high), band)
    advice = (
        "Stop, or change something other than the rate: harder or fresh prompts, more samples, another start."
    )
    return Finding(Cause.PLATEAU, Severity.NOTICE, h.last.cycle, (seen,), advice)
