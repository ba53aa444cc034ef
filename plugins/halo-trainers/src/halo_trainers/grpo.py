"""Trainer `grpo`: the clipped policy gradient and its variants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core import Sample, Trainer, TrainingContext, TrainingError, TrainStats, driver
from halo_core.training import Batch, Example, Loss, Per, TrainingOptions, Unit, fit
from halo_trainers.rates import with_warning
from halo_trainers.references import Reference, reference_logprobs

if TYPE_CHECKING:
    import torch


@driver
class GRPO(TrainingOptions, Trainer):
    """Raise the probability of completions with a positive advantage and lower that of the others.

    The weight of a sample is its advantage A; selector `groups` sets it. With the ratio r of a token's probability to
    that at sampling, the loss of a token is

        -min(r * A, clip(r, 1 - clip_low, 1 + clip_high) * A) + kl * (q - log(q) - 1),   q = p_ref / p

    (Shao et al. 2024, arXiv 2402.03300, eq. 3 and 4). Use 5e-6 to 1e-5 as the learning rate, and sample at temperature
    1 from all tokens. The variants differ in few options:

        Dr. GRPO    average=constant; selector groups, scale=none              (arXiv 2503.20783)
        DAPO        average=token, clip_high=0.28                              (arXiv 2503.14476)
        GSPO        ratio=sequence, clip_low=3e-4, clip_high=4e-4              (arXiv 2507.18071)
        RLOO        selector groups, baseline=leave_one_out, scale=none        (arXiv 2402.14740)
        REINFORCE   clip_low=none, clip_high=none, and one epoch of one step
    """

    usual_lr: ClassVar[tuple[float, float]] = (1e-6, 1e-5)

    average: Literal["sequence", "token", "constant"] = "sequence"
    """`sequence`: the mean over completions of their means over tokens. `token`: the mean over all tokens.
    `constant`: the sum over tokens, divided by the number of completions times `max_length`."""
    max_length: Annotated[int, Field(ge=1)] = 512
    """The divisor of `average=constant`: the generator's `max_new_tokens`."""
    ratio: Literal["token", "sequence"] = "token"
    """`sequence`: the geometric mean of the ratios of a completion's tokens takes the place of each."""
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
    kl_correction: bool = True
    """Multiply the divergence by the ratio r, so that its gradient is that of the reverse divergence without bias
    (DeepSeek-V3.2, arXiv 2512.02556). false: as in the paper of GRPO."""
    reference: Reference = "base"
    """The reference: the model from before any training, or the weights from before this cycle's training."""

    @model_validator(mode="after")
    def _token_averages_need_token_ratios(self) -> Self:
        if self.ratio == "sequence" and self.average != "sequence":
            raise ValueError("ratio=sequence needs average=sequence")
        return self

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor` on every sample; see `Trainer.train`."""
        if not any(sample.weight for sample in samples):
            raise TrainingError(
                "no completion has an advantage",
                hint="`grpo` needs prompts whose rewards differ: use --selector groups, or sample more",
            )
        columns = self._columns(samples, context)
        units = [(Example.of(sample, **more),) for sample, more in zip(samples, columns, strict=True)]
        stats = fit(units, self.loss_of, self, context, per=self._per(), entropies=True)
        return with_warning(stats, context, "5e-6 to 1e-5")

    def _columns(
        self, samples: Sequence[Sample], context: TrainingContext
    ) -> list[dict[str, Sequence[float] | None]]:
        """Return the columns of each sample: old, with `old=model` mismatch, and with `kl` reference."""
        found: list[dict[str, Sequence[float] | None]] = [
            {"logprobs": s.completion.logprobs} for s in samples
        ]
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

    def _per(self) -> Per:
        if self.average != "constant":
            return self.average
        return self._sequences_times_max_length

    def _sequences_times_max_length(self, units: Sequence[Unit]) -> float:
        return float(self.max_length * sum(map(len, units)))

    def loss_of(self, batch: Batch, logprobs: torch.Tensor) -> Loss:
        """Return the loss summed over the completions or tokens of the batch."""
        log_ratios = logprobs - batch.columns["logprobs"]
        if self.ratio == "sequence":
            log_ratios = batch.by_token(batch.means(log_ratios))
        ratios, advantages = log_ratios.exp(), batch.by_token(batch.weights)
        gains = ratios * advantages
        clipped = gains.minimum(self._clip(ratios) * advantages)
        losses = -clipped
        metrics = {"ratio": ratios, "clip_share": (clipped < gains).float()}
        if batch.entropies is not None:
            metrics["entropy"] = batch.entropies
        if "mismatch" in batch.columns:
            losses = losses * batch.columns["mismatch"]
            metrics["mismatch"] = batch.columns["mismatch"]
        if self.kl:
            difference = batch.columns["reference"] - logprobs
            divergence = difference.exp() - difference - 1
            losses = losses + self.kl * (divergence * ratios if self.kl_correction else divergence)
            metrics["kl_to_reference"] = divergence
        total = batch.means(losses).sum() if self.average == "sequence" else losses.sum()
        return Loss(total, metrics)

    def _clip(self, ratios: torch.Tensor) -> torch.Tensor:
        low = None if self.clip_low is None else 1 - self.clip_low
        high = None if self.clip_high is None else 1 + self.clip_high
        return ratios if low is None and high is None else ratios.clamp(low, high)
