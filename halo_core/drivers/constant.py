"""The learning-rate policy of the core: the same rate in every cycle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from halo_core.config.options import driver
from halo_core.drivers.base import LRPolicy
from halo_core.types import CycleReport


@driver
class Constant(LRPolicy):
    """base_lr in every cycle.

    Units: AdamW's peak rate, as for all policies.

    Source: RAFT's own code (2e-5 over 20 iterations of full fine-tuning) and most online methods since.
    Confidence: high that it is the right baseline; any other policy must beat it at the baseline's own best rate.
    """

    removed_options: ClassVar[Mapping[str, object]] = {"floor": 1e-7, "ceiling": None}

    base_lr: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    """Peak learning rate of each cycle. A run that does not set it gets the rate for its trainer and the size of its
    model."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return `base_lr`."""
        return self.base_lr
