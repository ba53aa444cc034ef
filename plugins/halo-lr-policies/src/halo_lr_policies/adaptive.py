"""Policies that react to what past cycles measured.

A rate that moves with a noisy number moves with the noise, so each policy says what it does about that. What
they go by is the held-out pass rate after each cycle, cycle 0 included; in a history without any held-out
rates, the pass rate of the training samples, which lags a cycle and is measured on what is trained on.
`kl_target` goes by how far each cycle moved the model, `budget` by the optimizer steps taken.
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
from halo_core.types import CycleReport, Rates
from halo_lr_policies.bounds import Based, Rate, Share


def measurements(history: Sequence[CycleReport]) -> list[Estimate]:
    """Return the pass rates that `history` holds, oldest first; rates over no verdict at all are left out."""
    found = [report.heldout for report in history if _usable(report.heldout)]
    found = found or [report.rates for report in history if _usable(report.rates)]
    return [clustered(passed(rates), rates) for rates in found if rates]


def _usable(rates: Rates | None) -> bool:
    return rates is not None and rates.samples > 0 and math.isfinite(rates.passed)


@driver
class AdaptiveSeed(Based):
    """base_lr, or base_lr x decay_factor after a cycle that improved too little.

    Too little: (now - before) / before < improvement_threshold, now being the last pass rate measured and
    before the one preceding it. Cycle 1 has base_lr. Where before is 0, any rise is enough and none is not.

    Units: AdamW's peak rate; the threshold is relative, so 0.02 of a pass rate of 0.5 is one point.

    Source: strategy C of the halo-forge notes ("highly speculative, may cause instability"), kept as written
    so that it can be compared. Confidence: low, and `plateau` is meant to replace it, because it never
    compounds (two bad cycles cost what one does, and a good one undoes both), because 2% of a rate of 5% is
    a tenth of a point, which no held-out set can resolve, because it takes a regression for a plateau, and
    because it compares with the last cycle, not the best.
    """

    improvement_threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.02
    """Least relative improvement."""
    decay_factor: Share = 0.7
    """What a disappointment multiplies `base_lr` by, once."""

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
    """base_lr x factor^n, n being how often the pass rate stopped improving.

    Each cycle is compared with the best so far, the best being the last that was significantly better than
    the one before it: a gain has to exceed z x sqrt(e_best^2 + e_now^2), with the standard errors of the two
    rates and z the normal quantile of `confidence`. `patience` cycles in a row without one cut the rate, a
    significant loss cuts it at once, and `cooldown` cycles after a cut are not counted. A cycle so noisy that
    a gain of `resolution` could not have shown is not counted either: few held-out prompts give a constant
    rate, not a falling one. The held-out prompts are the same in every cycle, which the formula does not
    use, so it takes the difference for noisier than it is.

    Units: AdamW's peak rate; `patience` and `cooldown` in cycles, `resolution` in shares of the completions.

    Source: PyTorch's ReduceLROnPlateau, with a significance test in place of its threshold; repairs strategy
    C of the halo-forge notes. Confidence: low; sound as a rule, untested as a remedy.
    """

    factor: Share = 0.5
    """What a cut multiplies the rate by."""
    patience: Annotated[int, Field(ge=1)] = 2
    """Cycles in a row without a significant gain that cut the rate."""
    cooldown: Annotated[int, Field(ge=0)] = 1
    """Cycles after a cut that are not counted, while the lower rate takes effect."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """One-sided confidence at which a gain or a loss is significant."""
    resolution: Share = 0.1
    """Largest gain that may go unseen (0.1: ten points); with more noise than that a cycle is not counted."""

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
    """The rate that keeps what each cycle changes in the model within a band around `kappa`.

    After a cycle whose KL was above band x kappa the rate is divided by `factor`, after one with a KL above 0
    and below kappa / band it is multiplied by it, and otherwise left alone. It compounds over the cycles from
    base_lr and is held within `floor` and `ceiling` after each, so that it turns round at once when the KL
    does. Without `kappa` the KL of the first cycle that has one is the target: later cycles are to move the
    model about as far as that did.

    The KL is KL(before || after) of the cycle's training, on the cycle's own samples (`train.kl` of its
    report). A cycle without one, or with an estimate that is no number, changes nothing: a history without
    any leaves the rate at base_lr.

    Units: AdamW's peak rate; `kappa` in nats per token.

    Source: the adaptive rate of rsl_rl (arXiv 2109.11978) and of TorchRL's KLAdaptiveLR, between updates of
    PPO: twice, half and 1.5 are theirs. Carried over to cycles here, because forgetting goes with KL from the
    base model and not with the rate (arXiv 2509.04259), and this is each cycle's share of it. Confidence:
    medium that it holds the KL in the band, which is what it controls; none yet that cycles of equal KL train
    better.
    """

    kappa: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """KL to keep to, in nats per token. None: that of the first cycle."""
    band: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    """How many times above or below `kappa` a cycle has to be to count as out of the band."""
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 1.5
    """What a cycle out of the band divides or multiplies the rate by."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate after the answers to all cycles so far."""
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
    """base_lr x (1 - p)^power, p being the last pass rate measured.

    The closer to all right, the smaller the steps; a fall of the pass rate raises the rate again. p is as
    noisy as its interval is wide: at p = 0.5 and power 0.5, five points move the rate by 5%.

    Units: AdamW's peak rate; p between 0 and 1.

    Source: ours, after a theory of policy gradients with verifiable rewards (arXiv 2510.08539) in which the
    largest stable step depends on the success rate and a fixed one can stall short of 100%. Confidence: none
    yet, research; RAFT's loss is another one, and neither the form nor the power is theirs.
    """

    base_lr: Rate = 5e-5
    """Peak learning rate at a pass rate of 0."""
    power: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """0 is a constant rate, 1 a rate in proportion to what is still failing."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate for the last pass rate; `base_lr` before there is one."""
        measured = measurements(history)
        failing = 1.0 - min(1.0, max(0.0, measured[-1].value)) if measured else 1.0
        return self.base_lr * math.pow(failing, self.power)


