"""The training loop, for authors of trainers. Importing this module does not import torch.

@driver
class Imitation(TrainingOptions, Trainer):
    \"\"\"Fine-tune on the selected completions.\"\"\"

    def train(self, samples, context):
        units = [(Example.of(sample),) for sample in samples]
        return fit(units, negative_log_likelihood, self, context, per="token")

def negative_log_likelihood(batch, logprobs):
    return -logprobs.sum()
"""

from __future__ import annotations

from collections.abc import Sequence

from halo_core.config.training import TrainingOptions
from halo_core.model.contexts import Actor, TrainingContext
from halo_core.model.units import Batch, Example, Loss, LossFunction, Per, Unit
from halo_core.types import TrainStats

__all__ = [
    "Batch",
    "Example",
    "Loss",
    "LossFunction",
    "Per",
    "TrainingOptions",
    "Unit",
    "check_model",
    "fit",
]


def fit(
    units: Sequence[Unit],
    loss: LossFunction,
    options: TrainingOptions,
    context: TrainingContext,
    *,
    per: Per = "unit",
    entropies: bool = False,
    values: bool = False,
) -> TrainStats:
    """Train `context.actor` on `units` with AdamW, as `options` configures; return the statistics.

    Each epoch distributes the units over optimizer steps of at most `options.batch_size` units. A step is split into
    batches of at most `options.batch_tokens` tokens; a longer unit is a batch of its own. For each batch, `loss` gets
    the log-probabilities of the current weights and returns a sum over the batch. The loss of the step is the sum over
    its batches, divided by the number of its units, of its sequences or of its tokens that carry loss (`per`), or by
    what a function `per` returns for the units of the step. So splitting a step changes nothing.

    The first training of a run adds a LoRA adapter or, with `options.full`, makes all weights trainable. The optimizer
    is new; with `options.optimizer` "carry" it starts from `actor.optimizer_state`, where its final state is stored. On
    a CPU the result depends on the arguments alone. With `context.checkpoint`, an interrupted training resumes from its
    last checkpoint. `entropies`: compute `Batch.entropies`. `values`: compute `Batch.values`, and train the value head,
    which is added if there is none; a training without it removes the head, whose estimates would be outdated.

    Raises a `DivergedError` if a loss, gradient or weight is no longer finite, and a `TrainingError` if no token
    carries loss, the learning rate is not positive and finite, the loss is unusable, or no weight changed.
    """
    from halo_core.model.training import fit as run

    return run(units, loss, options, context, per=per, entropies=entropies, values=values)


def check_model(actor: Actor, options: TrainingOptions) -> None:
    """Raise a `ModelError` if the LoRA adapter of `options` does not fit the model of `actor`; for `check_model`.

    Changes nothing. A model that is trained in full, or that has an adapter, is accepted.
    """
    from halo_core.model.training import check_model as check

    check(actor, options)
