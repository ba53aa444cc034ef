"""The core loop. Read this first.

A cycle samples completions for every prompt, verifies each with a program while the next ones are being sampled,
rewards them, selects the best, trains on them at the learning rate that the policy set, and measures the result on
prompts that are never trained on. Every step is a hook (`hookspecs.py`), and the default of every hook calls the driver
that the user named (`run/dispatch.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from halo_core.config.schema import RETRY_DIVISOR
from halo_core.errors import DivergedError, TrainingError
from halo_core.plugin.manager import Hooks
from halo_core.run.garbage_collection import relaxed_gc
from halo_core.run.pipeline import sample_and_verify
from halo_core.run.sampler_check import LogprobProbe
from halo_core.run.state import Run
from halo_core.run.unselected import nothing_selected
from halo_core.tables import count
from halo_core.types import CycleReport, Sample, TrainStats


def run_cycles(run: Run, hooks: Hooks) -> list[CycleReport]:
    """Run the remaining cycles of `run`; return the reports of all of them, cycle 0 first."""
    history = run.history()
    with relaxed_gc(), run.observed(hooks, history):
        if not history:
            heldout = measure(run, hooks, 0)
            report = run.report(0, heldout=heldout, sampler_error=run.check_sampler(heldout))
            run.close_cycle(hooks, history, report)
        for cycle in run.remaining_cycles():
            if run.stop_reason:
                break
            run.load_sampling_weights(history)
            lr = hooks.lr_for_cycle(run=run, cycle=cycle, history=history)
            samples = reward(run, hooks, cycle, sample(run, hooks, cycle))
            chosen = select(run, hooks, cycle, samples)
            stats = train(run, hooks, cycle, samples, chosen, lr) if chosen else None
            heldout = measure(run, hooks, cycle)
            sampler_error = run.check_sampler(heldout, stats, history)
            report = run.report(cycle, samples, chosen, stats, heldout=heldout, sampler_error=sampler_error)
            run.close_cycle(hooks, history, report)
    return history


def sample(run: Run, hooks: Hooks, cycle: int) -> list[Sample]:
    """Sample completions for the training prompts and verify them."""
    with run.timed(cycle, "sample"):
        return sample_and_verify(run, hooks, run.request(cycle, "train"))


def reward(run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample]) -> list[Sample]:
    """Set the reward of each sample whose verdict is pass or fail; the others stay ineligible."""
    conclusive = [sample for sample in samples if sample.verdict.conclusive]
    rewards = iter(hooks.reward(run=run, cycle=cycle, samples=conclusive))
    return [replace(s, reward=next(rewards)) if s.verdict.conclusive else s for s in samples]


def select(run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample]) -> Sequence[Sample]:
    """Choose the samples to train on and record the choice.

    Raises a `TrainingError` if nothing was chosen, unless `when_none` is `skip`.
    """
    eligible = [sample for sample in samples if sample.reward is not None]
    chosen = hooks.select(run=run, cycle=cycle, samples=eligible)
    run.ledger.write_rewards(cycle, samples, chosen)
    if not chosen:
        if culprit := hooks.emptied_by("select"):
            raise TrainingError(
                f"cycle {cycle}: {culprit}", hint="change the plugin, or remove it from the run"
            )
        error = nothing_selected(cycle, eligible, run.unselected)
        if run.config.when_none != "skip":
            raise error
        run.log("skipped", f"{error}; the weights stay as they are: {error.hint}")
    return chosen


def train(
    run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample], chosen: Sequence[Sample], lr: float
) -> TrainStats:
    """Train on `chosen` and store the weights; measure on `samples` how far that moved the model."""
    stored = run.ledger.trained(cycle)
    if stored is not None:
        run.restore(cycle)
        return stored
    with run.timed(cycle, "train"):
        probe = LogprobProbe(run.actor, samples)
        stats = fit_with_retries(run, hooks, cycle, run.mixed(cycle, chosen), lr)
        stats = probe.measure(run.actor, stats)
    run.finish_training(cycle, stats)
    return stats


def fit_with_retries(
    run: Run, hooks: Hooks, cycle: int, samples: Sequence[Sample], lr: float, retries: int = 0
) -> TrainStats:
    """Train at `lr`; after a divergence, train again from the same weights at a tenth of the learning rate.

    Raises a `TrainingError` if the cycle could not have changed the weights, and a `DivergedError` after the last
    retry.
    """
    run.start_training()
    try:
        stats = hooks.train(run=run, cycle=cycle, samples=samples, lr=lr)
        if not math.isfinite(stats.loss_first + stats.loss_last + stats.update_norm):
            figures = f"loss {stats.loss_first:g} to {stats.loss_last:g}, update norm {stats.update_norm:g}"
            hint = "lower the learning rate; the weights before this cycle are kept"
            raise DivergedError(f"cycle {cycle} diverged: {figures}", hint=hint)
    except DivergedError:
        if retries == run.config.divergence_retries:
            raise
        lower = lr / RETRY_DIVISOR
        run.log("loop", f"cycle {cycle} diverged at {lr:.2g}; retrying from the same weights at {lower:.2g}")
        return fit_with_retries(run, hooks, cycle, samples, lower, retries + 1)
    if not (stats.steps > 0 and stats.lr_sum > 0 and stats.update_norm > 0):
        raise TrainingError(
            f"cycle {cycle} did not change the weights: {count(stats.steps, 'step')}, summed learning rate "
            f"{stats.lr_sum:g}, update norm {stats.update_norm:g}",
            hint="check the learning rate, the warmup, and that the model has trainable weights",
        )
    return replace(stats, retries=retries)


def measure(run: Run, hooks: Hooks, cycle: int) -> list[Sample]:
    """Sample and verify the held-out prompts with the current weights."""
    with run.timed(cycle, "heldout"):
        return sample_and_verify(run, hooks, run.request(cycle, "heldout"))
