"""Trainer `sft`: supervised fine-tuning on the selected completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from halo_core.config.options import driver
from halo_core.drivers.base import Trainer
from halo_core.model.contexts import TrainingContext
from halo_core.model.likelihood import weighted_nll, weighted_tokens
from halo_core.training import Example, TrainingOptions, fit
from halo_core.types import Sample, TrainStats


@driver
class SFT(TrainingOptions, Trainer):
    """Fine-tune on the selected completions, with LoRA or in full, on exactly the tokens that were sampled.

    The loss of an optimizer step over its sequences i, with weight w, completion length T and mean negative
    log-likelihood per token nll, is

        sum_i(w_i * T_i * nll_i) / sum_i(|w_i| * T_i)

    that is, the mean over completion tokens, the end token included. k identical completions are computed once and
    count k times. T counts the tokens that the model wrote; text that a tool or an environment inserted carries no
    loss. A negative weight makes its completion less likely.
    """

    usual_lr: ClassVar[tuple[float, float]] = (5e-6, 7.5e-5)

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor` in place; see `Trainer.train`."""
        merged: dict[Example, float] = {}
        for sample in samples:
            example = Example.of(sample).with_weight(1.0)
            merged[example] = merged.get(example, 0.0) + sample.weight
        units = [(example.with_weight(weight),) for example, weight in merged.items() if weight]
        return fit(units, weighted_nll, self, context, per=weighted_tokens)
