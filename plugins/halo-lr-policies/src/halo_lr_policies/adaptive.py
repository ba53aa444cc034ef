"""Policies that react to measurements of past cycles.

A rate that follows a noisy measurement follows its noise, so each docstring states how the policy treats noise.
The measurement is the held-out pass rate after each cycle, cycle 0 included; in a history without held-out
rates, it is the pass rate of the training samples, which lags one cycle and is measured on the training prompts.
`kl_target` uses the KL divergence of each cycle's training instead, `budget` the number of optimizer steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated

from pydantic import Field

from halo_core.diagnosis.measures import Estimate, clustered, passed
from halo_core.drivers import driver
from halo_core.types import CycleReport, EvalMetrics
from halo_lr_policies.bounds import Based, Rate, Share


def measurements(history: Sequence[CycleReport]) -> list[Estimate]:
    """Return the pass rates in `history`, oldest first, without rates that have no verdicts."""
    found = [report.heldout for report in history if _usable(report.heldout)]
    found = found or [report.sampled for report in history if _usable(report.sampled)]
    return [clustered(passed(rates), rates) for rates in found if rates]


def _usable(rates: EvalMetrics | None) -> bool:
    return rates is not None and rates.samples > 0 and math.isfinite(rates.passed)


@driver
class AdaptiveSeed(Based):
    """base_lr, or base_lr x decay_factor after a cycle that improved too little.

    Too little means (now - before) / before < improvement_threshold, where now is the last measured pass rate and
    before the one preceding it. Cycle 1 has base_lr. If before is 0, any improvement is enough.

    Units: AdamW's peak rate; the threshold is relative, so 0.02 of a pass rate of 0.5 is one point.

    Source: strategy C of the halo-forge notes ("highly speculative, may cause instability"), implemented as
    written, for comparison. Confidence: low; `plateau` is meant to replace it. Its flaws: it never compounds
    (two bad cycles cost as much as one, and a good one undoes both); 2% of a rate of 5% is a tenth of a point,
    which no held-out set can resolve; it treats a regression like a plateau; and it compares with the last
    cycle instead of the best.
    """

    improvement_threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.02
    """Minimum relative improvement."""
    decay_factor: Share = 0.7
    """Factor on `base_lr` after a cycle that improved too little; it does not compound."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return one of the two rates."""
        if cycle == 1 or len(measured := measurements(history)) < 2:
            return self.base_lr
        before, now = measured[-2].value, measured[-1].value
        gain = now - before
        stalled = gain / before < self.improvement_threshold if before > 0 else gain <= 0
        return self.base_lr * self.decay_factor if stalled else self.base_lr


@driver
class Plateau(Based):
    """base_lr x factor^n, where n is the number of plateaus of the pass rate so far.

    Each cycle is compared with the best cycle so far, which is the last one that significantly beat the best
    before it: a gain is significant above z x sqrt(e_best^2 + e_now^2), with the standard errors of the two
    rates and the normal quantile z of `confidence`. `patience` cycles in a row without a significant gain cut
    the rate, a significant loss cuts it at once, and the `cooldown` cycles after a cut are not counted.
    A cycle too noisy to show a gain of `resolution` is not counted either: with few held-out prompts the rate is
    constant instead of falling. The formula ignores that the held-out prompts are the same in every cycle, so it
    overestimates the noise of the difference.

    Units: AdamW's peak rate; `patience` and `cooldown` in cycles, `resolution` as a share of the completions.

    Source: PyTorch's ReduceLROnPlateau, with a significance test instead of its threshold; repairs strategy C of
    the halo-forge notes. Confidence: low; on the gcc demo it is not shown to differ from a constant rate, and at
    best 1.8 points above it (docs/studies/reactive).
    """

    factor: Share = 0.5
    """Factor on the rate for each cut."""
    patience: Annotated[int, Field(ge=1)] = 2
    """Number of consecutive cycles without a significant gain that cuts the rate."""
    cooldown: Annotated[int, Field(ge=0)] = 1
    """Cycles not counted after a cut, while the lower rate takes effect."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """One-sided confidence at which a gain or a loss is significant."""
    resolution: Share = 0.1
    """Largest gain that noise may hide (0.1: ten points); noisier cycles are not counted."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate after all cuts so far."""
        return self.base_lr * self.factor ** self._cuts(measurements(history))

    def _cuts(self, measured: Sequence[Estimate]) -> int:
        if not measured:
            return 0
        cuts = misses = pause = 0
        z = NormalDist().inv_cdf(self.confidence)
        best, *later = measured
        for now in later:
            gain, noise = now.value - best.value, z * math.hypot(best.error, now.error)
            if gain > noise:
                best, misses = now, 0
            elif pause == 0 and noise <= self.resolution:
                misses += self.patience if gain < -noise else 1
            pause = max(0, pause - 1)
            if misses >= self.patience:
                cuts, misses, pause = cuts + 1, 0, self.cooldown
        return cuts


