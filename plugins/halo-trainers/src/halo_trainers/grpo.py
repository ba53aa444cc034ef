"""Trainer `grpo`: the clipped policy gradient and its variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from halo_core import Actor, Sample, TrainingContext, TrainingError, TrainStats, driver
from halo_core.training import Batch, Example, Loss, Per, Unit, fit
from halo_trainers.policy import PolicyGradient
from halo_trainers.rates import warning

if TYPE_CHECKING:
    import torch


@driver
class GRPO(PolicyGradient):
    """Raise the probability of completions with a positive advantage and lower that of the others.

    The weight of a sample is its advantage A; selector `groups` sets it. With the ratio r of a token's probability to
    that at sampling, the loss of a token is

        -min(r * A, clip(r, 1 - clip_low, 1 + clip_high) * A) + kl * (q - log(q) - 1),   q = p_ref / p

    (Shao et al. 2024, arXiv 2402.03300, eq. 3 and 4). Use 5e-6 to 1e-5 as the learning rate with LoRA and about 1e-6
    with `full` (halo lr recommend grpo), and sample at temperature 1 from all tokens. The variants differ in few
    options:

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
    kl_correction: bool = True
    """Multiply the divergence by the ratio r, so that its gradient is that of the reverse divergence without bias
    (DeepSeek-V3.2, arXiv 2512.02556). false: as in the paper of GRPO."""

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
        columns = self.columns(samples, context)
        units = [(Example.of(sample, **more),) for sample, more in zip(samples, columns, strict=True)]
        stats = fit(units, self.loss_of, self, context, per=self._per(), entropies=True)
        return replace(stats, objective="policy")

    def check_lr(self, lr: float, actor: Actor) -> str:
        """Return a warning about a rate for `sft`; see `Trainer.check_lr`."""
        return warning(lr, actor, "5e-6 to 1e-5")

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
        losses, metrics = self.policy_losses(batch, log_ratios, batch.by_token(batch.weights))
        if self.kl:
            difference = batch.columns["reference"] - logprobs
            divergence = difference.exp() - difference - 1
            factor = log_ratios.exp() if self.kl_correction else 1.0
            losses = losses + self.kl * divergence * factor
            metrics["kl_to_reference"] = divergence
        total = batch.means(losses).sum() if self.average == "sequence" else losses.sum()
        return Loss(total, metrics)
