"""The learning rate itself: reported only on evidence that no other cause explains."""

from __future__ import annotations

import math
import statistics

from halo_core.config.schema import RETRY_DIVISOR
from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points
from halo_core.metrics import Z95
from halo_core.tables import spell
from halo_core.types import TrainStats

LEGACY_LOW = 0.05
"""Gradient norm below which the halo-forge notes call the learning rate too low."""
_OTHER_EXPLANATIONS = frozenset(
    {
        Cause.VERIFIER_ERRORS,
        Cause.STALE_SAMPLER,
        Cause.NO_UPDATE,
        Cause.WARMUP,
        Cause.TOO_FEW_STEPS,
        Cause.CEILING,
        Cause.PROMPTS_TOO_HARD,
        Cause.PROMPTS_EXHAUSTED,
        Cause.TRUNCATION,
    }
)
"""Causes that explain a run without gains; a higher learning rate would not help."""
_LOWER_IT = (
    "Go back to the best cycle and lower the learning rate to a third or less; change nothing else, so that the result "
    "shows whether that was the cause."
)
_RAISE_IT = (
    "Raise the learning rate three- to tenfold (halo lr recommend gives a range), or decay it later if the run started "
    "at a higher one; keep everything else unchanged."
)


def lr_too_high(h: History, found: frozenset[Cause]) -> Finding | None:
    """The steps do harm: the loss rises or alternates, or the model moved far and got worse."""
    if found & {Cause.DIVERGED, Cause.LEAKY_VERIFIER, Cause.STALE_SAMPLER}:
        return None
    far, worse = steps_too_large(h), h.fall
    direct = (retried(h), swings(h), rising_loss(h), alternating_loss(h))
    seen = [evidence for evidence in direct if evidence]
    reason = (far or collapse(h)) if worse and not (h.valid_rose or h.truncation_rose) else None
    if not (seen or reason):
        return None
    more = (worse, reason, far, clipping(h), repetition(h) if worse else None)
    seen += [evidence for evidence in dict.fromkeys(more) if evidence]
    severity = Severity.CRITICAL if worse else Severity.WARNING
    cycle = max(cycle for evidence in seen for cycle in evidence.cycles)
    return Finding(
        Cause.LR_TOO_HIGH, severity, cycle, tuple(seen), _LOWER_IT, "rollback" if worse else "none"
    )


def steps_too_large(h: History) -> Evidence | None:
    """Find the cycle since the best that moved the model furthest; None if it did not move it too far."""
    best = h.from_best[0] if h.from_best else 0
    since = {cycle: kl for cycle, kl in h.kl.items() if cycle > best}
    if since:
        cycle, most = max(since.items(), key=lambda pair: pair[1])
        first = next(iter(h.kl.values()))
        limit = min(h.options.kl_high, max(h.options.kl_jump * first, h.options.kl_high / 2))
        if most < limit:
            return None
        text = f"cycle {cycle} moved the model by {most:.2g} nats per token (KL before and after)"
        return Evidence("kl-high", text, (cycle,), (most,), threshold=limit)
    ratios = {cycle: ratio for cycle, ratio in h.update_ratios.items() if cycle > best}
    if h.kl or not ratios or max(ratios.values()) < h.options.update_high:
        return None
    cycle, most = max(ratios.items(), key=lambda pair: pair[1])
    text = f"cycle {cycle} changed the trained weights by {most:.2g} times their norm"
    return Evidence("update-high", text, (cycle,), (most,), threshold=h.options.update_high)


def collapse(h: History) -> Evidence | None:
    """Find a collapse: the valid rate is below the share `collapse` of the best cycle's, beyond noise."""
    change = h.compare(h.measured, measures.valid, since=h.from_best[0] if h.from_best else None)
    if change is None or h.from_best is None or change.interval(h.z)[1] >= 0:
        return None
    best = dict(h.measured)[h.from_best[0]].valid
    if best + change.value >= h.options.collapse * best:
        return None
    return h.change("collapse", "valid rate", change, best, h.from_best[0])


def retried(h: History) -> Evidence | None:
    """Find the last cycle that diverged and was retried, each time at 1 / `RETRY_DIVISOR` of the learning rate."""
    for report in reversed(h.reports):
        if report.train is not None and report.train.retries:
            factor = 1 / RETRY_DIVISOR**report.train.retries
            text = f"cycle {report.cycle} diverged at {spell(report.lr / factor)} and was trained at {spell(report.lr)}"
            return Evidence("retried", text, (report.cycle,), (factor,))
    return None


def swings(h: History) -> Evidence | None:
    """Find swings: the pass rate fell from one cycle to the next, recovered, and fell again, each beyond noise.

    A rise in a cycle that started from an earlier one does not count: that is a rollback, not a recovery.
    """
    z = h.z_for(len(h.reports) - 1)
    changes = [
        (report.cycle, measures.paired(report.improvement)) for report in h.reports if report.improvement
    ]
    falls = [cycle for cycle, change in changes if change.interval(z)[1] < 0]
    if not falls:
        return None
    not_rolled_back = {report.cycle for report in h.reports if report.started_from in (0, report.cycle - 1)}
    rises = [
        cycle
        for cycle, change in changes
        if falls[0] < cycle < falls[-1] and cycle in not_rolled_back and change.interval(Z95)[0] > 0
    ]
    if not rises:
        return None
    swung = sorted({*falls, *rises})
    values = tuple(change.value for cycle, change in changes if cycle in swung)
    listed = ", ".join(
        f"{points(value)} in cycle {cycle}" for cycle, value in zip(swung, values, strict=True)
    )
    return Evidence(
        "swings", f"the held-out pass rate went up and down: {listed} points", tuple(swung), values
    )


