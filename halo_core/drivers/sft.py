"""Trainer `sft`: supervised fine-tuning on the selected completions."""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.config.options import driver
from halo_core.config.training import TrainingOptions
from halo_core.drivers.base import Trainer
from halo_core.errors import TrainingError
from halo_core.model.contexts import TrainingContext
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

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor` in place; see `Trainer.train`."""
        from halo_core.model.logprobs import Example
        from halo_core.model.training import fit, prepare

        examples: dict[Example, float] = {}
        for sample in samples:
            completion = sample.completion
            if not completion.prompt_token_ids or not completion.token_ids:
                raise TrainingError(
                    f"completion {completion.index} of prompt {completion.prompt_id!r} has no token ids",
                    hint="`sft` trains on the sampled tokens; use a generator that records them",
                )
            key = Example(completion.prompt_token_ids, completion.token_ids, loss_mask=completion.loss_mask)
            examples[key] = examples.get(key, 0.0) + sample.weight
        prepare(context.actor, self, seed=context.seed)
        return fit([example.with_weight(weight) for example, weight in examples.items()], self, context)