@driver
class Budget(Based):
    """The rate at which the learning rate, summed over the optimizer steps of the run, comes to a plan.

    A cycle's share of the plan is in proportion to decay^(cycle - 1). The rate is what is left of the plan,
    times this cycle's share of the shares to come, over the steps expected: those of the last cycle, counted
    as lr_sum / lr, which allows for a schedule within the cycle. What a cycle has over or under its share is
    spread over the rest. Once the plan is spent, cycles train at `floor`.

    Cycle 1 has base_lr, for nobody knows its number of steps before it is trained: it depends on how many
    samples pass. From then on the steps are known. Without `total` the plan is that every cycle spends what
    cycle 1 did, times decay^(cycle - 1).

    Units: AdamW's peak rate; `total` in rate x optimizer steps.

    Source: ours. At a "constant" rate the sum grows with the number of samples kept, and a falling rate is
    also a smaller sum; this holds one while the other varies. Confidence: high as a control in experiments,
    none claimed that it trains better.
    """

    total: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Learning rate summed over all optimizer steps of the run: the sum of `train.lr_sum`, of another run, say."""
    decay: Share = 1.0
    """A cycle's share of the sum, as a factor of the one before it: 1 for constant, 0.85 for exponential."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate that keeps to the plan."""
        spent = [each for each in map(_spending, history) if each]
        if not spent:
            return self.base_lr * self.decay ** (cycle - 1)
        first, last = spent[0], spent[-1]
        total = self.total or first.lr_sum * self._shares(first.cycle, cycles)
        left = total - sum(each.lr_sum for each in spent)
        return left / self._shares(cycle, cycles) / last.steps

    def _shares(self, cycle: int, cycles: int) -> float:
        """Return the shares of `cycle` and all later ones together, in units of that of `cycle`."""
        return sum(self.decay**later for later in range(max(1, cycles - cycle + 1)))


@dataclass(frozen=True, slots=True)
class _Spending:
    cycle: int
    lr_sum: float
    steps: float
    """Optimizer steps at the peak rate that would have come to `lr_sum`."""


def _spending(report: CycleReport) -> _Spending | None:
    """Return what a cycle spent, or None where that was not measured."""
    if report.train is None or not (report.lr > 0 and report.train.lr_sum / report.lr > 0):
        return None
    return _Spending(report.cycle, report.train.lr_sum, report.train.lr_sum / report.lr)
