"""Policies whose rate depends on the cycle's number alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from halo_core.drivers import LRPolicy, driver
from halo_core.types import CycleReport

Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


@driver
class Constant(LRPolicy):
    """The same rate in every cycle.

    What the RAFT paper's own code does (2e-5 over 20 iterations of full fine-tuning), and the baseline
    that any other policy has to beat.
    """

    base_lr: Rate = 5e-5
    """Peak learning rate of each cycle."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return `base_lr`."""
        return self.base_lr


@driver
class Manual(LRPolicy):
    """A rate for each cycle, written out; the last one is held (strategy A of the halo-forge notes)."""

    rates: tuple[Rate, ...] = (5e-5, 4e-5, 3e-5, 2.5e-5, 2e-5)
    """A list, or a map of cycle_1, cycle_2, ... without gaps."""

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

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the rate written for `cycle`, or the last one."""
        return self.rates[min(cycle, len(self.rates)) - 1]


@driver
class Exponential(LRPolicy):
    """base_lr x decay^(cycle - 1), not below `floor` (strategy B of the halo-forge notes).

    With the defaults: 5.00, 4.25, 3.61, 3.07, 2.61, 2.22 x 1e-5. The decay of 0.85 is a guess of those notes,
    without precedent in published systems; B-STaR's cosine comes to about 0.69 a cycle.
    """

    base_lr: Rate = 5e-5
    """Peak learning rate of cycle 1."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.85
    """Factor from one cycle to the next; 0.8 to 0.95 is the range they call reasonable."""
    floor: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    """Lowest rate; at most `base_lr`."""

    @model_validator(mode="after")
    def _floor_below(self) -> Self:
        if self.floor > self.base_lr:
            raise ValueError(f"floor {self.floor:g} is above base_lr {self.base_lr:g}; lower it")
        return self

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the decayed rate, or `floor` if that is higher."""
        return max(self.floor, self.base_lr * self.decay ** (cycle - 1))
