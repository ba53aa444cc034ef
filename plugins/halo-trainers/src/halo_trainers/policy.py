"""The base of the trainers that follow the policy gradient: importance ratios, their clip, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from halo_core import Sample, Trainer, TrainingContext, driver
from halo_core.training import Batch, TrainingOptions
from halo_trainers.references import Reference, reference_logprobs

if TYPE_CHECKING:
    import torch

Columns = dict[str, Sequence[float] | None]
"""Numbers for each token of a sample, by name; None: not known."""


@driver
class PolicyGradient(TrainingOptions, Trainer):
    """Trains on completions of the model itself, weighted by how much better than expected they were."""

    clip_low: Annotated[float, Field(gt=0, lt=1)] | None = 0.2
    """A ratio below 1 - `clip_low` is not lowered further. none: no limit."""
    clip_high: Annotated[float, Field(gt=0)] | None = 0.2
    """A ratio above 1 + `clip_high` is not raised further. none: no limit."""
    old: Literal["sampler", "model"] = "sampler"
    """The denominator of the ratio: the log-probabilities that the generator recorded, or those that the model has
    before this cycle's training. With `model`, the two are compared too, and correct the loss (`mismatch_cap`)."""
    mismatch_cap: Annotated[float, Field(gt=0)] = 2.0
    """With `old=model`, the loss of each token is multiplied by the model's probability over the sampler's, at most by
    this (truncated importance sampling, for engines that compute slightly other probabilities)."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence from the reference; 0 needs no reference."""
    reference: Reference = "base"
    """The reference: the model from before any training, or the weights from before this cycle's training."""

    def columns(self, samples: Sequence[Sample], context: TrainingContext) -> list[Columns]:
        """Return the columns of each sample: logprobs, with `old=model` mismatch, and with `kl` reference.

        Call it before training.
        """
        found: list[Columns] = [{"logprobs": s.completion.logprobs} for s in samples]
        if self.old == "model":
            for columns, row in zip(found, reference_logprobs(samples, context, "previous"), strict=True):
                sampler = columns["logprobs"]
                if sampler is not None and row:
                    ratios = [math.exp(min(new - old, 50.0)) for new, old in zip(row, sampler, strict=True)]
                    columns["mismatch"] = [min(ratio, self.mismatch_cap) for ratio in ratios]
                    columns["logprobs"] = row
        if self.kl:
            for columns, row in zip(found, reference_logprobs(samples, context, self.reference), strict=True):
                columns["reference"] = row
        return found

    def policy_losses(
        self, batch: Batch, log_ratios: torch.Tensor, advantages: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the clipped loss [N] of each token, and statistics; all arguments are by token."""
        ratios = log_ratios.exp()
        gains = ratios * advantages
        clipped = gains.minimum(self._clip(ratios) * advantages)
        losses = -clipped
        metrics = {
            "ratio": ratios,
            "clip_share": (clipped < gains).float(),
            "kl_to_sampler": ratios - 1 - log_ratios,
        }
        if batch.entropies is not None:
            metrics["entropy"] = batch.entropies
        if "mismatch" in batch.columns:
            losses = losses * batch.columns["mismatch"]
            metrics["mismatch"] = batch.columns["mismatch"]
        return losses, metrics

    def _clip(self, ratios: torch.Tensor) -> torch.Tensor:
        low = None if self.clip_low is None else 1 - self.clip_low
        high = None if self.clip_high is None else 1 + self.clip_high
        return ratios if low is None and high is None else ratios.clamp(low, high)
