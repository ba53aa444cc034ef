"""Trainer `sft`: supervised fine-tuning on the completions that were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from halo_core.config.options import driver
from halo_core.drivers.base import Trainer
from halo_core.errors import TrainingError
from halo_core.seeds import derive_seed
from halo_core.shares import share_of
from halo_core.types import Sample, TrainStats

if TYPE_CHECKING:
    from halo_core.model.actor import Actor


@driver
class SFT(Trainer):
    """Fine-tune on the chosen completions, with LoRA or whole, on exactly the tokens that were sampled.

    The loss of an optimizer step over its sequences i, with weight w, completion length T and mean
    negative log-likelihood per token nll, is

        sum_i(w_i * T_i * nll_i) / sum_i(|w_i| * T_i)

    that is, the mean over completion tokens, the end token included, in which k identical completions
    count k times though they are computed once. A negative weight pushes its completion away.
    """

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

    def train(self, actor: Actor, samples: Sequence[Sample], *, lr: float, seed: int) -> TrainStats:
        """Train `actor` in place; see `Trainer.train`."""
        from halo_core.model.logprobs import Example
        from halo_core.model.training import fit

        weights: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
        for sample in samples:
            completion = sample.completion
            if not completion.prompt_token_ids or not completion.token_ids:
                raise TrainingError(
                    f"completion {completion.index} of prompt {completion.prompt_id!r} carries no token ids",
                    hint="`sft` trains on the sampled tokens; use a generator that records them",
                )
            key = completion.prompt_token_ids, completion.token_ids
            weights[key] = weights.get(key, 0.0) + sample.weight
        self.prepare(actor, seed=seed)
        return fit(actor, [Example(*key, weight) for key, weight in weights.items()], self, lr=lr, seed=seed)

    def prepare(self, actor: Actor, *, seed: int) -> None:
        """Make the actor trainable as the options say, unless it is already."""
        if self.full:
            actor.train_all()
        else:
            actor.add_lora(
                rank=self.lora_rank,
                alpha=self.lora_alpha,
                dropout=self.lora_dropout,
                target_modules=self.target_modules,
                seed=derive_seed(seed, "lora"),
            )

    def warmup(self, steps: int) -> int:
        """Return how many of `steps` optimizer steps are warmup."""
        return self.warmup_steps or share_of(steps, self.warmup_ratio)

    def multiplier(self, step: int, steps: int) -> float:
        """Return the rate of optimizer step `step` (0 .. `steps` - 1) as a share of the peak, in (0, 1].

        Warmup over W steps is (step + 1) / (W + 1). Then, p being the share of the remaining steps that
        is done: `linear` 1 - p, `cosine` (1 + cos(pi p)) / 2, `cosine_with_restarts` the same over each of
        `restarts` + 1 equal parts. p is below 1 on the last step, so every step moves the weights.
        """
        import math

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
