"""Causes in the training machinery: training that failed, had no effect, or did not reach the sampler."""

from __future__ import annotations

import math
from collections.abc import Iterator

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History
from halo_core.tables import spell
from halo_core.types import CycleReport, TrainStats


def diverged(h: History, found: frozenset[Cause]) -> Finding | None:
    """A training statistic is not finite. Adam cannot recover from that."""
    for report in h.reports:
        names = [name for name, value in _numbers(report) if not math.isfinite(value)]
        if names:
            seen = Evidence(
                "not-finite", f"{', '.join(names)} not finite in cycle {report.cycle}", (report.cycle,)
            )
            advice = (
                f"Go back to the weights before cycle {report.cycle} and lower the learning rate; if training diverges "
                "at a tenth of it too, check the precision (float16 overflows where bfloat16 does not)."
            )
            return Finding(Cause.DIVERGED, Severity.CRITICAL, report.cycle, (seen,), advice, "rollback")
    return None


def stale_sampler(h: History, found: frozenset[Cause]) -> Finding | None:
    """The sampler's log-probabilities, or its completions, are not those of the trained weights."""
    limit = h.options.sampler_off
    off = [
        (report.cycle, report.sampler_error)
        for report in h.reports
        if report.sampler_error is not None and report.sampler_error > limit
    ]
    if not off:
        return _unmoved_sampler(h)
    cycle, last = off[-1]
    text = f"the sampler's log-probabilities are off by {last:.3g} nats per token after cycle {cycle}"
    seen = Evidence("sampler-off", text, tuple(c for c, _ in off), tuple(v for _, v in off), threshold=limit)
    advice = (
        "Make the generator load the weights of each cycle: the completions come from a different model now."
    )
    return Finding(Cause.STALE_SAMPLER, Severity.CRITICAL, cycle, (seen,), advice)


def _unmoved_sampler(h: History) -> Finding | None:
    """The last held-out completions are those of the cycle before, and nothing proves that their weights differ."""
    cycles = tuple(
        report.cycle
        for report in h.reports
        if report.train and report.heldout_changed == 0 and not measures.sampler_is_proved(report)
    )
    if not cycles or cycles[-1] != h.last.cycle:
        return None
    text = f"no held-out completion differs between cycles {h.last.cycle - 1} and {h.last.cycle}"
    seen = Evidence("heldout-unchanged", text, cycles, (0.0,) * len(cycles))
    severity = Severity.WARNING if h.last.sampler_error is not None else Severity.CRITICAL
    advice = (
        "Make the generator load the weights of each cycle and record log-probabilities; if it does both, raise the "
        "learning rate."
    )
    return Finding(Cause.STALE_SAMPLER, severity, h.last.cycle, (seen,), advice)


def unchecked_sampler(h: History, found: frozenset[Cause]) -> Finding | None:
    """The generator records no log-probabilities, by which stale weights would be noticed."""
    cycles = tuple(report.cycle for report in h.reports if report.sampler_unchecked)
    if not cycles or Cause.STALE_SAMPLER in found:
        return None
    text = f"the generator recorded no log-probabilities of held-out completions in cycle {cycles[-1]}"
    seen = Evidence("sampler-unchecked", text, cycles)
    advice = (
        "Make the generator record the log-probability of each token, so that halo can check that it samples with "
        "the trained weights."
    )
    return Finding(Cause.UNCHECKED_SAMPLER, Severity.WARNING, cycles[-1], (seen,), advice)


def no_update(h: History, found: frozenset[Cause]) -> Finding | None:
    """A cycle took no step, had a learning rate of zero throughout, or left the weights unchanged."""
    idle = [(cycle, reason) for cycle, train in h.training if (reason := _idle(train))]
    if not idle:
        return None
    cycle, reason = idle[-1]
    seen = Evidence("dead-rate", f"{reason} in cycle {cycle}", tuple(c for c, _ in idle))
    advice = "Check the schedule, the warmup and the trainable parameters: the training of this cycle had no effect."
    return Finding(Cause.NO_UPDATE, Severity.CRITICAL, cycle, (seen,), advice)


