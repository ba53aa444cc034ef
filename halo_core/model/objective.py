"""The loss that the author of a trainer wrote, checked, and the number by which the loss of a step is divided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halo_core.errors import TrainingError
from halo_core.model.units import Batch, Loss, LossFunction, Per, Unit

if TYPE_CHECKING:
    import torch

COUNTS: dict[str, Callable[[Sequence[Unit]], float]] = {
    "unit": len,
    "sequence": lambda units: sum(map(len, units)),
    "token": lambda units: sum(example.loss_tokens for unit in units for example in unit),
}
"""The number of the items of some units, by the name of the items."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The author's loss, and how it is averaged."""

    function: LossFunction
    per: Per
    entropies: bool

    def denominator(self, units: Sequence[Unit]) -> float:
        """Return the number by which the loss of a step with `units` is divided."""
        value = self.per(units) if callable(self.per) else COUNTS[self.per](units)
        if not 0 < value < float("inf"):
            raise TrainingError(
                f"the denominator of a step's loss is {value}", hint="`per` must return a positive number"
            )
        return value

    def loss(self, batch: Batch, logprobs: torch.Tensor) -> Loss:
        """Return the loss of a batch, checked."""
        found = self.function(batch, logprobs)
        loss = found if isinstance(found, Loss) else Loss(found)
        for value in (loss.total, loss.reported):
            if value is not None and value.dim():
                raise TrainingError(
                    f"the loss has shape {list(value.shape)}; it must be a scalar", hint="return its sum"
                )
        if not loss.total.requires_grad:
            raise TrainingError(
                "the loss does not depend on the log-probabilities",
                hint="compute it from them, without `detach`, `item` or `no_grad`",
            )
        return loss
