"""Base classes of all policies: a floor and a ceiling that no formula or measurement can exceed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Self, final

from pydantic import Field, model_validator

from halo_core.drivers import LRPolicy, driver
from halo_core.types import CycleReport

Rate = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


@driver
class Bounded(LRPolicy):
    """A policy whose rates are clamped to the range from `floor` to `ceiling`.

    The rates that the options name must be in this range: one outside it is rejected, not clamped.
    """

    floor: Rate = 1e-7
    """Lowest rate."""
    ceiling: Rate | None = None
    """Highest rate. None: four times the highest rate that the options name."""

    @abstractmethod
    def named(self) -> Sequence[float]:
        """Return the rates that the options name."""

    @abstractmethod
    def wanted(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the result of the formula, before clamping."""

    @property
    def highest(self) -> float:
        """The effective ceiling: the given one or the default."""
        return 4 * max(self.named()) if self.ceiling is None else self.ceiling

    def bounded(self, rate: float) -> float:
        """Return `rate`, clamped to the bounds."""
        return min(self.highest, max(self.floor, rate))

    @final
    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the policy's rate for `cycle`, clamped to the bounds."""
        return self.bounded(self.wanted(cycle=cycle, cycles=cycles, history=history))

    @model_validator(mode="after")
    def _named_within(self) -> Self:
        for rate in self.named():
            if rate < self.floor:
                raise ValueError(f"floor {self.floor:g} is above the rate {rate:g}; lower it")
            if rate > self.highest:
                raise ValueError(f"ceiling {self.highest:g} is below the rate {rate:g}; raise it")
        return self


@driver
class Based(Bounded):
    """A policy with one base rate."""

    base_lr: Rate = 5e-5
    """Peak learning rate of cycle 1."""

    def named(self) -> Sequence[float]:
        """Return `base_lr`."""
        return (self.base_lr,)