def warmup(h: History, found: frozenset[Cause]) -> Finding | None:
    """The cycles end before their steps reach the configured learning rate."""
    share = h.options.warmup_reached
    short = [
        (report.cycle, report.train.lr_peak / report.lr, report)
        for report in h.reports
        if report.train and report.train.lr_sum > 0 and 0 < report.train.lr_peak < share * report.lr
    ]
    if not short or Cause.NO_UPDATE in found:
        return None
    cycle, reached, report = short[-1]
    assert report.train is not None
    text = (
        f"{report.train.steps} steps in cycle {cycle} reached {reached:.0%} of the configured learning rate "
        f"({spell(report.train.lr_peak)} of {spell(report.lr)})"
    )
    seen = Evidence(
        "warmup", text, tuple(c for c, *_ in short), tuple(r for _, r, _ in short), threshold=share
    )
    severity = Severity.NOTICE if h.gain else Severity.WARNING
    advice = (
        "Shorten the warmup to about a tenth of a cycle's steps, or give the cycle more steps, before you change the "
        "learning rate."
    )
    return Finding(Cause.WARMUP, severity, cycle, (seen,), advice)


def too_few_steps(h: History, found: frozenset[Cause]) -> Finding | None:
    """The cycles have fewer than `min_steps` optimizer steps, hardly move the model, and gain nothing."""
    few, enough = h.options.min_steps, min(h.options.patience, 2)
    explained = found & {Cause.WARMUP, Cause.NO_UPDATE, *_OTHER_EXPLANATIONS}
    if len(h.training) < enough or not h.slow or explained:
        return None
    steps = h.median(lambda train: train.steps)
    moved = h.kl and max(h.kl.values()) >= 10 * h.options.kl_low
    if not 0 < steps < few or moved:
        return None
    text = f"{steps:g} optimizer steps in the median cycle"
    counts = tuple(float(train.steps) for _, train in h.training)
    seen = (Evidence("few-steps", text, h.cycles, counts, threshold=few), h.slow)
    advice = (
        "Give a cycle more steps before you change the learning rate: a smaller batch, more epochs, more prompts or "
        "more samples of each."
    )
    return Finding(Cause.TOO_FEW_STEPS, Severity.WARNING, h.last.cycle, seen, advice)


def spike(h: History, found: frozenset[Cause]) -> Finding | None:
    """The loss of a step jumped far above the steps before it, in a cycle that did not improve the model."""
    if found & {Cause.LR_TOO_HIGH, Cause.DIVERGED}:
        return None
    for report in reversed(h.reports):
        seen = _loss_jump(h, report)
        gained = report.improvement is not None and report.improvement.interval[0] > 0
        if seen and not gained:
            fell = report.improvement is not None and report.improvement.interval[1] < 0
            advice = (
                f"Go back to the weights before cycle {report.cycle} and look at the samples of that step; if it "
                "happens again, lower the learning rate or max_grad_norm."
            )
            severity = Severity.CRITICAL if fell else Severity.WARNING
            return Finding(Cause.SPIKE, severity, report.cycle, (seen,), advice, "rollback")
    return None


def _loss_jump(h: History, report: CycleReport) -> Evidence | None:
    if (
        report.train is None
        or report.train.objective == "policy"
        or not all(map(math.isfinite, report.train.losses))
    ):
        return None
    index, deviations, ratio = measures.largest_jump(report.train.losses)
    if deviations < h.options.spike_deviations or ratio < h.options.spike_ratio:
        return None
    text = (
        f"the loss of step {index + 1} of {report.train.steps} in cycle {report.cycle} is {ratio:.1f} times that of "
        f"the steps before it, {deviations:.0f} deviations above"
    )
    values = (report.train.losses[index],)
    return Evidence("spike", text, (report.cycle,), values, threshold=h.options.spike_deviations)


_OTHER_EXPLANATIONS = frozenset(
    {Cause.VERIFIER_ERRORS, Cause.STALE_SAMPLER, Cause.CEILING, Cause.PROMPTS_TOO_HARD}
)
"""Causes that explain why a run gains nothing, whatever its number of steps."""


def _numbers(report: CycleReport) -> Iterator[tuple[str, float]]:
    yield "the reward", report.reward_mean
    if report.train is not None:
        train = report.train
        yield "the loss", sum((train.loss_first, train.loss_last, *train.losses))
        yield "the gradient", sum((train.grad_norm_median, *train.grad_norms))
        yield "the change of the weights", train.update_norm
        yield "the KL", train.kl or 0.0


def _idle(train: TrainStats) -> str:
    """Return why the training had no effect; empty if it had one."""
    if not train.steps:
        return "no optimizer step was taken"
    if not train.lr_sum > 0:
        return f"the learning rate was zero in all of {train.steps} steps"
    return "" if train.update_norm != 0 else f"{train.steps} steps left the weights unchanged"