def rising_loss(h: History) -> Evidence | None:
    """Find the last cycle over which the training loss rose, beyond noise."""
    z = measures.z_score(h.options.confidence, len(h.training))
    for cycle, train in reversed(h.training):
        losses = _finite(train)
        slope, score = measures.trend(losses)
        start = statistics.median(losses[: max(1, len(losses) // 4)]) if losses else 0.0
        rise = slope * (len(losses) - 1) / start if start > 0 else 0.0
        if score > z and rise >= h.options.loss_rise:
            text = f"the training loss rose by {rise:.0%} over the {train.steps} steps of cycle {cycle}"
            return Evidence("divergence", text, (cycle,), (rise,), threshold=h.options.loss_rise)
    return None


def alternating_loss(h: History) -> Evidence | None:
    """Find the last cycle whose step losses alternate, beyond noise: each step overshoots."""
    z = measures.z_score(h.options.confidence, len(h.training))
    for cycle, train in reversed(h.training):
        losses = _finite(train)
        r, score = measures.alternation(losses)
        if score < -z and r <= h.options.alternation and measures.variation(losses) >= h.options.variation:
            text = f"the losses of the {train.steps} steps of cycle {cycle} alternate (lag-1 autocorrelation {r:.2f})"
            return Evidence("oscillation", text, (cycle,), (r,), threshold=h.options.alternation)
    return None


def clipping(h: History) -> Evidence | None:
    """Return evidence if most gradients were clipped. It supports a high learning rate only beside other evidence."""
    share = h.median(lambda train: train.clipped_fraction) if h.training else 0.0
    if share <= h.options.clipped:
        return None
    text = f"gradients were clipped in {share:.0%} of the steps"
    return Evidence("clipping", text, h.cycles, (share,), threshold=h.options.clipped)


def repetition(h: History) -> Evidence | None:
    """Return evidence if the completions repeat far more than in the first cycle."""
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    ratio = after.distinct / before.distinct if before.distinct else 1.0
    if ratio >= h.options.repetition:
        return None
    text = f"{after.distinct:.0%} of the completions are distinct, {before.distinct:.0%} were at first"
    values = (before.distinct, after.distinct)
    return Evidence("repetition", text, (first, last), values, threshold=h.options.repetition)


def lr_too_low(h: History, found: frozenset[Cause]) -> Finding | None:
    """The model hardly moved in any of at least `patience` cycles, and gained little or nothing."""
    still, slow = h.hardly_moved, h.slow
    if len(h.training) < h.options.patience or not (still and slow) or found & _OTHER_EXPLANATIONS:
        return None
    seen = tuple(evidence for evidence in (still, slow, flat_loss(h), wasted(h)) if evidence)
    return Finding(Cause.LR_TOO_LOW, Severity.WARNING, h.last.cycle, seen, _RAISE_IT)


def flat_loss(h: History) -> Evidence | None:
    """Return evidence if no cycle's training loss had a trend. Alone it means nothing: see docs/doctor.md."""
    z = measures.z_score(h.options.confidence, len(h.training))
    series = [_finite(train) for _, train in h.training if len(train.losses) >= 4]
    if not series or any(abs(measures.trend(losses)[1]) > z for losses in series):
        return None
    return Evidence("flat-loss", f"the training loss has no trend in any of {len(series)} cycles", h.cycles)


def wasted(h: History) -> Evidence | None:
    """Return the seconds that the cycles took, as evidence of the cost."""
    spent = sum(sum(report.seconds.values()) for report in h.reports[1:])
    text = f"{spent:.0f} s of sampling and training"
    return Evidence("wasted-compute", text, h.cycles, (spent,)) if spent else None


def legacy_band(h: History, found: frozenset[Cause]) -> Finding | None:
    """The median gradient norm is outside the bands of the halo-forge notes, taken literally; off by default."""
    if not h.options.legacy_grad_band or not h.training or found & {Cause.LR_TOO_HIGH, Cause.LR_TOO_LOW}:
        return None
    limit = h.options.legacy_max_grad_norm
    norm = h.median(lambda train: train.grad_norm_median)
    if not (norm >= limit or norm < LEGACY_LOW):
        return None
    cause = Cause.LR_TOO_HIGH if norm >= limit else Cause.LR_TOO_LOW
    text = f"median gradient norm {norm:.3g}, before clipping"
    threshold = limit if norm >= limit else LEGACY_LOW
    seen = Evidence("legacy-grad-band", text, h.cycles, (norm,), threshold=threshold)
    advice = "Read it with caution: the band refers to norms after clipping, and Adam divides the gradient's scale out."
    return Finding(cause, Severity.NOTICE, h.last.cycle, (seen,), advice)


def _finite(train: TrainStats) -> tuple[float, ...]:
    """Return the losses; none if one is not finite, or of a policy gradient: they do not measure progress."""
    usable = train.objective != "policy" and all(map(math.isfinite, train.losses))
    return train.losses if usable else ()
