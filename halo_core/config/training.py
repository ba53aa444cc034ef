"""Options of a training: adapter, batches, optimizer, and the schedule of the rate within a cycle."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.config.options import driver
from halo_core.shares import share_of


@driver
class TrainingOptions:
    """Options that every gradient-based trainer has; a trainer driver inherits from this class."""

    full: bool = False
    """Train every weight of the model instead of a LoRA adapter."""
    lora_rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapter's matrices."""
    lora_alpha: Annotated[float, Field(gt=0)] = 32.0
    """The adapter's output is scaled by `lora_alpha / lora_rank`."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout on the adapter's input."""
    target_modules: tuple[str, ...] = ()
    """Layers to adapt, by the last part of their names. Empty: the seven attention and MLP projections
    where the architecture has them, else every linear layer but the output head."""
    epochs: Annotated[int, Field(ge=1)] = 1
    """Passes over the chosen completions."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Sequences per optimizer step, at most."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens, padding included, per forward and backward pass. A step that is larger is split, and its
    gradients accumulated; the result is the same. Lower it when memory runs out. 0: 8192, or on a CPU
    1024, which stay in its caches."""
    schedule: Literal["constant", "linear", "cosine", "cosine_with_restarts"] = "constant"
    """How the rate moves within the cycle, after warmup, from the peak towards zero."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """How often `cosine_with_restarts` goes back to the peak."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps of linear warmup. The first step already has the rate `peak / (warmup_steps + 1)`."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Warmup as a share of the steps, rounded down; instead of `warmup_steps`."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 0.3
    """Gradients are scaled down to this L2 norm when they exceed it. 0: never."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay of AdamW."""
    optimizer: Literal["reset", "carry"] = "reset"
    """Whether each cycle begins with a fresh optimizer, or with the state that AdamW had at the end of the
    cycle whose weights it starts from; that is kept beside them."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: about a third slower, much less memory."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError("set warmup_steps or warmup_ratio, not both")
        return self

    def warmup(self, steps: int) -> int:
        """Return how many of `steps` optimizer steps are warmup."""
        return self.warmup_steps or share_of(steps, self.warmup_ratio)

    def multiplier(self, step: int, steps: int) -> float:
        """Return the rate of optimizer step `step` (0 .. `steps` - 1) as a share of the peak, in (0, 1].

        Warmup over W steps is (step + 1) / (W + 1). Then, p being the share of the remaining steps that
        is done: `linear` 1 - p, `cosine` (1 + cos(pi p)) / 2, `cosine_with_restarts` the same over each of
        `restarts` + 1 equal parts. p is below 1 on the last step, so every step moves the weights.
        """
        warmup = self.warmup(steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / (steps - warmup)
        of_part = (step - warmup) * (self.restarts + 1) % (steps - warmup) / (steps - warmup)
        match self.schedule:
            case "constant":
                return 1.0
            case "linear":
                return 1.0 - done
            case "cosine":
                return (1.0 + math.cos(math.pi * done)) / 2
            case "cosine_with_restarts":
                return (1.0 + math.cos(math.pi * of_part)) / 2
