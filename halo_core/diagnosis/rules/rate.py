"""The learning rate itself: named only on evidence that nothing else explains."""

from __future__ import annotations

import math
import statistics

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points
from halo_core.metrics import Z95
from halo_core.tables import spell
from halo_core.types import TrainStats

_LOOK_ELSEWHERE = frozenset(
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
"""Causes for which a run that gains nothing does not need a higher rate."""
_DOWN = (
    "Go back to the best cycle and lower the rate to a third or less; change nothing else, so that you learn whether "
    "it was that."
)
_UP = (
    "Raise the rate three- to tenfold (halo lr recommend gives a range), or lower it later in the run if it began "
    "higher; keep everything else as it is."
)


def too_high(h: History, found: frozenset[Cause]) -> Finding | None:
    """The steps do harm: the loss rises or alternates, or the model moved far and got worse for it."""
    if found & {Cause.DIVERGED, Cause.LEAKY_VERIFIER, Cause.STALE_SAMPLER}:
        return None
    far, worse = steps_too_large(h), h.fall
    seen = [each for each in (retried(h), swings(h), rising_loss(h), alternating_loss(h)) if each]
    blame = (far or collapse(h)) if worse and not (h.valid_rose or h.truncation_rose) else None
    if not (seen or blame):
        return None
    more = (worse, blame, far, clipping(h), repetition(h) if worse else None)
    seen += [each for each in dict.fromkeys(more) if each]
    severity = Severity.CRITICAL if worse else Severity.WARNING
    cycle = max(cycle for each in seen for cycle in each.cycles)
    return Finding(Cause.LR_TOO_HIGH, severity, cycle, tuple(seen), _DOWN, "rollback" if worse else "none")


def steps_too_large(h: History) -> Evidence | None:
    """Return the cycle since the best that moved the model furthest, if that is too far."""
    best = h.from_best[0] if h.from_best else 0
    since = {cycle: kl for cycle, kl in h.kl.items() if cycle > best}
    if since:
        cycle, most = max(since.items(), key=lambda pair: pair[1])
        first = next(iter(h.kl.values()))
        limit = min(h.options.kl_high, max(h.options.kl_jump * first, h.options.kl_high / 4))
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
    """Return that most of the completions that were valid at the best cycle are no longer."""
    change = h.compare(h.measured, measures.valid, since=h.from_best[0] if h.from_best else None)
    if change is None or h.from_best is None or change.interval(h.z)[1] >= 0:
        return None
    best = dict(h.measured)[h.from_best[0]].valid
    if best + change.value >= h.options.collapse * best:
        return None
    return h.change("collapse", "valid rate", change, best, h.from_best[0])


def retried(h: History) -> Evidence | None:
    """Return the last cycle that diverged and was trained again, each time at a tenth of the rate."""
    for report in reversed(h.reports):
        if report.train is not None and report.train.retries:
            tenth = 10.0**-report.train.retries
            text = f"cycle {report.cycle} diverged at {spell(report.lr / tenth)} and was trained at {spell(report.lr)}"
            return Evidence("retried", text, (report.cycle,), (tenth,))
    return None


def swings(h: History) -> Evidence | None:
    """Return that the pass rate fell from one cycle to the next, recovered, and fell again, each beyond noise.

    A cycle that was started from an earlier one has not recovered, but been rolled back.
    """
    z = h.z_for(len(h.reports) - 1)
    changes = [(each.cycle, measures.paired(each.improvement)) for each in h.reports if each.improvement]
    falls = [cycle for cycle, change in changes if change.interval(z)[1] < 0]
    if not falls:
        return None
    trained_on = {each.cycle for each in h.reports if each.started_from in (0, each.cycle - 1)}
    rises = [
        cycle
        for cycle, change in changes
        if falls[0] < cycle < falls[-1] and cycle in trained_on and change.interval(Z95)[0] > 0
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
    """Return the last cycle over which the training loss rose, beyond noise."""
    z = measures.z_of(h.options.confidence, len(h.training))
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
    """Return the last cycle whose step losses alternate, beyond noise: each step overshoots."""
    z = measures.z_of(h.options.confidence, len(h.training))
    for cycle, train in reversed(h.training):
        losses = _finite(train)
        r, score = measures.alternation(losses)
        if score < -z and r <= h.options.alternation and measures.variation(losses) >= h.options.variation:
            text = f"the losses of the {train.steps} steps of cycle {cycle} alternate (lag-1 autocorrelation {r:.2f})"
            return Evidence("oscillation", text, (cycle,), (r,), threshold=h.options.alternation)
    return None


def clipping(h: History) -> Evidence | None:
    """Return that most gradients were clipped. It speaks for a rate that is too high beside other evidence only."""
    share = h.median(lambda train: train.clipped_fraction) if h.training else 0.0
    if share <= h.options.clipped:
        return None
    text = f"gradients were clipped in {share:.0%} of the steps"
    return Evidence("clipping", text, h.cycles, (share,), threshold=h.options.clipped)


def repetition(h: History) -> Evidence | None:
    """Return that the completions have become the same few."""
    first, last = h.measured[0], h.measured[-1]
    ratio = last[1].distinct / first[1].distinct if first[1].distinct else 1.0
    if ratio >= h.options.repetition:
        return None
    text = f"{last[1].distinct:.0%} of the completions are distinct, {first[1].distinct:.0%} were"
    values = (first[1].distinct, last[1].distinct)
    return Evidence("repetition", text, (first[0], last[0]), values, threshold=h.options.repetition)


def too_low(h: History, found: frozenset[Cause]) -> Finding | None:
    """For `patience` cycles the model hardly moved, and gained nothing or next to nothing."""
    still = h.still(h.options.kl_low, h.options.update_low)
    slow = h.slow
    if len(h.training) < h.options.patience or not (still and slow) or found & _LOOK_ELSEWHERE:
        return None
    seen = [still, slow, flat_loss(h), wasted(h)]
    return Finding(
        Cause.LR_TOO_LOW, Severity.WARNING, h.last.cycle, tuple(each for each in seen if each), _UP
    )


def flat_loss(h: History) -> Evidence | None:
    """Return that no cycle's training loss had a trend. On its own it means nothing: see docs/doctor.md."""
    z = measures.z_of(h.options.confidence, len(h.training))
    known = [_finite(train) for _, train in h.training if len(train.losses) >= 4]
    if not known or any(abs(measures.trend(losses)[1]) > z for losses in known):
        return None
    return Evidence("flat-loss", f"the training loss has no trend in any of {len(known)} cycles", h.cycles)


def wasted(h: History) -> Evidence | None:
    """Return the seconds that the cycles took."""
    spent = sum(sum(each.seconds.values()) for each in h.reports[1:])
    text = f"{spent:.0f} s of sampling and training"
    return Evidence("wasted-compute", text, h.cycles, (spent,)) if spent else None


def legacy_band(h: History, found: frozenset[Cause]) -> Finding | None:
    """The notes' bands of gradient norms, at their word; off by default."""
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
    advice = "Take it with care: the band is about norms after clipping, and Adam divides the gradient's scale out."
    return Finding(cause, Severity.NOTICE, h.last.cycle, (seen,), advice)


LEGACY_LOW = 0.05
"""Gradient norm below which the notes call the rate too low."""


def _finite(train: TrainStats) -> tuple[float, ...]:
    return train.losses if all(map(math.isfinite, train.losses)) else ()
