"""Policies that follow a fixed plan.

Each docstring gives the source of the formula and the confidence that the policy helps. Confidence is about the
choice across cycles, not the arithmetic: no published experiment isolates the learning rate across cycles, so it
rests on the studies in docs/studies where they have tried the policy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from halo_core.drivers import driver
from halo_core.drivers.constant import Constant as Constant
from halo_core.shares import share_of
from halo_core.types import CycleReport
from halo_lr_policies.bounds import Based, Bounded, Rate, Share


@driver
class Manual(Bounded):
    """rates[cycle - 1]: an explicit rate for each cycle; later cycles use the last one.

    Units: AdamW's peak rate in each cycle, cycles counted from 1.

    Source: strategy A of the halo-forge notes, whose table is the default. Confidence: low; it gives full
    control and, in the notes' words, has no principled basis.
    """

    rates: tuple[Rate, ...] = (5e-5, 4e-5, 3e-5, 2.5e-5, 2e-5)
    """A list, or a map of cycle_1, cycle_2, ... without gaps."""

    def named(self) -> Sequence[float]:
        """Return `rates`."""
        return self.rates

    @field_validator("rates", mode="before")
    @classmethod
    def _read_map(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        numbered = {}
        for key, rate in value.items():
            match = re.fullmatch(r"cycle_([1-9]\d*)", str(key))
            if not match:
                raise ValueError(f"keys are cycle_1, cycle_2, ..., not {key!r}")
            numbered[int(match[1])] = rate
        missing = [n for n in range(1, max(numbered, default=0) + 1) if n not in numbered]
        if missing:
            raise ValueError(f"cycle_{missing[0]} has no rate")
        return [numbered[n] for n in sorted(numbered)]

    @field_validator("rates")
    @classmethod
    def _not_empty(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("at least one rate is needed")
        return value

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate listed for `cycle`, or the last one."""
        return self.rates[min(cycle, len(self.rates)) - 1]


