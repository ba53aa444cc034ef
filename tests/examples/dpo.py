"""A trainer: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290)."""

from typing import Annotated

from pydantic import Field

from halo_core import Trainer, TrainingError, driver
from halo_core.training import Example, Loss, TrainingOptions, fit


@driver
class DPO(TrainingOptions, Trainer):
    """Prefer the completions of positive weight to those of negative weight of the same prompt.

    The k-th completion of positive weight and the k-th of negative weight are a pair. With the log-probabilities of
    both under the model and under the reference, the model without its adapter, the loss of a pair is

        -log sigmoid(beta * ((chosen - chosen_reference) - (rejected - rejected_reference)))
    """

    beta: Annotated[float, Field(gt=0)] = 0.1
    """Strength of the tie to the reference."""

    def train(self, samples, context):
        """Train on the pairs; see `Trainer.train`."""
        with context.actor.reference("base"):
            rows = context.actor.logprobs([sample.completion for sample in samples])
        prompts = {}
        for sample, row in zip(samples, rows, strict=True):
            chosen, rejected = prompts.setdefault(sample.prompt.id, ([], []))
            if sample.weight:
                side = chosen if sample.weight > 0 else rejected
                side.append(Example.of(sample, reference=row))
        pairs = [pair for sides in prompts.values() for pair in zip(*sides, strict=False)]
        if not pairs:
            raise TrainingError(
                "no prompt has completions of positive and of negative weight",
                hint="use a selector that chooses pairs",
            )
        return fit(pairs, self.loss, self, context, per="unit")

    def loss(self, batch, logprobs):
        """Return the loss summed over the pairs, with the share of pairs in the right order."""
        from torch.nn.functional import logsigmoid

        gains = batch.sums(logprobs - batch.columns["reference"])
        chosen, rejected = gains.view(-1, 2).unbind(1)
        margins = self.beta * (chosen - rejected)
        return Loss(-logsigmoid(margins).sum(), {"accuracy": (margins > 0).float(), "margin": margins})