@driver
class KLTarget(Based):
    """The rate that keeps each cycle's KL divergence within a band around `kappa`.

    The rate is divided by `factor` after a cycle with a KL above band x kappa, multiplied by `factor` after one
    with a KL above 0 and below kappa / band, and otherwise unchanged. It compounds over the cycles from base_lr
    and is clamped to `floor` and `ceiling` after each, so it reverses as soon as the KL does. Without `kappa`,
    the target is the KL of the first cycle that has one: later cycles should move the model about as far.

    The KL is KL(before || after) of the cycle's training, on the cycle's own samples (`train.kl` of its
    report). A cycle without a KL, or with a KL of NaN, changes nothing: without any KL, the rate stays at
    base_lr.

    Units: AdamW's peak rate; `kappa` in nats per token.

    Source: the adaptive rate of rsl_rl (arXiv 2109.11978) and of TorchRL's KLAdaptiveLR, between PPO updates;
    twice, half and 1.5 are their values. Applied to cycles here, because forgetting correlates with the KL from
    the base model and not with the rate (arXiv 2509.04259), and this KL is each cycle's share of it. Confidence:
    medium that it keeps the KL in the band, which is what it controls; low that cycles of equal KL train better:
    on the gcc demo it is at best 1.5 points above a constant rate (docs/studies/reactive).
    """

    kappa: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Target KL in nats per token. None: the KL of the first cycle that has one."""
    band: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    """Factor above or below `kappa` at which a cycle is outside the band."""
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.5
    """Factor by which a cycle outside the band divides or multiplies the rate."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate after the adjustments for all cycles so far."""
        moved = [r.train.kl for r in history if r.train is not None and r.train.kl is not None]
        target = self.kappa or next((kl for kl in moved if 0 < kl < math.inf), 0.0)
        rate = self.base_lr
        for kl in moved if target else ():
            if kl > self.band * target:
                rate = self.bounded(rate / self.factor)
            elif 0 < kl < target / self.band:
                rate = self.bounded(rate * self.factor)
        return rate


@driver
class SuccessScaled(Based):
    """base_lr x (1 - p)^power, where p is the last measured pass rate.

    The higher the pass rate, the lower the learning rate; a falling pass rate raises it again. The noise of p
    carries over: at p = 0.5 and power 0.5, five points move the learning rate by 5%.

    Units: AdamW's peak rate; p between 0 and 1.

    Source: ours, after a theory of policy gradients with verifiable rewards (arXiv 2510.08539) in which the
    largest stable step depends on the success rate and a fixed step can stall below 100%. Confidence: none yet,
    research; RAFT's loss differs from that theory's, and neither the formula nor the power comes from it.
    """

    base_lr: Rate = 5e-5
    """Peak learning rate at a pass rate of 0."""
    power: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """Exponent: 0 gives a constant rate, 1 a rate proportional to the share of failures."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate for the last pass rate; `base_lr` before the first measurement."""
        measured = measurements(history)
        failing = 1.0 - min(1.0, max(0.0, measured[-1].value)) if measured else 1.0
        return self.base_lr * math.pow(failing, self.power)


@driver
class Budget(Based):
    """The rate at which the learning rate, summed over the optimizer steps of the run, meets a budget.

    A cycle's share of the budget is proportional to decay^(cycle - 1). The rate is the remaining budget, times
    this cycle's share of the remaining shares, divided by the expected number of steps: that of the last cycle,
    counted as lr_sum / lr, which accounts for a schedule within the cycle. A cycle's deviation from its share
    is spread over the remaining cycles. After the budget is spent, cycles train at `floor`.

    Cycle 1 has base_lr, because its number of steps depends on how many samples pass and is unknown before the
    cycle is trained. Without `total`, the budget of each cycle is the sum that cycle 1 spent, times
    decay^(cycle - 1).

    Units: AdamW's peak rate; `total` in rate x optimizer steps.

    Source: ours. At a constant rate the sum grows with the number of selected samples, and a falling rate also
    has a smaller sum; this policy fixes the sum while the rate varies. Confidence: high as a control in
    experiments; none that it trains better.
    """

    total: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Learning rate summed over all optimizer steps of the run, e.g. the sum of another run's `train.lr_sum`."""
    decay: Share = 1.0
    """Factor from one cycle's share of the sum to the next: 1 for constant, 0.85 for exponential."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate that meets the budget."""
        spent = [past for past in map(_spending, history) if past]
        if not spent:
            return self.base_lr * self.decay ** (cycle - 1)
        first, last = spent[0], spent[-1]
        total = self.total or first.lr_sum * self._shares(first.cycle, cycles)
        left = total - sum(past.lr_sum for past in spent)
        return left / self._shares(cycle, cycles) / last.steps

    def _shares(self, cycle: int, cycles: int) -> float:
        """Return the total share of `cycle` and all later cycles, in units of the share of `cycle`."""
        return sum(self.decay**later for later in range(max(1, cycles - cycle + 1)))


@dataclass(frozen=True, slots=True)
class _Spending:
    cycle: int
    lr_sum: float
    steps: float
    """Number of optimizer steps at the peak rate whose sum is `lr_sum`."""


def _spending(report: CycleReport) -> _Spending | None:
    """Return the learning rate sum of a cycle, or None if it was not measured."""
    if report.train is None or not (report.lr > 0 and report.train.lr_sum / report.lr > 0):
        return None
    return _Spending(report.cycle, report.train.lr_sum, report.train.lr_sum / report.lr)
