"""Trainer `ppo`: proximal policy optimisation with a value head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from halo_core import Actor, Sample, TrainingContext, TrainingError, TrainStats, driver
from halo_core.training import Batch, Example, Loss, fit
from halo_trainers.advantages import explained_variance, generalized_advantages, normalized
from halo_trainers.policy import Columns, PolicyGradient
from halo_trainers.rates import warning

if TYPE_CHECKING:
    import torch


@driver
class PPO(PolicyGradient):
    """Raise the probability of tokens that led to more reward than the value head expected (arXiv 1707.06347).

    The reward of a sample is that of its last token; with `kl`, every token also has -kl * log(p_sampled / p_ref)
    (Ziegler et al. 2019, arXiv 1909.08593). With the values V of the head before the cycle, generalized advantage
    estimation gives advantages A and returns R. The loss is the mean over tokens of

        -min(r * A, clip(r, 1 - clip_low, 1 + clip_high) * A)
        + value_weight / 2 * max((v - R)^2, (clip(v, V - value_clip, V + value_clip) - R)^2)

    The head is a linear layer beside the output head, on the same model; it starts at 0 and is stored with the
    adapter. Train on all completions (selector `all`, truncated=true); the absolute weight of a sample multiplies its
    loss. Use 1e-6 to 5e-6 as the learning rate with LoRA and about 1e-6 with `full` (halo lr recommend ppo), and
    sample at temperature 1 from all tokens.
    """

    usual_lr: ClassVar[tuple[float, float]] = (1e-6, 5e-6)

    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount of the reward for each token before it."""
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    """1: the advantages are returns minus values, without bias. The lower, the more they rely on the values."""
    normalize: bool = True
    """Scale the advantages of a cycle to mean 0 and standard deviation 1 over its tokens."""
    value_weight: Annotated[float, Field(gt=0)] = 0.1
    """Weight of the value loss."""
    value_clip: Annotated[float, Field(gt=0)] | None = 0.2
    """A value is trained until it is this far from that before the cycle. none: no limit."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor` and its value head on the samples; see `Trainer.train`."""
        samples = [sample for sample in samples if sample.weight]
        if not samples:
            raise TrainingError(
                "no completion to train on", hint="use --selector all -S truncated=true, or sample more"
            )
        if len({sample.reward for sample in samples}) < 2:
            raise TrainingError(
                f"all {len(samples)} completions have the same reward",
                hint="`ppo` learns from differences: use --selector all, sample more, or use other prompts",
            )
        columns = self.columns(samples, context)
        explained = self._add_advantages(samples, columns, context)
        units = [(Example.of(sample, **more),) for sample, more in zip(samples, columns, strict=True)]
        stats = fit(units, self.loss_of, self, context, per="token", entropies=True, values=True)
        metrics = {**stats.metrics, "explained_variance": explained}
        return replace(stats, metrics=metrics, objective="policy")

    def check_lr(self, lr: float, actor: Actor) -> str:
        """Return a warning about a rate for `sft`; see `Trainer.check_lr`."""
        return warning(lr, actor, "1e-6 to 5e-6")

    def _add_advantages(
        self, samples: Sequence[Sample], columns: Sequence[Columns], context: TrainingContext
    ) -> float:
        """Add the columns value, return and advantage; return the share of the variance that the values explain."""
        values = context.actor.values([sample.completion for sample in samples])
        own = [_Own(sample, len(row)) for sample, row in zip(samples, values, strict=True)]
        known = [each.of(row) for each, row in zip(own, values, strict=True)]
        found = [
            generalized_advantages(
                self._rewards(sample, more, each), row, gamma=self.gamma, gae_lambda=self.gae_lambda
            )
            for sample, more, each, row in zip(samples, columns, own, known, strict=True)
        ]
        advantages, returns = [row for row, _ in found], [row for _, row in found]
        if self.normalize:
            advantages = normalized(advantages)
        for more, each, *rows in zip(columns, own, known, returns, advantages, strict=True):
            more |= zip(("value", "return", "advantage"), map(each.spread, rows), strict=True)
        return explained_variance(returns, known)

    def _rewards(self, sample: Sample, columns: Columns, own: _Own) -> list[float]:
        """Return the rewards of the tokens that the model wrote."""
        rewards = [0.0] * own.count
        sampled, reference = columns["logprobs"], columns.get("reference")
        if self.kl and sampled is not None and reference is not None:
            pairs = zip(own.of(sampled), own.of(reference), strict=True)
            rewards = [-self.kl * (one - other) for one, other in pairs]
        if rewards:
            rewards[-1] += sample.reward or 0.0
        return rewards

    def loss_of(self, batch: Batch, logprobs: torch.Tensor) -> Loss:
        """Return the loss summed over the tokens of the batch."""
        assert batch.values is not None
        losses, metrics = self.policy_losses(
            batch, logprobs - batch.columns["logprobs"], batch.columns["advantage"]
        )
        value_losses = self._value_losses(batch.values, batch.columns["value"], batch.columns["return"])
        metrics |= {"value": batch.values, "value_loss": value_losses}
        weights = batch.by_token(batch.weights).abs()
        return Loss((weights * (losses + self.value_weight * value_losses)).sum(), metrics)

    def _value_losses(self, values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
        errors = (values - returns) ** 2
        if self.value_clip is not None:
            near = old + (values - old).clamp(-self.value_clip, self.value_clip)
            errors = errors.maximum((near - returns) ** 2)
        return errors / 2


class _Own:
    """The tokens of a completion that the model wrote: the others have neither reward nor value."""

    def __init__(self, sample: Sample, length: int) -> None:
        self._marks = sample.completion.loss_mask or (True,) * length
        self.count = sum(self._marks)

    def of(self, row: Sequence[float]) -> list[float]:
        """Return the numbers of the own tokens; none for a row that is not known."""
        return [value for value, own in zip(row, self._marks, strict=False) if own]

    def spread(self, row: Iterable[float]) -> list[float]:
        """Return a number for every token: those of `row` for the own tokens, and 0."""
        numbers = iter(row)
        return [next(numbers) if own else 0.0 for own in self._marks]
