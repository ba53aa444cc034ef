"""Trainer `dpo`: direct preference optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from halo_core import Actor, Sample, Trainer, TrainingContext, TrainingError, TrainStats, driver
from halo_core.training import Batch, Example, Loss, TrainingOptions, fit
from halo_trainers.rates import warning
from halo_trainers.references import Reference, reference_logprobs

if TYPE_CHECKING:
    import torch


@driver
class DPO(TrainingOptions, Trainer):
    """Prefer completions of positive weight to completions of negative weight of the same prompt.

    The k-th completion of positive weight and the k-th of negative weight are a pair; selector `pairs` selects them.
    With d = log(p(chosen) / p_ref(chosen)) - log(p(rejected) / p_ref(rejected)), the loss is the mean over pairs of

        sigmoid   -log sigmoid(beta * d)          (Rafailov et al. 2023, arXiv 2305.18290, eq. 7)
        ipo       (d - 1 / (2 * beta))^2          (Azar et al. 2023, arXiv 2310.12036, eq. 17)

    For `ipo`, and with `length_normalized`, each logarithm is divided by the number of tokens of its completion.
    `batch_size` counts pairs. Use about 5e-6 as the learning rate with LoRA, a
    fortieth of that of `sft`, and about 5e-7 with `full`: halo lr recommend dpo.
    """

    usual_lr: ClassVar[tuple[float, float]] = (5e-7, 5e-6)

    loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """The loss of a pair."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """Strength of the tie to the reference."""
    length_normalized: bool = False
    """Compare means over tokens instead of sums, so that length is not what is learned."""
    reference: Reference = "base"
    """The reference: the model from before any training, or the weights from before this cycle's training."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor` on the pairs; see `Trainer.train`."""
        rows = reference_logprobs(samples, context, self.reference)
        prompts: dict[str, tuple[list[Example], list[Example]]] = {}
        for sample, row in zip(samples, rows, strict=True):
            chosen, rejected = prompts.setdefault(sample.prompt.id, ([], []))
            if sample.weight:
                (chosen if sample.weight > 0 else rejected).append(Example.of(sample, reference=row))
        pairs = [pair for sides in prompts.values() for pair in zip(*sides, strict=False)]
        if not pairs:
            raise TrainingError(
                "no prompt has completions of positive and of negative weight",
                hint="`dpo` trains on pairs: use --selector pairs",
            )
        return replace(fit(pairs, self.loss_of, self, context, per="unit"), objective="preference")

    def check_lr(self, lr: float, actor: Actor) -> str:
        """Return a warning about a rate for `sft`; see `Trainer.check_lr`."""
        return warning(lr, actor, "about 5e-6")

    def loss_of(self, batch: Batch, logprobs: torch.Tensor) -> Loss:
        """Return the loss summed over the pairs of the batch."""
        from torch.nn.functional import logsigmoid

        log_ratios = logprobs - batch.columns["reference"]
        per_token = self.length_normalized or self.loss == "ipo"
        scores = batch.means(log_ratios) if per_token else batch.sums(log_ratios)
        chosen, rejected = scores.view(-1, 2).unbind(1)
        margins = chosen - rejected
        losses = (
            -logsigmoid(self.beta * margins)
            if self.loss == "sigmoid"
            else (margins - 1 / (2 * self.beta)) ** 2
        )
        metrics = {
            "accuracy": (margins > 0).float(),
            "margin": self.beta * margins,
            "reward_chosen": self.beta * chosen,
            "reward_rejected": self.beta * rejected,
        }
        return Loss(losses.sum(), metrics)
