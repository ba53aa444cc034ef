"""Options of a training: adapter, batches, optimizer, and the learning-rate schedule within a cycle."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core.config.options import driver
from halo_core.shares import share_of

MOST, FEWEST = 32, 8
"""Bounds on the sequences per optimizer step if `batch_size` is 0."""
FEW = 10
"""Fewest steps at the full learning rate without a warning: our estimate; the cycle of the halo-forge notes has 16."""


def flaw_of_lr(lr: object) -> str:
    """Return why `lr` cannot be a learning rate, or an empty string."""
    if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 <= lr < math.inf:
        return "a learning rate is finite and positive"
    return "a cycle without a learning rate teaches nothing" if lr == 0 else ""


@driver
class TrainingOptions:
    """Options of every gradient-based trainer; trainer drivers inherit from this class."""

    usual_lr: ClassVar[tuple[float, float] | None] = None
    """Learning rates for a model of 7 billion parameters: for all weights, and for an adapter. A policy without
    `base_lr` gets the one that applies, adjusted to the size of the model (`model.rates`). None: the policy's own."""

    full: bool = False
    """Train every weight of the model instead of a LoRA adapter."""
    lora_rank: Annotated[int, Field(ge=1)] = 16
    """Rank of the adapter's matrices."""
    lora_alpha: Annotated[float, Field(gt=0)] = 32.0
    """Scale of the adapter's output: `lora_alpha / lora_rank`."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Dropout on the adapter's input."""
    target_modules: tuple[str, ...] = ()
    """Layers that LoRA adapts, by the last part of their names; `experts` means the routed experts. Empty: the
    attention and MLP projections of the Llama family if the model has them all, else every linear layer; no experts."""
    modules_to_save: tuple[str, ...] = ()
    """Layers to train in full beside the adapter, and to save with it, by the last part of their names: `lm_head`,
    `embed_tokens`. A layer that shares its weights is refused."""
    rslora: bool = False
    """Rank-stabilized LoRA: scale by `lora_alpha / sqrt(lora_rank)` (arXiv 2312.03732)."""
    dora: bool = False
    """DoRA: also train the length of each row of the weights (arXiv 2402.09353). Slower."""
    lora_init: Literal["default", "gaussian", "orthogonal"] = "default"
    """Initial values of the adapter, as PEFT names them: A uniform (Kaiming) and B 0, A normal and B 0, or
    halves of an orthogonal basis, for an even rank. None of them changes the model. PiSSA, OLoRA and others that change
    its weights are left out: the model before training would no longer be the reference."""
    epochs: Annotated[int, Field(ge=1)] = 1
    """Passes over the selected completions."""
    batch_size: Annotated[int, Field(ge=0)] = 0
    """Maximum number of sequences per optimizer step; a trainer on pairs or groups counts those. 0: 32, or fewer, but
    at least 8, if a cycle would have fewer than 10 steps."""
    batch_tokens: Annotated[int, Field(ge=0)] = 0
    """Maximum number of tokens, padding included, per forward and backward pass. A larger step is split and its
    gradients are accumulated; the result is the same. If memory runs out, it is halved, with a note. 0: 8192, or
    1024 on a CPU, which fit its caches. On an accelerator, the largest batch is tried before the first step."""
    schedule: Literal["constant", "linear", "cosine", "cosine_with_restarts"] = "constant"
    """Schedule of the learning rate within the cycle, after warmup, from the peak towards zero."""
    restarts: Annotated[int, Field(ge=1)] = 1
    """Number of times that `cosine_with_restarts` returns to the peak."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps of linear warmup. The first step has the learning rate `peak / (warmup_steps + 1)`."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Warmup as a share of the steps, rounded down; use it instead of `warmup_steps`."""
    max_grad_norm: Annotated[float, Field(ge=0)] = 0.3
    """Maximum L2 norm of the gradients; larger gradients are scaled down to it. 0: no limit."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay of AdamW."""
    optimizer: Literal["reset", "carry"] = "reset"
    """`reset`: each cycle starts with a new optimizer. `carry`: it starts with the state of AdamW at the end of the
    cycle whose weights it starts from; the state is stored beside those weights."""
    share_prefixes: bool = True
    """Compute the tokens with which sequences of a step begin alike once, above all a common prompt, if that saves
    arithmetic and the model allows it. Completions of a prompt then come into the same steps, and see the same dropout
    in their prompt; otherwise the result is the same."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Recompute activations in the backward pass: about a third slower, with much less memory. `auto`: once a single
    sequence does not fit otherwise."""

    @model_validator(mode="after")
    def _one_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_ratio:
            raise ValueError("set warmup_steps or warmup_ratio, not both")
        return self

    def per_step(self, count: int) -> int:
        """Return the maximum number of sequences per optimizer step in a cycle with `count` of them."""
        return self.batch_size or min(MOST, max(FEWEST, count * self.epochs // FEW))

    def warmup(self, steps: int) -> int:
        """Return the number of warmup steps among `steps` optimizer steps."""
        return self.warmup_steps or share_of(steps, self.warmup_ratio)

    def multiplier(self, step: int, steps: int) -> float:
        """Return the learning rate of optimizer step `step` (0 .. `steps` - 1) as a share of the peak, in (0, 1].

        During W steps of warmup it is (step + 1) / (W + 1). Afterwards, with p the share of the remaining steps that
        are done: `linear` 1 - p, `cosine` (1 + cos(pi p)) / 2, `cosine_with_restarts` the same over each of
        `restarts` + 1 equal parts. p is below 1 on the last step, so every step changes the weights.
        """
        warmup = self.warmup(steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / (steps - warmup)
        done_of_part = (step - warmup) * (self.restarts + 1) % (steps - warmup) / (steps - warmup)
        match self.schedule:
            case "constant":
                return 1.0
            case "linear":
                return 1.0 - done
            case "cosine":
                return (1.0 + math.cos(math.pi * done)) / 2
            case "cosine_with_restarts":
                return (1.0 + math.cos(math.pi * done_of_part)) / 2
