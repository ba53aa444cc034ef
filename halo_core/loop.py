"""The core loop. Read this first.

A cycle samples completions for every prompt, verifies each with a program while the next are being
sampled, rewards them, selects the best, trains on them at the learning rate that the policy set, and
measures the result on prompts that are never trained on. Every step is a hook (`hookspecs.py`), and every
hook's default asks the driver that the user named (`builtin/dispatch.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from halo_core.errors import DivergedError, TrainingError
from halo_core.plugin.manager import Hooks
from halo_core.run.garbage import collected_rarely
from halo_core.run.pipeline import verified
from halo_core.run.sampler_check import Canary, check_sampler
from halo_core.run.state import Run
from halo_core.types import CycleReport, Sample, TrainStats


def run_cycles(run: Run, hooks: Hooks) -> list[CycleReport]:
    """Run the remaining cycles of `run`; return the reports of all of them, cycle 0 first."""
    history = run.history()
    with collected_rarely(), run.observed(hooks, history):
        if not history:
            heldout = measured(run, hooks, 0)
            report = run.report(0, heldout=heldout, canary=check_sampler(run.actor, heldout))
            run.close_cycle(hooks, history, report)
        for cycle in run.remaining_cycles():
            if run.stop_reason:
                break
            run.take_up(history)
            lr = hooks.lr_for_cycle(run=run, cycle=cycle, history=history)
            samples = rewarded(run, hooks, cycle, sampled(run, hooks, cycle))
            chosen = selected(run, hooks, cycle, samples)
            stats = trained(run, hooks, cycle, samples, chosen, lr)
            heldout = measured(run, hooks, cycle)
            canary = check_sampler(run.actor, heldout, stats, history)
            lr /= 10**stats.retries  # what it was trained at in the end
            report = run.report(
                cycle, lr=lr, samples=samples, chosen=chosen, train=stats, heldout=heldout, canary=canary
            )
            run.close_cycle(hooks, history, report)
    return history


def sampled(run: Run, hooks: Hooks, cycle: int) -> list[Sample]:
    """Sample completions for the training prompts and verify them."""
    with run.timed(cycle, "sample"):
        return verified(run, hooks, run.round(cycle, "train"))


def rewarded(run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample]) -> list[Sample]:
    """Give a reward to each sample whose verdict is pass or fail; leave the others without."""
    judged = [sample for sample in samples if sample.verdict.judged]
    rewards = hooks.reward(run=run, cycle=cycle, samples=judged)
    paid = {id(sample): reward for sample, reward in zip(judged, rewards, strict=True)}
    return [Sample(s.prompt, s.completion, s.verdict, paid.get(id(s)), s.weight) for s in samples]


def selected(run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
    """Choose what to train on and record it. Raises a `TrainingError` when nothing was chosen."""
    candidates = [sample for sample in samples if sample.reward is not None]
    chosen = hooks.select(run=run, cycle=cycle, samples=candidates)
    run.ledger.write_rewards(cycle, samples, chosen)
    if not chosen:
        best = max((sample.reward or 0.0 for sample in candidates), default=0.0)
        raise TrainingError(
            f"cycle {cycle}: none of {len(candidates)} completions was selected; the best reward was {best:g}",
            hint="start from a stronger model (halo sft), give easier prompts, sample more, or lower the threshold",
        )
    return chosen


def trained(
    run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample], chosen: Sequence[Sample], lr: float
) -> TrainStats:
    """Train on `chosen` and keep the weights; `samples` tell how far that moved the model."""
    done = run.ledger.trained(cycle)
    if done is not None:
        run.restore(cycle)
        return done
    with run.timed(cycle, "train"):
        canary = Canary(run.actor, samples)
        stats = fitted(run, hooks, cycle, run.mixed(cycle, chosen), lr)
        stats = canary.measured(run.actor, stats)
    run.end_training(cycle, stats)
    return stats


def fitted(
    run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample], lr: float, retries: int = 0
) -> TrainStats:
    """Train after so many `retries`; where that diverges, again from the same weights at a tenth of the rate.

    A cycle that could not change the weights is an error.
    """
    rate = lr / 10**retries
    run.begin_training()
    try:
        stats = hooks.train(run=run, cycle=cycle, samples=samples, lr=rate)
        if not math.isfinite(stats.loss_first + stats.loss_last + stats.update_norm):
            moved = f"loss {stats.loss_first:g} to {stats.loss_last:g}, change {stats.update_norm:g}"
            hint = "lower the learning rate; the weights before this cycle are kept"
            raise DivergedError(f"cycle {cycle} diverged: {moved}", hint=hint)
    except DivergedError:
        if retries == run.config.divergence_retries:
            raise
        run.say(
            "loop", f"cycle {cycle} diverged at {rate:.2g}; again from the same weights at {rate / 10:.2g}"
        )
        return fitted(run, hooks, cycle, samples, lr, retries + 1)
    if not (stats.steps > 0 and stats.lr_sum > 0 and stats.update_norm > 0):
        raise TrainingError(
            f"cycle {cycle} did not change the weights: {stats.steps} steps, summed learning rate "
            f"{stats.lr_sum:g}, change {stats.update_norm:g}",
            hint="check the learning rate, the warmup and that something is trainable",
        )
    return replace(stats, retries=retries)


def measured(run: Run, hooks: Hooks, cycle: int) -> list[Sample]:
    """Sample and verify the held-out prompts with the weights as they are now."""
    with run.timed(cycle, "heldout"):
        return verified(run, hooks, run.round(cycle, "heldout"))