@driver
class Phased(Bounded):
    """Phases with one rate each; the last one lasts until the end of the run.

    Phase k has rates[k] for lengths[k] cycles. With the defaults: 5e-5 in cycles 1 and 2, 3e-5 in 3 and 4,
    1.5e-5 from 5 onwards.

    Units: AdamW's peak rate; lengths in cycles.

    Source: strategy D of the halo-forge notes, exactly. They call it warmup-stable-decay, but it has no warmup:
    it starts at its highest rate. `wsd` has one. Confidence: low.
    """

    rates: tuple[Rate, ...] = (5e-5, 3e-5, 1.5e-5)
    """Peak learning rate of each phase."""
    lengths: tuple[Annotated[int, Field(ge=1)], ...] = (2, 2)
    """Cycles of each phase but the last."""

    def named(self) -> Sequence[float]:
        """Return `rates`."""
        return self.rates

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.lengths) != len(self.rates) - 1:
            raise ValueError(
                f"{len(self.rates)} rates need {max(0, len(self.rates) - 1)} lengths, not {len(self.lengths)}"
            )
        return self

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate of the phase of `cycle`."""
        last = 0
        for rate, length in zip(self.rates, self.lengths, strict=False):
            last += length
            if cycle <= last:
                return rate
        return self.rates[-1]


@driver
class Exponential(Based):
    """base_lr x decay^(cycle - 1).

    With the defaults: 5.00, 4.25, 3.61, 3.07, 2.61, 2.22 x 1e-5.

    Units: AdamW's peak rate; `decay` is a factor per cycle.

    Source: strategy B of the halo-forge notes. The decay of 0.85 is a guess in those notes, without precedent in
    published systems (B-STaR's cosine is about 0.69 per cycle). Confidence: high, on the gcc demo, that 0.85 and
    0.95 are equivalent to a constant rate, each at its best rate, and that 0.85 loses less where the rate is
    twice too high (docs/studies/decay_factor, docs/studies/starting_rate).
    """

    decay: Share = 0.85
    """Factor from one cycle to the next; the notes call 0.8 to 0.95 reasonable."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the decayed rate."""
        return self.base_lr * self.decay ** (cycle - 1)


@driver
class Step(Based):
    """base_lr x factor^floor((cycle - 1) / every).

    Units: AdamW's peak rate; `every` in cycles.

    Source: SPIN (arXiv 2401.01335), whose scripts train iterations 0 and 1 at 5e-7 and iterations 2 and 3 at
    1e-7; the defaults have the same shape. Confidence: low; one system, with a different loss.
    """

    factor: Share = 0.2
    """Factor from one step to the next."""
    every: Annotated[int, Field(ge=1)] = 2
    """Cycles per step."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate of the step of `cycle`."""
        return self.base_lr * self.factor ** ((cycle - 1) // self.every)


@driver
class WSD(Based):
    """Warmup, stable, decay, over the cycles of the run.

    Of C cycles, the last D = floor(decay_share x C) fall linearly to `final` x base_lr in the last cycle. The
    first W, at most `warmup`, rise linearly from `start` x base_lr. The rate is base_lr in the cycles between
    them, at least one: a short run drops warmup cycles first. 8 cycles with the defaults: 0.5, 1, 1, 1, 0.8,
    0.6, 0.4, 0.2 x base_lr.

    Units: AdamW's peak rate; `warmup` in cycles; the others are shares of the cycles or of `base_lr`.

    Source: MiniCPM (arXiv 2404.06395), within one training run; applied to cycles here, as strategy D of the
    halo-forge notes intended. Decaying over half of the run follows the notes' calculator; MiniCPM decays over
    a tenth. Confidence: low.
    """

    base_lr: Rate = 5e-5
    """Peak learning rate of the stable cycles."""
    warmup: Annotated[int, Field(ge=0)] = 1
    """Cycles of warmup."""
    start: Share = 0.5
    """Rate of cycle 1 as a share of `base_lr`, if there is a warmup."""
    decay_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the cycles in which the rate decays."""
    final: Share = 0.2
    """Rate of the last cycle as a share of `base_lr`, if there is a decay."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate of `cycle` in its phase."""
        decay = share_of(cycles, self.decay_share)
        warmup = min(self.warmup, cycles - decay - 1)
        into_decay = min(cycle, cycles) - (cycles - decay)
        share = 1.0
        if into_decay > 0:
            share = 1.0 - (1.0 - self.final) * into_decay / decay
        elif cycle <= warmup:
            share = self.start + (1.0 - self.start) * (cycle - 1) / warmup
        return self.base_lr * share


@driver
class GlobalCosine(Based):
    """One cosine over the whole run; each cycle's rate is the value of the curve at the start of the cycle.

    base_lr x (final + (1 - final) x (1 + cos(pi p)) / 2), where p is the completed share of the run:
    (cycle - 1) / cycles, or with `steps` the number of past optimizer steps divided by `steps`.

    Units: AdamW's peak rate; `steps` in optimizer steps of the whole run.

    Source: B-STaR (arXiv 2412.17256), whose scripts carry optimizer and scheduler through nine iterations of
    500 steps each on one cosine from 4.12e-6 to 2e-7. Confidence: medium that it works (a published system
    uses it), low that it beats a constant rate. With a decaying schedule within the cycle, the rate decays twice.
    """

    final: Share = 0.05
    """End of the curve, as a share of `base_lr`."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps planned for the whole run. None: all cycles count equally."""

    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the value of the curve at the start of `cycle`."""
        done = (
            (cycle - 1) / cycles
            if self.steps is None
            else self._steps_before(cycle, cycles, history) / self.steps
        )
        height = (1.0 + math.cos(math.pi * min(1.0, done))) / 2
        return self.base_lr * (self.final + (1.0 - self.final) * height)

    def _steps_before(self, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the optimizer steps before `cycle`; a cycle without a count is assumed to have an equal share."""
        counted = {report.cycle: report.train.steps for report in history if report.train}
        return sum(counted.get(past, (self.steps or 0) / cycles) for past in range(1, cycle))
